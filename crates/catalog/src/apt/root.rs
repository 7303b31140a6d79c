//! A private root for apt.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use process::{Command, Confinement, Kind, Limits, SystemCalls};

use super::complaint::{Context, classify, last_error};
use super::host_files::HostFiles;
use super::sources::{Source, render};
use super::status;
use crate::build::room::{of_host, proxies};
use crate::error::CatalogError;
use crate::progress::{Progress, ProgressSink, Stage};
use crate::tool::{Program, find, search_path};
use crate::workdir::WorkDir;
use progress::Cancel;

/// apt's configuration is some hundred lines.
const CONFIGURATION_LIMIT: u64 = 4 * 1024 * 1024;

/// Nothing is kept there.
const SCRATCH_SIZE: u64 = 64 * 1024 * 1024;
/// The lists of all of Debian's packages are some hundred megabytes, a package four gigabytes at most.
const LIMITS: Limits = Limits {
    address_space: None,
    data: Some(4 << 30),
    file_size: Some(8 << 30),
    open_files: Some(4096),
    processes: None,
    cpu: None,
};

/// What of an archive's indices is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lists {
    /// The signed release files alone.
    Releases,
    /// The lists of packages too.
    Packages,
}

/// A folder that apt takes for the system.
pub(crate) struct AptRoot {
    root: PathBuf,
    configuration: PathBuf,
    suite: String,
    host: HostFiles,
    folder: Arc<WorkDir>,
}

impl AptRoot {
    /// Writes the root into a work folder; says what the host does not let hold its programs.
    pub(crate) fn new(
        folder: &Arc<WorkDir>,
        sources: &[Source],
        suite: &str,
        host: &str,
        lists: Lists,
        progress: &ProgressSink,
    ) -> Result<Self, CatalogError> {
        if let Some(refusal) = Confinement::refused() {
            progress(Progress::warning(format!(
                "apt and dpkg-deb cannot be confined ({}): they run under their limits and filters alone",
                refusal.reason()
            )));
        }
        let root = folder.folder("apt")?;
        for name in [
            "state/lists/partial",
            "cache/archives/partial",
            "etc",
            "tmp",
            "log",
        ] {
            folder.folder(&format!("apt/{name}"))?;
        }
        folder.file("apt/status", "")?;
        folder.file("apt/etc/catalog.sources", render(sources))?;
        let text = configuration(&root, host, lists);
        let configuration = folder.file("apt/apt.conf", text)?;
        Ok(Self {
            root,
            configuration,
            suite: suite.to_owned(),
            host: HostFiles::of(sources, host),
            folder: Arc::clone(folder),
        })
    }

    /// Fetches and verifies the archive's lists.
    pub(crate) fn update(&self, progress: &ProgressSink, cancel: &Cancel) -> Result<(), CatalogError> {
        progress(Progress::of(Stage::Lists));
        let mut command = self.command("apt-get")?;
        // Without it a source that fails is a warning.
        command.arguments([
            "update",
            "--option=APT::Update::Error-Mode=any",
            "--option=APT::Status-Fd=1",
        ]);
        let running = self.program("apt-get", command).start(cancel)?;
        running.lines(|line| {
            if let Some(status) = status::parse(line) {
                let total = Some(100);
                progress(Progress {
                    detail: status.detail,
                    done: Some(status.percent as u64),
                    total,
                    ..Progress::of(Stage::Lists)
                });
            }
        })
    }

    /// When the release was made, by its own signed word; the newest, if several mirrors have it.
    pub(crate) fn release_date(&self) -> Result<Timestamp, CatalogError> {
        let lists = self.root.join("state/lists");
        let failed = |source| CatalogError::file("read", &lists, source);
        let mut newest = None;
        for entry in fs::read_dir(&lists).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if !path.to_string_lossy().ends_with("Release") {
                continue;
            }
            let text = fs::read_to_string(&path).map_err(failed)?;
            let release = Release::parse(&text);
            if release.is_named(&self.suite) {
                newest = newest.max(release.date);
            }
        }
        newest.ok_or_else(|| CatalogError::SuiteMissing {
            reason: format!("no release file of {} has a date", self.suite),
        })
    }

    /// A command that works on this root, and sees nothing else of the host than it needs for that.
    pub(crate) fn command(&self, program: &'static str) -> Result<Command, CatalogError> {
        let mut confinement = Confinement::new(0);
        confinement
            .show_programs()
            .keep_network()
            .device("/dev/null")
            .device("/dev/urandom")
            .scratch("/tmp", SCRATCH_SIZE)
            // It may be in /tmp itself.
            .show_writable(self.folder.path(), self.folder.path());
        self.host.show(&mut confinement);
        let mut command = of_host(program, "apt", &mut confinement)?;
        proxies(&mut command);
        // apt's verifier keeps keys there for a moment; a killed one must leave nothing in /tmp.
        command
            .variable("APT_CONFIG", &self.configuration)
            .variable("TMPDIR", self.root.join("tmp"))
            .folder(&self.root)
            .confine(confinement)
            .unconfined_if_refused()
            .limit(LIMITS)
            .filter(SystemCalls::deny(&Kind::ALL));
        Ok(command)
    }

    /// A program whose failures are told in the archive's terms.
    pub(crate) fn program(&self, tool: &'static str, command: Command) -> Program {
        let context = Context {
            suite: self.suite.clone(),
            folder: self.root.clone(),
        };
        Program {
            tool,
            command,
            time: None,
            merged: false,
            on_line: Box::new(|_| {}),
            explain: Box::new(move |ended, lines| {
                classify(lines, &context).unwrap_or_else(|| CatalogError::ToolFailed {
                    tool,
                    reason: last_error(lines).unwrap_or_else(|| ended.to_string()),
                })
            }),
        }
    }
}

fn configuration(root: &Path, host: &str, lists: Lists) -> String {
    let root = root.display();
    let mut text = format!(
        r#"Dir "{root}/";
Dir::State "state/";
Dir::State::lists "lists/";
Dir::State::status "{root}/status";
Dir::Cache "cache/";
Dir::Cache::archives "archives/";
Dir::Log "log/";
Dir::Etc "etc/";
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::sourcelist "{root}/etc/catalog.sources";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::netrc "/etc/apt/auth.conf";
Dir::Etc::netrcparts "/etc/apt/auth.conf.d/";
Dir::Etc::trusted "/etc/apt/trusted.gpg";
Dir::Etc::trustedparts "/etc/apt/trusted.gpg.d/";
APT::Architecture "amd64";
APT::Architectures "amd64";
APT::Get::Assume-Yes "true";
Acquire::Languages "none";
Acquire::PDiffs "false";
"#
    );
    text.push_str(host);
    // After the host's: verification is not for it to switch off.
    text.push_str(
        "Acquire::AllowInsecureRepositories \"false\";\n\
         Acquire::AllowWeakRepositories \"false\";\n\
         Acquire::AllowDowngradeToInsecureRepositories \"false\";\n\
         APT::Get::AllowUnauthenticated \"false\";\n",
    );
    // As root apt would fetch as user _apt, who cannot enter a work folder of mode 0700.
    text.push_str("APT::Sandbox::User \"root\";\n");
    if lists == Lists::Releases {
        text.push_str("Acquire::IndexTargets::deb::Packages::DefaultEnabled \"false\";\n");
    }
    text
}

/// What of the host's configuration decides how mirrors are reached: proxies, certificates, time-outs, and whether old
/// releases will do.
pub(crate) fn host_configuration(cancel: &Cancel) -> Result<String, CatalogError> {
    // It reads the host's own files and nothing else, so it runs as this process does.
    let mut command = Command::new(find("apt-config", "apt")?);
    command
        .argument("dump")
        .variable("LC_ALL", "C.UTF-8")
        .variable("PATH", search_path());
    let program = Program {
        tool: "apt-config",
        command,
        time: None,
        merged: false,
        on_line: Box::new(|_| {}),
        explain: Box::new(|ended, lines| CatalogError::ToolFailed {
            tool: "apt-config",
            reason: last_error(lines).unwrap_or_else(|| ended.to_string()),
        }),
    };
    let bytes = program.start(cancel)?.output(CONFIGURATION_LIMIT)?;
    Ok(filter_configuration(&String::from_utf8_lossy(&bytes)))
}

fn filter_configuration(dump: &str) -> String {
    const PREFIXES: [&str; 8] = [
        "acquire::http",
        "acquire::https",
        "acquire::retries",
        "acquire::forceipv",
        "acquire::check-valid-until",
        "acquire::check-date",
        "acquire::max-validtime",
        "acquire::min-validtime",
    ];
    let mut kept = String::new();
    for line in dump.lines() {
        let Some((key, value)) = line.strip_suffix("\";").and_then(|line| line.split_once(" \"")) else {
            continue;
        };
        let plain_key = key
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"\"';{}\\#".contains(&byte));
        let plain_value = !value.contains(['"', '\\']) && !value.contains(char::is_control);
        let lower = key.to_ascii_lowercase();
        if plain_key && plain_value && PREFIXES.iter().any(|prefix| lower.starts_with(prefix)) {
            // Writing into a string cannot fail.
            let _ = writeln!(kept, "{key} \"{value}\";");
        }
    }
    kept
}

/// What a release file says about itself.
#[derive(Debug, Default, PartialEq, Eq)]
struct Release {
    suite: Option<String>,
    codename: Option<String>,
    date: Option<Timestamp>,
}

impl Release {
    fn parse(text: &str) -> Self {
        let mut release = Self::default();
        for line in text.lines() {
            match line.split_once(": ") {
                Some(("Suite", value)) => release.suite = Some(value.trim().to_owned()),
                Some(("Codename", value)) => release.codename = Some(value.trim().to_owned()),
                Some(("Date", value)) => release.date = parse_date(value.trim()),
                _ => {}
            }
        }
        release
    }

    fn is_named(&self, name: &str) -> bool {
        [&self.suite, &self.codename]
            .into_iter()
            .flatten()
            .any(|own| own == name)
    }
}

/// `Sat, 11 Jan 2025 09:55:31 UTC`
fn parse_date(text: &str) -> Option<Timestamp> {
    let text = text
        .strip_suffix("UTC")
        .or_else(|| text.strip_suffix("GMT"))
        .unwrap_or(text);
    jiff::fmt::rfc2822::parse(&format!("{} +0000", text.trim()))
        .ok()
        .map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn of_the_hosts_configuration_only_the_way_to_mirrors_is_kept() {
        let dump = "Acquire \"\";\nAcquire::http::Proxy \"http://p:3142\";\nAcquire::HTTPS::CaInfo \"/ca.pem\";\n\
                    Acquire::http::Pipeline-Depth \"0\";\nAcquire::AllowInsecureRepositories \"1\";\n\
                    APT::Update::Post-Invoke:: \"rm x; \\\"y\";\nDir::State::lists \"/x\";\n\
                    Acquire::Check-Valid-Until \"false\";\nAcquire::http::A \"a\"b\";\nAcquire::http::B;{} \"x\";\n";
        assert_eq!(
            filter_configuration(dump),
            "Acquire::http::Proxy \"http://p:3142\";\nAcquire::HTTPS::CaInfo \"/ca.pem\";\n\
             Acquire::http::Pipeline-Depth \"0\";\nAcquire::Check-Valid-Until \"false\";\n"
        );
    }

    #[test]
    fn verification_stays_on_whatever_the_host_says() {
        let text = configuration(
            Path::new("/w"),
            "Acquire::AllowInsecureRepositories \"true\";\n",
            Lists::Packages,
        );
        let last = text
            .lines()
            .rfind(|line| line.starts_with("Acquire::AllowInsecureRepositories"));
        assert_eq!(last, Some("Acquire::AllowInsecureRepositories \"false\";"));
    }

    #[test]
    fn a_release_tells_its_names_and_date() {
        let release = Release::parse(
            "Origin: Debian\nSuite: oldstable\nCodename: bookworm\nDate: Sat, 06 Sep 2025 10:17:13 UTC\n",
        );
        assert!(release.is_named("bookworm") && release.is_named("oldstable") && !release.is_named("trixie"));
        assert_eq!(release.date.unwrap().to_string(), "2025-09-06T10:17:13Z");
        assert_eq!(Release::parse("Date: tomorrow\n"), Release::default());
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in any::<String>()) {
            let _ = Release::parse(&text);
            let _ = parse_date(&text);
            let _ = filter_configuration(&text);
        }
    }
}
