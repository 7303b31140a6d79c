//! How far something is that is counted all the time, told now and then.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// When it is next to be told.
#[derive(Debug, Default)]
pub(super) struct Often(Cell<Option<Instant>>);

impl Often {
    const PAUSE: Duration = Duration::from_millis(100);

    /// Whether the last time was long enough ago; then this is the last time.
    pub(super) fn is_due(&self) -> bool {
        let due = self.0.get().is_none_or(|last| last.elapsed() >= Self::PAUSE);
        if due {
            self.0.set(Some(Instant::now()));
        }
        due
    }
}
