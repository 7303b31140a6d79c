//! What a guest does over IPv6, by hand.

use std::net::Ipv6Addr;
use std::path::Path;
use std::time::Duration;

use super::guest::{Answer, Guest, MAC, checksum};

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 58;
const SYN: u8 = 2;
/// As long a silence says that nothing comes.
const SILENCE: Duration = Duration::from_millis(300);

/// A guest that knows what its network has of IPv6.
pub struct GuestV6 {
    pub guest: Guest,
    plan: net::Ipv6Plan,
}

/// The plan of a network that has any.
pub fn plan_of(folder: &Path) -> net::Ipv6Plan {
    net::ipv6_plan(folder).expect("its network has IPv6")
}

impl GuestV6 {
    /// One that asks for its gateway's hardware address first.
    pub fn new(mut guest: Guest, plan: net::Ipv6Plan) -> Self {
        let (own, gateway) = (plan.address, plan.gateway);
        guest.send(&solicitation(own, gateway));
        loop {
            let frame = guest.receive();
            if frame[12..14] != [0x86, 0xdd] || frame[20] != ICMP {
                continue;
            }
            assert_eq!(frame[54], 136, "the gateway's answer comes first: {frame:02x?}");
            assert_eq!(frame[62..78], gateway.octets());
            // It is the same for both families.
            assert_eq!(frame[80..86], guest.gateway);
            return Self { guest, plan };
        }
    }

    /// One whose network does not answer it.
    pub fn without_a_gateway(guest: Guest, plan: net::Ipv6Plan) -> Self {
        Self { guest, plan }
    }

    /// Asks for a connection; gives the own port.
    pub fn connect(&mut self, to: Ipv6Addr, port: u16) -> u16 {
        let from = self.guest.port();
        let mut segment = [from.to_be_bytes(), port.to_be_bytes()].concat();
        segment.extend([0, 0, 3, 232, 0, 0, 0, 0, 0x50, SYN, 0xff, 0xff, 0, 0, 0, 0]);
        self.send_packet(to, TCP, segment, 16);
        from
    }

    /// Sends a datagram; gives the own port.
    pub fn send_datagram(&mut self, to: Ipv6Addr, port: u16, payload: &[u8]) -> u16 {
        let from = self.guest.port();
        let datagram = datagram(from, port, payload);
        self.send_packet(to, UDP, datagram, 6);
        from
    }

    /// The same behind an extension header, whose first byte is to say what follows.
    pub fn send_datagram_behind(&mut self, to: Ipv6Addr, port: u16, header: u8, extension: [u8; 8]) {
        let from = self.guest.port();
        let datagram = datagram(from, port, b"behind");
        let datagram = summed(self.plan.address, to, UDP, datagram, 6);
        let payload = [&[UDP][..], &extension[1..], &datagram].concat();
        let packet = packet(self.plan.address, to, header, 64, &payload);
        self.send_frame(&packet);
    }

    pub fn ping(&mut self, to: Ipv6Addr, number: u16, data: &[u8]) {
        let [high, low] = number.to_be_bytes();
        let message = [&[128, 0, 0, 0, high, low, 0, 1], data].concat();
        self.send_packet(to, ICMP, message, 2);
    }

    /// Waits for the answer to a ping, or for the word that it is not allowed.
    pub fn wait_for_ping(&mut self, from: Ipv6Addr, number: u16) -> Answer {
        loop {
            let (sender, protocol, message) = self.receive();
            let number = number.to_be_bytes();
            if protocol != ICMP {
                continue;
            }
            if sender == from && message[..2] == [129, 0] && message[4..6] == number {
                return Answer::Datagram(message[8..].to_vec());
            }
            if sender == self.plan.gateway && message[..2] == [1, 1] && message[52..54] == number {
                assert_eq!(message[32..48], from.octets());
                return Answer::Prohibited;
            }
        }
    }

    /// Waits for what comes to `port`, from `from`.
    pub fn wait_for(&mut self, from: Ipv6Addr, port: u16) -> Answer {
        loop {
            let (sender, protocol, message) = self.receive();
            if protocol == ICMP && message[0] == 1 {
                // It quotes the packet: its header, then its ports.
                if message[32..48] != from.octets() || message[48..50] != port.to_be_bytes() {
                    continue;
                }
                match message[1] {
                    1 if sender == self.plan.gateway => return Answer::Prohibited,
                    4 if sender == from => return Answer::NothingThere,
                    code => panic!("code {code} of {sender}"),
                }
            }
            if sender != from || message[2..4] != port.to_be_bytes() {
                continue;
            }
            return match protocol {
                TCP if message[13] == 0x12 => Answer::Accepted,
                TCP if message[13] & 4 != 0 => Answer::Refused,
                UDP => Answer::Datagram(message[8..].to_vec()),
                _ => continue,
            };
        }
    }

    /// Whether nothing of IPv6 comes any more.
    pub fn hears_nothing(&mut self) -> bool {
        while self.guest.has_something(SILENCE) {
            if self.guest.receive()[12..14] == [0x86, 0xdd] {
                return false;
            }
        }
        true
    }

    /// The sender, the protocol and the payload of the next packet, which is as it should be.
    fn receive(&mut self) -> (Ipv6Addr, u8, Vec<u8>) {
        loop {
            let frame = self.guest.receive();
            if frame[12..14] != [0x86, 0xdd] {
                continue;
            }
            let address = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&frame[at..at + 16]).unwrap());
            let (from, to, protocol, payload) = (address(22), address(38), frame[20], frame[54..].to_vec());
            assert_eq!(to, self.plan.address);
            assert_eq!(
                checksum(&[&pseudo(from, to, protocol, payload.len()), &payload[..]].concat()),
                [0; 2]
            );
            return (from, protocol, payload);
        }
    }

    fn send_packet(&mut self, to: Ipv6Addr, protocol: u8, payload: Vec<u8>, at: usize) {
        let payload = summed(self.plan.address, to, protocol, payload, at);
        let packet = packet(self.plan.address, to, protocol, 64, &payload);
        self.send_frame(&packet);
    }

    fn send_frame(&mut self, packet: &[u8]) {
        let frame = [&self.guest.gateway[..], &MAC, &[0x86, 0xdd], packet].concat();
        self.guest.send(&frame);
    }
}

/// A frame that asks for a gateway's hardware address.
pub fn solicitation(own: Ipv6Addr, gateway: Ipv6Addr) -> Vec<u8> {
    let [.., a, b, c] = gateway.octets();
    let group = Ipv6Addr::from(
        0xff02_0000_0000_0000_0000_0001_ff00_0000
            | u128::from_be_bytes({
                let mut last = [0; 16];
                last[13..].copy_from_slice(&[a, b, c]);
                last
            }),
    );
    let message = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &gateway.octets(), &[1, 1], &MAC].concat();
    let message = summed(own, group, ICMP, message, 2);
    let packet = packet(own, group, ICMP, 255, &message);
    [&[0x33, 0x33, 0xff, a, b, c][..], &MAC, &[0x86, 0xdd], &packet].concat()
}

fn datagram(from: u16, port: u16, payload: &[u8]) -> Vec<u8> {
    let length = (8 + payload.len()) as u16;
    let mut datagram = Vec::new();
    for field in [from, port, length, 0] {
        datagram.extend(field.to_be_bytes());
    }
    datagram.extend(payload);
    datagram
}

fn packet(from: Ipv6Addr, to: Ipv6Addr, protocol: u8, hop_limit: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u16).to_be_bytes();
    let start = [0x60, 0, 0, 0, length[0], length[1], protocol, hop_limit];
    [&start[..], &from.octets(), &to.octets(), payload].concat()
}

fn pseudo(from: Ipv6Addr, to: Ipv6Addr, protocol: u8, length: usize) -> Vec<u8> {
    let length = (length as u32).to_be_bytes();
    [&from.octets()[..], &to.octets(), &length, &[0, 0, 0, protocol]].concat()
}

fn summed(from: Ipv6Addr, to: Ipv6Addr, protocol: u8, mut payload: Vec<u8>, at: usize) -> Vec<u8> {
    let sum = checksum(&[&pseudo(from, to, protocol, payload.len()), &payload[..]].concat());
    payload[at..at + 2].copy_from_slice(&sum);
    payload
}
