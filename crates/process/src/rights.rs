//! Rights on files of this thread: the process's own, or those of a user in whose folders root works.
//!
//! What lies in a folder that a user can change may be swapped for a link at any moment. Root that works there with the
//! user's own rights opens, makes and changes nothing that the user could not.
//!
//! ```text
//!  FileRights::of(1000, 1000) ─┬─ fsuid 1000, fsgid 1000, no further group; no CAP_DAC_OVERRIDE, CAP_CHOWN, CAP_FOWNER, …
//!                              └─ FileRights::own() ── root's own again, until it is dropped
//!  dropped                     ── root's own again
//! ```
//!
//! Linux keeps all of it for each thread (`credentials(7)`, `setfsuid(2)`), and so do these calls: the C library passes
//! none of them on to other threads. A thread that is spawned meanwhile begins with the rights of its parent.

use std::io;
use std::marker::PhantomData;
use std::sync::OnceLock;

use nix::unistd;
use rustix::io::Errno;
use rustix::process::{Gid, Uid, getegid, geteuid, getgroups};
use rustix::thread::{CapabilitySet, capabilities, set_thread_groups};

/// What overrules the rights on files. Linux takes these away with user 0 and gives them back with it
/// (`capabilities(7)`).
const OVERRULING: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::LINUX_IMMUTABLE)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::MAC_OVERRIDE);

/// This process's own groups, from before any of them was given up.
static OWN_GROUPS: OnceLock<Vec<Gid>> = OnceLock::new();

/// Other rights on files than before, on this thread. Dropped, it has those from before again.
#[derive(Debug)]
#[must_use = "dropped at once, it changes nothing"]
pub struct FileRights {
    /// None where nothing was changed.
    before: Option<Held>,
    /// It is of this thread.
    _thread: PhantomData<*const ()>,
}

/// Rights that a thread has.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    user: u32,
    group: u32,
    groups: Vec<Gid>,
}

impl FileRights {
    /// Root's thread takes those of a user and a group, and of no further groups.
    ///
    /// # Errors
    /// This process may not, or would keep rights beyond the user's; the thread has those from before then.
    pub fn of(user: u32, group: u32) -> io::Result<Self> {
        let before = Held::now()?;
        if before.user == geteuid().as_raw() {
            OWN_GROUPS.get_or_init(|| before.groups.clone());
        }
        let wanted = Held {
            user,
            group,
            groups: Vec::new(),
        };
        // Put back by this, whatever fails below.
        let rights = Self {
            before: Some(before),
            _thread: PhantomData,
        };
        // Groups are given up while it is root that does so.
        set_thread_groups(&[])?;
        put_on(Uid::from_raw(user), Gid::from_raw(group))?;
        if Held::now()? != wanted || user == 0 || capabilities(None)?.effective.intersects(OVERRULING) {
            return Err(Errno::PERM.into());
        }
        Ok(rights)
    }

    /// The process's own, for what is none of the user's business.
    pub fn own() -> Self {
        let nothing = Self {
            before: None,
            _thread: PhantomData,
        };
        let own = geteuid();
        if !own.is_root() || held_user() == own.as_raw() {
            return nothing;
        }
        let before = Held::now().ok();
        own_again();
        Self { before, ..nothing }
    }
}

impl Drop for FileRights {
    fn drop(&mut self) {
        let Some(before) = &self.before else { return };
        // Through root, who may become anybody.
        own_again();
        if before.user == geteuid().as_raw() {
            return;
        }
        let back = set_thread_groups(&before.groups)
            .and_then(|()| put_on(Uid::from_raw(before.user), Gid::from_raw(before.group)));
        go_on(back);
    }
}

impl Held {
    fn now() -> io::Result<Self> {
        Ok(Self {
            user: held_user(),
            group: held_group(),
            groups: getgroups()?,
        })
    }
}

/// Takes a user's and a group's rights on files. Nothing here allocates or locks: a child calls it between fork and exec.
pub(crate) fn put_on(user: Uid, group: Gid) -> Result<(), Errno> {
    unistd::setfsgid(unistd::Gid::from_raw(group.as_raw()));
    unistd::setfsuid(unistd::Uid::from_raw(user.as_raw()));
    // Neither says whether it did.
    if held_user() == user.as_raw() && held_group() == group.as_raw() {
        Ok(())
    } else {
        Err(Errno::PERM)
    }
}

/// This process's own rights, its groups included.
fn own_again() {
    let own = put_on(geteuid(), getegid());
    go_on(own.and_then(|()| match OWN_GROUPS.get() {
        Some(groups) => set_thread_groups(groups),
        // None was ever given up.
        None => Ok(()),
    }));
}

/// A thread that went on with another user's rights, or with more than it should have, would do harm in silence.
fn go_on(outcome: Result<(), Errno>) {
    if outcome.is_err() {
        std::process::abort();
    }
}

fn held_user() -> u32 {
    // No user has this number: it stays who it is, and says so.
    unistd::setfsuid(unistd::Uid::from_raw(u32::MAX)).as_raw()
}

fn held_group() -> u32 {
    unistd::setfsgid(unistd::Gid::from_raw(u32::MAX)).as_raw()
}
