//! What a program and all that it has started do: whether they work or wait.

use std::fs;
use std::io;

use crate::identity::Stat;

/// Of all processes of a session, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Processor time so far, in clock ticks.
    ticks: u64,
    /// Whether each of them sleeps until something comes; a disk is not slept for in this way.
    sleeping: bool,
}

impl Activity {
    /// Whether nothing has been done since an earlier moment, and nothing is.
    #[must_use]
    pub fn rests_since(&self, earlier: &Self) -> bool {
        self == earlier && self.sleeping
    }

    pub(crate) fn of_session(session: u32) -> io::Result<Self> {
        let mut all = Self {
            ticks: 0,
            sleeping: true,
        };
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // It ends meanwhile, or is hidden.
            let Ok(stat) = Stat::of(pid) else { continue };
            if stat.session == session {
                all.ticks = all.ticks.saturating_add(stat.ticks);
                all.sleeping &= matches!(stat.state, b'S' | b'Z');
            }
        }
        Ok(all)
    }
}
