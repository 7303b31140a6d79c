//! The wall clock: the guest's own stood still while a snapshot lay on disk or its host slept, or starts wherever its
//! hardware says.
//!
//! The host sets it, and the guest may move it as well: its time service, or its user. By how much it did is known by
//! the kernel's raw clock, which nothing but time moves. So the host can make up for time that the guest has missed, and
//! leave alone what the guest has set.

use std::io;
use std::sync::{Mutex, PoisonError};

use guest::{Clock, SetClock};
use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};

const NANOSECONDS: i128 = 1_000_000_000;

/// Where the time comes from.
pub(crate) trait Source: Send + Sync {
    /// The wall clock, in nanoseconds since the Unix epoch, and the raw one, at the same time.
    fn read(&self) -> (i128, i128);

    /// Sets the wall clock.
    fn set(&self, unix_time_ns: i128) -> io::Result<()>;
}

/// The wall clock, and what of it is the host's doing.
pub struct WallClock {
    source: Box<dyn Source>,
    /// What the wall clock was ahead of the raw one when the host had last set it.
    set_to: Mutex<i128>,
}

impl WallClock {
    pub(crate) fn of(source: impl Source + 'static) -> Self {
        let (wall, raw) = source.read();
        Self {
            source: Box::new(source),
            set_to: Mutex::new(wall - raw),
        }
    }

    /// What it says.
    pub(crate) fn read(&self) -> Clock {
        let set_to = self.set_to.lock().unwrap_or_else(PoisonError::into_inner);
        let (wall, raw) = self.source.read();
        Clock {
            unix_time_ns: saturated(wall),
            own_ns: saturated(wall - raw - *set_to),
        }
    }

    /// Sets it to this many nanoseconds since the Unix epoch.
    pub(crate) fn set(&self, unix_time_ns: u64) -> io::Result<()> {
        let mut set_to = self.set_to.lock().unwrap_or_else(PoisonError::into_inner);
        self.source.set(unix_time_ns.into())?;
        let (wall, raw) = self.source.read();
        *set_to = wall - raw;
        Ok(())
    }

    /// Moves it, and takes note of what of it is the guest's own from now on.
    pub(crate) fn step(&self, SetClock { step_ns, own_ns }: SetClock) -> io::Result<()> {
        let mut set_to = self.set_to.lock().unwrap_or_else(PoisonError::into_inner);
        if step_ns != 0 {
            let (wall, _) = self.source.read();
            self.source.set(wall + i128::from(step_ns))?;
        }
        let (wall, raw) = self.source.read();
        *set_to = wall - raw - i128::from(own_ns);
        Ok(())
    }
}

impl std::fmt::Debug for WallClock {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("WallClock").finish_non_exhaustive()
    }
}

/// The kernel's clocks.
#[derive(Debug)]
pub(crate) struct Kernel;

impl Source for Kernel {
    fn read(&self) -> (i128, i128) {
        let raw = clock_gettime(ClockId::MonotonicRaw);
        (nanoseconds(clock_gettime(ClockId::Realtime)), nanoseconds(raw))
    }

    fn set(&self, unix_time_ns: i128) -> io::Result<()> {
        let time = Timespec {
            tv_sec: i64::try_from(unix_time_ns.div_euclid(NANOSECONDS)).map_err(io::Error::other)?,
            tv_nsec: i64::try_from(unix_time_ns.rem_euclid(NANOSECONDS)).map_err(io::Error::other)?,
        };
        Ok(clock_settime(ClockId::Realtime, time)?)
    }
}

/// A clock beside the host's, for a stand-in of a guest: the kernel's own stay as they are.
#[derive(Debug, Default)]
pub(crate) struct StandIn {
    /// What it is ahead of the kernel's.
    ahead: Mutex<i128>,
    /// Time that it has missed.
    missed: Mutex<i128>,
}

impl StandIn {
    /// As if the guest had stood still for so long, in all.
    pub(crate) fn has_missed(&self, nanoseconds: i128) {
        *self.missed.lock().unwrap_or_else(PoisonError::into_inner) = nanoseconds;
    }
}

impl Source for std::sync::Arc<StandIn> {
    fn read(&self) -> (i128, i128) {
        let (wall, raw) = Kernel.read();
        let ahead = *self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let missed = *self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        (wall + ahead - missed, raw - missed)
    }

    fn set(&self, unix_time_ns: i128) -> io::Result<()> {
        let (wall, _) = self.read();
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) += unix_time_ns - wall;
        Ok(())
    }
}

fn nanoseconds(time: Timespec) -> i128 {
    i128::from(time.tv_sec) * NANOSECONDS + i128::from(time.tv_nsec)
}

fn saturated(nanoseconds: i128) -> i64 {
    i64::try_from(nanoseconds).unwrap_or(if nanoseconds < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const SECOND: i64 = 1_000_000_000;

    /// To the tenth of a second, in which a test may stand still.
    fn seconds(nanoseconds: i64) -> i64 {
        (nanoseconds + SECOND / 2).div_euclid(SECOND)
    }

    #[test]
    fn what_the_guest_moves_its_clock_by_is_its_own_and_what_it_misses_is_not() {
        let stand_in = Arc::new(StandIn::default());
        let clock = WallClock::of(Arc::clone(&stand_in));
        let kernel = || saturated(Kernel.read().0);
        let told = || {
            let Clock { unix_time_ns, own_ns } = clock.read();
            (seconds(unix_time_ns - kernel()), seconds(own_ns))
        };
        assert_eq!(told(), (0, 0));
        stand_in.has_missed(i128::from(SECOND) * 20);
        assert_eq!(told(), (-20, 0));
        // The guest's own time service.
        stand_in.set(i128::from(kernel() + 3 * SECOND)).unwrap();
        assert_eq!(told(), (3, 23));
        // The host takes it so.
        let own_ns = 3 * SECOND;
        clock.step(SetClock { step_ns: 0, own_ns }).unwrap();
        assert_eq!(told(), (3, 3));
        stand_in.has_missed(i128::from(SECOND) * 27);
        assert_eq!(told(), (-4, 3));
        let step_ns = 7 * SECOND;
        clock.step(SetClock { step_ns, own_ns }).unwrap();
        assert_eq!(told(), (3, 3));
        clock.set(u64::try_from(kernel() - 60 * SECOND).unwrap()).unwrap();
        assert_eq!(told(), (-60, 0));
    }

    #[test]
    fn no_step_makes_it_panic() {
        let clock = WallClock::of(Arc::new(StandIn::default()));
        for step_ns in [i64::MIN, i64::MAX, i64::MIN, -1, i64::MAX, i64::MAX] {
            clock
                .step(SetClock {
                    step_ns,
                    own_ns: step_ns,
                })
                .unwrap();
            clock.read();
        }
    }
}
