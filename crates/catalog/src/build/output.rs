//! What mmdebstrap and the steps after it say: how far it is, and why it failed.

use std::path::PathBuf;

use crate::apt::{Context, classify, last_error};
use crate::error::CatalogError;
use crate::progress::{Progress, ProgressSink, Stage};
use crate::tool::{Ended, Explain};

/// Turns mmdebstrap's lines into progress.
pub(super) struct Reader {
    sink: ProgressSink,
    now: Progress,
}

impl Reader {
    pub(super) fn new(sink: ProgressSink) -> Self {
        Self {
            sink,
            now: Progress::of(Stage::Lists),
        }
    }

    pub(super) fn line(&mut self, line: &str) {
        if let Some(next) = self.next(line) {
            self.now = next;
            (self.sink)(self.now.clone());
        }
    }

    fn next(&self, line: &str) -> Option<Progress> {
        if let Some(said) = line.strip_prefix("I: ") {
            return self.announced(said);
        }
        // "87 upgraded, 0 newly installed" comes once for the base and once for the rest.
        if let Some(count) = newly_installed(line) {
            return Some(Progress {
                done: Some(0),
                total: Some(count),
                ..Progress::of(Stage::Download)
            });
        }
        let (verb, rest) = line.split_once(' ')?;
        match verb {
            _ if verb.starts_with("Get:") && self.now.stage == Stage::Download => {
                self.counted(Stage::Download, fetched_package(rest)?)
            }
            "Unpacking" => self.counted(Stage::Unpack, first_word(rest)),
            "Setting" => self.counted(Stage::Configure, first_word(rest.strip_prefix("up ")?)),
            _ => None,
        }
    }

    fn announced(&self, said: &str) -> Option<Progress> {
        let stage = [
            ("running apt-get update", Stage::Lists),
            ("downloading packages", Stage::Download),
            ("extracting archives", Stage::Unpack),
            ("installing essential packages", Stage::Configure),
            ("installing remaining packages", Stage::Download),
        ]
        .into_iter()
        .find_map(|(words, stage)| said.starts_with(words).then_some(stage))?;
        Some(Progress::of(stage))
    }

    /// One more package of a stage. Totals stay while it goes on; unpacking and configuring are as many as were fetched.
    fn counted(&self, stage: Stage, package: &str) -> Option<Progress> {
        let same = self.now.stage == stage;
        let done = if same { self.now.done.unwrap_or(0) + 1 } else { 1 };
        let total = self.now.total.map(|total| total.max(done));
        Some(Progress {
            stage,
            detail: package.to_owned(),
            done: Some(done),
            total,
        })
    }
}

/// `0 upgraded, 87 newly installed, 0 to remove and 0 not upgraded.`
fn newly_installed(line: &str) -> Option<u64> {
    let (before, _) = line.split_once(" newly installed")?;
    before.rsplit(' ').next()?.parse().ok()
}

/// `http://mirror/debian bookworm/main amd64 libc6 amd64 2.36-9 [2757 kB]`
fn fetched_package(rest: &str) -> Option<&str> {
    let mut words = rest.split_whitespace().skip(3);
    let package = words.next()?;
    // Indices have no version.
    words
        .nth(1)?
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_digit())
        .then_some(package)
}

fn first_word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}

/// Explains why the packages could not be installed.
pub(super) fn explain(suite: String, folder: PathBuf) -> Explain {
    Box::new(move |ended, lines| {
        let context = Context { suite, folder };
        classify(lines, &context).unwrap_or_else(|| {
            // mmdebstrap's own words come after those of whatever failed.
            let own = |line: &&String| {
                ["I: ", "W: ", "E: setup failed", "E: command failed"]
                    .iter()
                    .any(|word| line.starts_with(word))
            };
            let said: Vec<String> = lines.iter().filter(|line| !own(line)).cloned().collect();
            CatalogError::ToolFailed {
                tool: "mmdebstrap",
                reason: last_error(&said).unwrap_or_else(|| ended.to_string()),
            }
        })
    })
}

/// Explains why a step failed.
pub(super) fn explain_step(step: String, folder: PathBuf) -> Explain {
    Box::new(move |ended, lines| {
        if lines.iter().any(|line| line.ends_with("No space left on device")) {
            return CatalogError::DiskFull { path: folder };
        }
        let reason = match (ended, lines.last()) {
            (Ended::As(_), Some(last)) => last.clone(),
            (ended, _) => ended.to_string(),
        };
        CatalogError::RecipeStep { step, reason }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use process::Ending;
    use proptest::prelude::*;

    use super::*;

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    fn failure(said: &[&str]) -> String {
        explain("bookworm".into(), "/w".into())(Ended::As(Ending::Exited(1)), &lines(said)).to_string()
    }

    fn failed_step(ended: Ended, said: &[&str]) -> String {
        explain_step("command `x`".into(), "/w".into())(ended, &lines(said)).to_string()
    }

    #[test]
    fn packages_are_counted_through_the_stages() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink: ProgressSink = {
            let seen = Arc::clone(&seen);
            Arc::new(move |progress: Progress| {
                let Progress {
                    stage,
                    detail,
                    done,
                    total,
                } = progress;
                seen.lock().unwrap().push((stage, detail, done, total));
            })
        };
        let mut reader = Reader::new(sink);
        for line in [
            "I: running apt-get update...",
            "Get:1 http://m/debian bookworm/main amd64 Packages [8790 kB]",
            "I: installing remaining packages inside the chroot...",
            "0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded.",
            "Get:1 http://m/debian bookworm/main amd64 git amd64 1:2.39 [7 kB]",
            "Unpacking git (1:2.39) ...",
            "Setting up git (1:2.39) ...",
            "Setting up less (590) ...",
        ] {
            reader.line(line);
        }
        let seen: Vec<String> = seen
            .lock()
            .unwrap()
            .iter()
            .map(|(s, d, n, t)| format!("{s} {d} {n:?} {t:?}"))
            .collect();
        assert_eq!(
            seen,
            [
                "lists  None None",
                "download  None None",
                "download  Some(0) Some(2)",
                "download git Some(1) Some(2)",
                "unpack git Some(1) Some(2)",
                "configure git Some(1) Some(2)",
                "configure less Some(2) Some(2)",
            ]
        );
    }

    #[test]
    fn a_failed_step_of_the_recipe_is_named_with_its_last_words() {
        let ended = Ended::As(Ending::Exited(3));
        for (ended, said, reason) in [
            (
                ended,
                &["one", "passwd: user 'root' does not exist"][..],
                "passwd: user 'root' does not exist",
            ),
            (ended, &[], "exit code 3"),
            (Ended::As(Ending::Signalled(9)), &[], "killed by signal 9"),
            (
                Ended::TooLong(Duration::from_secs(3600)),
                &["busy"],
                "it took longer than 60 minutes",
            ),
        ] {
            assert_eq!(
                failed_step(ended, said),
                format!("the recipe's command `x` failed: {reason}")
            );
        }
        assert_eq!(
            failed_step(ended, &["cp: error writing '/x': No space left on device"]),
            "no space left on the device that holds /w"
        );
    }

    #[test]
    fn what_is_not_the_recipes_fault_is_told_as_what_it_is() {
        assert_eq!(
            failure(&[
                "E: Unable to locate package nosuch",
                "E: setup failed: E: apt-get failed"
            ]),
            "there is no package nosuch in bookworm"
        );
        assert_eq!(
            failure(&[
                "dpkg: error processing package x",
                "E: Sub-process env returned an error code (1)",
                "E: setup failed: E: x failed"
            ]),
            "mmdebstrap failed: Sub-process env returned an error code (1)"
        );
        assert_eq!(failure(&[]), "mmdebstrap failed: exit code 1");
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(lines in prop::collection::vec("(I: |E: |Get:1 | newly installed|Setting up |\\PC){0,10}", 0..6)) {
            let mut reader = Reader::new(Arc::new(|_| {}));
            for line in &lines {
                reader.line(line);
            }
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let _ = failure(&lines);
        }
    }
}
