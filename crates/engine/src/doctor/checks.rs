//! The checks, one function each.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use api::{Check, CheckState};
use config::Paths;
use vmm::kvm::NoKvm;

use super::check;
use crate::error::one_line;
use crate::walls::{Answer, NO_IPV6, Wall};
use crate::{Machines, Networks};

/// Free space in bytes below which a check warns, and fails.
const LITTLE: u64 = 5 << 30;
const TOO_LITTLE: u64 = 1 << 30;

pub(super) fn architecture() -> Check {
    let name = std::env::consts::ARCH;
    if name == "x86_64" {
        check("architecture", CheckState::Pass, name, None)
    } else {
        let message = format!("{name}: kernels and images are for x86_64 so far");
        check("architecture", CheckState::Fail, message, None)
    }
}

pub(super) fn vmm(machines: &dyn Machines) -> Check {
    match machines.choose() {
        Ok(choice) if choice.reason.is_empty() => check("vmm", CheckState::Pass, choice.backend.name(), None),
        Ok(choice) => check(
            "vmm",
            CheckState::Pass,
            format!("{} ({})", choice.backend.name(), choice.reason),
            None,
        ),
        Err(error) => {
            let hint = error.to_api().hint;
            check("vmm", CheckState::Fail, one_line(&error), hint.as_deref())
        }
    }
}

pub(super) fn kvm() -> Check {
    match vmm::kvm::usable() {
        Ok(()) => check("kvm", CheckState::Pass, "usable", None),
        Err(reason) => check(
            "kvm",
            CheckState::Warn,
            format!("{reason}; VMs run in software emulation, slower"),
            Some(way_to_kvm(&reason)),
        ),
    }
}

fn way_to_kvm(reason: &NoKvm) -> &'static str {
    match reason {
        NoKvm::Processor => "enable virtualisation in the firmware or the outer hypervisor",
        NoKvm::NoDevice | NoKvm::NoModule => "as root: modprobe kvm_amd, or kvm_intel",
        NoKvm::Forbidden => "add yourself to the group `kvm` and log in again: sudo usermod -aG kvm $USER",
        NoKvm::Device(_) => "`dmesg | grep kvm` says more",
    }
}

pub(super) fn agent(agent: &Path) -> Check {
    match fs::metadata(agent) {
        Ok(metadata) if metadata.permissions().mode() & 0o111 != 0 => {
            check("agent", CheckState::Pass, agent.display().to_string(), None)
        }
        Ok(_) => check(
            "agent",
            CheckState::Fail,
            format!("{} is not executable", agent.display()),
            Some("chmod +x it, or install banger again"),
        ),
        Err(error) => check(
            "agent",
            CheckState::Fail,
            format!("{}: {error}", agent.display()),
            Some("`banger-vsock-agent` belongs beside `bangerd`: install banger again"),
        ),
    }
}

pub(super) fn passt(networks: &Networks) -> Check {
    const NAME: &str = "passt";
    if let Some(path) = net::find_passt(networks.passt.as_deref()) {
        return check(NAME, CheckState::Pass, path.display().to_string(), None);
    }
    let missing = match &networks.passt {
        Some(passt) => format!("{} was not found", passt.display()),
        None => "not found".to_owned(),
    };
    let hint = Some("apt-get install passt, and leave `passt_bin` out of config.toml");
    match Wall::Passt.answer(networks.insecure_builtin) {
        Answer::Refuse => check(
            NAME,
            CheckState::Fail,
            format!("{missing}: no VM with a network starts"),
            hint,
        ),
        Answer::Warn | Answer::Tell => check(
            NAME,
            CheckState::Warn,
            format!(
                "{missing}: VMs use QEMU's own network, from which they reach services on this host's loopback ({})",
                Wall::Passt.key()
            ),
            hint,
        ),
    }
}

/// Whether guests get the IPv6 that is asked for; nothing where none is, or where no VM with a network starts.
pub(super) fn ipv6(networks: &Networks) -> Option<Check> {
    const NAME: &str = "ipv6";
    const HINT: Option<&str> =
        Some("VMs start with IPv4 alone; each start says so while `[network] ipv6 = true` stands");
    if !networks.ipv6 {
        return None;
    }
    if net::find_passt(networks.passt.as_deref()).is_none() {
        let starts = Wall::Passt.answer(networks.insecure_builtin) != Answer::Refuse;
        return starts.then(|| check(NAME, CheckState::Warn, NO_IPV6, HINT));
    }
    // On a thread of its own: the caller's may belong to a runtime, which forbids another.
    let found = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok::<_, std::io::Error>(runtime.block_on(net::HostIpv6::find()))
    })
    .join();
    Some(match found {
        Ok(Ok(Ok(_))) => check(
            NAME,
            CheckState::Pass,
            "this host has it, and its VMs get it",
            None,
        ),
        Ok(Ok(Err(reason))) => check(NAME, CheckState::Warn, reason.to_string(), HINT),
        Ok(Err(error)) => check(
            NAME,
            CheckState::Warn,
            format!("cannot be looked at: {error}"),
            None,
        ),
        Err(_) => check(NAME, CheckState::Warn, "cannot be looked at", None),
    })
}

pub(super) fn mke2fs() -> Check {
    tool(
        "mke2fs",
        &["mke2fs"],
        "formats the disks of VMs",
        "apt-get install e2fsprogs",
    )
}

pub(super) fn image_tools() -> Check {
    tool(
        "image-tools",
        &["mmdebstrap", "apt-get", "dpkg-deb"],
        "fetch kernels and build images",
        "apt-get install mmdebstrap",
    )
}

fn tool(name: &str, programs: &[&str], purpose: &str, hint: &str) -> Check {
    let missing: Vec<_> = programs
        .iter()
        .copied()
        .filter(|program| find(program).is_none())
        .collect();
    if missing.is_empty() {
        return check(name, CheckState::Pass, programs.join(", "), None);
    }
    check(
        name,
        CheckState::Fail,
        format!("{} not found: {purpose}", missing.join(", ")),
        Some(hint),
    )
}

/// Images are built by users of a range of ids, in a user namespace.
pub(super) fn user_namespaces() -> Check {
    const NAME: &str = "user-namespaces";
    match catalog::recipe::check_host() {
        Ok(None) => check(NAME, CheckState::Pass, "a range of user ids can be mapped", None),
        Ok(Some(reason)) => check(
            NAME,
            CheckState::Warn,
            format!("images are built as this host's root, with few of its rights: {reason}"),
            Some("allow user namespaces (sysctl user.max_user_namespaces)"),
        ),
        Err(error) => check(
            NAME,
            CheckState::Warn,
            format!("images cannot be built: {error}"),
            error.hint().as_deref(),
        ),
    }
}

pub(super) fn default_image(paths: &Paths, name: &str) -> Check {
    const NAME: &str = "default-image";
    let built = fs::read_dir(paths.images())
        .is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(|e| e.path().extension().is_some())));
    let message = if built {
        format!("{name}; images are in {}", paths.images().display())
    } else {
        format!("{name} is not here yet; the first `banger vm run` builds it")
    };
    check(NAME, CheckState::Pass, message, None)
}

pub(super) fn disk(paths: &Paths) -> Check {
    const NAME: &str = "disk";
    let free = match rustix::fs::statvfs(paths.state()) {
        Ok(stat) => stat.f_bavail.saturating_mul(stat.f_frsize),
        Err(error) => {
            return check(
                NAME,
                CheckState::Fail,
                format!("{}: {error}", paths.state().display()),
                None,
            );
        }
    };
    let message = format!(
        "{:.1} GiB free in {}",
        free as f64 / f64::from(1 << 30),
        paths.state().display()
    );
    let hint = Some("free some space, or delete VMs that you no longer need: banger ps -a");
    match free {
        _ if free < TOO_LITTLE => check(NAME, CheckState::Fail, message, hint),
        _ if free < LITTLE => check(NAME, CheckState::Warn, message, hint),
        _ => check(NAME, CheckState::Pass, message, None),
    }
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        // Where administrators' tools lie, which a user's PATH may lack.
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")])
        .map(|folder| folder.join(program))
        .find(|path| {
            path.metadata()
                .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
        })
}
