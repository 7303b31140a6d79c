//! Values that a person writes, on the command line or in the configuration: parsing makes them, nothing re-checks.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// Why a text is no such value. `Display` gives one line that holds the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {what}: {rule}")]
pub struct ValueError {
    text: String,
    what: &'static str,
    rule: String,
}

impl ValueError {
    fn new(text: impl Into<String>, what: &'static str, rule: impl Into<String>) -> Self {
        // A value can be a whole file given by mistake: the line stays a line.
        let text: String = text.into();
        let text = if text.chars().count() > 80 {
            text.chars().take(77).chain("...".chars()).collect()
        } else {
            text
        };
        Self {
            text,
            what,
            rule: rule.into(),
        }
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

impl Size {
    /// So many bytes.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// Parses `512M`, `4G`, `4GiB`; a bare number is MiB. Units are powers of 1024 and may be lower case.
    ///
    /// # Errors
    /// [`ValueError`] for anything else: signs, fractions, spaces, more than 2^64 bytes.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let unit = match unit.to_ascii_lowercase().as_str() {
            "k" | "kib" => KIB,
            "" | "m" | "mib" => MIB,
            "g" | "gib" => GIB,
            "t" | "tib" => TIB,
            _ => {
                return Err(ValueError::new(
                    text,
                    "a size",
                    "write it like 512M, 4G or 4GiB; a bare number is MiB",
                ));
            }
        };
        if number.is_empty() {
            return Err(ValueError::new(
                text,
                "a size",
                "write it like 512M, 4G or 4GiB; a bare number is MiB",
            ));
        }
        let number: Option<u64> = number.parse().ok();
        number
            .and_then(|number| number.checked_mul(unit))
            .map(Self)
            .ok_or_else(|| ValueError::new(text, "a size", "it is too large"))
    }
}

impl fmt::Display for Size {
    /// In the largest unit that it is a whole number of: `8 GiB`, `1536 MiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")];
        match units
            .iter()
            .find(|(unit, _)| self.0 >= *unit && self.0.is_multiple_of(*unit))
        {
            Some((unit, name)) => write!(f, "{} {name}", self.0 / unit),
            None => write!(f, "{} B", self.0),
        }
    }
}

/// A VM's memory: whole MiB, 128 MiB to 1 TiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemorySize(u64);

impl MemorySize {
    const RULE: &str = "it must be whole MiB, from 128 MiB to 1 TiB";
    /// The smallest, in MiB.
    pub const SMALLEST_MIB: u64 = 128;
    /// The largest, in MiB.
    pub const LARGEST_MIB: u64 = TIB / MIB;

    /// Parses a [`Size`] and checks its range.
    ///
    /// # Errors
    /// [`ValueError`] says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let bytes = Size::parse(text)?.bytes();
        Self::checked(bytes / MIB)
            .filter(|_| bytes.is_multiple_of(MIB))
            .ok_or_else(|| Self::error(text))
    }

    /// So many MiB.
    ///
    /// # Errors
    /// [`ValueError`] if it is out of range.
    pub fn from_mib(mib: u64) -> Result<Self, ValueError> {
        Self::checked(mib).ok_or_else(|| Self::error(format!("{mib} MiB")))
    }

    /// In MiB.
    #[must_use]
    pub const fn mib(self) -> u64 {
        self.0
    }

    fn checked(mib: u64) -> Option<Self> {
        (Self::SMALLEST_MIB..=Self::LARGEST_MIB)
            .contains(&mib)
            .then_some(Self(mib))
    }

    fn error(text: impl Into<String>) -> ValueError {
        ValueError::new(text, "a memory size", Self::RULE)
    }
}

impl fmt::Display for MemorySize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Size(self.0 * MIB).fmt(f)
    }
}

/// The size of a VM's writable layer: whole MiB, 256 MiB to 8 TiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskSize(u64);

impl DiskSize {
    const RULE: &str = "it must be whole MiB, from 256 MiB to 8 TiB";
    /// The smallest, in bytes.
    pub const SMALLEST: u64 = 256 * MIB;
    /// The largest, in bytes: half of what the host's own ext4 takes as one file.
    pub const LARGEST: u64 = 8 * TIB;

    /// Parses a [`Size`] and checks its range.
    ///
    /// # Errors
    /// [`ValueError`] says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        Self::checked(Size::parse(text)?.bytes())
            .ok_or_else(|| ValueError::new(text, "a disk size", Self::RULE))
    }

    /// So many bytes.
    ///
    /// # Errors
    /// [`ValueError`] if it is out of range.
    pub fn from_bytes(bytes: u64) -> Result<Self, ValueError> {
        Self::checked(bytes)
            .ok_or_else(|| ValueError::new(format!("{bytes} bytes"), "a disk size", Self::RULE))
    }

    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    fn checked(bytes: u64) -> Option<Self> {
        ((Self::SMALLEST..=Self::LARGEST).contains(&bytes) && bytes.is_multiple_of(MIB))
            .then_some(Self(bytes))
    }
}

impl fmt::Display for DiskSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Size(self.0).fmt(f)
    }
}

/// A number of virtual processors: 1 to 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VcpuCount(u32);

impl VcpuCount {
    /// The most.
    pub const MOST: u32 = 64;

    /// Parses a decimal number.
    ///
    /// # Errors
    /// [`ValueError`] if it is none, or out of range.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.then(|| text.parse().ok()).flatten();
        number.and_then(Self::checked).ok_or_else(|| Self::error(text))
    }

    /// So many.
    ///
    /// # Errors
    /// [`ValueError`] if it is out of range.
    pub fn new(count: u32) -> Result<Self, ValueError> {
        Self::checked(count).ok_or_else(|| Self::error(count.to_string()))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    fn checked(count: u32) -> Option<Self> {
        (1..=Self::MOST).contains(&count).then_some(Self(count))
    }

    fn error(text: impl Into<String>) -> ValueError {
        ValueError::new(text, "a number of virtual processors", "it must be from 1 to 64")
    }
}

impl fmt::Display for VcpuCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A VM's name: host name, DNS label and ssh alias at once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VmName(String);

impl VmName {
    /// Parses 1 to 63 of `[a-z0-9-]`, not starting or ending with `-`.
    ///
    /// # Errors
    /// [`ValueError`] says which rule the text breaks. Nothing is normalised.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let rule = if text.is_empty() {
            "it is empty"
        } else if !text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        {
            "only a to z, 0 to 9 and - are allowed"
        } else if text.len() > 63 {
            "it has more than 63 characters"
        } else if text.starts_with('-') || text.ends_with('-') {
            "it may not start or end with -"
        } else {
            return Ok(Self(text.to_owned()));
        };
        Err(ValueError::new(text, "a VM name", rule))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Parses a length of time: a whole number and its unit, `30s`, `10m` or `2h`; at most a year.
///
/// # Errors
/// [`ValueError`] for anything else, a bare number too: its unit would be a guess.
pub fn parse_duration(text: &str) -> Result<Duration, ValueError> {
    let error = |rule: &str| ValueError::new(text, "a length of time", rule);
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(error("write a whole number with its unit, like 30s, 10m or 2h")),
    };
    if number.is_empty() {
        return Err(error("write a whole number with its unit, like 30s, 10m or 2h"));
    }
    let seconds = number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit));
    match seconds {
        Some(seconds) if seconds <= 366 * 24 * 3600 => Ok(Duration::from_secs(seconds)),
        _ => Err(error("it is more than a year")),
    }
}

macro_rules! from_str {
    ($($type:ty),*) => {$(
        impl std::str::FromStr for $type {
            type Err = ValueError;

            fn from_str(text: &str) -> Result<Self, ValueError> {
                Self::parse(text)
            }
        }
    )*};
}
from_str!(Size, MemorySize, DiskSize, VcpuCount, VmName);

impl<'de> Deserialize<'de> for DiskSize {
    /// A string as [`DiskSize::parse`] reads it, or a number of MiB.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = DiskSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size like \"8G\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<DiskSize, E> {
                DiskSize::parse(text).map_err(E::custom)
            }

            fn visit_i64<E: serde::de::Error>(self, mib: i64) -> Result<DiskSize, E> {
                DiskSize::parse(&mib.to_string()).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl<'de> Deserialize<'de> for MemorySize {
    /// A number of MiB.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_mib(u64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for VcpuCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u32::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
