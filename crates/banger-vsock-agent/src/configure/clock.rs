//! The wall clock: the guest's own stood still while a snapshot lay on disk, or starts wherever its hardware says.

use std::io;

use rustix::time::{ClockId, Timespec, clock_settime};

const NANOSECONDS: u64 = 1_000_000_000;

/// Sets it to this many nanoseconds since the Unix epoch.
pub(super) fn set(unix_time_ns: u64) -> io::Result<()> {
    let (seconds, nanoseconds) = (unix_time_ns / NANOSECONDS, unix_time_ns % NANOSECONDS);
    let time = Timespec {
        tv_sec: i64::try_from(seconds).map_err(io::Error::other)?,
        tv_nsec: i64::try_from(nanoseconds).map_err(io::Error::other)?,
    };
    Ok(clock_settime(ClockId::Realtime, time)?)
}
