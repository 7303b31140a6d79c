//! The guest's side: a card that sends and receives frames, over the VMM's end of the socket or a tap.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use net::UserNetwork;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

pub(super) const MAC: [u8; 6] = [0x52, 0x54, 0, 1, 2, 3];
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const SYN: u8 = 2;
/// For what is expected to come; what is not is never waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// For what may be lost: then it is asked for once more.
const A_MOMENT: Duration = Duration::from_millis(200);

/// What carries frames.
enum Card {
    /// Each after its length.
    Stream(UnixStream),
    /// One a call.
    Tap(File),
}

/// A guest that speaks Ethernet by hand.
pub struct Guest {
    card: Card,
    pub(super) gateway: [u8; 6],
    next_port: u16,
}

/// What came back over TCP or UDP.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// The connection was accepted.
    Accepted,
    /// The connection was refused.
    Refused,
    /// The network said at once that this is not allowed.
    Prohibited,
    /// The peer said that nothing takes datagrams there.
    NothingThere,
    /// A datagram.
    Datagram(Vec<u8>),
}

impl Guest {
    pub fn new(network: UserNetwork) -> Self {
        let socket = UnixStream::from(network.socket);
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::with(Card::Stream(socket))
    }

    /// One whose card is a tap.
    pub fn on_a_tap(tap: File) -> Self {
        Self::with(Card::Tap(tap))
    }

    fn with(card: Card) -> Self {
        let mut guest = Self {
            card,
            gateway: [0xff; 6],
            next_port: 20_000,
        };
        guest.gateway = guest.ask_for(net::user_plan().gateway);
        guest
    }

    /// The hardware address of `address`.
    pub fn ask_for(&mut self, address: Ipv4Addr) -> [u8; 6] {
        let mut request = vec![0xff; 6];
        request.extend(MAC);
        request.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
        request.extend(MAC);
        request.extend(net::user_plan().address.octets());
        request.extend([0; 6]);
        request.extend(address.octets());
        self.send(&request);
        // As systems do: what comes before a bridge forwards is lost.
        for _ in 0..PATIENCE.as_secs() {
            if self.has_something(Duration::from_secs(1)) {
                break;
            }
            self.send(&request);
        }
        let answer = self.receive();
        assert_eq!(
            answer[12..22],
            [8, 6, 0, 1, 8, 0, 6, 4, 0, 2],
            "an ARP answer: {answer:02x?}"
        );
        assert_eq!(answer[28..32], address.octets());
        answer[6..12].try_into().unwrap()
    }

    /// Asks for a TCP connection; gives the own port, which the answer comes to.
    pub fn connect(&mut self, to: Ipv4Addr, port: u16) -> u16 {
        let from = self.port();
        let mut segment = [from.to_be_bytes(), port.to_be_bytes()].concat();
        // Sequence number, nothing to acknowledge, 5 words of header, window.
        segment.extend([0, 0, 3, 232, 0, 0, 0, 0, 0x50, SYN, 0xff, 0xff, 0, 0, 0, 0]);
        self.send_packet(to, TCP, segment, 16);
        from
    }

    /// Sends a datagram; gives the own port, which the answer comes to.
    pub fn send_datagram(&mut self, to: Ipv4Addr, port: u16, payload: &[u8]) -> u16 {
        let from = self.port();
        self.send_datagram_from(from, to, port, payload);
        from
    }

    /// The same from a port of the caller's choice.
    pub fn send_datagram_from(&mut self, from: u16, to: Ipv4Addr, port: u16, payload: &[u8]) {
        let length = u16::try_from(8 + payload.len()).unwrap();
        let mut datagram = [
            from.to_be_bytes(),
            port.to_be_bytes(),
            length.to_be_bytes(),
            [0, 0],
        ]
        .concat();
        datagram.extend(payload);
        self.send_packet(to, UDP, datagram, 6);
    }

    /// Pings with a number of its own.
    pub fn ping(&mut self, to: Ipv4Addr, number: u16, sequence: u16, data: &[u8]) {
        let mut message = vec![8, 0, 0, 0];
        message.extend(number.to_be_bytes());
        message.extend(sequence.to_be_bytes());
        message.extend(data);
        let sum = checksum(&message);
        message[2..4].copy_from_slice(&sum);
        self.send_packet(to, ICMP, message, usize::MAX);
    }

    /// Waits for what comes from `from` by ICMP; gives it from its kind on.
    pub fn wait_for_icmp(&mut self, from: Ipv4Addr) -> Vec<u8> {
        loop {
            let packet = self.receive()[14..].to_vec();
            if packet[9] == ICMP && packet[12..16] == from.octets() {
                return packet[20..].to_vec();
            }
        }
    }

    /// Waits for what comes to `port`, from `from`; everything else is dropped.
    pub fn wait_for(&mut self, from: Ipv4Addr, port: u16) -> Answer {
        loop {
            let frame = self.receive();
            if frame[12..14] != [8, 0] {
                continue;
            }
            // An error quotes the packet that it is about: its header, then its ports.
            let is_error = frame[23] == ICMP && frame[26..30] == net::user_plan().gateway.octets();
            if is_error && frame[34..36] == [3, 13] && frame[58..64] == quoted(from, port) {
                return Answer::Prohibited;
            }
            let is_the_peers = frame[23] == ICMP && frame[26..30] == from.octets();
            if is_the_peers && frame[34..36] == [3, 3] && frame[58..64] == quoted(from, port) {
                return Answer::NothingThere;
            }
            if frame[26..30] != from.octets() || frame[36..38] != port.to_be_bytes() {
                continue;
            }
            return match (frame[23], *frame.get(47).unwrap_or(&0)) {
                (TCP, 0x12) => Answer::Accepted,
                (TCP, flags) if flags & 4 != 0 => Answer::Refused,
                (UDP, _) => Answer::Datagram(frame[42..].to_vec()),
                _ => continue,
            };
        }
    }

    /// The next that comes to `port`, from `from`, within a moment; everything else is dropped.
    pub fn next_of(&mut self, from: Ipv4Addr, port: u16) -> Option<Answer> {
        let until = Instant::now() + A_MOMENT;
        while Instant::now() < until {
            if !self.has_something(A_MOMENT) {
                return None;
            }
            let frame = self.receive();
            if frame[12..14] == [8, 0]
                && frame[26..30] == from.octets()
                && frame[36..38] == port.to_be_bytes()
            {
                return Some(Answer::Datagram(frame[42..].to_vec()));
            }
        }
        None
    }

    pub(super) fn has_something(&self, within: Duration) -> bool {
        let timeout = Timespec::try_from(within).unwrap();
        poll(&mut [self.watched()], Some(&timeout)).unwrap() == 1
    }

    /// The card, to wait for frames.
    pub(super) fn watched(&self) -> PollFd<'_> {
        match &self.card {
            Card::Stream(socket) => PollFd::new(socket, PollFlags::IN),
            Card::Tap(tap) => PollFd::new(tap, PollFlags::IN),
        }
    }

    /// Waits for the fragments of a datagram; gives what it holds.
    pub fn reassemble(&mut self, from: Ipv4Addr, port: u16) -> Vec<u8> {
        let mut packet: Vec<u8> = Vec::new();
        loop {
            let frame = self.receive();
            if frame[23] != UDP || frame[26..30] != from.octets() {
                continue;
            }
            assert!(frame.len() <= 14 + net::user_plan().mtu as usize);
            let fragment = u16::from_be_bytes([frame[20], frame[21]]);
            assert_eq!(usize::from(fragment & 0x1fff) * 8, packet.len());
            packet.extend(&frame[34..]);
            if fragment & 0x2000 == 0 {
                break;
            }
        }
        assert_eq!(packet[2..4], port.to_be_bytes());
        packet[8..].to_vec()
    }

    /// Sends a datagram of which something is changed after it was summed up, but for the header's own sum.
    pub fn send_changed(&mut self, to: Ipv4Addr, port: u16, change: impl FnOnce(&mut [u8])) -> u16 {
        let from = self.port();
        let mut datagram = [from.to_be_bytes(), port.to_be_bytes(), [0, 13], [0, 0]].concat();
        datagram.extend(b"whole");
        self.send_packet_changed(to, UDP, datagram, 6, change);
        from
    }

    /// Waits until the other end is closed.
    pub fn wait_for_the_end(self) {
        let Card::Stream(mut socket) = self.card else {
            panic!("a tap has no end");
        };
        let mut rest = Vec::new();
        match socket.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
    }

    pub(super) fn port(&mut self) -> u16 {
        self.next_port += 1;
        self.next_port
    }

    pub(super) fn send_packet(&mut self, to: Ipv4Addr, protocol: u8, payload: Vec<u8>, checksum_at: usize) {
        self.send_packet_changed(to, protocol, payload, checksum_at, |_| {});
    }

    fn send_packet_changed(
        &mut self,
        to: Ipv4Addr,
        protocol: u8,
        mut payload: Vec<u8>,
        checksum_at: usize,
        change: impl FnOnce(&mut [u8]),
    ) {
        let from = net::user_plan().address;
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        let pseudo = [
            &from.octets()[..],
            &to.octets(),
            &[0, protocol],
            &length,
            &payload,
        ]
        .concat();
        if let Some(sum) = payload.get_mut(checksum_at..checksum_at.saturating_add(2)) {
            sum.copy_from_slice(&checksum(&pseudo));
        }
        let total = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
        let mut header = [0x45, 0, total[0], total[1], 0, 1, 0x40, 0, 64, protocol, 0, 0].to_vec();
        header.extend(from.octets());
        header.extend(to.octets());
        let mut packet = [header, payload].concat();
        change(&mut packet);
        let sum = checksum(&packet[..20]);
        packet[10..12].copy_from_slice(&sum);
        self.send(&[&self.gateway[..], &MAC, &[8, 0], &packet].concat());
    }

    pub fn send(&mut self, frame: &[u8]) {
        match &mut self.card {
            Card::Stream(socket) => {
                let length = u32::try_from(frame.len()).unwrap();
                // As VMMs do: passt loses its place in the stream if it reads a length alone.
                socket
                    .write_all(&[&length.to_be_bytes(), frame].concat())
                    .unwrap();
            }
            Card::Tap(tap) => assert_eq!(tap.write(frame).unwrap(), frame.len()),
        }
    }

    pub fn receive(&mut self) -> Vec<u8> {
        match &mut self.card {
            Card::Stream(socket) => {
                let mut length = [0; 4];
                socket.read_exact(&mut length).unwrap();
                let mut frame = vec![0; u32::from_be_bytes(length) as usize];
                socket.read_exact(&mut frame).unwrap();
                frame
            }
            Card::Tap(tap) => {
                let timeout = Timespec::try_from(PATIENCE).unwrap();
                let mut watched = [PollFd::new(tap, PollFlags::IN)];
                assert_eq!(poll(&mut watched, Some(&timeout)).unwrap(), 1, "nothing came");
                let mut frame = vec![0; 1 << 17];
                let length = tap.read(&mut frame).unwrap();
                frame.truncate(length);
                frame
            }
        }
    }
}

/// Target address and own port, as they lie in a packet.
fn quoted(to: Ipv4Addr, own_port: u16) -> [u8; 6] {
    let ([a, b, c, d], [e, f]) = (to.octets(), own_port.to_be_bytes());
    [a, b, c, d, e, f]
}

/// The Internet checksum (RFC 1071).
pub(super) fn checksum(bytes: &[u8]) -> [u8; 2] {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}
