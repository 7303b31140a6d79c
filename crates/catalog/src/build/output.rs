//! What mmdebstrap says: how far it is, and why it failed.

use std::path::PathBuf;

use crate::apt::{Context, classify, last_error};
use crate::error::CatalogError;
use crate::process::{Explain, ending};
use crate::progress::{Progress, ProgressSink, Stage};
use crate::recipe::Recipe;

/// Begins the lines by which the hook says what it is about to do.
const STEP: &str = "catalog-step ";

/// The recipe's commands, for telling which one it was.
#[derive(Clone)]
pub(super) struct Steps(Vec<String>);

impl Steps {
    pub(super) fn of(recipe: &Recipe) -> Self {
        Self(
            recipe
                .commands
                .iter()
                .map(|command| command.run.join(" ").replace(char::is_control, " "))
                .collect(),
        )
    }

    /// The hook's word for a step in a person's words.
    fn told(&self, step: &str) -> String {
        let command = step
            .strip_prefix("command ")
            .and_then(|number| self.0.get(number.parse::<usize>().ok()?));
        match (step, command) {
            (_, Some(command)) => format!("command `{}`", command.chars().take(200).collect::<String>()),
            ("files", _) => "files".to_owned(),
            ("enable", _) => "units to enable".to_owned(),
            ("disable", _) => "units to disable".to_owned(),
            ("mask", _) => "units to mask".to_owned(),
            _ => "clean-up".to_owned(),
        }
    }
}

/// Turns mmdebstrap's lines into progress.
pub(super) struct Reader {
    sink: ProgressSink,
    steps: Steps,
    now: Progress,
}

impl Reader {
    pub(super) fn new(sink: ProgressSink, steps: Steps) -> Self {
        Self {
            sink,
            steps,
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
        if let Some(step) = line.strip_prefix(STEP) {
            return Some(Progress {
                detail: self.steps.told(step),
                ..Progress::of(Stage::Customize)
            });
        }
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
            ("running --customize-hook", Stage::Customize),
            ("creating tarball", Stage::Pack),
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

/// Explains a failed build.
pub(super) fn explain(steps: Steps, suite: String, folder: PathBuf) -> Explain {
    Box::new(move |status, lines| {
        let context = Context { suite, folder };
        if let Some(error) = classify(lines, &context).or_else(|| namespace_refused(lines)) {
            return error;
        }
        // mmdebstrap's own words come after those of whatever failed.
        let own = |line: &&String| {
            line.starts_with("I: ")
                || line.starts_with("E: setup failed")
                || line.starts_with("E: command failed")
        };
        let said: Vec<String> = lines
            .iter()
            .filter(|line| !own(line) && !line.starts_with("W: "))
            .cloned()
            .collect();
        let failed_hook = lines.iter().any(|line| line.contains("command failed: "));
        let step = lines
            .iter()
            .rposition(|line| line.starts_with(STEP))
            .filter(|_| failed_hook);
        let Some(step) = step else {
            return CatalogError::ToolFailed {
                tool: "mmdebstrap",
                reason: last_error(&said).unwrap_or_else(|| ending(status)),
            };
        };
        let name = steps.told(lines[step].trim_start_matches(STEP));
        let last = said
            .iter()
            .rev()
            .take_while(|line| !line.starts_with(STEP))
            .find(|line| !line.starts_with("E: "));
        CatalogError::RecipeStep {
            step: name,
            reason: last
                .cloned()
                .unwrap_or_else(|| "it ended with an error".to_owned()),
        }
    })
}

fn namespace_refused(lines: &[String]) -> Option<CatalogError> {
    let line = lines.iter().find(|line| {
        ["unshare: ", "newuidmap: ", "newgidmap: "]
            .iter()
            .any(|program| line.starts_with(program))
    })?;
    Some(CatalogError::NamespaceRefused { reason: line.clone() })
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;
    use std::sync::{Arc, Mutex};

    use proptest::prelude::*;

    use super::*;

    fn steps() -> Steps {
        Steps(vec!["passwd --lock root".into(), "x\n".into()])
    }

    fn failure(lines: &[&str]) -> String {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        explain(steps(), "bookworm".into(), "/w".into())(ExitStatus::from_raw(256), &lines).to_string()
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
        let mut reader = Reader::new(sink, steps());
        for line in [
            "I: running apt-get update...",
            "Get:1 http://m/debian bookworm/main amd64 Packages [8790 kB]",
            "I: installing remaining packages inside the chroot...",
            "0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded.",
            "Get:1 http://m/debian bookworm/main amd64 git amd64 1:2.39 [7 kB]",
            "Unpacking git (1:2.39) ...",
            "Setting up git (1:2.39) ...",
            "Setting up less (590) ...",
            "catalog-step command 0000",
            "I: creating tarball...",
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
                "customize command `passwd --lock root` None None",
                "pack  None None",
            ]
        );
    }

    #[test]
    fn a_failed_step_of_the_recipe_is_named_with_its_last_words() {
        assert_eq!(
            failure(&[
                "catalog-step files",
                "catalog-step command 0000",
                "passwd: user 'root' does not exist",
                "E: command failed: /w/customize/hook",
                "E: setup failed: E: command failed: /w/customize/hook",
                "E: mmdebstrap failed to run",
            ]),
            "the recipe's command `passwd --lock root` failed: passwd: user 'root' does not exist"
        );
        assert_eq!(
            failure(&[
                "catalog-step enable",
                "Failed to enable unit: Unit file nosuch.service does not exist.",
                "E: setup failed: E: command failed: /h"
            ]),
            "the recipe's units to enable failed: Failed to enable unit: Unit file nosuch.service does not exist."
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
            failure(&["unshare: unshare failed: Operation not permitted"]),
            "this system does not let a plain user make a user namespace: unshare: unshare failed: Operation not permitted"
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
        fn no_line_makes_it_panic(lines in prop::collection::vec("(catalog-step |command |0001|99999999999999999999|I: |E: |Get:1 | newly installed|Setting up |\\PC){0,10}", 0..6)) {
            let mut reader = Reader::new(Arc::new(|_| {}), steps());
            for line in &lines {
                reader.line(line);
            }
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let _ = failure(&lines);
        }
    }
}
