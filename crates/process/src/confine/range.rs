//! A range of the host's ids, for those who are many inside: root, packages' users, nobody.
//!
//! Root takes one that neither distributions nor containers hand out, and maps it by itself. A plain user has one by
//! `/etc/subuid` and `/etc/subgid`, which newuidmap(1) and newgidmap(1) map; root inside is the user itself then.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};

use rustix::process::{getegid, geteuid};

use super::ids::{RANGES, has_range};

/// Ids that a range has: up to `nobody`, 65534, and one more.
pub(super) const SIZE: u32 = 65536;

/// Ids on the host that stand for 0 to 65535 inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    users: Part,
    groups: Part,
    /// Whether this process may map it without help.
    by_itself: bool,
}

/// Of users or of groups: what root inside is on the host, and where the others begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    root: u32,
    others: u32,
}

/// Why there is no range.
#[derive(Debug, thiserror::Error)]
pub enum NoRange {
    /// The file gives this user none that is large enough.
    #[error("{file} gives {user} no range of {SIZE} ids")]
    NotGiven {
        /// By name, or by number.
        user: String,
        /// `/etc/subuid` or `/etc/subgid`.
        file: &'static str,
    },
    /// Root of a container, which has too few itself.
    #[error("this system's root has no range of {SIZE} ids to give away")]
    TooFew,
    /// It cannot be found out.
    #[error("cannot read {file}: {source}")]
    Unread {
        /// What says it.
        file: &'static str,
        /// The system's reason.
        source: io::Error,
    },
}

impl IdRange {
    /// For this process, started by root or by somebody else. Those that root takes for different numbers differ, as far
    /// as there are enough.
    ///
    /// # Errors
    /// There is none.
    pub fn find(number: u64) -> Result<Self, NoRange> {
        if geteuid().is_root() {
            return Self::of_root(number);
        }
        let uid = geteuid().as_raw();
        let name = nix::unistd::User::from_uid(uid.into())
            .ok()
            .flatten()
            .map(|user| user.name);
        let part = |file, root| {
            let text = fs::read_to_string(file).unwrap_or_default();
            match given(&text, name.as_deref(), uid) {
                Some(others) => Ok(Part { root, others }),
                None => Err(NoRange::NotGiven {
                    user: name.clone().unwrap_or_else(|| uid.to_string()),
                    file,
                }),
            }
        };
        Ok(Self {
            users: part("/etc/subuid", uid)?,
            groups: part("/etc/subgid", getegid().as_raw())?,
            by_itself: false,
        })
    }

    fn of_root(number: u64) -> Result<Self, NoRange> {
        let mut known = Vec::new();
        for file in ["/proc/self/uid_map", "/proc/self/gid_map"] {
            // Not to know of a range is not to have none: without one, root's builds would run with less around them.
            known.push(fs::read_to_string(file).map_err(|source| NoRange::Unread { file, source })?);
        }
        let slot =
            u32::try_from(number % u64::from(RANGES.1)).expect("it is less than a number of that size");
        let first = RANGES.0 + slot * SIZE;
        if !known.iter().all(|map| has_range(map, first, SIZE)) {
            return Err(NoRange::TooFew);
        }
        let part = Part {
            root: first,
            others: first + 1,
        };
        Ok(Self {
            users: part,
            groups: part,
            by_itself: true,
        })
    }

    /// The user and the group on the host that stand for root inside.
    #[must_use]
    pub fn root(&self) -> (u32, u32) {
        (self.users.root, self.groups.root)
    }

    /// Maps it for a process that was just made with a user namespace of its own, and waits.
    pub(super) fn map(&self, pid: u32) -> io::Result<()> {
        // Groups first, as `user_namespaces(7)` has it.
        for (kind, program, part) in [
            ("gid_map", "newgidmap", self.groups),
            ("uid_map", "newuidmap", self.users),
        ] {
            if self.by_itself {
                let line = format!("0 {} {SIZE}\n", part.root);
                fs::File::options()
                    .write(true)
                    .open(format!("/proc/{pid}/{kind}"))?
                    .write_all(line.as_bytes())?;
            } else {
                let numbers = [pid, 0, part.root, 1, 1, part.others, SIZE - 1];
                run(program, &numbers)?;
            }
        }
        Ok(())
    }
}

fn run(program: &str, numbers: &[u32]) -> io::Result<()> {
    let mut command = Command::new(program);
    command
        .args(numbers.iter().map(u32::to_string))
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
        .stdin(Stdio::null());
    let output = command
        .output()
        .map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().next().unwrap_or(program);
    Err(io::Error::other(line.replace(char::is_control, " ")))
}

/// Where the first range that a subuid(5) file gives the user begins, if one is large enough.
fn given(text: &str, user: Option<&str>, uid: u32) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (owner, first, count) = (fields.next()?, fields.next()?, fields.next()?);
        let ours = user.is_some_and(|user| OsStr::new(user) == owner) || owner.parse() == Ok(uid);
        let (first, count): (u32, u32) = (first.trim().parse().ok()?, count.trim().parse().ok()?);
        let enough = count >= SIZE - 1 && first.checked_add(SIZE - 1).is_some();
        (ours && first != 0 && enough).then_some(first)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_belongs_to_the_user_by_name_or_number_and_is_large_enough() {
        for (text, first) in [
            ("ann:100000:65536\n", Some(100_000)),
            ("bob:100000:65536\nann:165536:65536\n", Some(165_536)),
            ("ann:100000:1000\nann:200000:65535\n", Some(200_000)),
            ("1000:100000:65536\n", Some(100_000)),
            ("", None),
            ("bob:100000:65536\n", None),
            ("ann:100000:1000\n", None),
            ("ann:100000\n", None),
            ("ann:100000:many\n", None),
            ("1001:100000:65536\n", None),
            ("ann:0:65536\n", None),
            ("ann:4294967295:65536\n", None),
        ] {
            assert_eq!(given(text, Some("ann"), 1000), first, "{text:?}");
        }
        assert_eq!(given(":1:65536\n", None, 1000), None);
    }
}
