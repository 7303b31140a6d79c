//! Runs scenarios, side by side where they do not share anything of the host, and says how they went.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::{Home, Scenario};

/// How a scenario went.
#[derive(Debug)]
pub struct Outcome {
    /// Which.
    pub name: &'static str,
    /// How long it took.
    pub took: Duration,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

/// Scenarios that wait, and what those that run have for themselves.
struct Queue {
    waiting: VecDeque<&'static Scenario>,
    taken: Vec<&'static str>,
}

thread_local! {
    /// Where and why this thread has panicked.
    static REASON: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs these scenarios, at most `jobs` at a time; `ended` hears of each as it ends.
pub fn run(scenarios: Vec<&'static Scenario>, jobs: usize, ended: impl Fn(&Outcome) + Sync) -> Vec<Outcome> {
    std::panic::set_hook(Box::new(|panic| {
        REASON.with_borrow_mut(|reason| *reason = Some(panic.to_string()));
    }));
    let order: Vec<&str> = scenarios.iter().map(|scenario| scenario.name).collect();
    let queue = Mutex::new(Queue {
        waiting: scenarios.into(),
        taken: Vec::new(),
    });
    let (freed, outcomes) = (Condvar::new(), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some(scenario) = next(&queue, &freed) {
                    let outcome = run_one(scenario);
                    ended(&outcome);
                    outcomes.lock().unwrap().push(outcome);
                    let mut queue = queue.lock().unwrap();
                    queue.taken.retain(|name| !scenario.alone_with.contains(name));
                    freed.notify_all();
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap();
    outcomes.sort_by_key(|outcome| order.iter().position(|name| *name == outcome.name));
    outcomes
}

/// The next scenario whose part of the host is free; none when none is left.
fn next(queue: &Mutex<Queue>, freed: &Condvar) -> Option<&'static Scenario> {
    let mut queue = queue.lock().unwrap();
    loop {
        let Queue { waiting, taken } = &mut *queue;
        if waiting.is_empty() {
            return None;
        }
        let free = |scenario: &&Scenario| !scenario.alone_with.iter().any(|name| taken.contains(name));
        if let Some(index) = waiting.iter().position(free) {
            let scenario = waiting.remove(index)?;
            taken.extend(scenario.alone_with);
            return Some(scenario);
        }
        queue = freed.wait(queue).unwrap();
    }
}

fn run_one(scenario: &Scenario) -> Outcome {
    let begin = Instant::now();
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let home = Home::new();
        (scenario.run)(&home);
        assert_eq!(home.succeeds(&["ps", "-a", "-q"]), "", "a VM is left");
        home.unused(scenario.uses())
    }));
    let failure = match ran {
        Ok(unused) => unused.map(|used| format!("it says that it uses {used} and does not")),
        Err(_) => Some(REASON.take().unwrap_or_else(|| "it panicked".into())),
    };
    Outcome {
        name: scenario.name,
        took: begin.elapsed(),
        failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &Home) {}

    static PORT: Scenario = Scenario {
        name: "port",
        shows: "",
        uses: &[],
        fast: true,
        alone_with: &["port 80"],
        run: nothing,
    };
    static OTHER: Scenario = Scenario {
        name: "other",
        alone_with: &[],
        ..PORT
    };

    #[test]
    fn two_that_need_the_same_of_the_host_do_not_run_at_once() {
        let freed = Condvar::new();
        let queue = Mutex::new(Queue {
            waiting: [&PORT, &PORT, &OTHER].into(),
            taken: Vec::new(),
        });
        let taken: Vec<&str> = (0..2)
            .filter_map(|_| next(&queue, &freed))
            .map(|next| next.name)
            .collect();
        assert_eq!(
            taken,
            ["port", "other"],
            "the second one waits, whatever is behind it goes on"
        );
        queue.lock().unwrap().taken.clear();
        assert_eq!(next(&queue, &freed).unwrap().name, "port");
        assert!(next(&queue, &freed).is_none());
    }
}
