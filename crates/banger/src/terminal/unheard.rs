//! The end of a program that a signal has asked to end, and that listens to none: while it waits for a daemon that
//! hangs, say.
//!
//! A signal that is caught no longer ends the program by itself, from the first [`super::Signals`] on. Whatever waits is to
//! listen ([`super::Signals::next`]); where nothing does, the signal does what it would have done uncaught. Nothing is
//! lost by that which a kill would not lose.

use std::future::poll_fn;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::signal::unix::{self, SignalKind};
use tokio::time::Instant;

use super::exit_code;
use crate::failure::Failure;

/// How long a signal may go unheard.
const PATIENCE: Duration = Duration::from_millis(200);

/// When one was heard last.
static HEARD: Mutex<Option<Instant>> = Mutex::new(None);

/// Says that a signal was heard.
pub(super) fn note_heard() {
    *HEARD.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
}

/// Watches those of these signals that ask a program to end.
///
/// # Errors
/// The system refuses.
pub(super) fn watch(signals: impl Iterator<Item = Signal>) -> Result<(), Failure> {
    let mut streams = Vec::new();
    for signal in signals.filter(|signal| is_end(*signal)) {
        let stream = unix::signal(SignalKind::from_raw(signal as i32))
            .map_err(|error| Failure::new(format!("cannot catch {signal}: {error}")))?;
        streams.push((signal, stream));
    }
    if streams.is_empty() {
        return Ok(());
    }
    tokio::spawn(async move {
        loop {
            let signal = first(&mut streams).await;
            let at = Instant::now();
            tokio::time::sleep(PATIENCE).await;
            // Who changes files of the user's ends in its own time.
            while workspace::is_changing() {
                tokio::time::sleep(PATIENCE).await;
            }
            if !was_heard(at) {
                std::process::exit(i32::from(exit_code(signal)));
            }
        }
    });
    Ok(())
}

fn is_end(signal: Signal) -> bool {
    matches!(
        signal,
        Signal::SIGINT | Signal::SIGTERM | Signal::SIGHUP | Signal::SIGQUIT
    )
}

async fn first(streams: &mut [(Signal, unix::Signal)]) -> Signal {
    poll_fn(|context| {
        for (signal, stream) in &mut *streams {
            if stream.poll_recv(context).is_ready() {
                return Poll::Ready(*signal);
            }
        }
        Poll::Pending
    })
    .await
}

/// Whether a signal that came then was heard. A listener may have been told a moment before this module was.
fn was_heard(at: Instant) -> bool {
    let heard = *HEARD.lock().unwrap_or_else(PoisonError::into_inner);
    heard.is_some_and(|heard| heard + PATIENCE >= at)
}
