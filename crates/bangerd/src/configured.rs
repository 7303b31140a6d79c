//! `config.toml` of how VMs run, read again at each start: what was put back there stands from then on, also under a daemon
//! that was started before.

use std::sync::Arc;

use config::{Config, Environment, Paths};
use engine::{Configured, EngineError, HostMachines, Machines, Networks, Subnet};

use crate::Settings;

/// The file, and what its values depend on.
#[derive(Clone, Debug)]
pub struct ConfigurationFile {
    paths: Paths,
    environment: Environment,
    /// Whether the daemon's start could not read it.
    unread: bool,
}

impl ConfigurationFile {
    /// The user's.
    #[must_use]
    pub fn new(paths: Paths, environment: Environment) -> Self {
        Self {
            paths,
            environment,
            unread: false,
        }
    }

    /// One that the daemon's start could not read, so that it goes by defaults, if `unread`.
    #[must_use]
    pub fn missed(self, unread: bool) -> Self {
        Self { unread, ..self }
    }

    /// What VMs run on, and how they get their networks, by a configuration.
    #[must_use]
    pub fn values(&self, config: &Config) -> (Arc<dyn Machines>, Networks) {
        let networks = Networks {
            passt: config.passt_bin.clone(),
            program: None,
            open: config
                .network
                .allow
                .iter()
                .filter_map(|network| Subnet::of(network.first(), network.prefix()))
                .collect(),
            ipv6: config.network.ipv6,
            insecure_builtin: config.network.insecure_builtin,
        };
        let machines = HostMachines {
            wanted: match config.vmm {
                config::VmmChoice::Auto => vmm::Wanted::Auto,
                config::VmmChoice::Qemu => vmm::Wanted::Qemu,
                config::VmmChoice::Firecracker => vmm::Wanted::Firecracker,
            },
            binaries: vmm::Binaries {
                qemu: config.qemu_bin.clone(),
                firecracker: config.firecracker_bin.clone(),
                jailer: config.jailer_bin.clone(),
                jails: config.jailer_enabled.then(|| {
                    let base = config.jailer_chroot_base.clone();
                    base.unwrap_or_else(|| self.paths.state().join("jail"))
                }),
                confine: match config.confinement {
                    config::Confinement::Required => vmm::Confine::Required,
                    config::Confinement::Unconfined => vmm::Confine::WherePossible,
                },
            },
            passt: config.passt_bin.clone(),
            insecure_builtin: config.network.insecure_builtin,
            disk_limit: vmm::RateLimit {
                bytes_per_second: config.limits.disk_bandwidth,
                operations_per_second: config.limits.disk_operations,
            },
        };
        (Arc::new(machines), networks)
    }
}

impl Configured for ConfigurationFile {
    fn read(&self) -> Result<(Arc<dyn Machines>, Networks), EngineError> {
        if let Some(error) = self.unread() {
            return Err(error);
        }
        let config = Config::load(&self.paths.config_file(), &self.environment)?;
        Ok(self.values(&config))
    }

    fn unread(&self) -> Option<EngineError> {
        if !self.unread {
            return None;
        }
        Some(match Settings::read(&self.paths, &self.environment) {
            Err(error) => EngineError::Unread {
                reason: error.one_line(),
                hint: error.hint(),
            },
            Ok(_) => EngineError::Unread {
                reason:
                    "the daemon was started with a configuration that could not be read, and goes by defaults"
                        .into(),
                hint: Some(
                    "the file is good by now: `banger daemon stop`, and the next command reads it; VMs go on"
                        .into(),
                ),
            },
        })
    }

    fn is_mended(&self) -> bool {
        self.unread && Settings::read(&self.paths, &self.environment).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_wall_that_is_put_back_into_the_file_stands_at_the_next_start() {
        let root = tempfile::tempdir().unwrap();
        let environment = Environment::new(rustix::process::geteuid().as_raw())
            .with("XDG_CONFIG_HOME", root.path().join("config"))
            .with("XDG_STATE_HOME", root.path().join("state"))
            .with("XDG_CACHE_HOME", root.path().join("cache"))
            .with("XDG_RUNTIME_DIR", root.path().join("run"));
        let paths = Paths::personal(&environment).unwrap();
        let path = paths.config_file();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = ConfigurationFile::new(paths, environment);
        let down = "confinement = \"unconfined\"\n[network]\ninsecure_builtin = true\nallow = [\"192.168.7.0/24\", \"fd00:7::/64\"]\nipv6 = true\n";
        for (text, confine, builtin, open) in [
            (down, vmm::Confine::WherePossible, true, 2),
            ("", vmm::Confine::Required, false, 0),
            (
                "[network]\ninsecure_builtin = true\n",
                vmm::Confine::Required,
                true,
                0,
            ),
        ] {
            fs::write(&path, text).unwrap();
            let (machines, networks) = file.read().unwrap();
            assert_eq!(machines.confine(), confine, "{text}");
            assert_eq!(networks.insecure_builtin, builtin, "{text}");
            assert_eq!(networks.open.len(), open, "{text}");
            assert_eq!(networks.ipv6, text == down, "{text}");
        }
        for broken in ["confinement = \"maybe\"\n", "[network\n"] {
            fs::write(&path, broken).unwrap();
            assert!(matches!(file.read(), Err(EngineError::Config(_))), "{broken}");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(file.read().unwrap().0.confine(), vmm::Confine::Required);
    }
}
