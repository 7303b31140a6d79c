//! Stops a pull or a flattening from another thread, in the middle of a wait.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::OciError;

type Hook = Box<dyn FnOnce() + Send>;

/// A flag that wakes whoever waits. Clones are the same flag.
#[derive(Clone, Default)]
pub struct Cancel(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    cancelled: bool,
    leave_nothing: bool,
    next: u64,
    hooks: Vec<(u64, Hook)>,
}

impl Cancel {
    /// Sets the flag, for good. Connections that wait for a server are closed.
    pub fn cancel(&self) {
        let hooks = {
            let mut state = self.state();
            state.cancelled = true;
            std::mem::take(&mut state.hooks)
        };
        self.0.changed.notify_all();
        for (_, hook) in hooks {
            hook();
        }
    }

    /// Sets the flag, and has what would be kept for another try removed.
    pub fn cancel_and_leave_nothing(&self) {
        self.state().leave_nothing = true;
        self.cancel();
    }

    pub(crate) fn leaves_nothing(&self) -> bool {
        self.state().leave_nothing
    }

    /// Whether the flag is set.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.state().cancelled
    }

    pub(crate) fn check(&self) -> Result<(), OciError> {
        if self.is_cancelled() {
            return Err(OciError::Cancelled);
        }
        Ok(())
    }

    /// Waits that long, or fails at once when cancelled.
    pub(crate) fn sleep(&self, time: Duration) -> Result<(), OciError> {
        let wait = self
            .0
            .changed
            .wait_timeout_while(self.state(), time, |state| !state.cancelled);
        let (state, _) = wait.unwrap_or_else(PoisonError::into_inner);
        if state.cancelled {
            return Err(OciError::Cancelled);
        }
        Ok(())
    }

    /// Runs `hook` when cancelled, at once if that has happened, and never once the guard is gone.
    pub(crate) fn on_cancel(&self, hook: impl FnOnce() + Send + 'static) -> Guard {
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        if state.cancelled {
            drop(state);
            hook();
        } else {
            state.hooks.push((id, Box::new(hook)));
        }
        Guard {
            cancel: self.clone(),
            id,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock can panic half-way.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancel").field(&self.is_cancelled()).finish()
    }
}

/// Keeps a hook.
pub(crate) struct Guard {
    cancel: Cancel,
    id: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.cancel.state().hooks.retain(|(id, _)| *id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_when_cancelled() {
        let cancel = Cancel::default();
        let other = cancel.clone();
        let waiter = std::thread::spawn(move || other.sleep(Duration::from_secs(600)));
        cancel.cancel();
        assert!(matches!(waiter.join().unwrap(), Err(OciError::Cancelled)));
    }

    #[test]
    fn a_hook_runs_once_and_not_after_its_guard_is_gone() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let cancel = Cancel::default();
        let kept = sender.clone();
        let _guard = cancel.on_cancel(move || kept.send("kept").unwrap());
        let gone = sender.clone();
        drop(cancel.on_cancel(move || gone.send("gone").unwrap()));
        cancel.cancel();
        cancel.cancel();
        let _late = cancel.on_cancel(move || sender.send("late").unwrap());
        assert_eq!(receiver.iter().collect::<Vec<_>>(), ["kept", "late"]);
    }
}
