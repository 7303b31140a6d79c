//! What a program has started, where it is another one than was meant: a script in the place of passt, say. It is in the
//! program's process group unless it left that, and ends with the program.

use std::fs;
use std::path::Path;

use nix::sys::signal::killpg;
use nix::unistd::Pid;
use rustix::process::{Signal, kill_process_group};

use crate::Identity;
use crate::identity::{Stat, boot_id};

/// How often what is left is looked for: it may be starting more meanwhile.
const MOST_ROUNDS: usize = 10;

impl Identity {
    /// Kills the program with its group, if it is there still.
    pub(crate) fn kill_group(&self) {
        let pid = i32::try_from(self.pid)
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid.filter(|_| self.leads_group()) {
            // The program itself is signalled by its descriptor, which tells of a failure.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }

    /// Kills what the program, which has ended, has left in its group and in `folder`, where it worked itself. No other is
    /// signalled: the number of a group that is empty comes back.
    pub fn end_left_behind(&self, folder: &Path) {
        let Ok(group) = i32::try_from(self.pid) else {
            return;
        };
        let Ok(folder) = folder.canonicalize() else { return };
        for _ in 0..MOST_ROUNDS {
            let gone = killpg(Pid::from_raw(group), None).is_err();
            if gone || !boot_id().is_ok_and(|boot| boot == self.boot_id) || !self.kill_left_in(&folder) {
                return;
            }
        }
    }

    /// Kills those that are there now; whether there were any.
    fn kill_left_in(&self, folder: &Path) -> bool {
        let Ok(processes) = fs::read_dir("/proc") else {
            return false;
        };
        let pids = processes
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let mut any = false;
        for pid in pids {
            let is_left = || {
                Stat::of(pid).is_ok_and(|stat| stat.group == self.pid && stat.start_time >= self.start_time)
                    && fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|works_in| works_in == folder)
            };
            if !is_left() {
                continue;
            }
            let opened = Self::of(pid).ok().and_then(|identity| identity.open());
            // Once more: the descriptor cannot change hands from here on.
            if let Some(process) = opened.filter(|_| is_left()) {
                any |= process.kill(Signal::KILL).is_ok();
            }
        }
        any
    }
}
