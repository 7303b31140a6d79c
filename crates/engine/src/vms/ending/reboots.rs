//! How soon a guest that reboots itself boots again, and when it does not any more.

use std::time::{Duration, Instant};

/// A boot that lasted longer was of some use: what comes after it is counted anew.
const USEFUL: Duration = Duration::from_secs(10);

/// So many useless boots in a row are enough.
const MOST: u32 = 10;

/// Why a VM is off that would have booted once more.
pub(crate) const TOO_MANY: &str =
    "the guest rebooted 10 times in a row, each time within 10 s of its start, or said so and ran on";

/// The reboots of one VM.
#[derive(Debug, Default)]
pub(crate) struct Reboots {
    ready: Option<Instant>,
    useless: u32,
}

impl Reboots {
    /// The guest runs.
    pub(crate) fn ready(&mut self, now: Instant) {
        self.ready = Some(now);
    }

    /// Somebody has started or stopped it: what it did before does not count.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    /// How long a reboot waits; `None` if it is not to be. After a useless boot it is `first`, after each further one twice
    /// as long. `broken` is one that the guest had to be made to do.
    pub(crate) fn next(&mut self, first: Duration, now: Instant, broken: bool) -> Option<Duration> {
        let lasted = self
            .ready
            .map_or(USEFUL, |ready| now.saturating_duration_since(ready));
        if lasted >= USEFUL && !broken {
            self.useless = 0;
            return Some(Duration::ZERO);
        }
        self.useless += 1;
        (self.useless <= MOST).then(|| first * 2u32.pow(self.useless - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const FIRST: Duration = Duration::from_millis(100);

    #[test]
    fn a_guest_that_reboots_without_end_boots_ever_later_and_then_not_at_all() {
        let mut reboots = Reboots::default();
        let mut now = Instant::now();
        let mut waits = Vec::new();
        loop {
            reboots.ready(now);
            now += SECOND;
            match reboots.next(FIRST, now, false) {
                Some(wait) => waits.push(wait),
                None => break,
            }
        }
        assert_eq!(waits.len(), MOST as usize);
        assert_eq!((waits[0], waits[9]), (FIRST, FIRST * 512));
        assert!(TOO_MANY.contains(&format!(" {MOST} times")) && TOO_MANY.contains(" 10 s "));
        assert_eq!(USEFUL, SECOND * 10);
        // Whoever starts it gives it another chance.
        reboots.forget();
        assert_eq!(reboots.next(FIRST, now, false), Some(Duration::ZERO));
    }

    #[test]
    fn a_boot_of_some_use_counts_anew_unless_the_reboot_was_a_lie() {
        let mut reboots = Reboots::default();
        let start = Instant::now();
        reboots.ready(start);
        assert_eq!(reboots.next(FIRST, start + SECOND, false), Some(FIRST));
        assert_eq!(reboots.next(FIRST, start + SECOND * 2, false), Some(FIRST * 2));
        assert_eq!(reboots.next(FIRST, start + USEFUL, false), Some(Duration::ZERO));
        assert_eq!(reboots.next(FIRST, start + SECOND * 3, false), Some(FIRST));
        assert_eq!(reboots.next(FIRST, start + USEFUL * 9, true), Some(FIRST * 2));
    }
}
