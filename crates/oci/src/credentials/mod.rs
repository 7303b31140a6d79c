//! Registry logins, and where the docker command line keeps them. Reading belongs on the user's side: the daemon is
//! handed [`Login`]s and never opens a user's files or runs their helpers.

mod helper;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::Metadata;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use crate::document::shown;
use crate::error::OciError;
use crate::plain_file;
use crate::reference::{DEFAULT_REGISTRY, is_host};

/// What docker calls its own registry in this file and towards helpers.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";
const FILE_MAX: u64 = 1 << 20;

/// How to log in to a registry. Its secret does not show in debug output.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Login {
    /// User and password.
    Password {
        /// The user; without `:`.
        user: String,
        /// The password, or a token in its place.
        password: String,
    },
    /// A token that is exchanged for others.
    IdentityToken(String),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { user, .. } => write!(f, "Password {{ user: {user:?}, … }}"),
            Self::IdentityToken(_) => write!(f, "IdentityToken(…)"),
        }
    }
}

/// Who can write a file but this user and root: the program that it names would be theirs.
fn writers(found: &Metadata) -> Option<String> {
    let own = rustix::process::geteuid().as_raw();
    match (found.uid(), found.mode() & 0o7777) {
        (uid, _) if uid != own && uid != 0 => Some(format!("belongs to uid {uid}")),
        (_, mode) if mode & 0o022 != 0 => Some(format!("has mode {mode:04o}, others can change it")),
        _ => None,
    }
}

/// The docker auth file.
#[derive(Debug)]
pub struct DockerConfig {
    path: PathBuf,
    /// Who else can write it, in words.
    others: Option<String>,
    raw: Raw,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Raw {
    auths: BTreeMap<String, RawAuth>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.auths.keys()).finish()
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawAuth {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

impl DockerConfig {
    /// Where docker keeps it: `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`.
    #[must_use]
    pub fn default_path(docker_config: Option<&Path>, home: &Path) -> PathBuf {
        match docker_config {
            Some(folder) => folder.join("config.json"),
            None => home.join(".docker/config.json"),
        }
    }

    /// Reads the file; one that is not there has no logins.
    ///
    /// # Errors
    /// [`OciError::File`] if it cannot be read, [`OciError::AuthFile`] if it is not what it should be.
    pub fn read(path: &Path) -> Result<Self, OciError> {
        let failed = |source| OciError::file(path, "read")(source);
        let mut bytes = Vec::new();
        let mut others = None;
        match plain_file::open(path) {
            Ok(file) => {
                others = writers(&file.metadata().map_err(failed)?);
                file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => bytes.extend(b"{}"),
            Err(error) => return Err(failed(error)),
        }
        if bytes.len() as u64 > FILE_MAX {
            return Err(OciError::TooLarge {
                what: path.display().to_string(),
                limit: FILE_MAX,
            });
        }
        // Editors of some systems begin a file with a mark, which JSON has no place for.
        let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
        let raw = serde_json::from_slice(text).map_err(|source| OciError::AuthFile {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            others,
            raw,
        })
    }

    /// The login for a registry, named as in [`crate::RegistryReference::host`]: from the helper set for it, else from
    /// the store set for all, else from the file. Helpers are looked for in `PATH` as `docker-credential-NAME`.
    ///
    /// # Errors
    /// [`OciError::Helper`] if a helper fails for another reason than that it knows no login;
    /// [`OciError::AuthEntry`] if the entry in the file is broken.
    pub fn login(&self, host: &str) -> Result<Option<Login>, OciError> {
        let names = names(host);
        let own = names.iter().find_map(|name| self.raw.cred_helpers.get(name));
        if let Some(name) = own.or(self.raw.creds_store.as_ref()) {
            if let Some(others) = &self.others {
                return Err(OciError::Helper {
                    helper: shown(name),
                    reason: format!("{} names it and {others}", self.path.display()),
                });
            }
            let server = match host {
                DEFAULT_REGISTRY => DOCKER_HUB,
                host => host,
            };
            if let Some(login) = helper::get(name, server)? {
                return Ok(Some(login));
            }
        }
        let found = names.iter().find_map(|name| self.raw.auths.get(name));
        found.map_or(Ok(None), |auth| {
            auth.login().map_err(|()| OciError::AuthEntry {
                path: self.path.clone(),
                host: host.to_owned(),
            })
        })
    }
}

/// All ways in which the file may call a registry.
fn names(host: &str) -> Vec<String> {
    let mut names = vec![host.to_owned()];
    if host == DEFAULT_REGISTRY {
        names.extend(["index.docker.io", "registry-1.docker.io"].map(str::to_owned));
    }
    let schemes = names.clone();
    for host in schemes.iter().filter(|host| is_host(host)) {
        for scheme in ["https", "http"] {
            for path in ["", "/", "/v1", "/v1/", "/v2", "/v2/"] {
                names.push(format!("{scheme}://{host}{path}"));
            }
        }
    }
    names
}

impl RawAuth {
    fn login(&self) -> Result<Option<Login>, ()> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(token) = given(&self.identitytoken) {
            return Ok(Some(Login::IdentityToken(token)));
        }
        if let (Some(user), Some(password)) = (given(&self.username), given(&self.password)) {
            return Ok(Some(Login::Password { user, password }));
        }
        let Some(auth) = given(&self.auth) else {
            return Ok(None);
        };
        let plain = BASE64_STANDARD.decode(auth).map_err(drop)?;
        let plain = String::from_utf8(plain).map_err(drop)?;
        // Docker has padded passwords with zeros.
        let (user, password) = plain.trim_end_matches('\0').split_once(':').ok_or(())?;
        Ok(Some(Login::Password {
            user: user.to_owned(),
            password: password.to_owned(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn config(text: &str) -> DockerConfig {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        DockerConfig::read(file.path()).unwrap()
    }

    fn password(user: &str, password: &str) -> Option<Login> {
        Some(Login::Password {
            user: user.to_owned(),
            password: password.to_owned(),
        })
    }

    #[test]
    fn logins_are_found_under_every_name_docker_gives_a_registry() {
        let auth = BASE64_STANDARD.encode("me:pa:ss");
        let config = config(&format!(
            r#"{{"auths":{{"{DOCKER_HUB}":{{"auth":"{auth}"}},"h.x:5000":{{"username":"u","password":"p"}},
            "https://t.x":{{"identitytoken":"tok","auth":"{auth}"}},"empty.x":{{}}}},"psFormat":"x"}}"#
        ));
        assert_eq!(config.login("docker.io").unwrap(), password("me", "pa:ss"));
        assert_eq!(config.login("h.x:5000").unwrap(), password("u", "p"));
        assert_eq!(
            config.login("t.x").unwrap(),
            Some(Login::IdentityToken("tok".to_owned()))
        );
        assert_eq!(config.login("empty.x").unwrap(), None);
        assert_eq!(config.login("h.x").unwrap(), None);
    }

    #[test]
    fn a_missing_file_has_no_logins_and_a_broken_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        assert_eq!(DockerConfig::read(&path).unwrap().login("x").unwrap(), None);
        std::fs::write(&path, "{").unwrap();
        assert!(matches!(
            DockerConfig::read(&path),
            Err(OciError::AuthFile { .. })
        ));
        let broken = config(r#"{"auths":{"x":{"auth":"bm9jb2xvbg=="}}}"#);
        assert!(matches!(broken.login("x"), Err(OciError::AuthEntry { .. })));
    }

    #[test]
    fn a_mark_at_the_start_of_the_file_is_no_part_of_it() {
        let config = config("\u{feff}{\"auths\":{\"x\":{\"username\":\"u\",\"password\":\"p\"}}}");
        assert_eq!(config.login("x").unwrap(), password("u", "p"));
    }

    #[test]
    fn secrets_do_not_show() {
        let login = password("me", "hunter2").unwrap();
        assert!(!format!("{login:?}").contains("hunter2"));
        let config = config(r#"{"auths":{"x":{"username":"u","password":"hunter2"}}}"#);
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    proptest! {
        #[test]
        fn no_auth_makes_reading_panic(auth in ".{0,40}") {
            let raw = RawAuth { auth: Some(auth), ..RawAuth::default() };
            let _ = raw.login();
        }
    }
}
