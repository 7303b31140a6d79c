//! The settings, with the defaults that this host gives.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::address;
use crate::file_sync::FileSync;
use crate::networks::NetworkSettings;
use crate::registry_mirrors::RegistryMirrors;
use model::values::parse_duration;
use model::{DiskSize, MemorySize, NetworkMode, Size, VcpuCount};

/// Everything that can be configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What goes to the log. `BANGER_LOG_LEVEL` wins over the file.
    pub log_level: LogLevel,
    /// Which VMM.
    pub vmm: VmmChoice,
    /// QEMU; found on `PATH` if `None`.
    pub qemu_bin: Option<PathBuf>,
    /// Firecracker; found on `PATH` if `None`.
    pub firecracker_bin: Option<PathBuf>,
    /// Firecracker's jailer; found on `PATH` if `None`.
    pub jailer_bin: Option<PathBuf>,
    /// Whether Firecracker runs in jails, which only root can make.
    pub jailer_enabled: bool,
    /// Where jails are made; `jail` among the daemon's own files if `None`.
    pub jailer_chroot_base: Option<PathBuf>,
    /// Whether VMMs run where this host does not let them be confined.
    pub confinement: Confinement,
    /// passt; found on `PATH` if `None`.
    pub passt_bin: Option<PathBuf>,
    /// Key that ssh logs in to guests with; one of banger's own if `None`.
    pub ssh_key_path: Option<PathBuf>,
    /// Image of a VM for which none is named.
    pub default_image_name: String,
    /// Where the catalog of bundles is published; without it its entries are built here.
    pub catalog_url: Option<String>,
    /// How long the daemon stays when no VM runs and nobody asks.
    pub idle_timeout: Duration,
    /// How long a VM may be unused before it is shut down; for ever if `None`.
    pub auto_stop_stale_after: Option<Duration>,
    /// How images are stored.
    pub image: ImageSettings,
    /// Servers that are asked before a registry.
    pub registry_mirrors: RegistryMirrors,
    /// Where recipes get their packages.
    pub recipe: RecipeSettings,
    /// How much of the host each VM may use.
    pub limits: LimitSettings,
    /// Shape of a VM that says nothing else.
    pub vm_defaults: VmDefaults,
    /// What guests may reach.
    pub network: NetworkSettings,
    /// What every guest is told.
    pub guest: GuestSettings,
    /// Files of the user's that every guest gets.
    pub file_sync: Vec<FileSync>,
}

/// `log_level`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Failures only.
    Error,
    /// And what may become one.
    Warn,
    /// And what happens.
    #[default]
    Info,
    /// And how.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    /// Reads what [`LogLevel::as_str`] writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace]
            .into_iter()
            .find(|level| level.as_str() == text)
    }
}

/// `vmm`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VmmChoice {
    /// The first that works.
    #[default]
    Auto,
    /// QEMU, with KVM where that is usable.
    Qemu,
    /// Firecracker, also where KVM does not look usable.
    Firecracker,
}

/// `confinement`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confinement {
    /// A VM whose VMM cannot be confined does not start.
    #[default]
    Required,
    /// It runs with all rights of its user.
    Unconfined,
}

/// `[image]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageSettings {
    /// Of those that are pulled or built from now on.
    #[serde(default)]
    pub compression: Compression,
}

/// `[image] compression`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// More disk, less work for each guest that reads.
    #[default]
    None,
    /// Less disk; each guest unpacks what it reads.
    Lz4,
}

/// `[limits]`: of each disk of each VM, reads and writes together; none where nothing is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitSettings {
    /// Bytes in a second.
    #[serde(default, deserialize_with = "bandwidth")]
    pub disk_bandwidth: Option<NonZeroU64>,
    /// Bytes that imports and guests leave free on the host's disk; none for the default, 0 for nothing.
    #[serde(default, deserialize_with = "reserve")]
    pub free_space_reserve: Option<u64>,
    /// Requests in a second.
    #[serde(default)]
    pub disk_operations: Option<NonZeroU64>,
}

/// `[recipe]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecipeSettings {
    /// Base address of a Debian mirror; the host's apt sources if `None`.
    #[serde(default, deserialize_with = "mirror")]
    pub mirror: Option<String>,
    /// Keys that the mirror's releases are signed with; the distribution's if `None`.
    #[serde(default, deserialize_with = "absolute_path")]
    pub keyring: Option<PathBuf>,
}

/// `[vm_defaults]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VmDefaults {
    /// Virtual processors: a quarter of the host's, 1 to 4.
    pub vcpu: VcpuCount,
    /// Memory: an eighth of the host's, 512 MiB to 8 GiB.
    pub memory: MemorySize,
    /// Size of the writable layer: 8 GiB.
    pub disk_size: DiskSize,
    /// Network mode.
    pub network: NetworkMode,
}

/// `[guest]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestSettings {
    /// PEM files of authorities that guests trust besides those that the host adds to its distribution's.
    #[serde(default, deserialize_with = "absolute_paths")]
    pub ca_certificates: Vec<PathBuf>,
}

/// What of the host the defaults depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostShape {
    /// Processors that this process may use.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
}

impl HostShape {
    /// This host's.
    #[must_use]
    pub fn of_host() -> Self {
        let cpus = std::thread::available_parallelism()
            .map_or(1, |cpus| u32::try_from(cpus.get()).unwrap_or(u32::MAX));
        let info = rustix::system::sysinfo();
        #[expect(
            clippy::useless_conversion,
            reason = "the field is narrower than u64 on 32-bit hosts"
        )]
        let memory = u64::from(info.totalram).saturating_mul(u64::from(info.mem_unit));
        Self {
            cpus,
            memory_mib: memory >> 20,
        }
    }

    /// Shape of a VM on such a host.
    #[must_use]
    pub fn vm_defaults(self) -> VmDefaults {
        VmDefaults {
            vcpu: VcpuCount::new((self.cpus / 4).clamp(1, 4)).expect("1 to 4 is in range"),
            memory: MemorySize::from_mib((self.memory_mib / 8).clamp(512, 8192))
                .expect("512 to 8192 is in range"),
            disk_size: DiskSize::from_bytes(8 << 30).expect("8 GiB is in range"),
            network: NetworkMode::default(),
        }
    }
}

impl Config {
    /// What holds where nothing is configured.
    #[must_use]
    pub fn defaults(host: HostShape) -> Self {
        ConfigFile::default().resolve(host)
    }
}

/// The file as written: what is not there is `None`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfigFile {
    log_level: Option<LogLevel>,
    vmm: Option<VmmChoice>,
    #[serde(default, deserialize_with = "program")]
    qemu_bin: Option<PathBuf>,
    #[serde(default, deserialize_with = "program")]
    firecracker_bin: Option<PathBuf>,
    #[serde(default, deserialize_with = "program")]
    jailer_bin: Option<PathBuf>,
    #[serde(default)]
    jailer_enabled: bool,
    #[serde(default, deserialize_with = "absolute_path")]
    jailer_chroot_base: Option<PathBuf>,
    #[serde(default)]
    confinement: Confinement,
    #[serde(default, deserialize_with = "program")]
    passt_bin: Option<PathBuf>,
    #[serde(default, deserialize_with = "absolute_path")]
    ssh_key_path: Option<PathBuf>,
    #[serde(default, deserialize_with = "image_name")]
    default_image_name: Option<String>,
    #[serde(default, deserialize_with = "web_address")]
    catalog_url: Option<String>,
    #[serde(default, deserialize_with = "some_duration")]
    idle_timeout: Option<Duration>,
    #[serde(default, deserialize_with = "duration_or_zero")]
    auto_stop_stale_after: Option<Duration>,
    #[serde(default)]
    image: ImageSettings,
    #[serde(default)]
    registry_mirrors: RegistryMirrors,
    #[serde(default)]
    recipe: RecipeSettings,
    #[serde(default)]
    limits: LimitSettings,
    #[serde(default)]
    vm_defaults: VmDefaultsTable,
    #[serde(default)]
    network: NetworkSettings,
    #[serde(default)]
    guest: GuestSettings,
    #[serde(default)]
    file_sync: Vec<FileSync>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct VmDefaultsTable {
    vcpu: Option<VcpuCount>,
    memory_mib: Option<MemorySize>,
    disk_size: Option<DiskSize>,
    network: Option<NetworkMode>,
}

impl ConfigFile {
    pub(crate) fn resolve(self, host: HostShape) -> Config {
        let shape = host.vm_defaults();
        Config {
            log_level: self.log_level.unwrap_or_default(),
            vmm: self.vmm.unwrap_or_default(),
            qemu_bin: self.qemu_bin,
            firecracker_bin: self.firecracker_bin,
            jailer_bin: self.jailer_bin,
            jailer_enabled: self.jailer_enabled,
            jailer_chroot_base: self.jailer_chroot_base,
            confinement: self.confinement,
            passt_bin: self.passt_bin,
            ssh_key_path: self.ssh_key_path,
            default_image_name: self
                .default_image_name
                .unwrap_or_else(|| "debian-bookworm".to_owned()),
            catalog_url: self.catalog_url,
            idle_timeout: self.idle_timeout.unwrap_or(Duration::from_secs(600)),
            auto_stop_stale_after: self.auto_stop_stale_after,
            image: self.image,
            registry_mirrors: self.registry_mirrors,
            recipe: self.recipe,
            limits: self.limits,
            vm_defaults: VmDefaults {
                vcpu: self.vm_defaults.vcpu.unwrap_or(shape.vcpu),
                memory: self.vm_defaults.memory_mib.unwrap_or(shape.memory),
                disk_size: self.vm_defaults.disk_size.unwrap_or(shape.disk_size),
                network: self.vm_defaults.network.unwrap_or(shape.network),
            },
            network: self.network,
            guest: self.guest,
            file_sync: self.file_sync,
        }
    }
}

/// Not none: a daemon that ends at once is gone before the command that started it has called it.
fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let duration = parse_duration(&text).map_err(D::Error::custom)?;
    if duration.is_zero() {
        return Err(D::Error::custom(format!(
            "{text:?} leaves no time for a first call: write 1s or more, or 8760h (a year) for a daemon that stays"
        )));
    }
    Ok(Some(duration))
}

/// A size, or `0`.
fn reserve<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let size = Size::parse(&text).map_err(D::Error::custom)?;
    Ok(Some(size.bytes()))
}

/// A size a second, not nothing.
fn bandwidth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NonZeroU64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let size = Size::parse(&text).map_err(D::Error::custom)?;
    let bytes = NonZeroU64::new(size.bytes());
    bytes
        .map(Some)
        .ok_or_else(|| D::Error::custom("it must be more than nothing"))
}

/// `0`, as a number or a text, for never.
fn duration_or_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(i64),
        Text(String),
    }
    let text = match Written::deserialize(deserializer)? {
        Written::Number(number) => number.to_string(),
        Written::Text(text) => text,
    };
    if text == "0" {
        return Ok(None);
    }
    let duration = parse_duration(&text).map_err(D::Error::custom)?;
    Ok(Some(duration).filter(|duration| !duration.is_zero()))
}

/// A name to look for on `PATH`, or an absolute path: the daemon's working directory is not the user's.
fn program<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() || text.contains('\0') || (text.contains('/') && !text.starts_with('/')) {
        return Err(D::Error::custom(format!(
            "{text:?} is neither an absolute path nor a name to find on PATH"
        )));
    }
    Ok(Some(text.into()))
}

fn absolute_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    check_absolute(String::deserialize(deserializer)?).map(Some)
}

fn absolute_paths<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
    Vec::<String>::deserialize(deserializer)?
        .into_iter()
        .map(check_absolute)
        .collect()
}

fn check_absolute<E: serde::de::Error>(text: String) -> Result<PathBuf, E> {
    if !text.starts_with('/') || text.contains('\0') {
        return Err(E::custom(format!("{text:?} is not an absolute path")));
    }
    Ok(text.into())
}

fn mirror<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let rest = ["http://", "https://", "file:///"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    // Brackets and spaces mean something in apt's own files, where this address ends up.
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !b"[]#\"'\\<>`{}|^".contains(&byte));
    let checked = match rest {
        Some(rest) if plain && text.starts_with("http") => address::check(rest),
        Some(rest) if plain && !rest.is_empty() => Ok(()),
        _ => Err("it begins with none of the three, or holds what means something to apt"),
    };
    checked.map_err(|rule| {
        D::Error::custom(format!("{text:?} is not an http, https or file address: {rule}"))
    })?;
    Ok(Some(text))
}

fn web_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    let checked = match rest {
        None => Err("it begins with neither of the two"),
        // It would be shown in messages.
        Some(rest) if address::has_login(rest) => Err("no login belongs into it"),
        Some(rest) => address::check(rest),
    };
    checked.map_err(|rule| D::Error::custom(format!("{text:?} is not an http or https address: {rule}")))?;
    Ok(Some(text))
}

fn image_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() || text.len() > 255 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(D::Error::custom(format!("{text:?} is not an image name")));
    }
    Ok(Some(text))
}
