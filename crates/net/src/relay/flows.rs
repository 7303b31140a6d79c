//! The flows that are open: so many and no more, and each for a time.
//!
//! Where there is no room, one that is over makes it: a question that has been answered; else the one that has waited
//! longest for its first answer; else the one that has been silent longest. One that was used within the second does not:
//! the newcomer is dropped then, as by a busy network, so that a guest that floods does not take the host's ports one after
//! the other.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::channel::{Flow, Kind};
use crate::policy::DNS;

/// How many there can be.
pub(crate) const LIMIT: usize = 512;
/// How long one may be silent before another may take its place.
const IN_USE: Duration = Duration::from_secs(1);
/// How long a flow stays that nothing has answered, one that something has, and a question for a name.
const UNANSWERED: Duration = Duration::from_secs(30);
const ANSWERED: Duration = Duration::from_secs(180);
const QUESTION: Duration = Duration::from_secs(10);

/// All of them, with what stands for each on the host.
#[derive(Debug)]
pub(super) struct Flows<S> {
    places: Vec<Option<Open<S>>>,
    free: Vec<usize>,
    by_flow: HashMap<Flow, usize>,
    /// None ends before.
    first_end: Option<Instant>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Open<S> {
    pub(super) flow: Flow,
    pub(super) socket: S,
    /// What has been sent and not been answered.
    waiting: u32,
    is_answered: bool,
    used: Instant,
}

impl<S> Open<S> {
    /// Something is sent.
    pub(super) fn sends(&mut self, now: Instant) {
        self.waiting = self.waiting.saturating_add(1);
        self.used = now;
    }

    /// An answer has come.
    pub(super) fn is_answered(&mut self, now: Instant) {
        self.waiting = self.waiting.saturating_sub(1);
        self.is_answered = true;
        self.used = now;
    }

    fn is_question(&self) -> bool {
        self.flow.kind == Kind::Datagram && self.flow.port == DNS
    }

    fn end(&self) -> Instant {
        self.used
            + match self.is_answered {
                _ if self.is_question() => QUESTION,
                true => ANSWERED,
                false => UNANSWERED,
            }
    }

    /// Which one makes room: the lowest does, none that has no rank.
    fn rank(&self, now: Instant) -> Option<(u8, Instant)> {
        let silent = now.saturating_duration_since(self.used);
        let rank = match self.is_answered {
            _ if self.is_question() && self.waiting == 0 => 0,
            _ if silent < IN_USE => return None,
            false => 1,
            true => 2,
        };
        Some((rank, self.used))
    }
}

impl<S> Flows<S> {
    pub(super) fn new() -> Self {
        Self {
            places: (0..LIMIT).map(|_| None).collect(),
            free: (0..LIMIT).rev().collect(),
            by_flow: HashMap::with_capacity(LIMIT),
            first_end: None,
        }
    }

    /// The place of a flow, if it is open.
    pub(super) fn find(&self, flow: &Flow) -> Option<usize> {
        self.by_flow.get(flow).copied()
    }

    /// What is open there.
    pub(super) fn at(&mut self, place: usize) -> Option<&mut Open<S>> {
        self.places.get_mut(place)?.as_mut()
    }

    /// Sees that there is a place for one more. `false`: all are in use.
    pub(super) fn make_room(&mut self, now: Instant) -> bool {
        if !self.free.is_empty() {
            return true;
        }
        let ranked = self.places.iter().enumerate().filter_map(|(place, open)| {
            let rank = open.as_ref()?.rank(now)?;
            Some((rank, place))
        });
        let Some((_, place)) = ranked.min() else {
            return false;
        };
        self.close(place);
        true
    }

    /// Opens one, which sends now, and gives its place. There has to be room.
    pub(super) fn open(&mut self, flow: Flow, socket: S, now: Instant) -> Option<usize> {
        let place = self.free.pop()?;
        let open = Open {
            flow,
            socket,
            waiting: 0,
            is_answered: false,
            used: now,
        };
        self.first_end = Some(self.first_end.map_or(open.end(), |end| end.min(open.end())));
        self.places[place] = Some(open);
        self.by_flow.insert(flow, place);
        Some(place)
    }

    /// Closes those whose time is over.
    pub(super) fn expire(&mut self, now: Instant) {
        if self.first_end.is_none_or(|end| now < end) {
            return;
        }
        for place in 0..self.places.len() {
            if self.places[place].as_ref().is_some_and(|open| open.end() <= now) {
                self.close(place);
            }
        }
        self.first_end = self.places.iter().flatten().map(Open::end).min();
    }

    /// How long nothing is to be closed; `None`: until something is opened.
    pub(super) fn pause(&self, now: Instant) -> Option<Duration> {
        Some(self.first_end?.saturating_duration_since(now))
    }

    /// Closes what is open there.
    pub(super) fn close(&mut self, place: usize) {
        if let Some(open) = self.places[place].take() {
            self.by_flow.remove(&open.flow);
            self.free.push(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(guest: u16, port: u16) -> Flow {
        Flow {
            kind: Kind::Datagram,
            guest,
            peer: [1, 1, 1, 1].into(),
            port,
        }
    }

    fn full(port: u16, now: Instant) -> Flows<()> {
        let mut flows = Flows::new();
        for guest in 0..LIMIT as u16 {
            assert!(flows.make_room(now));
            let place = flows.open(flow(guest, port), (), now).unwrap();
            flows.at(place).unwrap().sends(now);
        }
        flows
    }

    fn answer(flows: &mut Flows<()>, guest: u16, port: u16, now: Instant) {
        let place = flows.find(&flow(guest, port)).unwrap();
        flows.at(place).unwrap().is_answered(now);
    }

    #[test]
    fn those_in_use_stay_and_the_newcomer_is_dropped() {
        let now = Instant::now();
        let mut flows = full(99, now);
        assert!(!flows.make_room(now));
        assert!(!flows.make_room(now + IN_USE / 2));
        for guest in 0..LIMIT as u16 {
            answer(&mut flows, guest, 99, now + IN_USE / 2);
        }
        assert!(!flows.make_room(now + IN_USE));
        assert!(flows.make_room(now + 2 * IN_USE));
    }

    #[test]
    fn a_flow_that_was_never_answered_goes_before_one_that_was() {
        let now = Instant::now();
        let mut flows = full(99, now);
        answer(&mut flows, 0, 99, now);
        let later = now + IN_USE;
        let place = flows.find(&flow(1, 99)).unwrap();
        flows.at(place).unwrap().sends(later);
        assert!(flows.make_room(later));
        assert_eq!(flows.find(&flow(2, 99)), None, "it has waited longest");
        assert!(flows.find(&flow(0, 99)).is_some() && flows.find(&flow(1, 99)).is_some());
    }

    #[test]
    fn an_answered_question_makes_room_at_once() {
        let now = Instant::now();
        let mut flows = full(DNS, now);
        assert!(!flows.make_room(now));
        answer(&mut flows, 7, DNS, now);
        assert!(flows.make_room(now));
        assert_eq!(flows.find(&flow(7, DNS)), None);
        // It asks for two things at once, and has one answer.
        assert!(flows.open(flow(7, DNS), (), now).is_some());
        answer(&mut flows, 8, DNS, now);
        let place = flows.find(&flow(8, DNS)).unwrap();
        flows.at(place).unwrap().sends(now);
        answer(&mut flows, 9, DNS, now);
        assert!(flows.make_room(now));
        assert!(flows.find(&flow(8, DNS)).is_some());
    }

    #[test]
    fn each_ends_when_its_time_is_over_and_its_place_is_used_again() {
        let now = Instant::now();
        let mut flows = full(99, now);
        answer(&mut flows, 0, 99, now);
        assert_eq!(flows.pause(now), Some(UNANSWERED));
        flows.expire(now + UNANSWERED - Duration::from_millis(1));
        assert_eq!(flows.by_flow.len(), LIMIT);
        flows.expire(now + UNANSWERED);
        assert_eq!(flows.by_flow.len(), 1);
        assert_eq!(flows.pause(now), Some(ANSWERED));
        flows.expire(now + ANSWERED);
        assert_eq!((flows.by_flow.len(), flows.pause(now)), (0, None));
        let again = full(99, now);
        assert_eq!(again.by_flow.len(), LIMIT);
        let mut questions = full(DNS, now);
        answer(&mut questions, 3, DNS, now);
        questions.expire(now + QUESTION);
        assert_eq!(questions.by_flow.len(), 0);
    }
}
