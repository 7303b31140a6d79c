//! A confinement that is a small system of its own, for building one: root inside and users beside it, who may do to
//! files, users and processes there what a system's root may, in a tree that is all of theirs.
//!
//! ```text
//!  the host                                  inside
//!    uid 2130706432 (or the user itself)     uid 0, with a few of a root's rights
//!    uid 2130706433 … 2130771967             uid 1 … 65535
//!    …/work/tree                      ───▶   /, or a folder in a root like any confinement's
//!    /proc, /dev                             its own processes, read-only; null, zero, full, random, urandom, tty
//! ```
//!
//! The rights are those of the user namespace: on the host they count for nothing. Where there can be none, root's
//! process keeps the same few rights of root's own, with which mounts, missing rights and a filter of system calls
//! ([`crate::SystemCalls`]) have to hold it inside.

use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, MoveMountFlags, mount_change, move_mount};
use rustix::process::{Gid, Uid, fchdir, umask};
use rustix::thread::{CapabilitySet, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::enter::{
    Broken, ROOT_ENTRIES, ROOT_SIZE, empty, forbid_further_namespaces, keep_rights, leave, open_folder,
    open_source, take,
};
use super::plan::{IDS, LEAVE, Plan, RIGHTS, ROOT, STEPS, Step};
use super::{Confinement, IdRange, Rights, What};

/// What a system's root does to files, users and processes.
const RIGHTS_INSIDE: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::SETFCAP);
/// What it does to roots and mounts.
const RIGHTS_TO_MOUNT: CapabilitySet = CapabilitySet::SYS_ADMIN.union(CapabilitySet::SYS_CHROOT);
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// Names and empty files are all that is in it.
const DEVICES_SIZE: u64 = 64 * 1024;
const SHARED_MEMORY_SIZE: u64 = 64 * 1024 * 1024;

/// See [`Confinement::system`].
#[derive(Clone, Debug)]
pub(super) struct System {
    ids: Option<IdRange>,
    root: Option<PathBuf>,
    mounts: bool,
}

impl Confinement {
    /// A small system of its own, with `/proc` and `/dev`. Its ids are those of the range, in a user namespace; without
    /// one they are the host's, which is for root alone, where user namespaces are refused.
    #[must_use]
    pub fn system(ids: Option<IdRange>) -> Self {
        let mut confinement = Self::new(0);
        confinement.system = Some(System {
            ids,
            root: None,
            mounts: false,
        });
        confinement
            .add("/proc", What::Processes)
            .add("/dev", scratch(DEVICES_SIZE, c"0755"))
            .add("/dev/pts", What::Terminals)
            .add("/dev/shm", scratch(SHARED_MEMORY_SIZE, c"1777"));
        for (at, to) in [
            ("/dev/fd", "/proc/self/fd"),
            ("/dev/stdin", "/proc/self/fd/0"),
            ("/dev/stdout", "/proc/self/fd/1"),
            ("/dev/stderr", "/proc/self/fd/2"),
            ("/dev/ptmx", "pts/ptmx"),
        ] {
            confinement.add(at, What::Link { to: to.into() });
        }
        for device in DEVICES {
            let path = Path::new("/dev").join(device);
            if path.exists() {
                confinement.device(path);
            }
        }
        confinement
    }

    /// Makes a folder of the host the root itself: everything in it is the system's own. What else is shown is mounted
    /// over folders of it, over no link.
    pub fn rooted_at(&mut self, tree: impl Into<PathBuf>) -> &mut Self {
        if let Some(system) = &mut self.system {
            system.root = Some(tree.into());
        }
        self
    }

    /// Leaves a system the rights to mount and to change roots inside.
    pub fn mounts(&mut self) -> &mut Self {
        if let Some(system) = &mut self.system {
            system.mounts = true;
        }
        self
    }

    /// Gives a folder of the host away: programs in it can be run, but no device in it is one.
    pub fn give(&mut self, source: impl Into<PathBuf>, at: impl Into<PathBuf>) -> &mut Self {
        self.bind(source, at, Rights::Own)
    }
}

fn scratch(bytes: u64, mode: &'static std::ffi::CStr) -> What {
    What::Scratch { bytes, mode }
}

/// A system made ready for the child.
#[derive(Debug)]
pub(crate) struct SystemPlan {
    ids: Option<Mapping>,
    /// The tree that becomes the root.
    pub(super) root: Option<Step>,
    kept: CapabilitySet,
}

/// The child waits on the pipe until its ids are mapped.
#[derive(Debug)]
struct Mapping {
    range: IdRange,
    wait: OwnedFd,
    go: OwnedFd,
}

impl SystemPlan {
    pub(super) fn new(system: &System) -> io::Result<Self> {
        let ids = match system.ids {
            Some(range) => {
                let (wait, go) = io::pipe()?;
                Some(Mapping {
                    range,
                    wait: wait.into(),
                    go: go.into(),
                })
            }
            None => None,
        };
        let root = match &system.root {
            Some(root) => Some(Step::bind(root, Path::new(""), Rights::Own, false)?),
            None => None,
        };
        let kept = if system.mounts {
            RIGHTS_INSIDE.union(RIGHTS_TO_MOUNT)
        } else {
            RIGHTS_INSIDE
        };
        Ok(Self { ids, root, kept })
    }

    pub(super) fn has_user_namespace(&self) -> bool {
        self.ids.is_some()
    }

    /// What the child needs open.
    pub(crate) fn kept_open(&self) -> Option<&OwnedFd> {
        self.ids.as_ref().map(|mapping| &mapping.wait)
    }

    /// For the parent: gives a child, which waits for it, its ids.
    pub(crate) fn map(&self, pid: u32) -> io::Result<()> {
        let Some(Mapping { range, go, .. }) = &self.ids else {
            return Ok(());
        };
        range.map(pid)?;
        io::PipeWriter::from(go.try_clone()?).write_all(b"g")
    }
}

/// Confines this process, which was just forked into [`Plan::namespaces`].
pub(super) fn enter(plan: &Plan, system: &SystemPlan) -> Result<(), Broken> {
    let ids = |error| (IDS, error);
    let proc = open_folder(c"/proc").map_err(ids)?;
    if let Some(Mapping { wait, .. }) = &system.ids {
        let mut byte = [0];
        match rustix::io::read(wait, &mut byte) {
            Ok(1) => {}
            Ok(_) => return Err(ids(Errno::PIPE)),
            Err(error) => return Err(ids(error)),
        }
    }
    // For good: what is made inside is for all of the system's users, as far as its mode says so.
    umask(Mode::from_raw_mode(0o022));
    mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(|error| (ROOT, error))?;
    // Paths of the host are followed while this process is still, on the host, who its parent is. What is made inside
    // is made by root inside.
    for (number, step) in (STEPS..).zip(&plan.steps) {
        open_source(step).map_err(|error| (number, error))?;
    }
    if let Some(tree) = &system.root {
        open_source(tree).map_err(|error| (ROOT, error))?;
    }
    become_root().map_err(ids)?;

    let memory;
    let root = match system.root.as_ref().and_then(Step::opened) {
        Some(tree) => tree,
        None => {
            memory = empty(ROOT_SIZE, ROOT_ENTRIES, c"0755").map_err(|error| (ROOT, error))?;
            &memory
        }
    };
    // Over the old root, where it hides nothing: paths still begin below it.
    move_mount(root, c"", CWD, c"/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(|error| (ROOT, error))?;
    fchdir(root).map_err(|error| (ROOT, error))?;
    for (number, step) in (STEPS..).zip(&plan.steps) {
        take(step, root, system.root.is_some()).map_err(|error| (number, error))?;
    }
    leave(root, system.root.is_none()).map_err(|error| (LEAVE, error))?;
    if system.has_user_namespace() {
        forbid_further_namespaces(&proc);
    }
    keep_rights(system.kept).map_err(|error| (RIGHTS, error))
}

fn become_root() -> Result<(), Errno> {
    set_thread_groups(&[])?;
    set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)?;
    set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)
}
