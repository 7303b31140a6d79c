//! Following an operation that is ours: its stages are shown, and a signal cancels it.

use api::client::{Action, Client, ClientError, Events};
use api::{Event, Vm};
use nix::sys::signal::Signal;

use crate::failure::Failure;
use crate::render::{self, Progress};
use crate::terminal::{Signals, exit_code};
use crate::workspace::Records;

/// How an operation that did what it was to do ended.
pub struct Done {
    /// The VM after it, unless it was deleted.
    pub vm: Option<Vm>,
    /// A signal that came too late to cancel it.
    pub too_late: Option<Signal>,
    /// The operation's stream; for a VM that is ours alone, its lease.
    pub lease: Events,
}

/// Begins an operation and follows it to its end. The first signal cancels it and waits until it is undone; a second
/// one leaves, and the daemon undoes it alone.
///
/// # Errors
/// The operation failed or was cancelled, or the daemon has gone.
pub async fn follow(
    client: &Client,
    action: &Action,
    progress: &mut Progress,
    signals: &mut Signals,
) -> Result<Done, Failure> {
    watch(client, client.lease(action), progress, signals).await
}

/// Follows an operation that `begin` begins, as [`follow`] does.
///
/// # Errors
/// As [`follow`].
pub async fn watch(
    client: &Client,
    begin: impl Future<Output = Result<Events, ClientError>>,
    progress: &mut Progress,
    signals: &mut Signals,
) -> Result<Done, Failure> {
    let mut events = tokio::select! {
        events = begin => events?,
        signal = ending(signals) => return Err(Failure::quiet(exit_code(signal))),
    };
    let mut operation: Option<String> = None;
    let mut asked = None;
    loop {
        let event = tokio::select! {
            event = events.next() => event?,
            signal = ending(signals) => {
                if asked.replace(signal).is_some() {
                    // Dropping the stream cancels, too.
                    return Err(Failure::quiet(exit_code(signal)));
                }
                progress.say("cancelling; a second signal leaves at once");
                if let Some(id) = &operation {
                    cancel(client, id);
                }
                continue;
            }
        };
        let Some(event) = event else {
            return Err(Failure::new("the daemon broke off without saying how it ended"));
        };
        progress.event(&event);
        match event {
            Event::Started { operation: id } => {
                if asked.is_some() {
                    cancel(client, &id);
                }
                operation = Some(id);
            }
            Event::Succeeded { vm } => {
                return Ok(Done {
                    vm: vm.map(|vm| *vm),
                    too_late: asked,
                    lease: events,
                });
            }
            Event::Failed { error } => return Err(error.into()),
            Event::Cancelled => {
                return Err(match asked {
                    Some(signal) => {
                        Failure::new("cancelled: what was begun is undone").with_code(exit_code(signal))
                    }
                    None => Failure::new("somebody else cancelled it: what was begun is undone"),
                });
            }
            Event::Resolved { .. } | Event::Stage { .. } | Event::Timing { .. } | Event::Warning { .. } => {}
        }
    }
}

/// Deletes a VM of ours and waits until it is gone; a signal leaves that to the daemon.
///
/// # Errors
/// It cannot be deleted.
pub async fn delete(client: &Client, id: &str, signals: &mut Signals) -> Result<(), Failure> {
    let gone = async {
        let mut events = client.lease(&Action::Delete(id.to_owned())).await?;
        while let Some(event) = events.next().await? {
            match event {
                Event::Failed { error } => return Err(error.into()),
                Event::Warning { message } => render::warning(&message),
                _ => {}
            }
        }
        Records::forget(id);
        Ok(())
    };
    tokio::select! {
        outcome = gone => outcome,
        signal = ending(signals) => Err(Failure::quiet(exit_code(signal))),
    }
}

/// The next signal that asks this program to end.
pub async fn ending(signals: &mut Signals) -> Signal {
    loop {
        let signal = signals.next().await;
        if matches!(
            signal,
            Signal::SIGINT | Signal::SIGTERM | Signal::SIGHUP | Signal::SIGQUIT
        ) {
            return signal;
        }
    }
}

fn cancel(client: &Client, id: &str) {
    let (client, id) = (client.clone(), id.to_owned());
    // Not waited for: the operation's own end says whether it worked, and another signal must be heard meanwhile.
    tokio::spawn(async move {
        if let Err(error) = client.cancel(&id).await {
            tracing::debug!(%error, "cannot cancel");
        }
    });
}
