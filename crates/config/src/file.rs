//! Reading `config.toml`: every complaint names file, line and key.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

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
            Self::UnknownKey { known, .. } if !known.is_empty() => Some(format!("known here: {known}")),
            _ => None,
        }
    }
}

impl Config {
    /// Reads the file; one that is not there means defaults. Variables that win over it are taken from `environment`.
    ///
    /// # Errors
    /// [`ConfigError`], always with the file, and where it can be said with line and key.
    pub fn load(path: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let text = read(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
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

fn read(path: &Path) -> io::Result<String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
    };
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
