//! Stops blocking work from another thread, in the middle of a wait.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What is done on cancelling, as long as it is wanted. Its lock is held while it is done: a guard that is dropped in that
/// moment waits for it, and nothing else does.
type Hook = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// A flag that wakes whatever waits. Clones are the same flag; set once, it is set for good.
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
    hooks: BTreeMap<u64, Hook>,
}

/// The work was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cancelled")]
pub struct Cancelled;

impl Cancel {
    /// Not set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the flag. What waits for a server or for a program is ended.
    pub fn cancel(&self) {
        let hooks = {
            let mut state = self.state();
            state.cancelled = true;
            std::mem::take(&mut state.hooks)
        };
        self.0.changed.notify_all();
        hooks.values().for_each(run);
    }

    /// Sets the flag, and has what would be kept for another try removed.
    pub fn cancel_and_leave_nothing(&self) {
        self.state().leave_nothing = true;
        self.cancel();
    }

    /// Whether nothing is to be kept for another try.
    #[must_use]
    pub fn leaves_nothing(&self) -> bool {
        self.state().leave_nothing
    }

    /// Whether the flag is set.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.state().cancelled
    }

    /// Fails where the flag is set.
    ///
    /// # Errors
    /// [`Cancelled`].
    pub fn check(&self) -> Result<(), Cancelled> {
        match self.is_cancelled() {
            true => Err(Cancelled),
            false => Ok(()),
        }
    }

    /// Waits that long.
    ///
    /// # Errors
    /// [`Cancelled`], as soon as the flag is set.
    pub fn sleep(&self, time: Duration) -> Result<(), Cancelled> {
        let wait = self
            .0
            .changed
            .wait_timeout_while(self.state(), time, |state| !state.cancelled);
        let (state, _) = wait.unwrap_or_else(PoisonError::into_inner);
        match state.cancelled {
            true => Err(Cancelled),
            false => Ok(()),
        }
    }

    /// Runs `hook` when cancelled, at once if that has happened, and never once the guard is gone.
    #[must_use = "dropped, it takes the hook back"]
    pub fn on_cancel(&self, hook: impl FnOnce() + Send + 'static) -> Guard {
        let hook: Hook = Arc::new(Mutex::new(Some(Box::new(hook))));
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        if state.cancelled {
            drop(state);
            run(&hook);
        } else {
            state.hooks.insert(id, Arc::clone(&hook));
        }
        Guard {
            cancel: self.clone(),
            id,
            hook,
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

fn run(hook: &Hook) {
    let mut hook = hook.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(hook) = hook.take() {
        hook();
    }
}

/// Keeps a hook.
pub struct Guard {
    cancel: Cancel,
    id: u64,
    hook: Hook,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.cancel.state().hooks.remove(&self.id);
        self.hook.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn a_wait_ends_when_cancelled() {
        let cancel = Cancel::new();
        let other = cancel.clone();
        let waiter = thread::spawn(move || other.sleep(Duration::from_secs(600)));
        cancel.cancel();
        assert_eq!(waiter.join().unwrap(), Err(Cancelled));
        assert_eq!(cancel.check(), Err(Cancelled));
    }

    #[test]
    fn a_hook_runs_once_and_not_after_its_guard_is_gone() {
        let (sender, receiver) = mpsc::channel();
        let cancel = Cancel::new();
        let kept = sender.clone();
        let _guard = cancel.on_cancel(move || kept.send("kept").unwrap());
        let gone = sender.clone();
        drop(cancel.on_cancel(move || gone.send("gone").unwrap()));
        cancel.cancel();
        cancel.cancel();
        let _late = cancel.on_cancel(move || sender.send("late").unwrap());
        assert_eq!(receiver.iter().collect::<Vec<_>>(), ["kept", "late"]);
    }

    #[test]
    fn a_hook_may_ask_whether_it_was_cancelled() {
        let (sender, receiver) = mpsc::channel();
        let cancel = Cancel::new();
        let asked = cancel.clone();
        let _guard = cancel.on_cancel(move || sender.send(asked.is_cancelled()).unwrap());
        cancel.cancel();
        assert_eq!(receiver.recv(), Ok(true));
    }

    /// What the hook acts on may be another thing's by then, as a process id.
    #[test]
    fn a_guard_that_goes_while_its_hook_runs_waits_for_it() {
        let (began, has_begun) = mpsc::channel();
        let (go, may_go) = mpsc::channel();
        let cancel = Cancel::new();
        let done = Arc::new(Mutex::new(false));
        let is_done = Arc::clone(&done);
        let guard = cancel.on_cancel(move || {
            began.send(()).unwrap();
            may_go.recv().unwrap();
            *is_done.lock().unwrap() = true;
        });
        let canceller = thread::spawn(move || cancel.cancel());
        has_begun.recv().unwrap();
        let dropper = thread::spawn(move || {
            drop(guard);
            *done.lock().unwrap()
        });
        go.send(()).unwrap();
        assert!(dropper.join().unwrap());
        canceller.join().unwrap();
    }
}
