//! How much memory a process has.

use std::fs;
use std::time::{Duration, Instant};

/// How long memory may take to be given back.
const SETTLING: Duration = Duration::from_secs(20);

/// The memory of a process; sizes are in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    pid: u32,
}

impl Memory {
    /// That of this process.
    #[must_use]
    pub fn of(pid: u32) -> Self {
        Self { pid }
    }

    /// What it has now.
    ///
    /// # Panics
    /// The process is gone.
    #[must_use]
    pub fn now(self) -> u64 {
        self.line("VmRSS:")
    }

    /// The most that it had since it began, or since [`Memory::forget_peak`].
    ///
    /// # Panics
    /// The process is gone.
    #[must_use]
    pub fn peak(self) -> u64 {
        self.line("VmHWM:")
    }

    /// Begins to look for another peak: proc(5), `clear_refs`. Where that may not be written, the peak is an earlier one at
    /// worst.
    pub fn forget_peak(self) {
        let _ = fs::write(format!("/proc/{}/clear_refs", self.pid), "5");
    }

    /// What it has once that is no more than `most`, or when it does not get there.
    ///
    /// # Panics
    /// The process is gone.
    #[must_use]
    pub fn settled(self, most: u64) -> u64 {
        let since = Instant::now();
        loop {
            let now = self.now();
            if now <= most || since.elapsed() > SETTLING {
                return now;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn line(self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib: u64 = line.unwrap().trim().trim_end_matches(" kB").parse().unwrap();
        kib << 10
    }
}
