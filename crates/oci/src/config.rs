//! An image's configuration: what it runs, as whom and where.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::document::shown;
use crate::error::OciError;

/// Linux takes no longer argument or variable.
pub(crate) const TEXT_MAX: usize = 128 << 10;
/// Most entries of a list.
pub(crate) const LIST_MAX: usize = 4096;
const NAME_MAX: usize = 256;

/// What an image's configuration says about running it. Fields that it leaves out are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageConfig {
    /// Environment, in order; names are not empty and hold no `=`.
    pub env: Vec<(String, String)>,
    /// What is run; `cmd` are then its arguments.
    pub entrypoint: Vec<String>,
    /// The command, or the entry point's arguments.
    pub cmd: Vec<String>,
    /// `user`, `uid`, `user:group`, `uid:gid`, or nothing for root.
    pub user: String,
    /// An absolute path, or nothing for `/`.
    pub working_dir: String,
    /// Ports that the image listens on.
    pub exposed_ports: Vec<ExposedPort>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// A port that an image listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ExposedPort {
    /// The port.
    pub port: u16,
    /// Its protocol.
    pub protocol: Protocol,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl ImageConfig {
    /// Holds it to what the configuration of every image is held to, wherever it came from.
    ///
    /// # Errors
    /// [`OciError::BadConfig`] for the first value that cannot be.
    pub fn check(&self) -> Result<(), OciError> {
        for (field, count) in [
            ("Env", self.env.len()),
            ("Entrypoint", self.entrypoint.len()),
            ("Cmd", self.cmd.len()),
            ("ExposedPorts", self.exposed_ports.len()),
            ("Labels", self.labels.len()),
        ] {
            at_most_many(field, count)?;
        }
        for (name, value) in &self.env {
            if name.is_empty() || name.contains('=') {
                return Err(bad("Env", name, "is no name of a variable"));
            }
            check_text("Env", name)?;
            check_text("Env", value)?;
            if name.len() + 1 + value.len() > TEXT_MAX {
                return Err(bad("Env", name, "is longer than 128 KiB"));
            }
        }
        for (field, texts) in [("Entrypoint", &self.entrypoint), ("Cmd", &self.cmd)] {
            texts.iter().try_for_each(|text| check_text(field, text))?;
        }
        check_user(&self.user)?;
        check_text("WorkingDir", &self.working_dir)?;
        if !self.working_dir.is_empty() && !self.working_dir.starts_with('/') {
            return Err(bad("WorkingDir", &self.working_dir, "is not an absolute path"));
        }
        match self.exposed_ports.iter().any(|port| port.port == 0) {
            true => Err(bad("ExposedPorts", "0", "is no port")),
            false => Ok(()),
        }
    }
}

pub(crate) fn check_user(user: &str) -> Result<(), OciError> {
    match user.len() > NAME_MAX || user.chars().any(|c| c.is_control() || c.is_whitespace()) {
        true => Err(bad("User", user, "is no user")),
        false => Ok(()),
    }
}

pub(crate) fn at_most_many(field: &'static str, count: usize) -> Result<(), OciError> {
    match count > LIST_MAX {
        true => Err(bad(field, "", "has too many entries")),
        false => Ok(()),
    }
}

pub(crate) fn check_text(field: &'static str, value: &str) -> Result<(), OciError> {
    if value.contains('\0') {
        return Err(bad(field, value, "holds a zero byte"));
    }
    match value.len() > TEXT_MAX {
        true => Err(bad(field, value, "is longer than 128 KiB")),
        false => Ok(()),
    }
}

fn bad(field: &'static str, value: &str, reason: &'static str) -> OciError {
    OciError::BadConfig {
        field,
        value: shown(value),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_that_was_kept_is_held_to_the_same() {
        let kept = |change: &dyn Fn(&mut ImageConfig)| {
            let mut config = ImageConfig {
                env: vec![("A".to_owned(), "b".to_owned())],
                cmd: vec!["x".to_owned()],
                exposed_ports: vec![ExposedPort {
                    port: 80,
                    protocol: Protocol::Tcp,
                }],
                ..ImageConfig::default()
            };
            change(&mut config);
            config.check().map_err(|error| error.to_string())
        };
        assert_eq!(kept(&|_| {}), Ok(()));
        let refused = |change: &dyn Fn(&mut ImageConfig)| kept(change).unwrap_err();
        for (message, text) in [
            (
                refused(&|config| config.env[0].0 = "A=\n".into()),
                r"Env `A=\n` is no name of a variable",
            ),
            (
                refused(&|config| config.env[0].1 = "\0".into()),
                r"Env `\u{0}` holds a zero byte",
            ),
            (
                refused(&|config| config.cmd[0] = "x".repeat(TEXT_MAX + 1)),
                "is longer than 128 KiB",
            ),
            (
                refused(&|config| config.user = "root\u{1b}".into()),
                r"User `root\u{1b}` is no user",
            ),
            (
                refused(&|config| config.working_dir = "..".into()),
                "WorkingDir `..` is not an absolute path",
            ),
            (
                refused(&|config| config.exposed_ports[0].port = 0),
                "ExposedPorts `0` is no port",
            ),
            (
                refused(&|config| config.entrypoint = vec![String::new(); LIST_MAX + 1]),
                "Entrypoint `` has too many entries",
            ),
        ] {
            assert!(message.contains(text), "{message}");
        }
    }
}
