//! What a user can do about a failure.

use super::{EngineError, host_resource, is_refused};
use crate::walls::{Wall, allow_user_namespaces};
use model::nearest;

impl EngineError {
    pub(super) fn hint(&self) -> Option<String> {
        if host_resource(self).is_some() {
            return Some("free some space and try again; `banger doctor` shows what is left".into());
        }
        match self {
            Self::NoRoom(_) => Some(
                "free some space (`banger df` shows what takes it), or set `[limits] free_space_reserve`".into(),
            ),
            Self::Paused { .. } => {
                Some("free some space (`banger df` shows what takes it); it goes on by itself".into())
            }
            Self::VmNotFound {
                suggestion: Some(name),
                ..
            } => Some(format!("did you mean `{name}`? `banger ps -a` lists all")),
            Self::VmNotFound { .. } => Some("`banger ps -a` lists all".into()),
            Self::VmAmbiguous { .. } => Some("write more of the id, or the name".into()),
            Self::VmExists { name } => Some(format!(
                "choose another name, or delete it: banger vm delete {name}"
            )),
            Self::WrongState {
                name,
                state: api::VmState::Running,
                ..
            } => Some(format!("stop it first: banger vm stop {name}")),
            Self::WrongState {
                name,
                state: api::VmState::Created | api::VmState::Stopped | api::VmState::Error,
                ..
            } => Some(format!("start it first: banger vm start {name}")),
            Self::Unmoved { name, .. } => Some(format!("SIGKILL cannot be refused: banger vm kill {name}")),
            Self::NoSshd { name } => Some(format!(
                "`banger vm shell {name}` needs none; else install openssh-server in it"
            )),
            Self::OldAgent { name } => Some(format!(
                "boot it anew: banger vm stop {name} && banger vm start {name}"
            )),
            Self::Config(error) => error.hint(),
            Self::SshKey { .. } => Some("`ssh_key_path` in config.toml names another key".into()),
            Self::ImageFileGone { name, reference } => Some(match reference {
                Some(reference) => format!("get it again: banger image pull {reference} --name {name}"),
                None => format!("take it in again, or delete it: banger image delete {name}"),
            }),
            Self::ImageInUse { vms, .. } => Some(format!(
                "delete the VMs first: banger vm delete {}",
                vms.join(" ")
            )),
            Self::ImageExists { name, .. } => Some(format!(
                "give the new one another name with --name, or delete the old one: banger image delete {name}"
            )),
            Self::ImageNotFound { known, name } => Some(format!(
                "there is {}; `banger image pull {name}` asks a registry",
                known.join(", ")
            )),
            Self::KernelNotFound { known, .. } if known.is_empty() => {
                Some("`banger kernel list --available` lists what can be pulled".into())
            }
            Self::KernelNotFound { known, name } => {
                let names = known.iter().map(String::as_str);
                Some(match nearest(names, name) {
                    Some(meant) => format!("did you mean `{meant}`? there is {}", known.join(", ")),
                    None => format!("there is {}", known.join(", ")),
                })
            }
            Self::KernelInUse { images, vms, .. } => Some(match (images.as_slice(), vms.as_slice()) {
                (images, []) => format!(
                    "delete the images first: banger image delete {}",
                    images.join(" ")
                ),
                ([], vms) => format!("delete the VMs first: banger vm delete {}", vms.join(" ")),
                (images, vms) => format!(
                    "delete them first: banger vm delete {}; banger image delete {}",
                    vms.join(" "),
                    images.join(" ")
                ),
            }),
            Self::KernelExists { name } => Some(format!(
                "give the new one another name, or delete the old one: banger kernel rm {name}"
            )),
            Self::PortUnavailable { hint, .. }
            | Self::Artefact { hint, .. }
            | Self::Unread { hint, .. }
            | Self::RegisteredFile { hint, .. } => hint.clone(),
            Self::Start {
                name,
                deleted,
                source,
            } => source.hint().or_else(|| match **source {
                Self::MachineEnded { .. } | Self::AgentSilent { .. } => Some(match deleted {
                    None => format!("the whole console: banger vm logs {name}"),
                    Some(console) => keeps_its_console(name, console),
                }),
                _ => None,
            }),
            Self::Vmm(vmm::VmmError::Unfit { .. }) => Some(format!(
                "install another release ({}; https://github.com/firecracker-microvm/firecracker/releases), or set \
                 `vmm = \"qemu\"`",
                vmm::firecracker::supported()
            )),
            Self::Vmm(vmm::VmmError::JailerNeedsRoot) => {
                Some("run the daemon as root, or leave `jailer_enabled` out of the configuration".into())
            }
            Self::PasstMissing { .. } => Some(format!(
                "install passt (on Debian: apt-get install passt) or mend `passt_bin`, or start it with `--network \
                 none`; `{}` in config.toml lets QEMU's own network do, which leads to this host's loopback",
                Wall::Passt.key()
            )),
            // What is in the way is in the message.
            Self::Vmm(vmm::VmmError::Confine { .. }) if vmm::qemu::confinable().is_ok() => {
                Some("`banger doctor` looks at what confines VMMs here".into())
            }
            Self::Vmm(vmm::VmmError::Confine { .. }) => Some(format!(
                "{}; `{}` in config.toml lets VMMs run with all rights of their user",
                allow_user_namespaces(),
                Wall::VmmNamespaces.key()
            )),
            Self::Net(_) if is_refused(self) && vmm::qemu::confinable().is_err() => {
                Some(allow_user_namespaces().into())
            }
            Self::Vmm(vmm::VmmError::Taps { .. } | vmm::VmmError::Card { .. }) => Some(
                "let this user open /dev/net/tun (sudo modprobe tun; sudo chmod 666 /dev/net/tun), start it with \
                 `--network none`, or set `vmm = \"qemu\"`"
                    .into(),
            ),
            Self::Vmm(vmm::VmmError::BinaryMissing { binary })
                if binary.ends_with("firecracker") || binary.ends_with("jailer") =>
            {
                Some(
                    "install it (https://github.com/firecracker-microvm/firecracker/releases), or set \
                 `firecracker_bin`, or `vmm = \"qemu\"`"
                        .into(),
                )
            }
            Self::Vmm(vmm::VmmError::BinaryMissing { .. }) => {
                Some("install it (on Debian: apt-get install qemu-system-x86), or set `qemu_bin`".into())
            }
            _ => None,
        }
    }
}

/// A VM that failed at its first start is deleted, with its logs: what its console ended with, and how to keep one.
fn keeps_its_console(name: &str, console: &[String]) -> String {
    let keep = format!(
        "`{name}` is deleted again; one made by `banger vm create` and booted by `banger vm start` stays, with its logs"
    );
    match console {
        [] | [_] => keep,
        lines => format!("its console ended with: {}; {keep}", lines.join(" | ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vm_that_is_deleted_has_no_logs_to_look_at() {
        let start = || EngineError::Start {
            name: "box".into(),
            deleted: None,
            source: Box::new(EngineError::MachineEnded {
                reason: "it ended".into(),
                console: None,
            }),
        };
        assert_eq!(start().hint().unwrap(), "the whole console: banger vm logs box");
        let console = ["mounting", "Kernel panic"].map(String::from).to_vec();
        let hint = start().of_deleted(console).hint().unwrap();
        assert!(
            hint.starts_with("its console ended with: mounting | Kernel panic; `box` is deleted again; "),
            "{hint}"
        );
        assert!(!hint.contains("vm logs"), "{hint}");
        // The error itself quotes the last line.
        let hint = start().of_deleted(vec!["Kernel panic".into()]).hint().unwrap();
        assert!(hint.starts_with("`box` is deleted again; "), "{hint}");
    }
}
