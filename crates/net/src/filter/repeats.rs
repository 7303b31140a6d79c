//! Repeated acknowledgements, so that passt does not send the same data without end.
//!
//! A guest acknowledges a segment that it already has once more (RFC 9293, 3.10.7.4), as it does each segment after a lost
//! one (RFC 5681, 3.2). passt takes every repetition for a loss, a pure acknowledgement with the number and the window of
//! the last, and sends the whole window again (`tcp_data_from_tap` in its `tcp.c`). Each segment of that brings the next
//! repetition. A guest that stalls for a moment never gets out of it.
//!
//! No frame is dropped. Once passt has repeated much more than the guest has acknowledged, a repetition has its window
//! lowered, and then raised again by the next: passt sees a window update and no loss.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::packet::ipv6::{self, ETHERTYPE as IPV6};
use crate::packet::{ETHERNET, Packet, TCP};

/// Connections followed at a time. One that takes the place of another in the table is followed from its next segment on.
const CONNECTIONS: usize = 1024;

/// What passt may send again beyond the bytes that the guest has acknowledged. Repair of losses takes less.
const SPARE: u64 = 1 << 20;

/// A repetition counts again after this time, which is the least timeout of RFC 6298, 2.4. passt's own is two seconds.
const PAUSE: Duration = Duration::from_secs(1);

const IPV4: [u8; 2] = [8, 0];
/// Length of a TCP header without options (RFC 9293, 3.1), the places of two of its fields, and its flags.
const HEADER: usize = 20;
const WINDOW: usize = 14;
const CHECKSUM: usize = 16;
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// The guest's connections.
#[derive(Debug)]
pub(super) struct Repeats(Vec<Option<Connection>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name {
    guest: u16,
    peer: IpAddr,
    port: u16,
}

#[derive(Debug)]
struct Connection {
    name: Name,
    /// The number after all that passt has sent.
    next: u32,
    /// The guest has everything before this number, which is at most `next`.
    acknowledged: u32,
    /// Bytes that passt has sent again, and bytes that the guest has acknowledged.
    resent: u64,
    received: u64,
    missing: Option<Gap>,
    /// The guest's last acknowledgement: its number and its window.
    said: Option<(u32, u16)>,
    /// Whether it went on with its window lowered.
    is_lowered: bool,
    /// When a repetition last reached passt as one.
    counted: Option<Instant>,
}

/// Numbers that passt left out: its socket did not take the frames.
#[derive(Clone, Copy, Debug)]
struct Gap {
    from: u32,
    to: u32,
}

/// The fields of a segment that matter here.
struct Segment {
    from: IpAddr,
    to: IpAddr,
    ports: [u16; 2],
    sequence: u32,
    acknowledged: u32,
    flags: u8,
    window: u16,
    /// Of the data; SYN and FIN count as one each.
    length: u32,
    /// Its place in the frame.
    at: usize,
}

impl Repeats {
    pub(super) fn new() -> Self {
        Self(std::iter::repeat_with(|| None).take(CONNECTIONS).collect())
    }

    /// Takes note of a frame from passt, before it is written to the guest.
    pub(super) fn sent(&mut self, frame: &[u8]) {
        let Some(segment) = parse(frame) else {
            return;
        };
        let [port, guest] = segment.ports;
        let name = Name {
            guest,
            peer: segment.from,
            port,
        };
        let place = self.place(name);
        match place {
            Some(connection) if connection.name == name && segment.flags & SYN == 0 => {
                connection.sent(&segment);
            }
            _ => *place = Some(Connection::new(name, &segment)),
        }
    }

    /// Lowers the window of a guest's frame for passt, where it repeats an acknowledgement without need.
    pub(super) fn pass(&mut self, frame: &mut [u8], now: Instant) {
        let Some(segment) = parse(frame) else {
            return;
        };
        let [guest, port] = segment.ports;
        let name = Name {
            guest,
            peer: segment.to,
            port,
        };
        if let Some(connection) = self.place(name)
            && connection.name == name
            && connection.lowers(&segment, now)
        {
            set_window(&mut frame[segment.at..], lowered(segment.window));
        }
    }

    /// Connections from the guest differ in its port, those to a published one in the peer's.
    fn place(&mut self, name: Name) -> &mut Option<Connection> {
        &mut self.0[usize::from(name.guest.wrapping_add(name.port)) % CONNECTIONS]
    }
}

impl Connection {
    fn new(name: Name, segment: &Segment) -> Self {
        let next = segment.sequence.wrapping_add(segment.length);
        Self {
            name,
            next,
            acknowledged: segment.sequence,
            resent: 0,
            received: 0,
            missing: None,
            said: None,
            is_lowered: false,
            counted: None,
        }
    }

    fn sent(&mut self, segment: &Segment) {
        let end = segment.sequence.wrapping_add(segment.length);
        if is_before(self.next, segment.sequence) {
            let from = self.missing.map_or(self.next, |gap| gap.from);
            let to = segment.sequence;
            self.missing = Some(Gap { from, to });
        } else {
            let again = self.next.wrapping_sub(segment.sequence);
            self.resent += u64::from(again.min(segment.length));
        }
        if let Some(gap) = self.missing
            && !is_before(gap.from, segment.sequence)
        {
            self.fill(end);
        }
        if is_before(self.next, end) {
            self.next = end;
        }
    }

    /// Nothing before `end` is missing.
    fn fill(&mut self, end: u32) {
        self.missing = self.missing.and_then(|Gap { from, to }| {
            let from = if is_before(from, end) { end } else { from };
            is_before(from, to).then_some(Gap { from, to })
        });
    }

    /// Whether a segment of the guest's goes on with its window lowered.
    fn lowers(&mut self, segment: &Segment, now: Instant) -> bool {
        let (number, window) = (segment.acknowledged, segment.window);
        // passt looks at no number before its last either.
        let is_old = self.said.is_some_and(|(last, _)| is_before(number, last));
        if segment.flags & (ACK | SYN | RST) != ACK || is_old {
            return false;
        }
        self.acknowledge(number);
        let is_repeated = self.said.replace((number, window)) == Some((number, window));
        if !is_repeated || segment.length != 0 || window <= 1 {
            // A window of 1 would be closed.
            self.is_lowered = false;
        } else if self.counts(number, now) {
            // It is what went on last, once more.
            self.counted = Some(now);
        } else {
            self.is_lowered = !self.is_lowered;
        }
        self.is_lowered
    }

    /// A number that passt has not sent yet counts as the last that it has.
    fn acknowledge(&mut self, number: u32) {
        let number = if is_before(self.next, number) {
            self.next
        } else {
            number
        };
        if is_before(self.acknowledged, number) {
            self.received += u64::from(number.wrapping_sub(self.acknowledged));
            self.acknowledged = number;
            self.fill(number);
        }
    }

    /// Whether passt is to take a repetition for a loss.
    fn counts(&self, number: u32, now: Instant) -> bool {
        self.resent <= self.received.saturating_add(SPARE)
            || self.missing.is_some_and(|gap| gap.from == number)
            || self.counted.is_none_or(|last| now.duration_since(last) >= PAUSE)
    }
}

/// Lower by more than a hundredth, the least change of a window that passt of Debian 12 takes note of
/// (`tcp_clamp_window` in its `tcp.c`): by one, it would compare the next repetition with the window before.
fn lowered(window: u16) -> u16 {
    window - window / 32 - 1
}

/// Sets the window of a TCP header, and its checksum from the difference (RFC 1624, 3).
fn set_window(header: &mut [u8], window: u16) {
    let pair = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let sum = u32::from(!pair(CHECKSUM)) + u32::from(!pair(WINDOW)) + u32::from(window);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = !((sum + (sum >> 16)) as u16);
    header[WINDOW..WINDOW + 2].copy_from_slice(&window.to_be_bytes());
    header[CHECKSUM..CHECKSUM + 2].copy_from_slice(&sum.to_be_bytes());
}

/// Whether a sequence number comes before another; they wrap (RFC 9293, 3.4).
fn is_before(one: u32, other: u32) -> bool {
    (other.wrapping_sub(one) as i32) > 0
}

fn parse(frame: &[u8]) -> Option<Segment> {
    let ethertype = frame.get(12..ETHERNET)?;
    if ethertype == IPV4 {
        let packet = Packet::parse(frame).filter(|packet| packet.protocol == TCP && !packet.is_fragment)?;
        let at = ETHERNET + usize::from(frame[ETHERNET] & 15) * 4;
        segment(packet.from.into(), packet.to.into(), packet.payload(), at)
    } else if ethertype == IPV6 {
        let packet = ipv6::Packet::parse(frame).filter(|packet| packet.protocol == TCP)?;
        let at = frame.len() - packet.payload().len();
        segment(packet.from.into(), packet.to.into(), packet.payload(), at)
    } else {
        None
    }
}

fn segment(from: IpAddr, to: IpAddr, bytes: &[u8], at: usize) -> Option<Segment> {
    let header = bytes.first_chunk::<HEADER>()?;
    let length = usize::from(header[12] >> 4) * 4;
    let data = bytes.len().checked_sub(length).filter(|_| length >= HEADER)?;
    let flags = header[13];
    let counted = u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
    let pair = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let number = |at: usize| u32::from(pair(at)) << 16 | u32::from(pair(at + 2));
    Some(Segment {
        from,
        to,
        ports: [pair(0), pair(2)],
        sequence: number(4),
        acknowledged: number(8),
        flags,
        window: pair(WINDOW),
        length: u32::try_from(data).ok()? + counted,
        at,
    })
}

#[cfg(test)]
mod tests;
