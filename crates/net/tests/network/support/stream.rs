//! A guest's connection, spoken by hand: a message each way.

use std::net::Ipv4Addr;

use super::guest::{Answer, Guest};

const TCP: u8 = 6;
const ACK: u8 = 0x10;
const PUSH: u8 = 0x08;
/// After that of `connect`.
const FIRST: u32 = 1001;

impl Guest {
    /// Connects, sends `message` after its length, and gives what comes back after its own.
    pub fn exchange(&mut self, to: Ipv4Addr, port: u16, message: &[u8]) -> Vec<u8> {
        let own = self.connect(to, port);
        // Its segment is looked at once more: it has the number that the peer begins with.
        let mut next = self.segments(to, own).0.wrapping_add(1);
        let sent = [&(message.len() as u16).to_be_bytes()[..], message].concat();
        self.send_segment((to, port), own, (FIRST, next), &sent);
        let acknowledged = FIRST + sent.len() as u32;
        let mut received = Vec::new();
        loop {
            let (number, bytes) = self.segments(to, own);
            if number == next && !bytes.is_empty() {
                next = next.wrapping_add(bytes.len() as u32);
                received.extend(bytes);
            }
            self.send_segment((to, port), own, (acknowledged, next), b"");
            if let Some((length, answer)) = received.split_first_chunk()
                && answer.len() >= usize::from(u16::from_be_bytes(*length))
            {
                return answer.to_vec();
            }
        }
    }

    /// The number and the bytes of the next segment that comes to `port`.
    fn segments(&mut self, from: Ipv4Addr, port: u16) -> (u32, Vec<u8>) {
        loop {
            let frame = self.receive();
            if frame[12..14] != [8, 0] || frame[23] != TCP || frame[26..30] != from.octets() {
                continue;
            }
            let segment = &frame[34..];
            if segment[2..4] == port.to_be_bytes() {
                assert_eq!(segment[13] & 4, 0, "it is reset");
                let number = segment[4..8].try_into().map(u32::from_be_bytes).unwrap();
                return (number, segment[usize::from(segment[12] >> 4) * 4..].to_vec());
            }
        }
    }

    fn send_segment(&mut self, (to, port): (Ipv4Addr, u16), own: u16, numbers: (u32, u32), bytes: &[u8]) {
        let mut segment = [own.to_be_bytes(), port.to_be_bytes()].concat();
        segment.extend(numbers.0.to_be_bytes());
        segment.extend(numbers.1.to_be_bytes());
        segment.extend([0x50, ACK | PUSH, 0xff, 0xff, 0, 0, 0, 0]);
        segment.extend(bytes);
        self.send_packet(to, TCP, segment, 16);
    }

    /// Whether a connection is accepted there.
    pub fn is_accepted(&mut self, to: Ipv4Addr, port: u16) -> bool {
        let own = self.connect(to, port);
        self.wait_for(to, own) == Answer::Accepted
    }
}
