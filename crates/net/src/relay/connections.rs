//! Connections of the guest to its resolver (RFC 7766): they end here, in a stack of our own, so that no port of the host's
//! is bound for them.
//!
//! There are a few, and each has one question under way: more of them wait in the connection. One that has been silent for a
//! while makes room for another.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant as Moment;
use smoltcp::wire::{HardwareAddress, IpCidr};

use super::names::LONGEST_QUESTION;
use crate::addresses::{GUEST, MTU, PREFIX, RESOLVER};
use crate::packet::{TCP, header};
use crate::policy::DNS;

/// How many there are, with the one that listens.
const LIMIT: usize = 16;
/// Bytes that each holds of what has come and of what is to go; the rest of an answer waits beside it.
const BUFFER: usize = 8 << 10;
/// Length of the length before each message (RFC 1035, 4.2.2).
const LENGTH: usize = 2;
/// One that has been silent for so long is closed.
const IDLE: Duration = Duration::from_secs(30);
/// A guest that does not acknowledge what it is sent is gone after so long.
const GONE: smoltcp::time::Duration = smoltcp::time::Duration::from_secs(20);
/// Where to look at the idle ones again.
const LOOK: Duration = Duration::from_secs(5);

/// All of them, and the wire to the guest.
pub(super) struct Connections {
    interface: Interface,
    sockets: SocketSet<'static>,
    all: Vec<Connection>,
    wire: Wire,
    begun: Instant,
    numbers: u64,
}

struct Connection {
    socket: SocketHandle,
    /// Stands for it until it is gone.
    number: u64,
    received: Vec<u8>,
    unsent: VecDeque<u8>,
    /// Whether a question of it is under way.
    asks: bool,
    used: Instant,
}

/// What has happened at a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// It asks this.
    Question(u64, Vec<u8>),
    /// It is gone, with all that it has asked.
    Gone(u64),
}

impl Connections {
    pub(super) fn new(now: Instant) -> Result<Self, Errno> {
        let mut seed = [0; 8];
        getrandom(&mut seed, GetRandomFlags::empty())?;
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = u64::from_ne_bytes(seed);
        let mut wire = Wire::default();
        let mut interface = Interface::new(config, &mut wire, Moment::ZERO);
        interface.update_ip_addrs(|addresses| {
            // There is room for more than one.
            let _ = addresses.push(IpCidr::new(RESOLVER.into(), PREFIX));
        });
        let mut connections = Self {
            interface,
            sockets: SocketSet::new(Vec::new()),
            all: Vec::new(),
            wire,
            begun: now,
            numbers: 0,
        };
        connections.listen(&mut Vec::new(), now);
        Ok(connections)
    }

    /// Takes a segment that the guest sends.
    pub(super) fn receive(&mut self, segment: &[u8], now: Instant) -> Vec<Event> {
        if let Some(header) = header(GUEST, RESOLVER, TCP, segment.len(), 0, 0) {
            self.wire.inward.push_back([&header, segment].concat());
        }
        self.turn(now)
    }

    /// Sends the answer to the question of a connection; none where there is none, which ends it.
    pub(super) fn answer(&mut self, number: u64, answer: Option<&[u8]>, now: Instant) {
        let Some(connection) = self.all.iter_mut().find(|one| one.number == number) else {
            return;
        };
        (connection.asks, connection.used) = (false, now);
        let length = answer.and_then(|answer| Some((answer, u16::try_from(answer.len()).ok()?)));
        match length {
            Some((answer, length)) => {
                connection.unsent.extend(length.to_be_bytes());
                connection.unsent.extend(answer);
            }
            None => self.sockets.get_mut::<Socket<'_>>(connection.socket).abort(),
        }
    }

    /// Goes on with all of them, as far as they can.
    pub(super) fn turn(&mut self, now: Instant) -> Vec<Event> {
        let mut events = Vec::new();
        let moment = self.moment(now);
        self.interface.poll(moment, &mut self.wire, &mut self.sockets);
        for connection in &mut self.all {
            let socket = self.sockets.get_mut::<Socket<'_>>(connection.socket);
            connection.go_on(socket, &mut events, now);
        }
        self.listen(&mut events, now);
        // What they have to say by now; only then one that has been given up can listen.
        self.interface.poll(moment, &mut self.wire, &mut self.sockets);
        self.listen(&mut events, now);
        events
    }

    /// Segments for the guest, each after its port.
    pub(super) fn sent(&mut self) -> impl Iterator<Item = (u16, Vec<u8>)> {
        self.wire.outward.drain(..).filter_map(|packet| {
            let header = usize::from(packet.first()? & 15) * 4;
            let segment = packet.get(header..)?.to_vec();
            let port = segment.get(2..4)?.try_into().ok()?;
            Some((u16::from_be_bytes(port), segment))
        })
    }

    /// How long nothing is to be done; `None`: until something comes.
    pub(super) fn pause(&mut self, now: Instant) -> Option<Duration> {
        let moment = self.moment(now);
        let due = self
            .interface
            .poll_delay(moment, &self.sockets)
            .map(Duration::from);
        let is_any = self
            .all
            .iter()
            .any(|connection| connection.is_open(&self.sockets));
        due.into_iter().chain(is_any.then_some(LOOK)).min()
    }

    fn moment(&self, now: Instant) -> Moment {
        let passed = now.saturating_duration_since(self.begun).as_millis();
        Moment::from_millis(i64::try_from(passed).unwrap_or(i64::MAX))
    }

    /// Sees that one listens.
    fn listen(&mut self, events: &mut Vec<Event>, now: Instant) {
        let state =
            |one: &Connection, sockets: &SocketSet<'static>| sockets.get::<Socket<'_>>(one.socket).state();
        let sockets = &mut self.sockets;
        if self.all.iter().any(|one| state(one, sockets) == State::Listen) {
            return;
        }
        let closed = self
            .all
            .iter()
            .position(|one| state(one, sockets) == State::Closed);
        let place = closed.unwrap_or_else(|| {
            if self.all.len() < LIMIT {
                let buffer = || SocketBuffer::new(vec![0; BUFFER]);
                let mut socket = Socket::new(buffer(), buffer());
                socket.set_timeout(Some(GONE));
                socket.set_nagle_enabled(false);
                self.all.push(Connection {
                    socket: sockets.add(socket),
                    number: 0,
                    received: Vec::new(),
                    unsent: VecDeque::new(),
                    asks: false,
                    used: now,
                });
                return self.all.len() - 1;
            }
            // The one that has been silent longest gives its place away, at the next turn.
            let silent = (0..LIMIT).min_by_key(|&place| (self.all[place].asks, self.all[place].used));
            let silent = silent.unwrap_or(0);
            sockets.get_mut::<Socket<'_>>(self.all[silent].socket).abort();
            silent
        });
        let connection = &mut self.all[place];
        let socket = sockets.get_mut::<Socket<'_>>(connection.socket);
        if socket.state() == State::Closed && socket.remote_endpoint().is_none() && socket.listen(DNS).is_ok()
        {
            connection.end(events);
            self.numbers += 1;
            (connection.number, connection.used) = (self.numbers, now);
        }
    }
}

impl Connection {
    fn is_open(&self, sockets: &SocketSet<'static>) -> bool {
        sockets.get::<Socket<'_>>(self.socket).is_active()
    }

    fn go_on(&mut self, socket: &mut Socket<'_>, events: &mut Vec<Event>, now: Instant) {
        if !socket.is_open() {
            return self.end(events);
        }
        if socket.is_listening() {
            self.used = now;
            return;
        }
        while !self.unsent.is_empty() && socket.can_send() {
            let sent = socket.send_slice(self.unsent.as_slices().0).unwrap_or(0);
            self.unsent.drain(..sent);
            self.used = now;
        }
        // A guest that asks on without taking the answers is not read.
        while !self.asks && self.unsent.is_empty() {
            if let Some(question) = self.question() {
                self.asks = true;
                events.push(Event::Question(self.number, question));
                return;
            }
            if !socket.can_recv() {
                break;
            }
            let read = socket.recv(|bytes| (bytes.len(), bytes.to_vec()));
            self.received.extend(read.unwrap_or_default());
            self.used = now;
            if self.is_too_long() {
                return socket.abort();
            }
        }
        let is_over = socket.state() == State::CloseWait && !socket.can_recv();
        if is_over && !self.asks && self.unsent.is_empty() {
            socket.close();
        }
        if now.saturating_duration_since(self.used) >= IDLE && !self.asks {
            socket.abort();
        }
    }

    /// It is gone; what it has asked is asked for nothing.
    fn end(&mut self, events: &mut Vec<Event>) {
        if self.number != 0 {
            events.push(Event::Gone(std::mem::take(&mut self.number)));
        }
        self.received.clear();
        self.unsent.clear();
        self.asks = false;
    }

    /// The next whole message.
    fn question(&mut self) -> Option<Vec<u8>> {
        let (length, rest) = self.received.split_first_chunk::<LENGTH>()?;
        let length = usize::from(u16::from_be_bytes(*length));
        let question = rest.get(..length)?.to_vec();
        self.received.drain(..LENGTH + length);
        Some(question)
    }

    fn is_too_long(&self) -> bool {
        self.received
            .first_chunk()
            .is_some_and(|length| usize::from(u16::from_be_bytes(*length)) > LONGEST_QUESTION)
    }
}

/// Packets between the stack and the guest.
#[derive(Default)]
struct Wire {
    inward: VecDeque<Vec<u8>>,
    outward: Vec<Vec<u8>>,
}

struct Inward(Vec<u8>);
struct Outward<'a>(&'a mut Vec<Vec<u8>>);

impl Device for Wire {
    type RxToken<'a> = Inward;
    type TxToken<'a> = Outward<'a>;

    fn receive(&mut self, _: Moment) -> Option<(Inward, Outward<'_>)> {
        Some((Inward(self.inward.pop_front()?), Outward(&mut self.outward)))
    }

    fn transmit(&mut self, _: Moment) -> Option<Outward<'_>> {
        Some(Outward(&mut self.outward))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU as usize;
        capabilities
    }
}

impl RxToken for Inward {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

impl TxToken for Outward<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut packet = vec![0; length];
        let written = write(&mut packet);
        self.0.push(packet);
        written
    }
}

#[cfg(test)]
mod tests;
