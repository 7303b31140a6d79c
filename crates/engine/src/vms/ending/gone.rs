//! Machines that have nothing more to do and do not end: a guest's processors have stopped for good where its VMM gives
//! it no way to say so, or a guest has said that it ends and does not.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use guest::Shutdown;
use vmm::Machine;

use super::console::{LastWord, last_word, standing_still};
use super::{Outcome, of_gone, unclean};
use crate::EngineError;
use crate::vms::link::Link;
use crate::vms::stats::processor_time;

/// How long an agent may take to show that it is there, where its kernel says that nothing is.
const ANSWER: Duration = Duration::from_millis(300);

/// How long a guest is watched for whether its processors do anything, and the part of one that is nothing. What is left
/// is the VMM's own.
const WATCHED: Duration = Duration::from_millis(200);
const NOTHING: f64 = 0.1;

/// Often enough for a machine that nobody waits for, and for one that somebody does.
const SELDOM: Duration = Duration::from_secs(1);
const OFTEN: Duration = Duration::from_millis(50);

/// So often it is looked whether a guest stands still after its kernel has said so; if it does not then, it has not said
/// the truth, and is looked at again when it has said something else.
const LOOKS: u32 = 40;

/// So many looks in a row find no answer in a guest whose kernel has failed. Its processors tell nothing: one of them waits
/// in a loop.
const SILENT: u32 = 5;

/// Why a machine that runs is as good as ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// Its processors have stopped, or its kernel has failed and stays so.
    Halted(LastWord),
    /// It said that it would end, a while ago.
    Said(Shutdown),
}

/// A machine that is watched, and what is known of it.
#[derive(Clone, Copy)]
pub(crate) struct Still<'a> {
    pub(crate) machine: &'a Arc<dyn Machine>,
    pub(crate) link: &'a Link,
    pub(crate) folder: &'a Path,
    /// How long it may take once it has said that it ends: everything is written out by then.
    pub(crate) grace: Duration,
    /// Whether somebody waits for its end.
    pub(crate) awaited: bool,
}

/// How a machine ended that was asked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// With all written out, as far as its guest has said or shown.
    InOrder,
    /// Without: what the guest had not synced is lost, for this reason.
    Failed(String),
}

/// Ends once the machine has, by itself, or by us where it is gone and does not.
pub(crate) async fn over(still: Still<'_>) -> Result<Over, EngineError> {
    tokio::select! {
        biased;
        end = still.machine.wait() => {
            let lost = unclean(&end, still.link.word(), &last_word(still.folder));
            Ok(lost.map_or(Over::InOrder, Over::Failed))
        }
        gone = gone(still) => {
            still.machine.kill().await?;
            match (&gone, of_gone(&gone)) {
                (Gone::Halted(LastWord::Panicked(_)), Outcome::Crashed(reason)) => Ok(Over::Failed(reason)),
                _ => Ok(Over::InOrder),
            }
        }
    }
}

/// Ends once it is gone. Never of a machine that ends as it should.
pub(crate) async fn gone(still: Still<'_>) -> Gone {
    tokio::select! {
        how = broken_word(still.link, still.grace) => Gone::Said(how),
        last = halted(still) => Gone::Halted(last),
    }
}

/// Ends a while after the guest has said that it would.
async fn broken_word(link: &Link, grace: Duration) -> Shutdown {
    let mut state = link.state();
    loop {
        let said = state.borrow_and_update().word;
        match said {
            None => {
                if state.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
            Some((how, at)) => {
                tokio::time::sleep(grace.saturating_sub(at.elapsed())).await;
                // Said in another boot, it is no word any more.
                if link.state().borrow().word == Some((how, at)) {
                    return how;
                }
            }
        }
    }
}

async fn halted(still: Still<'_>) -> LastWord {
    let mut known = None;
    loop {
        tokio::time::sleep(if still.awaited { OFTEN } else { SELDOM }).await;
        let now = printed(still.folder);
        if now == known {
            continue;
        }
        if let Some(last) = standing_still(still.folder) {
            let mut silent = 0;
            for _ in 0..LOOKS {
                silent = if is_silent(still).await { silent + 1 } else { 0 };
                let over = match last {
                    LastWord::Panicked(_) => silent == SILENT,
                    _ => silent > 0 && is_idle(still).await,
                };
                if over {
                    return last;
                }
                tokio::time::sleep(OFTEN).await;
            }
        }
        known = now;
    }
}

/// When the console was last printed on, and how much is kept of it.
fn printed(folder: &Path) -> Option<(SystemTime, u64)> {
    let about = fs::metadata(folder.join("console.log")).ok()?;
    Some((about.modified().ok()?, about.len()))
}

/// Whether nothing in the guest answers.
async fn is_silent(still: Still<'_>) -> bool {
    let agent = still.link.state().borrow().agent.clone();
    match agent {
        Some(agent) => !matches!(tokio::time::timeout(ANSWER, agent.health()).await, Ok(Ok(_))),
        None => true,
    }
}

/// Whether its processors do nothing.
async fn is_idle(still: Still<'_>) -> bool {
    let used = || processor_time(still.machine.pid());
    let Some(before) = used() else { return false };
    tokio::time::sleep(WATCHED).await;
    let Some(after) = used() else { return false };
    after.saturating_sub(before).as_secs_f64() < NOTHING * WATCHED.as_secs_f64()
}
