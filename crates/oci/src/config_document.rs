//! Reads an image's configuration as registries have them: strict about what is unpacked, as Docker about the rest.
//!
//! Builders have written these documents for a decade, by hand and by tools. What only informs never refuses an image: a
//! value is read in the way in which Docker reads it, or left out, and a warning says so.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use crate::config::{
    ExposedPort, ImageConfig, LIST_MAX, Protocol, TEXT_MAX, at_most_many, check_text, check_user,
};
use crate::digest::Digest;
use crate::document::shown;
use crate::error::OciError;

/// More of one configuration say no more than these.
const WARNINGS_MAX: usize = 10;
/// Longest path that Linux takes, without the zero at its end.
const PATH_MAX: usize = 4095;

/// The document that a registry holds: what this crate needs of it.
#[derive(Clone, Debug)]
pub(crate) struct ConfigDocument {
    /// Empty where it is left out.
    pub(crate) os: String,
    /// Empty where it is left out.
    pub(crate) architecture: String,
    pub(crate) diff_ids: Vec<Digest>,
    pub(crate) config: ImageConfig,
    /// What was left out of `config`, and why.
    pub(crate) warnings: Vec<String>,
}

#[derive(Default)]
struct Raw {
    os: Option<Value>,
    architecture: Option<Value>,
    rootfs: Option<RawRootfs>,
    config: Option<RawConfig>,
}

#[derive(Deserialize)]
struct RawRootfs {
    diff_ids: Option<Vec<Digest>>,
}

/// Whatever stands in the fields that are known. Docker writes `null` for most of what is empty.
#[derive(Default)]
struct RawConfig {
    env: Value,
    entrypoint: Value,
    cmd: Value,
    user: Value,
    working_dir: Value,
    exposed_ports: Value,
    labels: Value,
    /// It is no object.
    wrong: bool,
}

impl ConfigDocument {
    pub(crate) fn parse(what: &str, bytes: &[u8]) -> Result<Self, OciError> {
        let raw: Raw = serde_json::from_slice(bytes).map_err(|source| OciError::BadDocument {
            what: what.to_owned(),
            source,
        })?;
        let config = raw.config.unwrap_or_default();
        let mut warnings = Warnings::default();
        if config.wrong {
            warnings.add("config", None, "is no object");
        }
        let read = ImageConfig {
            env: env(config.env, &mut warnings)?,
            entrypoint: command("Entrypoint", config.entrypoint, &mut warnings),
            cmd: command("Cmd", config.cmd, &mut warnings),
            user: user(&config.user)?,
            working_dir: working_dir(&config.working_dir, &mut warnings),
            exposed_ports: ports(config.exposed_ports, &mut warnings),
            labels: labels(config.labels, &mut warnings),
        };
        read.check()?;
        let word = |value: Option<Value>| value.as_ref().and_then(text).unwrap_or_default();
        let rootfs = raw.rootfs.and_then(|rootfs| rootfs.diff_ids);
        Ok(Self {
            os: word(raw.os),
            architecture: word(raw.architecture),
            diff_ids: rootfs.unwrap_or_default(),
            config: read,
            warnings: warnings.finish(),
        })
    }
}

/// Variables. One without `=` has no value that anybody could mean.
fn env(value: Value, warnings: &mut Warnings) -> Result<Vec<(String, String)>, OciError> {
    let texts = list("Env", value, warnings);
    at_most_many("Env", texts.len())?;
    let sound = |text: &String| -> Result<(String, String), &'static str> {
        let (name, value) = text.split_once('=').ok_or("is not NAME=VALUE")?;
        if name.is_empty() {
            return Err("is not NAME=VALUE");
        }
        if text.contains('\0') {
            return Err("holds a zero byte");
        }
        match text.len() > TEXT_MAX {
            true => Err("is longer than 128 KiB"),
            false => Ok((name.to_owned(), value.to_owned())),
        }
    };
    let pairs = texts.iter().filter_map(|text| {
        let pair = sound(text);
        pair.map_err(|reason| warnings.add("Env", text.as_str(), reason))
            .ok()
    });
    Ok(pairs.collect())
}

/// A command: as a whole or not at all, since half of one is another.
fn command(field: &'static str, value: Value, warnings: &mut Warnings) -> Vec<String> {
    let words = match value {
        Value::Array(values) => {
            let words: Option<Vec<String>> = values.iter().map(text).collect();
            words.ok_or("is no list of texts")
        }
        Value::Null => Ok(Vec::new()),
        value => text(&value).map(|text| vec![text]).ok_or("is no list of texts"),
    };
    let sound = words.and_then(|words| match words.len() > LIST_MAX {
        true => Err("has too many entries"),
        false if words.iter().any(|word| check_text(field, word).is_err()) => {
            Err("holds a zero byte, or an argument of more than 128 KiB")
        }
        false => Ok(words),
    });
    sound.unwrap_or_else(|reason| {
        warnings.add(field, None, reason);
        Vec::new()
    })
}

/// Who runs it is no mere information: one that cannot be read refuses the image, which would run as root.
fn user(value: &Value) -> Result<String, OciError> {
    let user = match value {
        Value::Null => Some(String::new()),
        value => text(value),
    };
    let user = user.ok_or(OciError::BadConfig {
        field: "User",
        value: String::new(),
        reason: "is no text",
    })?;
    check_user(&user)?;
    Ok(user)
}

/// A folder, from the root on where it is relative, as Docker's builder takes it.
fn working_dir(value: &Value, warnings: &mut Warnings) -> String {
    let folder = match value {
        Value::Null => return String::new(),
        value => text(value),
    };
    let Some(folder) = folder else {
        warnings.add("WorkingDir", None, "is no text");
        return String::new();
    };
    if folder.contains('\0') || folder.len() > PATH_MAX {
        warnings.add("WorkingDir", folder.as_str(), "is no path");
        return String::new();
    }
    if folder.is_empty() || folder.starts_with('/') {
        return folder;
    }
    let mut names: Vec<&str> = Vec::new();
    for name in folder.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    format!("/{}", names.join("/"))
}

/// Ports, each of a range; by the keys of an object, which is what Docker writes, or in a list.
fn ports(value: Value, warnings: &mut Warnings) -> Vec<ExposedPort> {
    const FIELD: &str = "ExposedPorts";
    let texts = match value {
        Value::Object(ports) => ports.into_iter().map(|(port, _)| port).collect(),
        value => list(FIELD, value, warnings),
    };
    let mut found = Vec::new();
    for text in &texts {
        match range(text) {
            Some((ports, protocol)) if found.len() + ports.len() <= LIST_MAX => {
                found.extend(ports.map(|port| ExposedPort { port, protocol }));
            }
            Some(_) => warnings.add(FIELD, text.as_str(), "makes more than 4,096 ports"),
            None => warnings.add(FIELD, text.as_str(), "is no port"),
        }
    }
    found.sort();
    found.dedup();
    found
}

/// `80`, `80/`, `80/TCP` or `8000-8010/udp`.
fn range(text: &str) -> Option<(std::ops::RangeInclusive<u16>, Protocol)> {
    let (numbers, protocol) = text.split_once('/').unwrap_or((text, ""));
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "" | "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return None,
    };
    let port = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        digits
            .then(|| text.parse::<u16>().ok())
            .flatten()
            .filter(|port| *port > 0)
    };
    let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
    let (first, last) = (port(first)?, port(last)?);
    (first <= last).then_some((first..=last, protocol))
}

/// Labels, which some tools write as a list of `NAME=VALUE`.
fn labels(value: Value, warnings: &mut Warnings) -> BTreeMap<String, String> {
    const FIELD: &str = "Labels";
    let mut labels = BTreeMap::new();
    match value {
        Value::Object(pairs) => {
            for (name, value) in pairs {
                let value = match &value {
                    Value::Null => Some(String::new()),
                    value => text(value),
                };
                match value {
                    Some(value) => drop(labels.insert(name, value)),
                    None => warnings.add(FIELD, name.as_str(), "is no text"),
                }
            }
        }
        value => {
            for text in list(FIELD, value, warnings) {
                let (name, value) = text.split_once('=').unwrap_or((&text, ""));
                labels.insert(name.to_owned(), value.to_owned());
            }
        }
    }
    while labels.len() > LIST_MAX {
        labels.pop_last();
        warnings.add(FIELD, None, "has more than 4,096 entries; the last ones");
    }
    labels
}

/// The texts of a list; a text alone is a list of itself (`strslice` in Docker).
fn list(field: &'static str, value: Value, warnings: &mut Warnings) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(values) => {
            let texts = values.iter().filter_map(|value| {
                let text = text(value);
                if text.is_none() && !value.is_null() {
                    warnings.add(field, None, "has an entry that is no text");
                }
                text
            });
            texts.collect()
        }
        value => match text(&value) {
            Some(text) => vec![text],
            None => {
                warnings.add(field, None, "is no list of texts");
                Vec::new()
            }
        },
    }
}

/// A text; numbers and truth values are what they are written as.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[derive(Default)]
struct Warnings {
    lines: Vec<String>,
    more: usize,
}

impl Warnings {
    /// Notes that a value of a field, or all of it, is left out.
    fn add<'v>(&mut self, field: &str, value: impl Into<Option<&'v str>>, reason: &str) {
        if self.lines.len() == WARNINGS_MAX {
            self.more += 1;
            return;
        }
        let value = value.into().map(|value| format!(" `{}`", shown(value)));
        let value = value.unwrap_or_default();
        let line = format!("image configuration: {field}{value} {reason}: left out");
        if !self.lines.contains(&line) {
            self.lines.push(line);
        }
    }

    fn finish(mut self) -> Vec<String> {
        if self.more > 0 {
            let line = format!("image configuration: {} more values are left out", self.more);
            self.lines.push(line);
        }
        self.lines
    }
}

/// Keys are known in whatever case they are written, as in Docker's language; of two the last one counts.
struct Fields;

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Fields)
    }
}

impl<'de> Visitor<'de> for Fields {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an image's configuration")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut raw = Raw::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.to_ascii_lowercase().as_str() {
                "os" => raw.os = map.next_value()?,
                "architecture" => raw.architecture = map.next_value()?,
                "rootfs" => raw.rootfs = map.next_value()?,
                "config" => raw.config = map.next_value()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(raw)
    }
}

/// Reads an object, or whatever else stands there.
struct ConfigFields;

impl<'de> Deserialize<'de> for RawConfig {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ConfigFields)
    }
}

impl RawConfig {
    fn wrong() -> Self {
        Self {
            wrong: true,
            ..Self::default()
        }
    }
}

impl<'de> Visitor<'de> for ConfigFields {
    type Value = RawConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what an image runs")
    }

    fn visit_bool<E>(self, _: bool) -> Result<RawConfig, E> {
        Ok(RawConfig::wrong())
    }

    fn visit_i64<E>(self, _: i64) -> Result<RawConfig, E> {
        Ok(RawConfig::wrong())
    }

    fn visit_u64<E>(self, _: u64) -> Result<RawConfig, E> {
        Ok(RawConfig::wrong())
    }

    fn visit_f64<E>(self, _: f64) -> Result<RawConfig, E> {
        Ok(RawConfig::wrong())
    }

    fn visit_str<E>(self, _: &str) -> Result<RawConfig, E> {
        Ok(RawConfig::wrong())
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<RawConfig, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(RawConfig::wrong())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawConfig, A::Error> {
        let mut raw = RawConfig::default();
        while let Some(key) = map.next_key::<String>()? {
            let field = match key.to_ascii_lowercase().as_str() {
                "env" => &mut raw.env,
                "entrypoint" => &mut raw.entrypoint,
                "cmd" => &mut raw.cmd,
                "user" => &mut raw.user,
                "workingdir" => &mut raw.working_dir,
                "exposedports" => &mut raw.exposed_ports,
                "labels" => &mut raw.labels,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *field = map.next_value()?;
        }
        Ok(raw)
    }
}

#[cfg(test)]
mod tests;
