//! Ends of a machine that nobody asked the daemon for, and the boots that follow some of them.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::VmState;
use vmm::End;

use super::{Actor, Running};
use crate::EngineError;
use crate::error::one_line;
use crate::operations::{OperationHandle, caught};
use crate::vms::ending::{self, Gone, Outcome, Still, TOO_MANY};
use crate::vms::state::Off;
use crate::vms::{start, state};

const GUEST_REBOOTED: &str = "the guest rebooted";

impl Actor {
    /// The machine has ended.
    pub(super) async fn machine_ended(&mut self, end: End) {
        let word = self.running.as_ref().and_then(|running| running.link.word());
        let last = ending::last_word(&self.folder());
        tracing::info!(vm = %self.id, how = ?end.how, reason = %end.reason, ?word, ?last, "the machine ended");
        self.follow(ending::of(end, word, last), false).await;
    }

    /// The machine has nothing more to do, and does not end.
    pub(super) async fn machine_gone(&mut self, gone: Gone) {
        tracing::info!(vm = %self.id, ?gone, "the machine is gone and its VMM is not; ending it");
        if let Some(running) = &self.running
            && let Err(error) = running.machine.kill().await
        {
            // It is looked at again.
            tracing::warn!(vm = %self.id, %error, "cannot end it");
            return;
        }
        self.follow(ending::of_gone(&gone), matches!(gone, Gone::Said(_)))
            .await;
    }

    /// The agent answers from this boot; from another than before, if it is not the one that an earlier daemon recorded.
    pub(super) async fn next_kernel(&mut self, boot_id: &str) {
        let lacks = self.running.as_mut().and_then(|running| {
            running.seen_boot = Some(boot_id.to_owned());
            running.lacks.clone()
        });
        let recorded = match self.row().await {
            Ok(row) if row.boot_id.as_deref() == Some(boot_id) => return,
            Ok(_) => {
                let why = ending::of_next_kernel(ending::last_word(&self.folder()));
                state::rebooted(&self.shared, &self.id, boot_id, lacks, why).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = recorded {
            tracing::warn!(vm = %self.id, error = %one_line(&error), "cannot record a new boot");
        }
    }

    async fn follow(&mut self, outcome: Outcome, broken: bool) {
        let followed = match outcome {
            Outcome::Off(reason) => self.after_machine(Some(reason)).await,
            Outcome::Crashed(reason) => self.tear_down_and_record(Off::crashed(reason)).await,
            Outcome::Reboot(why) => match self.next_boot(broken) {
                Some(wait) => self.reboot(wait, why).await,
                None => {
                    let off = Off::crashed(TOO_MANY.to_owned());
                    self.tear_down_and_record(off).await
                }
            },
        };
        if let Err(error) = followed {
            tracing::warn!(vm = %self.id, error = %one_line(&error), "cannot record the end of a machine");
        }
    }

    fn next_boot(&mut self, broken: bool) -> Option<Duration> {
        self.reboots
            .next(self.shared.timeouts.reboot, Instant::now(), broken)
    }

    /// Boots the VM again, as an operation of the daemon's own.
    async fn reboot(&mut self, wait: Duration, why: &str) -> Result<(), EngineError> {
        let begun = self.shared.operations.begin("reboot", Some(self.id.clone()));
        let operation = match begun.await {
            Ok(operation) => operation,
            Err(error) => {
                tracing::warn!(vm = %self.id, error = %one_line(&error), "cannot boot it again");
                return self.after_machine(Some(GUEST_REBOOTED.to_owned())).await;
            }
        };
        // Before nothing runs: whoever follows the VM sees that there is more to come.
        self.set_current(Some(&operation));
        let booted = caught(self.boot_again(&operation, wait, why)).await;
        if booted.as_ref().is_err_and(EngineError::is_panic) {
            self.unsettled.look();
        }
        self.set_current(None);
        let vm = self.view().await;
        self.shared
            .operations
            .end(&operation, booted.as_ref().map(|()| vm))
            .await;
        Ok(())
    }

    async fn boot_again(
        &mut self,
        operation: &OperationHandle,
        wait: Duration,
        why: &str,
    ) -> Result<(), EngineError> {
        self.let_go().await;
        let row = match state::reboots(&self.shared, &self.id, why.to_owned()).await {
            Ok(row) => row,
            Err(error) => {
                self.after_machine(Some(GUEST_REBOOTED.to_owned())).await?;
                return Err(error);
            }
        };
        let torn_down = start::tear_down(&*self.shared.machines, &self.folder()).await;
        let shared = Arc::clone(&self.shared);
        let booting = async {
            torn_down?;
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = operation.cancellation().cancelled() => return Err(EngineError::Cancelled),
            }
            let claimed = self.shared.claim_for_start(&row).await?;
            let before = (
                VmState::Stopped,
                Some("stopped while the guest rebooted".to_owned()),
            );
            self.boot(operation, row, claimed, before).await
        };
        let booted = shared.reserve.guard(operation, booting).await;
        if let Err(error) = &booted
            && !self.unsettled.is_any()
            && self.row().await?.state == VmState::Starting
        {
            // It never came to a machine.
            let off = match error {
                EngineError::Cancelled => Off::stopped(None),
                error => Off::failed(one_line(error)),
            };
            self.tear_down_and_record(off).await?;
        }
        booted
    }
}

/// Ends when the machine is gone and its VMM is not; never where there is none.
pub(super) async fn gone(folder: &Path, grace: Duration, running: Option<&Running>) -> Gone {
    match running {
        Some(running) => {
            ending::gone(Still {
                awaited: false,
                ..running.awaited(folder, grace)
            })
            .await
        }
        None => std::future::pending().await,
    }
}
