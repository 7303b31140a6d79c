//! How much came in how long a wait.

use std::io;
use std::time::Duration;

/// Fewest bytes of a period.
pub(crate) const LEAST: usize = 64 << 10;

#[derive(Debug)]
pub(crate) struct Pace {
    period: Duration,
    waited: Duration,
    received: usize,
}

impl Pace {
    pub(crate) fn of(period: Duration) -> Self {
        Self {
            period,
            waited: Duration::ZERO,
            received: 0,
        }
    }

    /// Counts a wait and what it brought.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] where a whole period has brought too little.
    pub(crate) fn count(&mut self, waited: Duration, received: usize) -> io::Result<()> {
        self.waited += waited;
        self.received += received;
        if self.waited >= self.period && received > 0 {
            if self.received < LEAST {
                let message = format!(
                    "only {} bytes came in {:.0?}, and less than {} KiB is given up",
                    self.received,
                    self.waited,
                    LEAST >> 10
                );
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
            (self.waited, self.received) = (Duration::ZERO, 0);
        }
        Ok(())
    }
}
