//! The kernel's command line: which disk holds what, and what the machine lacks.

use std::fs::File;
use std::io::{self, Read};
use std::sync::OnceLock;

use super::InitError;

/// More than the kernel takes (`COMMAND_LINE_SIZE` is 2048 on x86 and arm64).
const MAX_LENGTH: u64 = 4096;

/// Says that the machine has no power button: only a reset ends it.
const BY_RESET: &str = "banger.power_off=reset";

/// Whether a reset is what ends this machine where its power is to go off. Where `/proc` is not mounted that is not known
/// unless it has been asked before.
pub(crate) fn powers_off_by_reset() -> bool {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    if let Some(known) = KNOWN.get() {
        return *known;
    }
    match command_line() {
        Ok(text) => *KNOWN.get_or_init(|| ours(&text).any(|word| word == BY_RESET)),
        Err(_) => false,
    }
}

/// That of the running kernel.
fn command_line() -> io::Result<String> {
    let mut text = Vec::with_capacity(512);
    File::open("/proc/cmdline")?
        .take(MAX_LENGTH)
        .read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The disks of this machine.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parameters {
    /// `banger.image=`: the read-only root file system.
    pub image: Device,
    /// `banger.layer=`: the writable ext4.
    pub layer: Device,
    /// `banger.modules=`: the kernel's modules; `none` where the kernel needs none.
    pub modules: Option<Device>,
}

/// A block device by its path below `/dev`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Device(String);

impl Device {
    fn parse(path: &str) -> Result<Self, &'static str> {
        let name = path.strip_prefix("/dev/").ok_or("a device lies below /dev")?;
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if name.is_empty() || name.len() > 32 || !name.bytes().all(plain) {
            return Err("a device's name is 1 to 32 of [a-z0-9]");
        }
        Ok(Self(path.to_owned()))
    }

    pub(super) fn path(&self) -> &str {
        &self.0
    }
}

impl Default for Parameters {
    fn default() -> Self {
        let device = |path: &str| Device(path.to_owned());
        Self {
            image: device("/dev/vda"),
            layer: device("/dev/vdb"),
            modules: Some(device("/dev/vdc")),
        }
    }
}

impl Parameters {
    /// Reads those of the running kernel.
    pub(super) fn read() -> Result<Self, InitError> {
        Self::parse(&command_line().map_err(InitError::CommandLine)?)
    }

    /// Takes what begins with `banger.` and must understand all of it; the rest is the kernel's and the init's.
    pub(super) fn parse(command_line: &str) -> Result<Self, InitError> {
        let mut parameters = Self::default();
        let mut seen = Vec::new();
        for word in ours(command_line) {
            let ours = word.strip_prefix("banger.").unwrap_or(word);
            let bad = |problem| InitError::Parameter {
                parameter: word.to_owned(),
                problem,
            };
            let (key, value) = ours.split_once('=').ok_or_else(|| bad("it has no value"))?;
            if seen.contains(&key) {
                return Err(bad("it is given twice"));
            }
            match key {
                "image" => parameters.image = Device::parse(value).map_err(bad)?,
                "layer" => parameters.layer = Device::parse(value).map_err(bad)?,
                "modules" if value == "none" => parameters.modules = None,
                // See `powers_off_by_reset`.
                "power_off" if word == BY_RESET => {}
                "power_off" => return Err(bad("it is `reset` or not given")),
                "modules" => parameters.modules = Some(Device::parse(value).map_err(bad)?),
                _ => return Err(bad("there is none of that name")),
            }
            seen.push(key);
        }
        Ok(parameters)
    }
}

/// Those that are banger's, up to where what is for the init begins.
fn ours(command_line: &str) -> impl Iterator<Item = &str> {
    words(command_line)
        .take_while(|word| *word != "--")
        .filter(|word| word.starts_with("banger."))
}

/// Splits at white space that is not within double quotes, as the kernel does.
fn words(command_line: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    command_line
        .split(move |c: char| {
            quoted ^= c == '"';
            !quoted && c.is_ascii_whitespace()
        })
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn devices(command_line: &str) -> (String, String, Option<String>) {
        let parameters = Parameters::parse(command_line).unwrap();
        (
            parameters.image.0,
            parameters.layer.0,
            parameters.modules.map(|device| device.0),
        )
    }

    fn refusal(command_line: &str) -> String {
        Parameters::parse(command_line).unwrap_err().to_string()
    }

    #[test]
    fn the_disks_have_defaults() {
        let expected = ("/dev/vda".into(), "/dev/vdb".into(), Some("/dev/vdc".into()));
        assert_eq!(devices("console=ttyS0 quiet"), expected);
        assert_eq!(devices(""), expected);
        assert_eq!(
            devices("root=\"a banger.image=/dev/x\" -- banger.layer=/dev/y\n"),
            expected
        );
    }

    #[test]
    fn each_disk_can_be_named() {
        assert_eq!(
            devices("quiet banger.modules=/dev/vdz1 banger.layer=/dev/pmem0\tbanger.image=/dev/sda\n"),
            ("/dev/sda".into(), "/dev/pmem0".into(), Some("/dev/vdz1".into()))
        );
        assert_eq!(devices("banger.modules=none").2, None);
        assert_eq!(devices(BY_RESET), devices(""));
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_name() {
        for (command_line, expected) in [
            (
                "banger.image",
                "bad kernel parameter `banger.image`: it has no value",
            ),
            (
                "banger.root=/dev/vda",
                "bad kernel parameter `banger.root=/dev/vda`: there is none of that name",
            ),
            (
                "banger.layer=/dev/vdb banger.layer=/dev/vdb",
                "bad kernel parameter `banger.layer=/dev/vdb`: it is given twice",
            ),
            (
                "banger.power_off=halt",
                "bad kernel parameter `banger.power_off=halt`: it is `reset` or not given",
            ),
            (
                "banger.image=vda",
                "bad kernel parameter `banger.image=vda`: a device lies below /dev",
            ),
        ] {
            assert_eq!(refusal(command_line), expected);
        }
        for path in [
            "/dev/",
            "/dev/../etc",
            "/dev/a/b",
            "/dev/VDA",
            "/dev/vda,ro",
            "none",
            "/sys/x",
        ] {
            assert!(
                Parameters::parse(&format!("banger.image={path}")).is_err(),
                "{path}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn no_command_line_makes_it_panic(text in ".{0,300}", key in "banger\\.[a-z]{0,8}=.{0,40}") {
            let _ = Parameters::parse(&text);
            let _ = Parameters::parse(&key);
        }
    }
}
