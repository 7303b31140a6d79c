//! What may stand in a recipe. Nothing that passes can be taken for an option, a path out of the tree, or two words.

use serde::{Deserialize, Deserializer, de::Error};

/// Longest of any name here.
const NAME_LIMIT: usize = 128;
/// Bytes of one command, far below what a command line holds.
const COMMAND_LIMIT: usize = 64 * 1024;
/// They are mounts while a recipe is built, and nothing in a file system that is not running.
const NOT_IN_AN_IMAGE: [&str; 5] = ["proc", "sys", "dev", "run", "tmp"];
/// Links of Debian's tree into those, by which a file would come there too.
const LINKS_OUT_OF_AN_IMAGE: [(&str, &str); 3] = [
    ("/var/run", "/run"),
    ("/var/lock", "/run/lock"),
    ("/etc/mtab", "/proc/self/mounts"),
];
const UNIT_KINDS: [&str; 8] = [
    "service",
    "socket",
    "timer",
    "path",
    "target",
    "mount",
    "automount",
    "slice",
];

type Rule = Result<(), String>;

fn checked<'de, D: Deserializer<'de>>(
    deserializer: D,
    what: &str,
    rule: impl Fn(&str) -> Rule,
) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    match rule(&text) {
        Ok(()) => Ok(text),
        Err(reason) => Err(D::Error::custom(format!("{what} {:?} {reason}", shown(&text)))),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

/// A release's name.
pub(crate) fn suite<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    checked(deserializer, "release", |text| {
        name(text, b".+-~_", "letters, digits and .+-~_")
    })
}

/// A part of an archive.
pub(crate) fn component<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    checked(deserializer, "component", |text| {
        name(text, b".+-_", "letters, digits and .+-_")
    })
}

/// A package's name.
pub(crate) fn package<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    checked(deserializer, "package", check_package)
}

/// A systemd unit's name.
pub(crate) fn unit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    checked(deserializer, "unit", |text| {
        name(text, b".:_@\\-", "letters, digits and .:_@\\-")?;
        match text.rsplit_once('.') {
            Some((_, kind)) if UNIT_KINDS.contains(&kind) => Ok(()),
            _ => Err(format!("does not end with one of .{}", UNIT_KINDS.join(", ."))),
        }
    })
}

/// A file's path in the image.
pub(crate) fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    checked(deserializer, "path", check_path)
}

/// Permission bits as `chmod` takes them.
pub(crate) fn mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let text = String::deserialize(deserializer)?;
    let digits = (3..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    u32::from_str_radix(&text, 8)
        .ok()
        .filter(|_| digits)
        .ok_or_else(|| D::Error::custom(format!("mode {:?} is not 3 or 4 octal digits", shown(&text))))
}

/// A program and its arguments.
pub(crate) fn command<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let words = Vec::<String>::deserialize(deserializer)?;
    let wrong = |reason: &str| Err(D::Error::custom(format!("command {reason}")));
    match words.first() {
        None => wrong("is empty"),
        Some(program) if program.is_empty() || program.starts_with('-') || program.contains('=') => {
            wrong("does not begin with a program")
        }
        _ if words.iter().any(|word| word.contains('\0')) => wrong("has a zero byte in it"),
        _ if words.iter().map(|word| word.len() + 1).sum::<usize>() > COMMAND_LIMIT => {
            wrong("is longer than 64 KiB")
        }
        _ => Ok(words),
    }
}

/// Debian policy 5.6.7; apt takes a `-` at the end for "remove it".
pub(crate) fn check_package(text: &str) -> Rule {
    let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let good = (2..=NAME_LIMIT).contains(&text.len())
        && text.bytes().next().is_some_and(lower)
        && text.bytes().all(|byte| lower(byte) || b"+-.".contains(&byte))
        && !text.ends_with('-');
    if good {
        Ok(())
    } else {
        Err("is not two or more of a to z, digits and +-. that begin with a letter or digit".to_owned())
    }
}

fn name(text: &str, marks: &[u8], allowed: &str) -> Rule {
    let good = text.len() <= NAME_LIMIT
        && text
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || marks.contains(&byte));
    if good {
        Ok(())
    } else {
        Err(format!(
            "is not made of {allowed}, beginning with a letter or digit"
        ))
    }
}

fn check_path(text: &str) -> Rule {
    let Some(inside) = text.strip_prefix('/') else {
        return Err("is not absolute".to_owned());
    };
    if text.len() > 4095 || text.chars().any(char::is_control) {
        return Err("is too long or has a control character in it".to_owned());
    }
    let mut names = inside.split('/');
    if names
        .clone()
        .any(|name| name.is_empty() || name == "." || name == ".." || name.len() > 255)
    {
        return Err("is not clean: it has an empty, `.`, `..` or too long part".to_owned());
    }
    match names.next() {
        Some(first) if NOT_IN_AN_IMAGE.contains(&first) => {
            return Err(format!("lies below /{first}, which is no part of an image"));
        }
        _ => {}
    }
    let is_or_lies_below = |link: &str| {
        let rest = text.strip_prefix(link);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    match LINKS_OUT_OF_AN_IMAGE
        .iter()
        .find(|(link, _)| is_or_lies_below(link))
    {
        Some((link, target)) if text == *link => Err(format!(
            "is a link to {target} in every image, and no file takes its place"
        )),
        Some((link, target)) => Err(format!(
            "lies below {link}, a link to {target}, which is no part of an image"
        )),
        None => Ok(()),
    }
}
