//! Ending everything that runs, at the end of the machine.

use std::fs;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, Signal, pidfd_open, pidfd_send_signal};

/// How long processes get between being asked and being killed.
const GRACE: Duration = Duration::from_secs(3);

/// How long killed ones may take to be gone; one that waits for a dead device never is.
const KILLED: Duration = Duration::from_secs(1);

/// Often enough for whatever forks while it is being killed.
const ROUNDS: usize = 10;

/// `PF_KTHREAD` of the kernel's `sched.h`.
const KERNEL_THREAD: u32 = 0x0020_0000;

/// Ends every process but this one and the spared one: asks, waits, kills.
pub(super) fn end_all(spared: Option<Pid>) {
    // A descriptor for each process, however many there are.
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let _ = rustix::process::setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    );
    let running = running(spared);
    signal(&running, Signal::TERM);
    // A stopped process acts on the first only once it goes on.
    signal(&running, Signal::CONT);
    wait_for_ends(running, GRACE);
    for _ in 0..ROUNDS {
        let left = self::running(spared);
        if left.is_empty() {
            return;
        }
        signal(&left, Signal::KILL);
        wait_for_ends(left, KILLED);
    }
}

fn signal(processes: &[OwnedFd], signal: Signal) {
    for process in processes {
        // Fails for those that have just ended.
        let _ = pidfd_send_signal(process, signal);
    }
}

/// Returns when all have ended, or the time is over.
fn wait_for_ends(mut processes: Vec<OwnedFd>, longest: Duration) {
    let deadline = Instant::now() + longest;
    while !processes.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(timeout) = Timespec::try_from(left) else {
            return;
        };
        let mut polled: Vec<PollFd<'_>> = processes
            .iter()
            .map(|process| PollFd::new(process, PollFlags::IN))
            .collect();
        match poll(&mut polled, Some(&timeout)) {
            Ok(0) => return,
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(_) => return,
        }
        let ended: Vec<bool> = polled.iter().map(|polled| !polled.revents().is_empty()).collect();
        let mut ended = ended.into_iter();
        processes.retain(|_| !ended.next().unwrap_or_default());
    }
}

/// A descriptor of each process there is, without kernel threads, zombies, PID 1 and the spared one.
fn running(spared: Option<Pid>) -> Vec<OwnedFd> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let own = Pid::from_raw(std::process::id().cast_signed());
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(Pid::from_raw)
        .filter(|pid| Some(*pid) != own && Some(*pid) != spared && *pid != Pid::INIT)
        .filter(|pid| {
            let stat = fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero()));
            stat.is_ok_and(|stat| can_be_ended(&String::from_utf8_lossy(&stat)))
        })
        .filter_map(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
        .collect()
}

/// Reads `/proc/PID/stat`: `1 (name) S 0 1 1 0 -1 4194560 …`; a name can hold anything, brackets too.
fn can_be_ended(stat: &str) -> bool {
    let Some((_, fields)) = stat.rsplit_once(')') else {
        return false;
    };
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next();
    let flags: Option<u32> = fields.nth(5).and_then(|flags| flags.parse().ok());
    !matches!(state, None | Some("Z" | "X")) && flags.is_some_and(|flags| flags & KERNEL_THREAD == 0)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn kernel_threads_and_zombies_are_left_alone() {
        for (stat, expected) in [
            ("712 (sh) S 1 712 712 34816 719 4194304 811 0", true),
            ("712 (a ) Z b) R 1 712 712 34816 719 4194304 811 0", true),
            ("712 (sh) Z 1 712 712 34816 719 4194304 811 0", false),
            ("2 (kthreadd) S 0 0 0 0 -1 2129984 0 0", false),
            ("2 (kthreadd", false),
            ("2 (kthreadd) S 0 0", false),
            ("", false),
        ] {
            assert_eq!(can_be_ended(stat), expected, "{stat}");
        }
    }

    #[test]
    fn waiting_ends_when_the_last_process_has() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let open = || {
            let pid = Pid::from_child(&child);
            vec![pidfd_open(pid, PidfdFlags::empty()).unwrap()]
        };
        let (never, soon) = (open(), open());
        wait_for_ends(never, Duration::ZERO);
        assert!(child.try_wait().unwrap().is_none());
        signal(&soon, Signal::TERM);
        let before = Instant::now();
        wait_for_ends(soon, Duration::from_secs(60));
        assert!(before.elapsed() < Duration::from_secs(30));
        assert!(child.wait().unwrap().code().is_none());
    }

    proptest::proptest! {
        #[test]
        fn no_stat_makes_it_panic(stat in "(.|\n){0,200}") {
            let _ = can_be_ended(&stat);
        }
    }
}
