//! Which Firecracker is installed, and whether guests are run on that release.

use api::{Check, CheckState};

use super::check;
use crate::Machines;
use crate::error::one_line;

const NAME: &str = "firecracker";

/// Nothing where none is installed and none would be used. One that is not used is a warning: whether it is missed, the
/// check of the VMM says.
pub(super) fn firecracker(machines: &dyn Machines, kvm: bool) -> Option<Check> {
    Some(match machines.firecracker() {
        Some(Ok(told)) => check(NAME, CheckState::Pass, told, None),
        Some(Err(error)) => {
            let hint = error.to_api().hint;
            check(NAME, CheckState::Warn, one_line(&error), hint.as_deref())
        }
        None if kvm => {
            let hint = format!(
                "put `firecracker` of a release on PATH, or name it as `firecracker_bin` in config.toml: \
                 https://github.com/firecracker-microvm/firecracker/releases ({})",
                vmm::firecracker::supported()
            );
            check(
                NAME,
                CheckState::Pass,
                "not installed: VMs run on QEMU, which starts slower",
                Some(&hint),
            )
        }
        None => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HostMachines;
    use std::path::Path;
    use std::process::Command;

    /// A program that says this of its version.
    fn program(folder: &Path, says: &str) -> HostMachines {
        let path = folder.join("firecracker");
        // By another process: a file that this one has open for writing, in whatever child, cannot be executed.
        let script = "printf '#!/bin/sh\\necho \"%s\"\\n' \"$1\" >\"$0\" && chmod +x \"$0\"";
        let written = Command::new("sh")
            .args(["-c", script])
            .arg(&path)
            .arg(says)
            .status();
        assert!(written.unwrap().success());
        HostMachines {
            binaries: vmm::Binaries {
                firecracker: Some(path),
                ..vmm::Binaries::default()
            },
            ..HostMachines::default()
        }
    }

    #[test]
    fn the_release_is_told_with_those_that_are_used_and_a_flawed_one_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let good = firecracker(&program(folder.path(), "Firecracker v1.12.1"), true).unwrap();
        assert_eq!(good.state, CheckState::Pass);
        assert!(
            good.message
                .starts_with("1.12.1; 1.8.0 and later are used, but not "),
            "{}",
            good.message
        );

        let folder = tempfile::tempdir().unwrap();
        let flawed = firecracker(&program(folder.path(), "Firecracker v1.14.0"), false).unwrap();
        assert_eq!(flawed.state, CheckState::Warn);
        assert!(flawed.message.contains("CVE-2026-5747"), "{}", flawed.message);
        let hint = flawed.hint.unwrap();
        assert!(
            hint.contains("install another release (1.8.0 and later are used, but not 1.13.0"),
            "{hint}"
        );

        let mut missing = HostMachines::default();
        missing.binaries.firecracker = Some("/nowhere/firecracker".into());
        assert_eq!(firecracker(&missing, false), None);
    }

    #[test]
    fn a_host_with_kvm_and_without_firecracker_is_told_how_to_get_one() {
        let mut missing = HostMachines::default();
        missing.binaries.firecracker = Some("/nowhere/firecracker".into());
        let told = firecracker(&missing, true).unwrap();
        assert_eq!(told.state, CheckState::Pass);
        assert!(told.message.starts_with("not installed"), "{}", told.message);
        let hint = told.hint.unwrap();
        assert!(
            hint.contains("`firecracker_bin`") && hint.contains("/firecracker/releases (1.8.0 and later"),
            "{hint}"
        );
    }
}
