//! What the machine is about to end with, told to the host before it does: from outside, a power-off and a reboot can
//! look alike.
//!
//! ```text
//!  PID 1 ── socket ─┐
//!  the agent itself ┴─► Farewell ──► GET /v1/shutdown, which waits for it ──► the host
//!                          ▲                                                    │
//!                          └───────────────────── POST /v1/shutdown ◄───────────┘
//! ```

mod socket;

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use guest::Shutdown;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

pub(crate) use socket::{listen, tell};

/// How long a host that listens may take to say that it knows.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long one is waited for that does not: its link may be about to be made.
const ABSENT: Duration = Duration::from_millis(250);

/// The machine's last word, once there is one.
#[derive(Debug, Default)]
pub struct Farewell {
    said: watch::Sender<Option<Shutdown>>,
    seen: Notify,
}

impl Farewell {
    /// Tells the host, and returns when it knows, or soon.
    pub async fn say(&self, how: Shutdown) {
        self.said.send_replace(Some(how));
        let listens = self.said.receiver_count() > 0;
        // A host that is gone, or on its way out, keeps no machine from its end.
        let _ = timeout(if listens { PATIENCE } else { ABSENT }, self.seen.notified()).await;
    }

    /// Waits until it is said.
    pub(crate) fn wait(&self) -> BoxFuture<'static, Shutdown> {
        let mut said = self.said.subscribe();
        async move {
            let how = match said.wait_for(Option::is_some).await {
                Ok(said) => *said,
                Err(_) => None,
            };
            match how {
                Some(how) => how,
                // It ended without a word.
                None => std::future::pending().await,
            }
        }
        .boxed()
    }

    /// The host knows.
    pub(crate) fn seen(&self) {
        self.seen.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_machine_waits_for_a_host_that_listens_until_it_knows_and_not_for_ever() {
        let farewell = Farewell::default();
        let host = farewell.wait();
        let mut said = Box::pin(farewell.say(Shutdown::Reboot));
        assert!(futures::poll!(&mut said).is_pending());
        assert_eq!(host.await, Shutdown::Reboot);
        farewell.seen();
        assert!(futures::poll!(&mut said).is_ready());

        let _host = farewell.wait();
        let before = std::time::Instant::now();
        farewell.say(Shutdown::PowerOff).await;
        assert!(before.elapsed() >= PATIENCE);
    }

    #[tokio::test]
    async fn a_host_that_connects_a_moment_later_gets_the_word_and_an_absent_one_delays_nothing() {
        let farewell = Farewell::default();
        drop(farewell.wait());
        let mut said = Box::pin(farewell.say(Shutdown::Halt));
        assert!(futures::poll!(&mut said).is_pending());
        assert_eq!(farewell.wait().now_or_never(), Some(Shutdown::Halt));
        farewell.seen();
        assert!(futures::poll!(&mut said).is_ready());

        let before = std::time::Instant::now();
        farewell.say(Shutdown::PowerOff).await;
        assert!(before.elapsed() >= ABSENT);
    }
}
