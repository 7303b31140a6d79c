//! An image's configuration: what it runs, as whom and where.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::document::shown;
use crate::error::OciError;

/// Linux takes no longer argument or variable.
const TEXT_MAX: usize = 128 << 10;
const LIST_MAX: usize = 4096;
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

/// The document that a registry holds: what this crate needs of it.
#[derive(Clone, Debug)]
pub(crate) struct ConfigDocument {
    pub(crate) os: String,
    pub(crate) architecture: String,
    pub(crate) diff_ids: Vec<Digest>,
    pub(crate) config: ImageConfig,
}

#[derive(Deserialize)]
struct Raw {
    os: String,
    architecture: String,
    rootfs: RawRootfs,
    config: Option<RawConfig>,
}

#[derive(Deserialize)]
struct RawRootfs {
    diff_ids: Option<Vec<Digest>>,
}

/// Docker writes `null` for most of what is empty.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawConfig {
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    user: Option<String>,
    working_dir: Option<String>,
    exposed_ports: Option<BTreeMap<String, serde_json::Value>>,
    labels: Option<BTreeMap<String, String>>,
}

impl ConfigDocument {
    pub(crate) fn parse(what: &str, bytes: &[u8]) -> Result<Self, OciError> {
        let raw: Raw = serde_json::from_slice(bytes).map_err(|source| OciError::BadDocument {
            what: what.to_owned(),
            source,
        })?;
        let config = raw.config.unwrap_or_default();
        let env = config.env.unwrap_or_default();
        at_most_many("Env", env.len())?;
        let env = env.into_iter().map(|text| match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => Err(bad("Env", &text, "is not NAME=VALUE")),
        });
        let ports = config.exposed_ports.unwrap_or_default();
        at_most_many("ExposedPorts", ports.len())?;
        let mut ports = ports
            .keys()
            .map(|text| port(text))
            .collect::<Result<Vec<_>, _>>()?;
        ports.sort();
        ports.dedup();
        let config = ImageConfig {
            env: env.collect::<Result<_, _>>()?,
            entrypoint: config.entrypoint.unwrap_or_default(),
            cmd: config.cmd.unwrap_or_default(),
            user: config.user.unwrap_or_default(),
            working_dir: config.working_dir.unwrap_or_default(),
            exposed_ports: ports,
            labels: config.labels.unwrap_or_default(),
        };
        config.check()?;
        Ok(Self {
            os: raw.os,
            architecture: raw.architecture,
            diff_ids: raw.rootfs.diff_ids.unwrap_or_default(),
            config,
        })
    }
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
        let user = &self.user;
        if user.len() > NAME_MAX || user.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(bad("User", user, "is no user"));
        }
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

fn at_most_many(field: &'static str, count: usize) -> Result<(), OciError> {
    match count > LIST_MAX {
        true => Err(bad(field, "", "has too many entries")),
        false => Ok(()),
    }
}

fn check_text(field: &'static str, value: &str) -> Result<(), OciError> {
    if value.contains('\0') {
        return Err(bad(field, value, "holds a zero byte"));
    }
    match value.len() > TEXT_MAX {
        true => Err(bad(field, value, "is longer than 128 KiB")),
        false => Ok(()),
    }
}

fn port(text: &str) -> Result<ExposedPort, OciError> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol {
        "tcp" => Some(Protocol::Tcp),
        "udp" => Some(Protocol::Udp),
        "sctp" => Some(Protocol::Sctp),
        _ => None,
    };
    let number = match number.bytes().all(|byte| byte.is_ascii_digit()) {
        true => number.parse().ok().filter(|port| *port > 0),
        false => None,
    };
    match (number, protocol) {
        (Some(port), Some(protocol)) => Ok(ExposedPort { port, protocol }),
        _ => Err(bad("ExposedPorts", text, "is no port")),
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
    use proptest::prelude::*;

    use super::*;

    fn parse(config: &str) -> Result<ImageConfig, OciError> {
        let text = format!(
            r#"{{"os":"linux","architecture":"amd64","history":[],"rootfs":{{"type":"layers","diff_ids":[]}},"config":{config}}}"#
        );
        ConfigDocument::parse("x", text.as_bytes()).map(|document| document.config)
    }

    #[test]
    fn what_docker_writes_is_read() {
        let config = parse(
            r#"{"Hostname":"","Env":["PATH=/bin","A=b=c","E="],"Cmd":["sh","-c","x y"],"Entrypoint":null,"User":"1000:users",
            "WorkingDir":"/srv","ExposedPorts":{"443":{},"53/udp":{},"80/tcp":{}},"Labels":{"a":"b"},"OnBuild":null}"#,
        )
        .unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            config.env,
            [pair("PATH", "/bin"), pair("A", "b=c"), pair("E", "")]
        );
        assert_eq!(config.cmd, ["sh", "-c", "x y"]);
        assert_eq!(config.entrypoint, Vec::<String>::new());
        assert_eq!(
            (config.user.as_str(), config.working_dir.as_str()),
            ("1000:users", "/srv")
        );
        let ports: Vec<_> = config
            .exposed_ports
            .iter()
            .map(|port| (port.port, port.protocol))
            .collect();
        assert_eq!(
            ports,
            [(53, Protocol::Udp), (80, Protocol::Tcp), (443, Protocol::Tcp)]
        );
        assert_eq!(config.labels["a"], "b");
        let kept = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<ImageConfig>(&kept).unwrap(), config);
        assert_eq!(parse("null").unwrap(), ImageConfig::default());
    }

    #[test]
    fn a_configuration_that_was_kept_is_held_to_the_same() {
        let kept = |change: &dyn Fn(&mut ImageConfig)| {
            let mut config = parse(r#"{"Env":["A=b"],"Cmd":["x"],"ExposedPorts":{"80":{}}}"#).unwrap();
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

    #[test]
    fn values_that_cannot_be_are_refused_with_their_field() {
        for (config, message) in [
            (
                r#"{"Env":["A"]}"#,
                "image configuration: Env `A` is not NAME=VALUE",
            ),
            (
                r#"{"Env":["=b"]}"#,
                "image configuration: Env `=b` is not NAME=VALUE",
            ),
            (
                r#"{"Cmd":["a\u0000"]}"#,
                "image configuration: Cmd `a\\u{0}` holds a zero byte",
            ),
            (
                r#"{"User":"a\nb"}"#,
                "image configuration: User `a\\nb` is no user",
            ),
            (
                r#"{"WorkingDir":"a"}"#,
                "image configuration: WorkingDir `a` is not an absolute path",
            ),
            (
                r#"{"ExposedPorts":{"0/tcp":{}}}"#,
                "image configuration: ExposedPorts `0/tcp` is no port",
            ),
            (
                r#"{"ExposedPorts":{"+1":{}}}"#,
                "image configuration: ExposedPorts `+1` is no port",
            ),
            (
                r#"{"ExposedPorts":{"80/icmp":{}}}"#,
                "image configuration: ExposedPorts `80/icmp` is no port",
            ),
            (r#"{"Env":"A=b"}"#, "x does not parse"),
        ] {
            assert_eq!(parse(config).unwrap_err().to_string(), message);
        }
        let long = format!(r#"{{"Cmd":["{}"]}}"#, "a".repeat(TEXT_MAX + 1));
        assert!(parse(&long).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_configuration_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = ConfigDocument::parse("x", &bytes);
        }
    }
}
