//! A guest's wall clock, looked at on each contact: it has missed the time for which its host slept or its machine stood
//! still.
//!
//! ```text
//!  offset   what the guest's clock is ahead of the host's now
//!  own      what of that is the guest's doing since the host has set it: its time service, or its user
//!
//!  offset = own                      nothing is amiss, whoever is right of the two
//!  offset is further off than own    time was missed: the clock is moved back to own
//!  offset is closer than own         the guest has made up for it: what is left is its own
//! ```
//! So a guest's time service is not fought with, and one that has none keeps the host's time. The guest says both, and
//! whatever it says costs its own clock alone.

use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::join_all;
use guest::{Agent, AgentError, Clock, SetClock};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Mutex;

use super::Shared;

/// A clock is not looked at again for so long: it may be behind by that, and commands in a row are not held up.
const FRESH: Duration = Duration::from_millis(400);
/// The same where the agent does not know the question, or answers it with nonsense.
const UNKNOWN: Duration = Duration::from_secs(30);
/// How long a contact waits for the look, and how long a look waits for a guest.
const ANSWER: Duration = Duration::from_secs(2);
const GIVEN_UP: Duration = Duration::from_secs(60);
/// What a clock may be off by.
const TOLERANCE: i128 = 300_000_000;
/// An answer that took longer does not tell the time well enough: it is asked for again, so often.
const SOON: Duration = Duration::from_millis(200);
const TRIES: usize = 3;
/// How often it is looked whether the host has slept, and what counts as sleep.
const LOOK: Duration = Duration::from_secs(1);
const SLEEP: Duration = Duration::from_millis(500);

/// When a guest's clock is looked at next, by a clock that counts the host's sleep.
#[derive(Debug, Default)]
pub(crate) struct ClockCheck {
    next: Mutex<Duration>,
}

impl ClockCheck {
    /// Has the guest's clock be right, unless that was seen to a moment ago. A guest that does not answer is not waited
    /// for long; once it does, its clock is made right without the contact that it was looked at for.
    pub(crate) async fn see_to(self: &Arc<Self>, vm: &str, agent: &Agent) {
        if self.next.try_lock().is_ok_and(|next| since_boot() < *next) {
            return;
        }
        let (check, vm, agent) = (Arc::clone(self), vm.to_owned(), agent.clone());
        let looking = async move { tokio::time::timeout(GIVEN_UP, check.look(&vm, &agent)).await };
        let _ = tokio::time::timeout(ANSWER, tokio::spawn(looking)).await;
    }

    async fn look(&self, vm: &str, agent: &Agent) {
        // Contacts at the same time wait for one look.
        let mut next = self.next.lock().await;
        if since_boot() < *next {
            return;
        }
        let rest = match look(agent).await {
            Ok(None) => FRESH,
            Ok(Some(step)) => {
                tracing::info!(vm, step_ms = step / 1_000_000, "moved the guest's clock");
                FRESH
            }
            Err(error) => {
                tracing::debug!(vm, %error, "cannot look at the guest's clock");
                UNKNOWN
            }
        };
        *next = since_boot() + rest;
    }
}

/// Looks once; gives by how much the clock was moved, if it was.
async fn look(agent: &Agent) -> Result<Option<i64>, AgentError> {
    let mut best: Option<(Duration, i128, i64)> = None;
    for _ in 0..TRIES {
        let (asked, since) = (unix_time_ns(), since_boot());
        let Clock { unix_time_ns, own_ns } = agent.clock().await?;
        let took = since_boot().saturating_sub(since);
        let offset = i128::from(unix_time_ns) - asked - nanoseconds(took / 2);
        if best.is_none_or(|(least, ..)| took < least) {
            best = Some((took, offset, own_ns));
        }
        if took <= SOON {
            break;
        }
    }
    let Some((took, offset, own)) = best else {
        return Ok(None);
    };
    let Some(set) = decide(offset, own.into(), TOLERANCE + nanoseconds(took / 2)) else {
        return Ok(None);
    };
    agent.set_clock(&set).await?;
    Ok((set.step_ns != 0).then_some(set.step_ns))
}

/// What is to become of a clock that is ahead by `offset`, `own` of which is the guest's doing.
fn decide(offset: i128, own: i128, tolerance: i128) -> Option<SetClock> {
    if (offset - own).abs() <= tolerance {
        return None;
    }
    let right = if own.abs() < offset.abs() { own } else { offset };
    Some(SetClock {
        step_ns: i64::try_from(right - offset).ok()?,
        own_ns: i64::try_from(right).ok()?,
    })
}

/// Sees to the clocks of all guests when the host has slept, for as long as there is something to watch: what runs in
/// them goes by their clocks without any contact.
pub(crate) fn watch(shared: &Arc<Shared>) {
    let shared = Arc::downgrade(shared);
    tokio::spawn(async move { look_for_sleep(&shared).await });
}

async fn look_for_sleep(shared: &Weak<Shared>) {
    let mut slept = asleep();
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(shared) = shared.upgrade() else { return };
        let now = asleep();
        if now.saturating_sub(slept) > SLEEP {
            tracing::info!(for_s = (now - slept).as_secs(), "the host has slept");
            let running = shared.running();
            join_all(running.iter().map(|(id, task)| async move {
                let link = task.live.borrow().link.clone();
                let state = link.map(|link| link.borrow().clone());
                if let Some((agent, clock)) = state.and_then(|state| Some((state.agent?, state.clock))) {
                    clock.see_to(id, &agent).await;
                }
            }))
            .await;
        }
        slept = now;
    }
}

/// How long the host has slept since it booted.
fn asleep() -> Duration {
    since_boot().saturating_sub(duration(ClockId::Monotonic))
}

fn since_boot() -> Duration {
    duration(ClockId::Boottime)
}

fn duration(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

fn unix_time_ns() -> i128 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => nanoseconds(since),
        Err(error) => -nanoseconds(error.duration()),
    }
}

fn nanoseconds(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: i128 = 1_000_000;
    const S: i128 = 1_000 * MS;
    const DAY: i128 = 86_400 * S;

    /// A guest's clock as it is told of: offset and own.
    #[derive(Clone, Copy, Debug, Default)]
    struct Guest {
        offset: i128,
        own: i128,
    }

    /// What happens to it, and to the host's.
    #[derive(Clone, Copy, Debug)]
    enum Event {
        /// The guest stands still, or its host sleeps.
        Missed(i128),
        /// Its time service or its user moves its clock.
        Moved(i128),
        /// Its time service sets it to the time that is right, which the host's is behind by so much.
        Corrected(i128),
        /// The host's clock is moved.
        HostMoved(i128),
        /// Somebody is in contact.
        Contact,
    }

    impl Guest {
        fn after(mut self, events: &[Event]) -> Self {
            for event in events {
                match *event {
                    Event::Missed(by) => self.offset -= by,
                    Event::Moved(by) => {
                        self.offset += by;
                        self.own += by;
                    }
                    Event::Corrected(to) => {
                        self.own += to - self.offset;
                        self.offset = to;
                    }
                    Event::HostMoved(by) => self.offset -= by,
                    Event::Contact => {
                        if let Some(set) = decide(self.offset, self.own, TOLERANCE) {
                            self.offset += i128::from(set.step_ns);
                            self.own = set.own_ns.into();
                        }
                    }
                }
            }
            self
        }
    }

    #[test]
    fn a_clock_that_missed_time_is_made_right_and_one_that_the_guest_has_set_is_left() {
        use Event::{Contact, Corrected, HostMoved, Missed, Moved};
        for (what, events, offset) in [
            ("nothing happened", vec![Contact], 0),
            ("it stood still", vec![Missed(20 * S), Contact], 0),
            (
                "the host slept for days",
                vec![Contact, Missed(3 * DAY), Contact],
                0,
            ),
            ("the host's clock was set", vec![HostMoved(60 * S), Contact], 0),
            ("and back", vec![HostMoved(-60 * S), Contact], 0),
            (
                "it stood still often and for little",
                [Missed(250 * MS), Contact].repeat(41),
                -250 * MS,
            ),
            (
                "the guest's time service was there first",
                vec![Missed(20 * S), Corrected(0), Contact],
                0,
            ),
            (
                "the guest's time service knows better than the host",
                vec![Corrected(5 * S), Contact, Contact],
                5 * S,
            ),
            (
                "and has missed time since",
                vec![Corrected(5 * S), Missed(3600 * S), Contact],
                5 * S,
            ),
            (
                "and made up for it itself",
                vec![Corrected(5 * S), Missed(3600 * S), Corrected(5 * S), Contact],
                5 * S,
            ),
            (
                "and stands still again after that",
                vec![
                    Corrected(5 * S),
                    Missed(3600 * S),
                    Corrected(5 * S),
                    Contact,
                    Missed(60 * S),
                    Contact,
                ],
                5 * S,
            ),
            (
                "the time service keeps a quick clock back, then it stands still",
                vec![Missed(-90 * S), Corrected(0), Contact, Missed(20 * S), Contact],
                0,
            ),
            ("the user set it back", vec![Moved(-DAY), Contact, Contact], -DAY),
            (
                "and the host slept",
                vec![Moved(-DAY), Contact, Missed(3600 * S), Contact],
                -DAY,
            ),
            (
                "the user set it forth",
                vec![Moved(365 * DAY), Contact],
                365 * DAY,
            ),
        ] {
            assert_eq!(Guest::default().after(&events).offset, offset, "{what}");
        }
    }

    #[test]
    fn a_slow_answer_moves_no_clock_by_what_it_does_not_tell() {
        assert_eq!(decide(-S, 0, TOLERANCE + S), None);
        assert!(decide(-20 * S, 0, TOLERANCE + S).is_some());
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(offset in any::<i64>(), own in any::<i64>(), host in any::<i64>()) {
            let offset = i128::from(offset) - i128::from(host);
            if let Some(set) = decide(offset, own.into(), TOLERANCE) {
                prop_assert!(i128::from(set.own_ns).abs() <= offset.abs().max(i128::from(own).abs()));
            }
        }

        /// Whatever a guest and its host do: who keeps to the host's time is within a second of it.
        #[test]
        fn a_guest_without_a_time_service_keeps_the_hosts_time(
            missed in proptest::collection::vec(-100_000i128..100_000, 0..30),
        ) {
            let events: Vec<_> = missed
                .into_iter()
                .flat_map(|ms| [Event::Missed(ms * MS), Event::Contact])
                .collect();
            prop_assert!(Guest::default().after(&events).offset.abs() <= TOLERANCE);
        }
    }
}
