//! Where packages come from: the mirror of the configuration, or what the host's own apt uses for the release.
//!
//! Options that switch verification off (`trusted`, `allow-insecure`, …) are never taken over.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::RecipeSettings;
use super::entry::{Entry, parse_file};

/// Debian's keys, where its package puts them.
pub(crate) const DEBIAN_KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// What is read of one sources file.
const FILE_LIMIT: u64 = 1024 * 1024;

/// Why there is nowhere to get packages from.
#[derive(Debug, thiserror::Error)]
pub enum SourcesError {
    /// The host has no apt sources with that release.
    #[error("the host's apt sources have no {suite} with {}", components.join(", "))]
    NoneForSuite {
        /// The release.
        suite: String,
        /// The parts of it that are needed.
        components: Vec<String>,
    },
    /// The mirror's address would not survive apt's files.
    #[error("mirror {mirror:?} is not an http, https or file address")]
    Mirror {
        /// As it was given.
        mirror: String,
    },
    /// The mirror's keys cannot be read.
    #[error("cannot read the keyring {path}")]
    Keyring {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A sources file cannot be read.
    #[error("cannot read the apt sources {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

/// One place to get packages from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub uri: String,
    pub suite: String,
    pub components: Vec<String>,
    /// Value of `Signed-By`: a file, fingerprints, or a key in lines.
    pub signed_by: Option<String>,
    pub check_valid_until: Option<String>,
}

/// What is looked through: the host's, or a test's.
pub(crate) struct Host {
    /// `/etc/apt`.
    pub etc: PathBuf,
    /// Codename of the Debian that the host runs.
    pub codename: Option<String>,
}

impl Host {
    /// This host.
    pub(crate) fn this() -> Self {
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        Self {
            etc: "/etc/apt".into(),
            codename: debian_codename(&release),
        }
    }

    /// Finds the sources of a release: itself, its updates and its security updates.
    pub(crate) fn sources(
        &self,
        settings: &RecipeSettings,
        suite: &str,
        components: &[String],
    ) -> Result<Vec<Source>, SourcesError> {
        if let Some(mirror) = &settings.mirror {
            return Ok(vec![from_settings(
                mirror,
                settings.keyring.as_deref(),
                suite,
                components,
            )?]);
        }
        let entries = self.entries()?;
        let mut found = select(&entries, suite, suite, components);
        // Another Debian's mirror has this release too.
        if let (false, Some(codename)) = (has(&found, suite), &self.codename) {
            found = select(&entries, codename, suite, components);
        }
        if !has(&found, suite) {
            return Err(SourcesError::NoneForSuite {
                suite: suite.to_owned(),
                components: components.to_vec(),
            });
        }
        if let Some(keyring) = &settings.keyring {
            let signed_by = keyring_value(keyring)?;
            for source in &mut found {
                source.signed_by = Some(signed_by.clone());
            }
        }
        Ok(found)
    }

    fn entries(&self) -> Result<Vec<Entry>, SourcesError> {
        let mut files = vec![self.etc.join("sources.list")];
        if let Ok(parts) = fs::read_dir(self.etc.join("sources.list.d")) {
            let parts = parts.flatten().map(|entry| entry.path());
            let mut parts: Vec<PathBuf> = parts.filter(|path| is_sources_file(path)).collect();
            parts.sort();
            files.extend(parts);
        }
        let mut entries = Vec::new();
        for path in files {
            match read_bounded(&path) {
                Ok(text) => entries.extend(parse_file(
                    &text,
                    path.extension().is_some_and(|end| end == "sources"),
                )),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(SourcesError::Read { path, source }),
            }
        }
        Ok(entries)
    }
}

fn is_sources_file(path: &Path) -> bool {
    path.extension()
        .is_some_and(|end| end == "list" || end == "sources")
}

fn read_bounded(path: &Path) -> io::Result<String> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(FILE_LIMIT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn from_settings(
    mirror: &str,
    keyring: Option<&Path>,
    suite: &str,
    components: &[String],
) -> Result<Source, SourcesError> {
    let known = ["http://", "https://", "file:///"]
        .iter()
        .any(|scheme| mirror.len() > scheme.len() && mirror.starts_with(scheme));
    if !known || !is_plain_word(mirror) {
        return Err(SourcesError::Mirror {
            mirror: mirror.to_owned(),
        });
    }
    let signed_by = match keyring {
        Some(keyring) => Some(keyring_value(keyring)?),
        None => Path::new(DEBIAN_KEYRING)
            .exists()
            .then(|| DEBIAN_KEYRING.to_owned()),
    };
    Ok(Source {
        uri: mirror.to_owned(),
        suite: suite.to_owned(),
        components: components.to_vec(),
        signed_by,
        check_valid_until: None,
    })
}

fn keyring_value(path: &Path) -> Result<String, SourcesError> {
    let failed = |source| SourcesError::Keyring {
        path: path.to_owned(),
        source,
    };
    fs::File::open(path).map_err(failed)?;
    match path.to_str() {
        Some(text) if path.is_absolute() && is_plain_word(text) && !text.contains(',') => Ok(text.to_owned()),
        _ => Err(failed(io::Error::new(
            io::ErrorKind::InvalidInput,
            "its path must be absolute and have no space, comma, bracket or quote in it",
        ))),
    }
}

/// Whether a word stands for itself in apt's files.
pub(super) fn is_plain_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"[]#\"'\\<>`{}|^$".contains(&byte))
}

/// The entries for `from` and its updates, made into entries for `to`.
fn select(entries: &[Entry], from: &str, to: &str, components: &[String]) -> Vec<Source> {
    let mut found: Vec<Source> = Vec::new();
    for entry in entries {
        for suite in &entry.suites {
            let Some(rest) = suite
                .strip_prefix(from)
                .filter(|rest| ["", "-updates", "-security"].contains(rest))
            else {
                continue;
            };
            let components: Vec<String> = components
                .iter()
                .filter(|wanted| entry.components.contains(wanted))
                .cloned()
                .collect();
            if components.is_empty() {
                continue;
            }
            for uri in &entry.uris {
                let source = Source {
                    uri: uri.clone(),
                    suite: format!("{to}{rest}"),
                    components: components.clone(),
                    signed_by: entry.signed_by.clone(),
                    check_valid_until: entry.check_valid_until.clone(),
                };
                if !found.contains(&source) {
                    found.push(source);
                }
            }
        }
    }
    found
}

fn has(found: &[Source], suite: &str) -> bool {
    found.iter().any(|source| source.suite == suite)
}

fn debian_codename(os_release: &str) -> Option<String> {
    let field = |key: &str| {
        let value = os_release
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        Some(value.trim().trim_matches('"').to_owned())
    };
    if field("ID")? != "debian" {
        return None;
    }
    field("VERSION_CODENAME").filter(|name| !name.is_empty())
}

/// Writes sources in the format of sources.list(5), deb822 style.
pub(crate) fn render(sources: &[Source]) -> String {
    let mut text = String::new();
    for source in sources {
        let Source {
            uri,
            suite,
            components,
            ..
        } = source;
        let components = components.join(" ");
        // Packages of a folder are copied: mmdebstrap unpacks what it finds in the tree.
        let uri = match uri.strip_prefix("file:") {
            Some(folder) => format!("copy:{folder}"),
            None => uri.clone(),
        };
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "Types: deb\nURIs: {uri}\nSuites: {suite}\nComponents: {components}"
        );
        if let Some(value) = &source.check_valid_until {
            let _ = writeln!(text, "Check-Valid-Until: {value}");
        }
        if let Some(value) = &source.signed_by {
            let mut lines = value.lines();
            let _ = writeln!(text, "Signed-By: {}", lines.next().unwrap_or_default());
            for line in lines {
                let _ = writeln!(text, " {line}");
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = "Types: deb deb-src\nURIs: http://a/debian\nSuites: bookworm bookworm-updates\n\
                          Components: main contrib\nSigned-By: /k.gpg\n\n\
                          Types: deb\nURIs: http://a/security\nSuites: bookworm-security\nComponents: main\n";

    fn host(files: &[(&str, &str)], codename: Option<&str>) -> (tempfile::TempDir, Host) {
        let etc = tempfile::tempdir().unwrap();
        fs::create_dir(etc.path().join("sources.list.d")).unwrap();
        for (name, text) in files {
            fs::write(etc.path().join(name), text).unwrap();
        }
        let host = Host {
            etc: etc.path().to_owned(),
            codename: codename.map(str::to_owned),
        };
        (etc, host)
    }

    #[test]
    fn packages_of_a_folder_are_copied_into_the_tree() {
        let source = Source {
            uri: "file:///srv/debian".into(),
            suite: "trixie".into(),
            components: main_only(),
            signed_by: None,
            check_valid_until: None,
        };
        let text = render(&[source]);
        assert!(text.contains("URIs: copy:///srv/debian\n"), "{text}");
    }

    fn main_only() -> Vec<String> {
        vec!["main".to_owned()]
    }

    fn short(sources: &[Source]) -> Vec<String> {
        sources
            .iter()
            .map(|s| format!("{} {} {}", s.uri, s.suite, s.components.join("+")))
            .collect()
    }

    #[test]
    fn the_hosts_sources_of_a_release_come_with_its_updates_and_nothing_else() {
        let (_etc, host) = host(
            &[
                ("sources.list.d/debian.sources", DEBIAN),
                (
                    "sources.list.d/other.list",
                    "deb http://b/x bookworm stable\ndeb http://b/y nodistro main\n",
                ),
                ("sources.list.d/off.disabled", "deb http://c/ bookworm main\n"),
                (
                    "sources.list",
                    "deb http://d/debian bookworm main # and a remark\ndeb http://d/ bookworm-backports main\n",
                ),
            ],
            None,
        );
        let found = host
            .sources(&RecipeSettings::default(), "bookworm", &main_only())
            .unwrap();
        assert_eq!(
            short(&found),
            [
                "http://d/debian bookworm main",
                "http://a/debian bookworm main",
                "http://a/debian bookworm-updates main",
                "http://a/security bookworm-security main",
            ]
        );
        assert_eq!(found[1].signed_by.as_deref(), Some("/k.gpg"));
    }

    #[test]
    fn another_debians_mirror_serves_for_a_release_that_the_host_does_not_use() {
        let (_etc, host) = host(&[("sources.list.d/debian.sources", DEBIAN)], Some("bookworm"));
        let found = host
            .sources(&RecipeSettings::default(), "trixie", &main_only())
            .unwrap();
        assert_eq!(
            short(&found),
            [
                "http://a/debian trixie main",
                "http://a/debian trixie-updates main",
                "http://a/security trixie-security main"
            ]
        );
    }

    #[test]
    fn without_sources_of_the_release_the_error_names_it() {
        for codename in [None, Some("sid")] {
            let (_etc, host) = host(&[("sources.list.d/debian.sources", DEBIAN)], codename);
            let error = host
                .sources(&RecipeSettings::default(), "noble", &main_only())
                .unwrap_err();
            assert_eq!(
                error.to_string(),
                "the host's apt sources have no noble with main"
            );
        }
        let (_etc, empty) = host(&[], None);
        assert!(
            empty
                .sources(&RecipeSettings::default(), "bookworm", &main_only())
                .is_err()
        );
    }

    #[test]
    fn a_configured_mirror_is_the_only_source_and_uses_the_configured_keys() {
        let (etc, host) = host(&[("sources.list", DEBIAN)], None);
        let keyring = etc.path().join("keys.gpg");
        fs::write(&keyring, "").unwrap();
        let mut settings = RecipeSettings {
            mirror: Some("http://m/debian".into()),
            keyring: Some(keyring.clone()),
        };
        let found = host.sources(&settings, "bookworm", &main_only()).unwrap();
        assert_eq!(short(&found), ["http://m/debian bookworm main"]);
        assert_eq!(found[0].signed_by.as_deref(), keyring.to_str());
        settings.keyring = Some("/no/such/keys.gpg".into());
        let error = host.sources(&settings, "bookworm", &main_only()).unwrap_err();
        assert_eq!(error.to_string(), "cannot read the keyring /no/such/keys.gpg");
    }

    #[test]
    fn a_mirror_that_would_break_apts_files_is_refused() {
        let (_etc, host) = host(&[], None);
        for bad in [
            "",
            "http://",
            "ftp://a/",
            "http://a b/",
            "http://a/\nTrusted: yes",
            "http://a/[trusted=yes]",
            "-o",
        ] {
            let settings = RecipeSettings {
                mirror: Some(bad.into()),
                keyring: None,
            };
            let error = host.sources(&settings, "bookworm", &main_only()).unwrap_err();
            assert!(matches!(error, SourcesError::Mirror { .. }), "{bad:?}");
        }
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        let key = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n.\nmQEN\n-----END PGP PUBLIC KEY BLOCK-----";
        let (_etc, host) = host(
            &[(
                "sources.list.d/a.sources",
                &DEBIAN.replace("/k.gpg", &format!("\n {}", key.replace('\n', "\n "))),
            )],
            None,
        );
        let found = host
            .sources(&RecipeSettings::default(), "bookworm", &main_only())
            .unwrap();
        assert_eq!(found[0].signed_by.as_deref().map(str::trim_start), Some(key));
        let again = select(
            &parse_file(&render(&found), true),
            "bookworm",
            "bookworm",
            &main_only(),
        );
        assert_eq!(again, found);
    }

    #[test]
    fn only_debian_has_a_debian_codename() {
        assert_eq!(
            debian_codename("ID=debian\nVERSION_CODENAME=trixie\n").as_deref(),
            Some("trixie")
        );
        assert_eq!(
            debian_codename("ID=\"debian\"\nVERSION_CODENAME=\"sid\"").as_deref(),
            Some("sid")
        );
        assert_eq!(debian_codename("ID=ubuntu\nVERSION_CODENAME=noble\n"), None);
        assert_eq!(debian_codename("ID=debian\n"), None);
    }
}
