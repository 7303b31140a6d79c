//! Named points in the code under test at which a test makes it fail, wait or die.
//!
//! The code under test asks through a small trait of its own; a test implements that trait for [`Points`] by
//! calling [`Points::hit`].

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

/// Variable that arms the points of a child process: `point=crash,point=fail`.
pub const VARIABLE: &str = "TESTKIT_POINTS";

/// What happens when a point is hit.
#[derive(Clone, Debug)]
pub enum Action {
    /// It fails.
    Fail,
    /// The process dies at once, as by `kill -9`: nothing is dropped, flushed or undone.
    Crash,
    /// It waits until the test lets it go on.
    Hold(Hold),
    /// It panics.
    Panic,
}

/// A point that failed because it was armed to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("injected failure at `{point}`")]
pub struct Injected {
    /// The point.
    pub point: String,
}

/// Lets a test know that a point was reached, and keeps it there.
#[derive(Clone)]
pub struct Hold {
    reached: Arc<Semaphore>,
    released: Arc<Semaphore>,
}

impl Hold {
    /// One that nothing has reached.
    #[must_use]
    pub fn new() -> Self {
        Self {
            reached: Arc::new(Semaphore::new(0)),
            released: Arc::new(Semaphore::new(0)),
        }
    }

    /// Waits until the point has been reached.
    pub async fn reached(&self) {
        self.reached.acquire().await.expect("it is never closed").forget();
    }

    /// Lets whoever waits at the point, now or later, go on.
    pub fn release(&self) {
        self.released.close();
    }

    async fn wait(&self) {
        self.reached.add_permits(1);
        // Closed is released; there are never permits.
        let _ = self.released.acquire().await;
    }
}

impl Default for Hold {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold")
            .field("released", &self.released.is_closed())
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct State {
    armed: HashMap<String, (Action, Repeat)>,
    hits: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repeat {
    Once,
    Always,
}

/// The points of one thing under test. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Points {
    state: Arc<Mutex<State>>,
}

impl Points {
    /// None armed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Those that [`VARIABLE`] arms, for a child process.
    ///
    /// # Panics
    /// On a value that is not `point=crash` or `point=fail`, comma-separated.
    #[must_use]
    pub fn from_environment() -> Self {
        let points = Self::new();
        let value = std::env::var(VARIABLE).unwrap_or_default();
        for armed in value.split(',').filter(|armed| !armed.is_empty()) {
            match armed.split_once('=') {
                Some((point, "crash")) => points.arm(point, Action::Crash),
                Some((point, "fail")) => points.arm(point, Action::Fail),
                _ => panic!("{VARIABLE}: `{armed}` is not `point=crash` or `point=fail`"),
            }
        }
        points
    }

    /// Arms a point for its next hit.
    pub fn arm(&self, point: &str, action: Action) {
        self.state()
            .armed
            .insert(point.to_owned(), (action, Repeat::Once));
    }

    /// Arms a point for every hit.
    pub fn arm_always(&self, point: &str, action: Action) {
        self.state()
            .armed
            .insert(point.to_owned(), (action, Repeat::Always));
    }

    /// Arms a point to wait.
    #[must_use]
    pub fn hold(&self, point: &str) -> Hold {
        let hold = Hold::new();
        self.arm(point, Action::Hold(hold.clone()));
        hold
    }

    /// Takes a point's action away.
    pub fn disarm(&self, point: &str) {
        self.state().armed.remove(point);
    }

    /// Every point that was hit so far, in order: run a thing once, then make it fail at each of these.
    #[must_use]
    pub fn hits(&self) -> Vec<String> {
        self.state().hits.clone()
    }

    /// Called by the code under test when it passes `point`.
    ///
    /// # Errors
    /// [`Injected`] where the point is armed to fail.
    pub async fn hit(&self, point: &str) -> Result<(), Injected> {
        match self.take(point) {
            None => Ok(()),
            Some(Action::Fail) => Err(Injected {
                point: point.to_owned(),
            }),
            Some(Action::Crash) => crash(),
            Some(Action::Hold(hold)) => {
                hold.wait().await;
                Ok(())
            }
            Some(Action::Panic) => panic!("as armed at `{point}`"),
        }
    }

    fn take(&self, point: &str) -> Option<Action> {
        let mut state = self.state();
        state.hits.push(point.to_owned());
        let (action, repeat) = state.armed.get(point)?.clone();
        if repeat == Repeat::Once {
            state.armed.remove(point);
        }
        Some(action)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends this process as `kill -9` would.
fn crash() -> ! {
    let _ = nix::sys::signal::kill(nix::unistd::getpid(), nix::sys::signal::Signal::SIGKILL);
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;
    use crate::again::Again;

    #[tokio::test]
    async fn a_point_that_is_not_armed_is_free_and_remembered() {
        let points = Points::new();
        points.hit("a").await.unwrap();
        points.clone().hit("b").await.unwrap();
        assert_eq!(points.hits(), ["a", "b"]);
    }

    #[tokio::test]
    async fn an_armed_point_fails_once_or_always() {
        let points = Points::new();
        points.arm("a", Action::Fail);
        assert_eq!(
            points.hit("a").await.unwrap_err().to_string(),
            "injected failure at `a`"
        );
        points.hit("a").await.unwrap();
        points.arm_always("a", Action::Fail);
        points.hit("a").await.unwrap_err();
        points.hit("a").await.unwrap_err();
        points.disarm("a");
        points.hit("a").await.unwrap();
    }

    #[tokio::test]
    async fn a_held_point_waits_until_it_is_released() {
        let points = Points::new();
        let hold = points.hold("a");
        let task = tokio::spawn({
            let points = points.clone();
            async move { points.hit("a").await }
        });
        hold.reached().await;
        assert!(!task.is_finished());
        hold.release();
        task.await.unwrap().unwrap();
    }

    #[test]
    fn a_crash_ends_the_process_as_kill_9_would() {
        let this = Again::of("points::tests::a_crash_ends_the_process_as_kill_9_would");
        if this.is_child() {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(Points::from_environment().hit("here")).unwrap();
            std::process::exit(0);
        }
        let status = this.command().env(VARIABLE, "here=crash").status().unwrap();
        assert_eq!(status.signal(), Some(9));
        let status = this.command().env(VARIABLE, "elsewhere=crash").status().unwrap();
        assert_eq!(status.code(), Some(0));
    }
}
