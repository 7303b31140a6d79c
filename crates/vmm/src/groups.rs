//! A control group for each machine (`cgroups(7)`): how much memory and how many threads its VMM may have, and its share
//! of the processors. For VMMs that no jailer makes one for.
//!
//! ```text
//!  version 2   <place>/<machine>/    memory.max  pids.max  cpu.weight
//!  version 1   <place of each>/<machine>/    memory.limit_in_bytes   pids.max   cpu.shares
//!  <VM's folder>/control-groups      which ones these are, written before they are made
//! ```
//!
//! [`place`] is where groups can be had, looked for once for a daemon. There is none where a group would end with
//! something that a VM outlives; then the [limits](crate::limits) of the process stand alone. Nothing here keeps a machine
//! from running: what cannot be had is said and done without.

mod place;
mod systemd;

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use process::Group;

use crate::limits::{FIRECRACKER_THREADS, QEMU_THREADS, TRANSLATED_MIB};
use crate::qemu::Acceleration;
use crate::{Folder, MachineSpec};
pub use place::outlook;
use place::{Place, place};

/// Which groups a machine has.
const RECORD: &str = "control-groups";
/// What keeps `systemd-oomd` from taking a VM for the best thing to end.
const SPARED: &str = "user.oomd_avoid";

/// Memory of a VMM beside its guest's, with what the host keeps of its disks in memory.
const OWN_MEMORY_MIB: u64 = 1024;

/// How often, and how soon after each other, a group is removed that is busy.
const TRIES: usize = 50;
const AGAIN: Duration = Duration::from_millis(2);

/// What a machine may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    memory: u64,
    threads: u32,
    processors: u32,
}

impl Share {
    pub(crate) fn of_qemu(spec: &MachineSpec, acceleration: Acceleration) -> Self {
        let translated = match acceleration {
            Acceleration::Tcg => TRANSLATED_MIB,
            Acceleration::Kvm => 0,
        };
        Self::of(spec, OWN_MEMORY_MIB + translated, QEMU_THREADS)
    }

    pub(crate) fn of_firecracker(spec: &MachineSpec) -> Self {
        Self::of(spec, OWN_MEMORY_MIB, FIRECRACKER_THREADS)
    }

    fn of(spec: &MachineSpec, own_mib: u64, threads: u32) -> Self {
        Self {
            memory: spec.memory_mib.saturating_add(own_mib).saturating_mul(1 << 20),
            threads: spec.vcpu + threads,
            processors: spec.vcpu,
        }
    }

    /// What is written where, of one version; what may be missing comes last.
    fn settings(self, version: u32) -> [(&'static str, String); 3] {
        let (memory, processors) = match version {
            2 => ("memory.max", ("cpu.weight", (100 * self.processors).min(10_000))),
            _ => ("memory.limit_in_bytes", ("cpu.shares", 1024 * self.processors)),
        };
        [
            (memory, self.memory.to_string()),
            ("pids.max", self.threads.to_string()),
            (processors.0, processors.1.to_string()),
        ]
    }
}

/// Makes the groups of the machine in `folder`, if any can be had.
pub(crate) async fn make(folder: &Folder, spec: &MachineSpec, share: Share) -> Option<Group> {
    let place = place().await.as_ref().ok()?;
    let name = name(folder, &spec.id)?;
    match make_at(place, folder, &name, share) {
        Ok(group) => Some(group),
        Err(error) => {
            tracing::warn!(vm = spec.id, %error, "no control group for this VM: the limits of its process stand alone");
            remove(folder.path());
            None
        }
    }
}

/// What is to be said where a process was not let into its groups.
pub(crate) fn refused(folder: &Folder, error: &io::Error) {
    tracing::warn!(folder = %folder.path().display(), %error, "a VM is in no control group");
    remove(folder.path());
}

fn make_at(place: &Place, folder: &Folder, name: &str, share: Share) -> io::Result<Group> {
    let groups = place.groups(name);
    let list: Vec<String> = groups.iter().map(|path| path.display().to_string()).collect();
    fs::write(folder.path().join(RECORD), list.join("\n"))?;
    let settings = share.settings(place.version());
    let mut open: Vec<OwnedFd> = Vec::new();
    for group in &groups {
        make_group(place, group)?;
        for (file, value) in &settings {
            set(group, file, value)?;
        }
        let _ = rustix::fs::setxattr(group, SPARED, b"1", rustix::fs::XattrFlags::empty());
        open.push(File::open(group)?.into());
    }
    Ok(match place.version() {
        2 => Group::unified(open.pop().ok_or(ErrorKind::NotFound)?),
        _ => Group::legacy(open),
    })
}

/// Makes a group, and before it what it lies in: that may have been removed just now, with the last other machine's.
fn make_group(place: &Place, group: &Path) -> io::Result<()> {
    let mut made = Err(ErrorKind::NotFound.into());
    for _ in 0..TRIES {
        made = fs::create_dir(group);
        match &made {
            Err(error) if error.kind() == ErrorKind::NotFound => place.prepare()?,
            // One that a crash left.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
            _ => break,
        }
    }
    made
}

/// Writes a setting, where this group has it: of version 1, each has some of them, and the share of the processors may
/// not be delegated.
fn set(group: &Path, file: &str, value: &str) -> io::Result<()> {
    let written = File::options()
        .write(true)
        .open(group.join(file))
        .and_then(|mut file| io::Write::write_all(&mut file, value.as_bytes()));
    match written {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io::Error::other(format!(
            "{}: {error}",
            group.join(file).display()
        ))),
        Ok(()) => Ok(()),
    }
}

/// A name that no other machine has on this host.
fn name(folder: &Folder, id: &str) -> Option<String> {
    Some(format!("{PREFIX}{:x}{}", folder.number().ok()?, suffix(id)))
}

/// What the name of a machine's group begins with, before the number of its folder.
const PREFIX: &str = "vm-";

/// What it ends with.
fn suffix(id: &str) -> String {
    let plain = id.chars().filter(char::is_ascii_alphanumeric).take(64);
    format!("-{}", plain.collect::<String>())
}

/// The groups that the machine in `folder` has.
fn recorded(folder: &Path) -> Vec<PathBuf> {
    let list = fs::read_to_string(folder.join(RECORD)).unwrap_or_default();
    // Of a list that a crash cut off, the last path may be part of one: there is no such group then, or it is not empty.
    list.lines().map(PathBuf::from).collect()
}

/// Removes the groups of a machine whose processes have ended. Fine if there are none.
pub(crate) fn remove(folder: &Path) {
    for group in recorded(folder) {
        remove_group(&group, TRIES);
        if let Some(parent) = group.parent().filter(|parent| place::is_ours(parent)) {
            // Where it is not the last one, this fails, and should.
            let _ = fs::remove_dir(parent);
        }
    }
    let _ = fs::remove_file(folder.join(RECORD));
}

/// Removes the groups of a machine whose processes have ended, and whose folder is gone. Fine if there are none.
pub async fn remove_of(id: &str) {
    if let Ok(place) = place().await {
        remove_among(place.folders(), id);
    }
}

fn remove_among(folders: &[PathBuf], id: &str) {
    for folder in folders {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let is_its = |name: &str| name.starts_with(PREFIX) && name.ends_with(&suffix(id));
            if name.to_str().is_some_and(is_its) {
                remove_group(&entry.path(), TRIES);
            }
        }
        if place::is_ours(folder) {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Removes a control group. One whose last process has just ended may be busy for a moment: it is tried so many times.
pub(crate) fn remove_group(group: &Path, tries: usize) {
    for _ in 0..tries {
        match fs::remove_dir(group) {
            Ok(()) => return,
            Err(error) if error.kind() == ErrorKind::NotFound => return,
            Err(error) if error.kind() == ErrorKind::ResourceBusy => thread::sleep(AGAIN),
            Err(error) => {
                tracing::warn!(group = %group.display(), %error, "a control group stays behind");
                return;
            }
        }
    }
    tracing::warn!(group = %group.display(), "a control group stays busy, and behind");
}

/// Whether the system has ended a process of this machine for want of memory in its group.
pub(crate) fn ran_out_of_memory(folder: &Path) -> bool {
    recorded(folder).iter().any(|group| {
        ["memory.events", "memory.oom_control"].iter().any(|file| {
            let text = fs::read_to_string(group.join(file)).unwrap_or_default();
            text.lines()
                .filter_map(|line| line.strip_prefix("oom_kill "))
                .any(|count| count.trim() != "0")
        })
    })
}

/// What bounds the machine that runs in `folder`, in a few words.
#[must_use]
pub fn in_force(folder: &Path) -> String {
    let groups = recorded(folder);
    let is = |file: &str| groups.iter().any(|group| group.join(file).exists());
    let counted = [
        ("memory", is("memory.max") || is("memory.limit_in_bytes")),
        ("threads", is("pids.max")),
        ("processors", is("cpu.weight") || is("cpu.shares")),
    ];
    let counted: Vec<&str> = counted
        .iter()
        .filter_map(|(name, is)| is.then_some(*name))
        .collect();
    if counted.is_empty() && !crate::firecracker::has_control_groups(folder) {
        return "process limits, system calls".into();
    }
    let counted = if counted.is_empty() {
        vec!["memory", "threads"]
    } else {
        counted
    };
    format!(
        "control group ({}), process limits, system calls",
        counted.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(vcpu: u32) -> MachineSpec {
        MachineSpec {
            id: "a-vm".into(),
            folder: PathBuf::new(),
            vcpu,
            memory_mib: 1024,
            kernel: PathBuf::new(),
            initramfs: PathBuf::new(),
            command_line: String::new(),
            drives: Vec::new(),
            network: None,
        }
    }

    #[test]
    fn a_share_leaves_room_for_what_emulation_makes_and_grows_with_the_machine() {
        let tcg = Share::of_qemu(&spec(2), Acceleration::Tcg);
        assert_eq!(tcg.memory >> 20, 3072);
        assert_eq!(Share::of_qemu(&spec(2), Acceleration::Kvm).memory >> 20, 2048);
        assert_eq!(tcg.threads, 98);
        assert_eq!(Share::of_firecracker(&spec(2)).threads, 18);
        let names = |version| tcg.settings(version).map(|(name, _)| name);
        assert_eq!(names(2), ["memory.max", "pids.max", "cpu.weight"]);
        assert_eq!(names(1), ["memory.limit_in_bytes", "pids.max", "cpu.shares"]);
        assert_eq!(Share::of_firecracker(&spec(2)).settings(2)[2].1, "200");
        assert_eq!(Share::of_firecracker(&spec(255)).settings(2)[2].1, "10000");
    }

    #[test]
    fn a_setting_that_a_group_does_not_have_is_left_out_and_one_that_is_refused_is_named() {
        let group = tempfile::tempdir().unwrap();
        set(group.path(), "cpu.weight", "100").unwrap();
        fs::create_dir(group.path().join("pids.max")).unwrap();
        let error = set(group.path(), "pids.max", "1").unwrap_err();
        assert!(error.to_string().contains("pids.max: "), "{error}");
    }

    #[test]
    fn what_a_crash_left_is_removed_and_what_is_not_empty_stays() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("vm");
        let place = root.path().join(place::OURS);
        let [mine, others] = ["vm-1-a", "vm-2-b"].map(|name| place.join(name));
        for path in [&folder, &mine, &others] {
            fs::create_dir_all(path).unwrap();
        }
        fs::write(folder.join(RECORD), mine.display().to_string()).unwrap();
        remove(&folder);
        assert!(!mine.exists() && others.exists() && !folder.join(RECORD).exists());
        fs::write(folder.join(RECORD), others.display().to_string()).unwrap();
        remove(&folder);
        assert!(!place.exists() && root.path().exists());
        remove(&folder);
    }

    #[test]
    fn the_groups_of_a_machine_without_a_folder_are_found_by_its_id() {
        let root = tempfile::tempdir().unwrap();
        let place = root.path().join(place::OURS);
        for name in ["vm-1f-abc", "vm-2-abc", "vm-3-0abc", "vm-4-abcd", "own-abc"] {
            fs::create_dir_all(place.join(name)).unwrap();
        }
        remove_among(std::slice::from_ref(&place), "abc");
        let mut left: Vec<_> = fs::read_dir(&place)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["own-abc", "vm-3-0abc", "vm-4-abcd"]);
        remove_among(&[root.path().join("none")], "abc");
    }

    #[test]
    fn a_machine_that_ran_out_of_memory_is_told_from_one_that_did_not() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("group");
        fs::create_dir(&group).unwrap();
        fs::write(root.path().join(RECORD), group.display().to_string()).unwrap();
        assert!(!ran_out_of_memory(root.path()));
        for (file, text, expected) in [
            ("memory.events", "low 0\noom 0\noom_kill 0\n", false),
            ("memory.events", "oom 1\noom_kill 1\noom_group_kill 0\n", true),
            ("memory.events", "", false),
            (
                "memory.oom_control",
                "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
                true,
            ),
        ] {
            fs::write(group.join(file), text).unwrap();
            assert_eq!(ran_out_of_memory(root.path()), expected, "{text}");
        }
    }
}
