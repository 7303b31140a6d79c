//! VMs that nobody uses any more are shut down, if that is configured.
//!
//! ```text
//!  used: something is carried to or from the guest (a command or shell runs, a connection is forwarded, …),
//!        an operation is under way, or its processors do more than an idle guest's
//! ```
//!
//! Not keystrokes: who has a shell open, or a build running in the background, uses the VM. A daemon that was
//! started anew begins to count anew, and so does one whose host slept.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use guest::Activity;

use super::command::Command;
use super::stats::processor_time;
use super::{Shared, Task};
use crate::EngineError;
use crate::error::one_line;

/// Part of one processor below which a guest counts as idle. One that has booted and waits takes a fifth of that, even
/// in software emulation.
const BUSY: f64 = 0.02;
/// Looks at a VM within the time that it may be unused.
const LOOKS: u32 = 10;
/// Longest time between two looks.
const LONGEST: Duration = Duration::from_secs(30);

/// Begins to look after all VMs, for as long as there is somebody who could use them.
pub(crate) fn watch(shared: &Arc<Shared>, after: Duration) {
    let shared = Arc::downgrade(shared);
    tokio::spawn(async move { look_again_and_again(&shared, after).await });
}

async fn look_again_and_again(shared: &Weak<Shared>, after: Duration) {
    let mut seen: HashMap<String, Unused> = HashMap::new();
    loop {
        tokio::time::sleep((after / LOOKS).min(LONGEST)).await;
        let Some(shared) = shared.upgrade() else { return };
        let tasks = shared.tasks().clone();
        seen.retain(|id, _| tasks.contains_key(id));
        for (id, task) in tasks {
            // One that is held back does nothing by no will of its own.
            let paused = task.pause.reason().is_some();
            let Some(sample) = Sample::of(&task).filter(|_| !paused) else {
                seen.remove(&id);
                continue;
            };
            let unused = seen.entry(id.clone()).or_insert_with(|| Unused::new(sample));
            if unused.look(sample) < after {
                continue;
            }
            tracing::info!(vm = id, ?after, "nobody has used it; shutting it down");
            // Counted anew, should it not end.
            seen.remove(&id);
            if let Err(error) = shut_down(&shared, id, &task, after).await {
                tracing::warn!(error = %one_line(&error), "cannot shut an unused VM down");
            }
        }
    }
}

async fn shut_down(shared: &Shared, id: String, task: &Task, after: Duration) -> Result<(), EngineError> {
    let operation = shared.operations.begin("stop", Some(id)).await?;
    let command = Command::Stop {
        operation: operation.clone(),
        unused: Some(after),
    };
    if task.send(command).await.is_err() {
        // The VM went meanwhile.
        shared.operations.end(&operation, Ok(None)).await;
    }
    Ok(())
}

/// Why a VM was shut down, for people.
pub(crate) fn reason(after: Duration) -> String {
    let seconds = after.as_secs();
    let time = match seconds {
        _ if seconds > 0 && seconds.is_multiple_of(3600) => format!("{} h", seconds / 3600),
        _ if seconds > 0 && seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        _ => format!("{} s", after.as_secs_f64()),
    };
    format!("shut down after {time} without use (auto_stop_stale_after)")
}

/// What a VM does at one moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    pid: u32,
    activity: Activity,
    /// Whether an operation is under way.
    worked_on: bool,
    /// Processor time of its VMM so far.
    cpu: Duration,
}

impl Sample {
    /// `None` if it does not run.
    fn of(task: &Task) -> Option<Self> {
        let live = task.live.borrow();
        let pid = live.pid?;
        let agent = live.link.as_ref().and_then(|link| link.borrow().agent.clone());
        Some(Self {
            at: Instant::now(),
            pid,
            activity: agent.map(|agent| agent.activity()).unwrap_or_default(),
            worked_on: live.current.is_some(),
            cpu: processor_time(pid)?,
        })
    }
}

/// Since when a VM is unused.
#[derive(Debug)]
struct Unused {
    since: Instant,
    last: Sample,
}

impl Unused {
    fn new(first: Sample) -> Self {
        Self {
            since: first.at,
            last: first,
        }
    }

    /// Takes a look, and tells how long nobody has used it.
    fn look(&mut self, now: Sample) -> Duration {
        let last = std::mem::replace(&mut self.last, now);
        let time = now.at.saturating_duration_since(last.at);
        let busy = now.cpu.saturating_sub(last.cpu).as_secs_f64() > BUSY * time.as_secs_f64();
        let other = now.pid != last.pid || now.activity != last.activity;
        if busy || other || now.worked_on || now.activity.open > 0 {
            self.since = now.at;
        }
        now.at.saturating_duration_since(self.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn idle(start: Instant, minutes: u32) -> Sample {
        Sample {
            at: start + MINUTE * minutes,
            pid: 7,
            activity: Activity { open: 0, begun: 3 },
            worked_on: false,
            // What a guest that waits takes: 0.4 % of a processor.
            cpu: Duration::from_millis(240) * minutes,
        }
    }

    #[test]
    fn a_guest_that_waits_is_unused() {
        let start = Instant::now();
        let mut unused = Unused::new(idle(start, 0));
        for minutes in 1..10 {
            assert_eq!(unused.look(idle(start, minutes)), MINUTE * minutes);
        }
    }

    #[test]
    fn each_kind_of_use_begins_the_count_anew() {
        let start = Instant::now();
        let open = |sample: Sample| Sample {
            activity: Activity { open: 1, begun: 3 },
            ..sample
        };
        let came_and_went = |sample: Sample| Sample {
            activity: Activity { open: 0, begun: 4 },
            ..sample
        };
        let computed = |sample: Sample| Sample {
            cpu: sample.cpu + Duration::from_secs(3),
            ..sample
        };
        let worked_on = |sample: Sample| Sample {
            worked_on: true,
            ..sample
        };
        let started_anew = |sample: Sample| Sample {
            pid: 8,
            cpu: Duration::ZERO,
            ..sample
        };
        let uses: [&dyn Fn(Sample) -> Sample; 5] =
            [&open, &came_and_went, &computed, &worked_on, &started_anew];
        for (number, used) in uses.iter().enumerate() {
            let mut unused = Unused::new(idle(start, 0));
            assert_eq!(unused.look(idle(start, 5)), MINUTE * 5, "{number}");
            assert_eq!(unused.look(used(idle(start, 6))), Duration::ZERO, "{number}");
        }
    }

    #[test]
    fn the_reason_names_the_time_as_it_is_configured() {
        for (seconds, time) in [(7200, "2 h"), (5400, "90 min"), (45, "45 s")] {
            let told = reason(Duration::from_secs(seconds));
            assert_eq!(
                told,
                format!("shut down after {time} without use (auto_stop_stale_after)")
            );
        }
    }
}
