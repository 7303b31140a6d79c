//! Questions of the guest for names: passed on to the host's resolvers, one after the other until one knows.
//!
//! The next is asked at once where one refuses, cannot be reached or says that it failed, and after a moment where one says
//! nothing, which is listened to on. So an answer that any of them has comes within two seconds, however many are silent.
//! Each question to each resolver has a socket and a number of its own, neither of which can be guessed.

mod ask;
mod message;
mod servers;

use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::channel::Flow;
use ask::{Ask, Heard};
use message::{Query, Reply};
use servers::Servers;

pub(super) use message::LONGEST as LONGEST_QUESTION;

/// How many sockets there can be for questions. One more closes the oldest question.
pub(crate) const LIMIT: usize = 256;
/// Marks their events: below it are flows, and whole place and number of a socket are in the bits below.
pub(super) const MARK: u64 = 1 << 32;
/// The next resolver is asked so much later at most, and the last one so much later than the first.
const NEXT: Duration = Duration::from_millis(500);
const LAST: Duration = Duration::from_millis(1500);
/// A question is over after so long.
const OVER: Duration = Duration::from_secs(10);
/// Where one resolver has said that it failed, the others have so long to do better.
const BETTER: Duration = Duration::from_secs(2);

/// Whose question it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// A flow of datagrams.
    Flow(Flow),
    /// A connection, by its number.
    Connection(u64),
}

/// What has become of a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// This is the answer.
    Answer(Vec<u8>),
    /// There is nothing that could be asked.
    Unreachable,
    /// No answer has come in time.
    Silence,
}

#[derive(Debug)]
struct Question {
    asker: Asker,
    query: Query,
    number: [u8; 2],
    /// Resolvers that have not been asked, the next one last.
    unasked: Vec<SocketAddr>,
    /// Those that were, until they answer.
    asked: Vec<Option<(SocketAddr, Ask)>>,
    begun: Instant,
    step: Duration,
    next: Instant,
    end: Instant,
    /// What a resolver that failed has said.
    poor: Option<Vec<u8>>,
}

/// All questions that are under way.
#[derive(Debug)]
pub(super) struct Names {
    servers: Servers,
    places: Vec<Option<Question>>,
    outcomes: Vec<(Asker, Outcome)>,
}

impl Names {
    pub(super) fn new(list: File) -> Self {
        Self {
            servers: Servers::of(list),
            places: Vec::new(),
            outcomes: Vec::new(),
        }
    }

    /// Takes a question of the guest's. What is none is dropped.
    pub(super) fn ask(
        &mut self,
        events: &OwnedFd,
        asker: Asker,
        message: &[u8],
        now: Instant,
    ) -> Result<(), Errno> {
        let Some(query) = Query::parse(message) else {
            let lost = (asker, Outcome::Silence);
            self.outcomes.push(lost);
            return Ok(());
        };
        let mut number = [0; 2];
        getrandom(&mut number, GetRandomFlags::empty())?;
        let mut unasked = self.servers.order(now);
        unasked.reverse();
        let steps = u32::try_from(unasked.len()).unwrap_or(1).saturating_sub(1).max(1);
        let question = Question {
            asker,
            query,
            number,
            unasked,
            asked: Vec::new(),
            begun: now,
            step: NEXT.min(LAST / steps),
            next: now,
            end: now + OVER,
            poor: None,
        };
        let free = self.places.iter().position(Option::is_none);
        let place = free.unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        self.places[place] = Some(question);
        self.ask_next(events, place, now);
        Ok(())
    }

    /// Something has happened at the socket of an event.
    pub(super) fn hear(&mut self, events: &OwnedFd, event: u64, buffer: &mut [u8], now: Instant) {
        let (place, asked) = ((event & 0xffff_ffff) >> 8, event & 0xff);
        let (Ok(place), Ok(asked)) = (usize::try_from(place), usize::try_from(asked)) else {
            return;
        };
        loop {
            let Some(Some(question)) = self.places.get_mut(place) else {
                return;
            };
            let Some(slot @ Some(_)) = question.asked.get_mut(asked) else {
                return;
            };
            let Some((server, ask)) = slot else { return };
            let (server, sent) = (*server, ask.sends());
            let reply = match ask.go_on(buffer) {
                Heard::Nothing => {
                    if sent && !ask.sends() {
                        // From now on it would be ready to send at any time.
                        let data = epoll::EventData::new_u64(event);
                        let _ = epoll::modify(events, ask, data, epoll::EventFlags::IN);
                    }
                    return;
                }
                Heard::Failed => None,
                Heard::Message(message) => Some(message),
            };
            let judged = reply.map(|message| (question.query.judge(question.number, &message), message));
            match judged {
                Some((Reply::Strange, _)) if ask.is_datagrams() => continue,
                Some((Reply::Good, message)) => {
                    let answer = Outcome::Answer(question.query.answer(message));
                    *slot = None;
                    for (silent, _) in question.asked.iter().take(asked).flatten() {
                        self.servers.missed(*silent, now);
                    }
                    self.servers.heard(server);
                    return self.close(place, answer);
                }
                Some((Reply::Poor, message)) => {
                    *slot = None;
                    self.servers.heard(server);
                    question.poor = Some(question.query.answer(message));
                    question.end = question.end.min(now + BETTER);
                }
                // One that refuses costs no time, and is asked in its turn the next time.
                None | Some((Reply::Strange, _)) => *slot = None,
            }
            return self.ask_next(events, place, now);
        }
    }

    /// How long nothing is to be done.
    pub(super) fn pause(&self, now: Instant) -> Option<Duration> {
        let due = |question: &Question| match question.unasked[..] {
            [] => question.end,
            _ => question.next.min(question.end),
        };
        let first = self.places.iter().flatten().map(due).min()?;
        Some(first.saturating_duration_since(now))
    }

    /// Does what is to be done by now.
    pub(super) fn turn(&mut self, events: &OwnedFd, now: Instant) {
        for place in 0..self.places.len() {
            let Some(question) = &mut self.places[place] else {
                continue;
            };
            if question.end <= now {
                let outcome = question.poor.take().map_or(Outcome::Silence, Outcome::Answer);
                self.close(place, outcome);
            } else if !question.unasked.is_empty() && question.next <= now {
                self.ask_next(events, place, now);
            }
        }
    }

    /// What has become of questions since this was last asked.
    pub(super) fn outcomes(&mut self) -> Vec<(Asker, Outcome)> {
        std::mem::take(&mut self.outcomes)
    }

    /// Forgets the questions of a connection that is gone.
    pub(super) fn forget(&mut self, connection: u64) {
        for place in &mut self.places {
            if place
                .as_ref()
                .is_some_and(|question| question.asker == Asker::Connection(connection))
            {
                *place = None;
            }
        }
    }

    /// Asks the next resolver of a question that can be asked; where none is left and none is waited for, it is over.
    fn ask_next(&mut self, events: &OwnedFd, place: usize, now: Instant) {
        loop {
            self.make_room(place);
            let Some(question) = &mut self.places[place] else {
                return;
            };
            let Some(server) = question.unasked.pop() else {
                if question.asked.iter().all(Option::is_none) {
                    let outcome = question.poor.take().map_or(Outcome::Unreachable, Outcome::Answer);
                    self.close(place, outcome);
                }
                return;
            };
            let over = match question.asker {
                Asker::Flow(_) => ask::Over::Datagrams,
                Asker::Connection(_) => ask::Over::Connection,
            };
            let number = question.asked.len();
            let opened =
                Ask::open(over, &server, &question.query.numbered(question.number)).and_then(|ask| {
                    let data = epoll::EventData::new_u64(MARK | (place as u64) << 8 | number as u64);
                    let mut flags = epoll::EventFlags::IN;
                    flags.set(epoll::EventFlags::OUT, ask.sends());
                    epoll::add(events, &ask, data, flags)?;
                    Ok(ask)
                });
            question.asked.push(opened.ok().map(|ask| (server, ask)));
            if question.asked[number].is_some() {
                question.next = now + question.step;
                return;
            }
        }
    }

    /// Sees that there is room for one more socket, other than by closing that question.
    fn make_room(&mut self, place: usize) {
        let count = |question: &Question| question.asked.iter().flatten().count();
        while self.places.iter().flatten().map(count).sum::<usize>() >= LIMIT {
            let others = self
                .places
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != place);
            let oldest = others
                .filter_map(|(other, question)| Some((question.as_ref()?.begun, other)))
                .min();
            let Some((_, oldest)) = oldest else { return };
            self.close(oldest, Outcome::Silence);
        }
    }

    fn close(&mut self, place: usize, outcome: Outcome) {
        if let Some(question) = self.places[place].take() {
            self.outcomes.push((question.asker, outcome));
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
