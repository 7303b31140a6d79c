//! Breaking off: work that takes long looks whether this program is asked to end; what changes files of the user's comes
//! to its end first.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::WorkspaceError;

/// Set once, under the lock of [`CHANGING`].
static BROKEN_OFF: AtomicBool = AtomicBool::new(false);

/// How many threads are changing files of the user's.
static CHANGING: Mutex<usize> = Mutex::new(0);

/// Breaks off what is under way, for a command that is asked to end: each git that only reads, or whose work is thrown
/// away if it is ended; what is looked at; and all of that which would begin from now on. What changes files of the user's
/// goes on, see [`is_changing`].
pub fn break_off() {
    {
        let _changing = lock();
        BROKEN_OFF.store(true, Ordering::SeqCst);
    }
    process::break_off();
}

/// Whether files of the user's are being changed: to be waited for. Nothing begins to change any after [`break_off`].
pub fn is_changing() -> bool {
    *lock() > 0
}

/// Looks whether to go on.
pub(crate) fn check() -> Result<(), WorkspaceError> {
    match BROKEN_OFF.load(Ordering::Relaxed) {
        true => Err(WorkspaceError::BrokenOff),
        false => Ok(()),
    }
}

/// Files of the user's are being changed as long as this is there.
pub(crate) struct Changing(());

impl Changing {
    /// Begins, unless this program is asked to end.
    pub(crate) fn begin() -> Result<Self, WorkspaceError> {
        let mut changing = lock();
        check()?;
        *changing += 1;
        Ok(Self(()))
    }
}

impl Drop for Changing {
    fn drop(&mut self) {
        *lock() -= 1;
    }
}

fn lock() -> MutexGuard<'static, usize> {
    CHANGING.lock().unwrap_or_else(PoisonError::into_inner)
}
