//! Reading `config.toml`: every complaint names file, line and key.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde::de::DeserializeOwned;

use crate::Environment;
use crate::settings::{Config, ConfigFile, HostShape, LogLevel};

/// More than any configuration needs; keeps a wrong path (a disk image, a device) from being read into memory.
const LARGEST_FILE: u64 = 1 << 20;

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is there but cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The file belongs to another user.
    #[error("{path} belongs to uid {owner}, not to uid {uid} or root")]
    ForeignOwner {
        /// The file, or its folder.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The user whose configuration it would be.
        uid: u32,
    },
    /// Others can change the file.
    #[error("{path} has mode {mode:04o}, others can change it")]
    OpenToOthers {
        /// The file, or its folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A key that does not exist.
    #[error("{path}:{line}: unknown key `{key}`")]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The key with its table: `vm_defaults.cpu`.
        key: String,
        /// What the table does have, as a list for a person.
        known: String,
    },
    /// A key whose value is not allowed.
    #[error("{path}:{line}: `{key}`: {message}")]
    BadValue {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The key with its table.
        key: String,
        /// What is wrong with it.
        message: String,
    },
    /// The file is not TOML.
    #[error("{path}:{line}: {message}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// `BANGER_LOG_LEVEL` is no level.
    #[error("BANGER_LOG_LEVEL is {value:?}, not one of error, warn, info, debug, trace")]
    LogLevelVariable {
        /// What it is.
        value: String,
    },
}

impl ConfigError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownKey { key, known, .. } if !known.is_empty() => Some(match nearest(key, known) {
                Some(meant) => format!("did you mean `{meant}`? known here: {known}"),
                None => format!("known here: {known}"),
            }),
            Self::ForeignOwner { path, .. } => Some(format!(
                "it names programs to run and walls to leave out: see what is in it, then chown {}",
                path.display()
            )),
            Self::OpenToOthers { path, .. } => Some(format!(
                "it names programs to run and walls to leave out: see what is in it, then chmod go-w {}",
                path.display()
            )),
            _ => None,
        }
    }
}

/// The known key, of a list for a person, that is most like a key with its table, if one is.
fn nearest<'k>(key: &str, known: &'k str) -> Option<&'k str> {
    let key = key.rsplit('.').next().unwrap_or(key);
    model::nearest(known.split('`').skip(1).step_by(2), key)
}

impl Config {
    /// Reads the file; one that is not there means defaults. Variables that win over it are taken from `environment`.
    ///
    /// # Errors
    /// [`ConfigError`], always with the file, and where it can be said with line and key.
    pub fn load(path: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let text = read(path, rustix::process::geteuid().as_raw())?;
        let mut config = Self::parse(&text, path, HostShape::of_host())?;
        if let Some(value) = environment.variable("BANGER_LOG_LEVEL") {
            let value = value.to_string_lossy();
            config.log_level = LogLevel::parse(&value).ok_or_else(|| ConfigError::LogLevelVariable {
                value: value.into_owned(),
            })?;
        }
        Ok(config)
    }

    /// Reads a file's text; `path` is for messages.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, path: &Path, host: HostShape) -> Result<Self, ConfigError> {
        let file: ConfigFile = parse_toml(text, path)?;
        Ok(file.resolve(host))
    }
}

/// Reads a file's text as TOML of a known form; `path` is for messages.
///
/// # Errors
/// [`ConfigError`] with the file, the line and, if it is not the syntax, the key.
pub fn parse_toml<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T, ConfigError> {
    let syntax = |error: &toml::de::Error| ConfigError::Syntax {
        path: path.to_owned(),
        line: line_of(text, error),
        message: one_line(error.message()),
    };
    let deserializer = toml::Deserializer::parse(text).map_err(|error| syntax(&error))?;
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let key = error.path().to_string();
        let error = error.into_inner();
        let (path, line, message) = (path.to_owned(), line_of(text, &error), one_line(error.message()));
        match message.strip_prefix("unknown field ") {
            Some(rest) => {
                let known = rest.split_once("expected ").map_or("", |(_, known)| known);
                let known = known.trim_start_matches("one of ").to_owned();
                ConfigError::UnknownKey {
                    path,
                    line,
                    key,
                    known,
                }
            }
            None => ConfigError::BadValue {
                path,
                line,
                key,
                message,
            },
        }
    })
}

fn read(path: &Path, uid: u32) -> Result<String, ConfigError> {
    let failed = |source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    // Without `NONBLOCK`, a pipe in the file's place would be waited for.
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(failed(error)),
    };
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(io::Error::other("it is no plain file")));
    }
    check_writers(path, &metadata, uid)?;
    // By the path that was asked for, and where its links lead.
    let real = path.canonicalize().map_err(failed)?;
    for path in [path, &real] {
        let path = std::path::absolute(path).map_err(failed)?;
        let mut folders = path.ancestors().skip(1);
        if let Some(folder) = folders.next() {
            check_writers(folder, &folder.metadata().map_err(failed)?, uid)?;
        }
        for folder in folders {
            check_way(folder, &folder.metadata().map_err(failed)?, uid)?;
        }
    }
    read_text(file).map_err(failed)
}

/// Who can write the configuration decides which programs run and which walls stand: the user and root, and no group. Who
/// else is in a group is not known here, and where a file has a list of access rights, its group's bits are what any of
/// those may.
fn check_writers(path: &Path, found: &Metadata, uid: u32) -> Result<(), ConfigError> {
    if found.uid() != uid && found.uid() != 0 {
        return Err(ConfigError::ForeignOwner {
            path: path.to_owned(),
            owner: found.uid(),
            uid,
        });
    }
    let mode = found.mode() & 0o7777;
    if mode & 0o022 != 0 {
        return Err(ConfigError::OpenToOthers {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

/// Who can write a folder above can put another one in its place, unless it is sticky.
fn check_way(path: &Path, found: &Metadata, uid: u32) -> Result<(), ConfigError> {
    // What a user namespace has no number for, this host's root as a rule.
    const OVERFLOW: u32 = 65534;
    let (owner, mode) = (found.uid(), found.mode());
    let of_the_host = owner == OVERFLOW && uid != OVERFLOW && mode & 0o022 == 0;
    let sticky = mode & 0o1000 != 0 && [0, uid].contains(&owner);
    match of_the_host || sticky {
        true => Ok(()),
        false => check_writers(path, found, uid),
    }
}

fn read_text(file: File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8 text"))
}

/// Line, from 1, at which the error begins.
fn line_of(text: &str, error: &toml::de::Error) -> usize {
    let start = error.span().map_or(0, |span| span.start).min(text.len());
    text.as_bytes()[..start]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
        + 1
}

fn one_line(message: &str) -> String {
    message
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(", ")
}
