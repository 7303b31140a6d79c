//! Which process a pid stands for: pid, start time and boot.

use std::fs;
use std::io;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

use crate::Handle;

/// Names one process for ever: a pid comes back, the three together do not.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Process id.
    pub pid: u32,
    /// When it started, in clock ticks since boot (field 22 of `/proc/<pid>/stat`, `proc(5)`).
    pub start_time: u64,
    /// The host's boot (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: String,
}

impl Identity {
    /// The identity of the process that has `pid` now.
    ///
    /// # Errors
    /// There is no such process, or it has ended and only waits to be reaped.
    pub fn of(pid: u32) -> io::Result<Self> {
        let stat = Stat::of(pid)?;
        if stat.has_ended() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Self {
            pid,
            start_time: stat.start_time,
            boot_id: boot_id()?,
        })
    }

    /// Whether this process goes on without its main thread: that one has ended alone. A process that is just ending may
    /// look like this for a moment.
    pub(crate) fn is_headless(&self) -> bool {
        Stat::of(self.pid).is_ok_and(|stat| stat.is_headless() && stat.start_time == self.start_time)
    }

    /// Whether this very process still runs, or any thread of it. A process that ended and waits to be reaped does not.
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid).is_ok_and(|now| now == *self)
    }

    /// Whether it leads a process group, until it is reaped.
    pub(crate) fn leads_group(&self) -> bool {
        Stat::of(self.pid).is_ok_and(|stat| stat.start_time == self.start_time && stat.group == self.pid)
    }

    /// Opens the process. `None`: it has ended, whatever has its pid now.
    ///
    /// The descriptor is opened first and the identity read after: a descriptor of a later process of the same
    /// pid is found out by its start time, and one of this process cannot change hands any more.
    pub fn open(&self) -> Option<Handle> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw)?;
        let descriptor = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        self.is_alive().then(|| Handle::found(self.clone(), descriptor))
    }
}

/// The id of the host's current boot.
pub(crate) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim_end()
        .to_owned())
}

/// What is read from `/proc/<pid>/stat`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) state: u8,
    pub(crate) group: u32,
    pub(crate) session: u32,
    /// Processor time in clock ticks, its own and of children that it has waited for.
    pub(crate) ticks: u64,
    threads: u64,
    pub(crate) start_time: u64,
}

impl Stat {
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let stat = fs::read(format!("/proc/{pid}/stat")).map_err(|error| match error.raw_os_error() {
            // A process that ends while its file is read.
            Some(code) if code == nix::libc::ESRCH => io::ErrorKind::NotFound.into(),
            _ => error,
        })?;
        Ok(Self::parse(&stat).ok_or(io::ErrorKind::InvalidData)?)
    }

    /// Parses the line. The command's name, in brackets, may itself hold spaces, brackets and line feeds, so the
    /// fields are counted from its last closing bracket.
    fn parse(line: &[u8]) -> Option<Self> {
        let end = line.iter().rposition(|&byte| byte == b')')?;
        let rest = std::str::from_utf8(line.get(end + 1..)?).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let state = match fields.next()?.as_bytes() {
            &[state] => state,
            _ => return None,
        };
        // The state is field 3, the process group field 5, the session field 6, four times begin at field 14, the number of
        // threads is field 20, the start time field 22. A group or session of another PID namespace is 0.
        let group = fields.nth(5 - 4)?.parse::<i64>().ok()?;
        let session = fields.next()?.parse::<i64>().ok()?;
        let mut ticks = 0_u64;
        fields.nth(13 - 7)?;
        for _ in 14..18 {
            ticks = ticks.saturating_add(fields.next()?.parse().ok()?);
        }
        let threads = fields.nth(20 - 18)?.parse().ok()?;
        let start_time = fields.nth(22 - 21)?.parse().ok()?;
        Some(Self {
            state,
            group: u32::try_from(group).unwrap_or(0),
            session: u32::try_from(session).unwrap_or(0),
            ticks,
            threads,
            start_time,
        })
    }

    /// The state is that of the main thread, which stays as long as there are others.
    fn has_ended(&self) -> bool {
        self.main_thread_has_ended() && self.threads <= 1
    }

    fn is_headless(&self) -> bool {
        self.main_thread_has_ended() && self.threads > 1
    }

    fn main_thread_has_ended(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let line = b"42 (a) S 1 (b) R 1 42 42 0 -1 4194304 3 4 5 6 7 8 9 10 20 0 1 0 987654 1 2 3\n";
        assert_eq!(
            Stat::parse(line),
            Some(Stat {
                state: b'R',
                group: 42,
                session: 42,
                ticks: 7 + 8 + 9 + 10,
                threads: 1,
                start_time: 987_654
            })
        );
    }

    #[test]
    fn this_process_is_alive_and_opens() {
        let identity = Identity::of(std::process::id()).unwrap();
        assert!(identity.is_alive());
        assert!(identity.open().is_some());
    }

    #[test]
    fn a_pid_that_was_used_again_is_refused() {
        let now = Identity::of(std::process::id()).unwrap();
        let earlier = Identity {
            start_time: now.start_time - 1,
            ..now.clone()
        };
        let other_boot = Identity {
            boot_id: "00000000-0000-0000-0000-000000000000".into(),
            ..now
        };
        for identity in [earlier, other_boot] {
            assert!(!identity.is_alive());
            assert!(identity.open().is_none());
        }
    }

    #[test]
    fn pids_that_cannot_be_are_refused() {
        for pid in [0, u32::MAX, i32::MAX as u32] {
            let identity = Identity {
                pid,
                start_time: 0,
                boot_id: boot_id().unwrap(),
            };
            assert!(!identity.is_alive(), "{pid}");
            assert!(identity.open().is_none(), "{pid}");
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_the_parser_panic(line: Vec<u8>) {
            let _ = Stat::parse(&line);
        }

        #[test]
        fn an_identity_survives_its_file(pid: u32, start_time: u64, boot_id: String) {
            let identity = Identity { pid, start_time, boot_id };
            let text = serde_json::to_string(&identity).unwrap();
            prop_assert_eq!(serde_json::from_str::<Identity>(&text).unwrap(), identity);
        }
    }
}
