//! The child's way in. Runs between fork and exec: nothing here allocates or locks, each call is a bare system call
//! on what the plan holds.

use std::ffi::CStr;
use std::os::fd::OwnedFd;

use nix::sched::CloneFlags;
use nix::sys::prctl;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, mkdirat, openat, openat2, symlinkat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount_change, move_mount, open_tree,
    unmount,
};
use rustix::process::{chdir, fchdir, getegid, geteuid, pivot_root, umask};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use super::ids::Other;
use super::mounts::restrict;
use super::plan::{IDS, LEAVE, Plan, RIGHTS, ROOT, STEPS, Step};
use super::system;
use crate::rights;
use crate::wire::{WirePlan, lay};

/// Which part failed, with which error.
pub(crate) type Broken = (u32, Errno);

/// Host name inside: a host's own says who its user is.
const HOST_NAME: &[u8] = b"banger";
/// Room for the folders and empty files of the root itself.
pub(super) const ROOT_SIZE: &CStr = c"256k";
/// How many these are: hosts have some hundreds of things to show.
pub(super) const ROOT_ENTRIES: &CStr = c"4096";

/// Confines this process, which was just forked into [`Plan::namespaces`], after it has got its network card if it is
/// to have one.
///
/// The system takes back on the way that the process dies with its parent; it is asked for again at the end.
pub(crate) fn enter(plan: &Plan, wire: Option<&WirePlan>) -> Result<(), Broken> {
    if let Some(system) = &plan.system {
        return system::enter(plan, system);
    }
    let ids = |error| (IDS, error);
    let proc = open_folder(c"/proc").map_err(ids)?;
    if !plan.ids.privileged {
        map_ids(plan, &proc).map_err(ids)?;
    }
    if let Some(wire) = wire {
        lay(wire, plan.ids.user())?;
    }

    let mask = umask(Mode::from_raw_mode(0o022));
    let root = make_root().map_err(|error| (ROOT, error))?;
    for (number, step) in (STEPS..).zip(&plan.steps) {
        open_as_user(step, plan.ids.other.as_ref())
            .and_then(|()| take(step, &root, false))
            .map_err(|error| (number, error))?;
    }
    leave(&root, true).map_err(|error| (LEAVE, error))?;
    umask(mask);

    let own_user_namespace = if plan.ids.privileged {
        drop_bounding_set().map_err(|error| (RIGHTS, error))?;
        if let Some(other) = &plan.ids.other {
            become_other(other).map_err(ids)?;
        }
        // It would only add that no further ones can be made. A host without any confines root's processes as well.
        let made = nix::sched::unshare(CloneFlags::CLONE_NEWUSER).is_ok();
        if made {
            map_ids(plan, &proc).map_err(ids)?;
        }
        made
    } else {
        true
    };
    if own_user_namespace {
        forbid_further_namespaces(&proc);
        drop_bounding_set().map_err(|error| (RIGHTS, error))?;
    }
    give_up_rights().map_err(|error| (RIGHTS, error))
}

/// Becomes the one user of the new user namespace.
fn map_ids(plan: &Plan, proc: &OwnedFd) -> Result<(), Errno> {
    // What became another user belongs to root in `/proc` otherwise, and could not write there.
    prctl::set_dumpable(true).map_err(errno)?;
    write(proc, c"self/setgroups", b"deny")?;
    write(proc, c"self/gid_map", plan.ids.gid_map.as_bytes())?;
    write(proc, c"self/uid_map", plan.ids.uid_map.as_bytes())
}

/// Gives an empty root a place, and works in it.
fn make_root() -> Result<OwnedFd, Errno> {
    // What is mounted from here on stays in this namespace, and what the host mounts later out of it.
    mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let root = empty(ROOT_SIZE, ROOT_ENTRIES, c"0755")?;
    // Over the old root, where it hides nothing: paths still begin below it.
    move_mount(&root, c"", CWD, c"/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    fchdir(&root)?;
    Ok(root)
}

/// A file system in memory that is mounted nowhere yet. Each of its entries takes memory of the kernel's, which its size
/// does not count.
pub(super) fn empty(size: &CStr, entries: &CStr, mode: &CStr) -> Result<OwnedFd, Errno> {
    let context = fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, c"size", size)?;
    fsconfig_set_string(&context, c"nr_inodes", entries)?;
    fsconfig_set_string(&context, c"mode", mode)?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// Opens what a step binds, so that it can be bound later.
pub(super) fn open_source(step: &Step) -> Result<(), Errno> {
    let Step::Bind {
        source,
        attributes,
        opened,
        ..
    } = step
    else {
        return Ok(());
    };
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let copy = open_tree(CWD, source.as_c_str(), flags)?;
    restrict(&copy, *attributes, true)?;
    // It is opened once.
    let _ = opened.set(copy);
    Ok(())
}

/// Opens what a step binds, where the way there is that of the user to become. (The groups that this process has
/// meanwhile are that user's already: it takes them for good later on.)
fn open_as_user(step: &Step, other: Option<&Other>) -> Result<(), Errno> {
    let (Step::Bind { by_user: true, .. }, Some(other)) = (step, other) else {
        return Ok(());
    };
    set_thread_groups(&other.groups)?;
    rights::put_on(other.uid, other.gid)?;
    let opened = open_source(step);
    rights::put_on(geteuid(), getegid())?;
    opened
}

/// `in_tree`: the root is a folder in which there may be what is to be made already.
pub(super) fn take(step: &Step, root: &OwnedFd, in_tree: bool) -> Result<(), Errno> {
    // Over no link: a folder of the host that is shown may hold one in the place's way.
    let place = |mount: &OwnedFd, at: &CStr| {
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let place = openat2(root, at, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), within)?;
        let both = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(mount, c"", &place, c"", both)
    };
    match step {
        Step::Folder(at) => match mkdirat(root, at.as_c_str(), Mode::from_raw_mode(0o755)) {
            Err(Errno::EXIST) if in_tree => Ok(()),
            made => made,
        },
        Step::File(at) => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            openat(root, at.as_c_str(), flags, Mode::from_raw_mode(0o444)).map(drop)
        }
        Step::Link { at, to } => symlinkat(to.as_c_str(), root, at.as_c_str()),
        Step::Bind { at, opened, .. } => {
            if opened.get().is_none() {
                open_source(step)?;
            }
            place(opened.get().ok_or(Errno::BADF)?, at)
        }
        Step::Scratch {
            at,
            size,
            entries,
            mode,
        } => place(&empty(size, entries, mode)?, at),
        Step::Processes { at } => match processes() {
            Ok(mount) => place(&mount, at),
            // A container that hides parts of its own from its root. The folder stays empty.
            Err(Errno::PERM) => Ok(()),
            Err(error) => Err(error),
        },
        Step::Terminals { at } => place(&terminals()?, at),
    }
}

/// This pid namespace, which nobody can change anything by.
fn processes() -> Result<OwnedFd, Errno> {
    let context = fsopen(c"proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// Pseudo-terminals of its own.
fn terminals() -> Result<OwnedFd, Errno> {
    let context = fsopen(c"devpts", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in [(c"mode", c"0620"), (c"ptmxmode", c"0666"), (c"gid", c"5")] {
        fsconfig_set_string(&context, key, value)?;
    }
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// Makes `root`, in which this process works, its root, and lets go of the host's.
pub(super) fn leave(root: &OwnedFd, read_only: bool) -> Result<(), Errno> {
    if read_only {
        restrict(root, MountAttrFlags::MOUNT_ATTR_RDONLY, false)?;
    }
    // The old root comes to lie over the new one, and from there it is taken off (`pivot_root(2)`).
    pivot_root(c".", c".")?;
    unmount(c".", UnmountFlags::DETACH)?;
    chdir(c"/")?;
    rustix::system::sethostname(HOST_NAME)
}

/// Becomes another user, with its groups.
pub(crate) fn become_other(other: &Other) -> Result<(), Errno> {
    set_thread_groups(&other.groups)?;
    set_thread_res_gid(other.gid, other.gid, other.gid)?;
    set_thread_res_uid(other.uid, other.uid, other.uid)
}

/// A way into much of the kernel that a VMM never needs. An addition: where `/proc/sys` cannot be written, the
/// process is confined without it.
pub(super) fn forbid_further_namespaces(proc: &OwnedFd) {
    let _ = write(proc, c"sys/user/max_user_namespaces", b"0");
}

/// No program that is executed gets a capability, whoever executes it.
fn drop_bounding_set() -> Result<(), Errno> {
    keep_bounding_set(CapabilitySet::empty())
}

fn keep_bounding_set(kept: CapabilitySet) -> Result<(), Errno> {
    for number in (0..u64::BITS).filter(|number| kept.bits() & (1 << number) == 0) {
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)) {
            // There is none of that number, nor of a higher one.
            Err(Errno::INVAL) => break,
            other => other?,
        }
    }
    Ok(())
}

fn give_up_rights() -> Result<(), Errno> {
    keep_rights_of_now(CapabilitySet::empty())
}

/// Keeps these rights and no others, for the programs that are executed as well.
pub(super) fn keep_rights(kept: CapabilitySet) -> Result<(), Errno> {
    keep_bounding_set(kept)?;
    keep_rights_of_now(kept)
}

fn keep_rights_of_now(kept: CapabilitySet) -> Result<(), Errno> {
    clear_ambient_capability_set()?;
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets)?;
    set_no_new_privs(true)?;
    prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).map_err(errno)
}

pub(super) fn open_folder(path: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty())
}

/// Writes a file of the kernel's, which takes it at once or not at all.
fn write(folder: &OwnedFd, path: &CStr, text: &[u8]) -> Result<(), Errno> {
    let file = openat(folder, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, text).map(drop)
}

fn errno(error: nix::Error) -> Errno {
    Errno::from_raw_os_error(error as i32)
}
