//! Which Firecracker is installed, and whether guests are run on that release.

use api::{Check, CheckState};

use super::check;
use crate::Machines;
use crate::error::one_line;

const NAME: &str = "firecracker";

/// Nothing where none is installed. One that is not used is a warning: whether it is missed, the check of the VMM says.
pub(super) fn firecracker(machines: &dyn Machines) -> Option<Check> {
    Some(match machines.firecracker()? {
        Ok(told) => check(NAME, CheckState::Pass, told, None),
        Err(error) => {
            let hint = error.to_api().hint;
            check(NAME, CheckState::Warn, one_line(&error), hint.as_deref())
        }
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
        let good = firecracker(&program(folder.path(), "Firecracker v1.12.1")).unwrap();
        assert_eq!(good.state, CheckState::Pass);
        assert!(
            good.message
                .starts_with("1.12.1; 1.8.0 and later are used, but not "),
            "{}",
            good.message
        );

        let folder = tempfile::tempdir().unwrap();
        let flawed = firecracker(&program(folder.path(), "Firecracker v1.14.0")).unwrap();
        assert_eq!(flawed.state, CheckState::Warn);
        assert!(flawed.message.contains("CVE-2026-5747"), "{}", flawed.message);
        let hint = flawed.hint.unwrap();
        assert!(
            hint.contains("install another release (1.8.0 and later are used, but not 1.13.0"),
            "{hint}"
        );

        let mut missing = HostMachines::default();
        missing.binaries.firecracker = Some("/nowhere/firecracker".into());
        assert_eq!(firecracker(&missing), None);
    }
}
