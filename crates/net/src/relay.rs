//! The relay: a process of ours in the host's network that carries a guest's datagrams and echoes.
//!
//! ```text
//!  frame filter ══ flow, payload ══ relay ── one connected socket per flow ── the host's network
//! ```
//!
//! passt before 2024 binds a port of the host's for each port that a guest sends from, and hands the guest whatever comes
//! there from anywhere. Here nothing is bound: each flow has a connected socket of its own, on a port that cannot be
//! guessed, and there are so many and no more ([`flows`]). The guest's resolver is answered here, too: questions go to the
//! host's resolvers ([`names`]), also those that come over connections ([`connections`]).

mod connections;
pub(crate) mod flows;
pub(crate) mod names;
pub(crate) mod socket;

use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, send};

use crate::addresses::RESOLVER;
use crate::channel::{self, Flow, HEAD, Kind, LONGEST, What};
use crate::policy::{DNS, Policy, Verdict};
use connections::Connections;
use flows::Flows;
use names::{Asker, MARK, Names, Outcome};
use socket::{PORT, Received, Socket, code, peer};

const THE_RESOLVER: IpAddr = IpAddr::V4(RESOLVER);
/// Stands for the channel among the places of flows.
const CHANNEL: u64 = u64::MAX;
/// So much is taken from one place before the others get their turn.
const AT_ONCE: usize = 64;

/// A relay at work.
pub(crate) struct Relay<'a> {
    channel: BorrowedFd<'a>,
    policy: &'a Policy,
    events: OwnedFd,
    flows: Flows<Socket>,
    /// Questions for the guest's resolver.
    names: Names,
    /// Connections to it, once there was one.
    connections: Option<Connections>,
    buffer: Vec<u8>,
}

impl<'a> Relay<'a> {
    /// `resolvers` is the list of the host's.
    pub(crate) fn new(channel: BorrowedFd<'a>, policy: &'a Policy, resolvers: File) -> io::Result<Self> {
        let events = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let data = epoll::EventData::new_u64(CHANNEL);
        epoll::add(&events, channel, data, epoll::EventFlags::IN)?;
        Ok(Self {
            channel,
            policy,
            events,
            flows: Flows::new(),
            names: Names::new(resolvers),
            connections: None,
            buffer: vec![0; LONGEST],
        })
    }

    /// Relays until the channel is closed.
    ///
    /// # Errors
    /// The filter says what is no message, or the system failed.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut happened = Vec::with_capacity(AT_ONCE);
        loop {
            let pause = self.pause(Instant::now()).map(timespec);
            happened.clear();
            match epoll::wait(&self.events, spare_capacity(&mut happened), pause.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let now = Instant::now();
            for event in &happened {
                match event.data.u64() {
                    CHANNEL => {
                        if !self.outward(now)? {
                            return Ok(());
                        }
                    }
                    event if event & MARK != 0 => self.names.hear(&self.events, event, &mut self.buffer, now),
                    place => self.inward(usize::try_from(place).map_err(io::Error::other)?, now)?,
                }
            }
            self.flows.expire(now);
            self.answer(now)?;
        }
    }

    /// How long nothing is to be done; `None`: until something happens.
    fn pause(&mut self, now: Instant) -> Option<Duration> {
        let connections = self.connections.as_mut();
        let pauses = [
            self.flows.pause(now),
            self.names.pause(now),
            connections.and_then(|connections| connections.pause(now)),
        ];
        pauses.into_iter().flatten().min()
    }

    /// Goes on with the questions for the guest's resolver, and gives the guest what has become of them.
    fn answer(&mut self, now: Instant) -> io::Result<()> {
        if let Some(connections) = &mut self.connections {
            let happened = connections.turn(now);
            self.ask(happened, now)?;
        }
        self.names.turn(&self.events, now);
        // An answer may make room for the next question of its connection, which may be over at once.
        loop {
            let outcomes = self.names.outcomes();
            if outcomes.is_empty() {
                break;
            }
            for (asker, outcome) in outcomes {
                match (asker, outcome) {
                    (Asker::Flow(flow), Outcome::Answer(answer)) => {
                        say(
                            self.channel,
                            &[&channel::head(&flow, What::Data)[..], &answer].concat(),
                        )?;
                    }
                    (Asker::Flow(flow), Outcome::Unreachable) => self.tell(&flow, PORT, &[])?,
                    (Asker::Flow(_), Outcome::Silence) => {}
                    (Asker::Connection(number), outcome) => {
                        let answer = match &outcome {
                            Outcome::Answer(answer) => Some(&answer[..]),
                            Outcome::Unreachable | Outcome::Silence => None,
                        };
                        if let Some(connections) = &mut self.connections {
                            connections.answer(number, answer, now);
                        }
                    }
                }
            }
            if let Some(connections) = &mut self.connections {
                let happened = connections.turn(now);
                self.ask(happened, now)?;
            }
        }
        let Some(connections) = &mut self.connections else {
            return Ok(());
        };
        for (guest, segment) in connections.sent() {
            let flow = Flow {
                kind: Kind::Segment,
                guest,
                peer: THE_RESOLVER,
                port: DNS,
            };
            say(
                self.channel,
                &[&channel::head(&flow, What::Data)[..], &segment].concat(),
            )?;
        }
        Ok(())
    }

    /// What has happened at connections to the guest's resolver.
    fn ask(&mut self, happened: Vec<connections::Event>, now: Instant) -> io::Result<()> {
        for event in happened {
            match event {
                connections::Event::Question(number, question) => {
                    self.names
                        .ask(&self.events, Asker::Connection(number), &question, now)?;
                }
                connections::Event::Gone(number) => self.names.forget(number),
            }
        }
        Ok(())
    }

    /// What the filter has for the world. `false`: it has ended.
    fn outward(&mut self, now: Instant) -> io::Result<bool> {
        for _ in 0..AT_ONCE {
            let mut buffer = std::mem::take(&mut self.buffer);
            let sent = match channel::receive(self.channel, &mut buffer, RecvFlags::DONTWAIT)? {
                None => None,
                Some([]) => Some(false),
                Some(message) => {
                    let Some((flow, What::Data, payload)) = channel::parse(message) else {
                        return Err(io::Error::other("the frame filter says what is no message"));
                    };
                    self.send(flow, payload, now)?;
                    Some(true)
                }
            };
            self.buffer = buffer;
            match sent {
                None => break,
                Some(false) => return Ok(false),
                Some(true) => {}
            }
        }
        Ok(true)
    }

    /// Sends what a guest sends, if it may.
    fn send(&mut self, flow: Flow, payload: &[u8], now: Instant) -> io::Result<()> {
        let verdict = match flow.kind {
            Kind::Datagram | Kind::Segment => self.policy.judge_port(flow.peer, flow.port),
            Kind::Echo => self.policy.judge(flow.peer),
        };
        // The filter has told the guest so, if it is well.
        if verdict != Verdict::Pass {
            return Ok(());
        }
        match (flow.kind, flow.peer) {
            (Kind::Datagram, THE_RESOLVER) => {
                return Ok(self.names.ask(&self.events, Asker::Flow(flow), payload, now)?);
            }
            (Kind::Segment, THE_RESOLVER) => {
                let connections = match &mut self.connections {
                    Some(connections) => connections,
                    none => none.insert(Connections::new(now)?),
                };
                let happened = connections.receive(payload, now);
                return self.ask(happened, now);
            }
            // Other connections are passt's.
            (Kind::Segment, _) => return Ok(()),
            _ => {}
        }
        let sent = match self.place_of(flow, now) {
            Ok(Some(place)) => match self.flows.at(place) {
                Some(open) => {
                    open.sends(now);
                    // The first may give the error of what was sent before.
                    open.socket.send(payload).or_else(|_| open.socket.send(payload))
                }
                None => Ok(()),
            },
            // There is no room: it is lost, as in a busy network.
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        match sent.map_err(code) {
            Err(Some(code)) => self.tell(&flow, code, payload),
            Ok(()) | Err(None) => Ok(()),
        }
    }

    /// Where a flow is open, or is from now on.
    fn place_of(&mut self, flow: Flow, now: Instant) -> Result<Option<usize>, Errno> {
        if let Some(place) = self.flows.find(&flow) {
            return Ok(Some(place));
        }
        if !self.flows.make_room(now) {
            return Ok(None);
        }
        let socket = Socket::open(flow.kind, peer(flow.kind, flow.peer, flow.port))?;
        let Some(place) = self.flows.open(flow, socket, now) else {
            return Ok(None);
        };
        if let Some(open) = self.flows.at(place) {
            let data = epoll::EventData::new_u64(place as u64);
            if let Err(error) = epoll::add(&self.events, open.socket.as_fd(), data, epoll::EventFlags::IN) {
                // The host is short of something.
                self.flows.close(place);
                return Err(error);
            }
        }
        Ok(Some(place))
    }

    /// What a socket has for the guest.
    fn inward(&mut self, place: usize, now: Instant) -> io::Result<()> {
        for _ in 0..AT_ONCE {
            // It may have made room for another in this very turn.
            let Some(open) = self.flows.at(place) else {
                return Ok(());
            };
            let flow = open.flow;
            match open.socket.receive(&mut self.buffer[HEAD..]) {
                Received::Nothing => return Ok(()),
                Received::Strange => {}
                Received::Failed(error) => {
                    return match code(error) {
                        Some(code) => self.tell(&flow, code, &[]),
                        None => Ok(()),
                    };
                }
                Received::Data { start, end } => {
                    open.is_answered(now);
                    self.buffer[start..start + HEAD].copy_from_slice(&channel::head(&flow, What::Data));
                    say(self.channel, &self.buffer[start..HEAD + end])?;
                }
            }
        }
        Ok(())
    }

    /// Tells the guest that something did not arrive.
    fn tell(&self, flow: &Flow, code: u8, sent: &[u8]) -> io::Result<()> {
        // Of an echo, its sequence number.
        let quoted = &sent[..sent.len().min(2)];
        let code = if flow.kind == Kind::Echo && code == PORT {
            socket::HOST
        } else {
            code
        };
        say(
            self.channel,
            &[&channel::head(flow, What::Unreachable(code))[..], quoted].concat(),
        )
    }
}

/// What the filter does not take in time is lost, as on any wire: a guest that does not read must not fill the host's
/// memory, nor keep the relay from its other work.
fn say(channel: BorrowedFd<'_>, message: &[u8]) -> io::Result<()> {
    match send(channel, message, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
        Ok(_) | Err(Errno::AGAIN | Errno::NOBUFS | Errno::INTR) => Ok(()),
        // The next message from there says so too.
        Err(Errno::PIPE | Errno::CONNRESET) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        // At most minutes.
        tv_sec: duration.as_secs().cast_signed(),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

#[cfg(test)]
mod tests {
    mod ipv6;

    use std::net::{Ipv4Addr, UdpSocket};
    use std::thread;

    use super::*;

    /// Runs `test` with the filter's end of a relay that knows of no resolver; gives how the relay ended.
    fn with_relay(test: impl FnOnce(BorrowedFd<'_>)) -> io::Result<()> {
        with_relay_by(Policy::default(), test)
    }

    fn with_relay_by(policy: Policy, test: impl FnOnce(BorrowedFd<'_>)) -> io::Result<()> {
        let (relay, filter) = channel::pair().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let resolvers = crate::resolver_list::hand_over(folder.path(), &[]).unwrap();
        let running = thread::spawn(move || Relay::new(relay.as_fd(), &policy, resolvers)?.run());
        test(filter.as_fd());
        drop(filter);
        running.join().unwrap()
    }

    fn ask(filter: BorrowedFd<'_>, flow: &Flow) {
        let asked = names::tests::question(7, "good.example");
        let message = [&channel::head(flow, What::Data)[..], &asked].concat();
        send(filter, &message, SendFlags::NOSIGNAL).unwrap();
    }

    fn question(port: u16) -> Flow {
        Flow {
            kind: Kind::Datagram,
            guest: 20_000,
            peer: THE_RESOLVER,
            port,
        }
    }

    fn expect(filter: BorrowedFd<'_>, flow: &Flow, what: What) {
        let mut buffer = [0; 100];
        let message = channel::receive(filter, &mut buffer, RecvFlags::empty()).unwrap();
        let (said, is, _) = channel::parse(message.unwrap()).unwrap();
        assert_eq!((said, is), (*flow, what));
    }

    #[test]
    fn a_host_without_a_resolver_says_so_at_once() {
        with_relay(|filter| {
            ask(filter, &question(DNS));
            expect(filter, &question(DNS), What::Unreachable(PORT));
        })
        .unwrap();
    }

    #[test]
    fn a_filter_that_asks_for_what_is_closed_gets_nothing() {
        let local = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = local.local_addr().unwrap().port();
        local.set_nonblocking(true).unwrap();
        with_relay(|filter| {
            for peer in [
                [127, 0, 0, 1],
                [0, 0, 0, 0],
                [10, 0, 2, 3],
                [169, 254, 169, 254],
                [255; 4],
                [224, 0, 0, 1],
            ] {
                for kind in [Kind::Datagram, Kind::Echo, Kind::Segment] {
                    ask(
                        filter,
                        &Flow {
                            kind,
                            peer: IpAddr::from(peer),
                            ..question(port)
                        },
                    );
                }
            }
            // It takes one after the other: the others have gone by.
            ask(filter, &question(DNS));
            expect(filter, &question(DNS), What::Unreachable(PORT));
        })
        .unwrap();
        assert_eq!(
            local.recv(&mut [0]).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
    }

    #[test]
    fn it_ends_with_the_filter_and_by_what_is_no_message() {
        with_relay(|_| {}).unwrap();
        let ended = with_relay(|filter| {
            send(filter, b"x", SendFlags::NOSIGNAL).unwrap();
            assert_eq!(
                channel::receive(filter, &mut [0], RecvFlags::empty()).unwrap(),
                Some(&[][..])
            );
        });
        assert_eq!(
            ended.unwrap_err().to_string(),
            "the frame filter says what is no message"
        );
        let ended = with_relay(|filter| {
            let told = channel::head(&question(DNS), What::Unreachable(1));
            send(filter, &told, SendFlags::NOSIGNAL).unwrap();
            assert_eq!(
                channel::receive(filter, &mut [0], RecvFlags::empty()).unwrap(),
                Some(&[][..])
            );
        });
        assert!(ended.is_err());
    }
}
