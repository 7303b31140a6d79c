//! Work that takes as long as a repository is large: on a thread of its own, so that signals are heard meanwhile.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::failure::Failure;
use crate::terminal::{Signals, exit_code};
use crate::verbs::operation::ending;

/// How long work may take to clean up once it is broken off, and somebody's answer to come all the same.
pub(super) const TO_CLEAN_UP: Duration = Duration::from_millis(700);
const TO_ANSWER: Duration = Duration::from_millis(50);

/// How often it is looked whether files are still being changed.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// Does work; a signal that asks this program to end breaks it off.
///
/// # Errors
/// The work's own, or that there was a signal.
pub async fn apart<T: Send + 'static>(
    signals: &mut Signals,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    unless_broken_off(watched(signals, TO_CLEAN_UP, || {}, work).await?)
}

/// The same with work that asks the user, and has nothing to clean up while it waits.
///
/// # Errors
/// As [`apart`].
pub async fn asking_apart<T: Send + 'static>(
    signals: &mut Signals,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    unless_broken_off(watched(signals, TO_ANSWER, || {}, work).await?)
}

/// The same with work that changes files of the user's: what it has done counts, whatever it was asked meanwhile.
///
/// # Errors
/// As [`apart`].
pub(super) async fn changing_apart<T: Send + 'static>(
    signals: &mut Signals,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match watched(signals, TO_CLEAN_UP, || {}, work).await? {
        (Some(Ok(done)), _) => Ok(done),
        other => unless_broken_off(other),
    }
}

fn unless_broken_off<T>(
    (outcome, signal): (Option<Result<T, Failure>>, Option<Signal>),
) -> Result<T, Failure> {
    match (outcome, signal) {
        (_, Some(signal)) => Err(Failure::quiet(exit_code(signal))),
        (Some(outcome), None) => outcome,
        (None, None) => Err(Failure::new("a thread failed")),
    }
}

/// What work came to, and the first signal meanwhile, after which `end` is called. There is no outcome where it did not
/// end within some time after the signal; where it changes files of the user's, it is waited for until it does not.
pub(super) async fn watched<T: Send + 'static>(
    signals: &mut Signals,
    patience: Duration,
    end: impl Fn(),
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<(Option<T>, Option<Signal>), Failure> {
    let failed = |error| Failure::new(format!("a thread failed: {error}"));
    let mut working = tokio::task::spawn_blocking(work);
    let signal = tokio::select! {
        outcome = &mut working => return Ok((Some(outcome.map_err(failed)?), None)),
        signal = ending(signals) => signal,
    };
    end();
    workspace::break_off();
    let mut left = patience;
    loop {
        if let Ok(outcome) = tokio::time::timeout(BETWEEN_LOOKS, &mut working).await {
            return Ok((Some(outcome.map_err(failed)?), Some(signal)));
        }
        left = left.saturating_sub(BETWEEN_LOOKS);
        if left.is_zero() && !workspace::is_changing() {
            return Ok((None, Some(signal)));
        }
    }
}
