//! Which frames of a guest go on to passt.

use std::net::Ipv4Addr;

use super::addresses::{GUEST, MTU, PREFIX, RESOLVER};
use super::subnet::Subnet;

const ETHERNET_HEADER: usize = 14;
const ARP: [u8; 2] = [8, 6];
const IPV4: [u8; 2] = [8, 0];
const UDP: u8 = 17;
const DNS: u16 = 53;

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes on.
    Pass,
    /// It is dropped and the guest is told.
    Refuse,
    /// It is dropped.
    Drop,
}

/// Which networks are closed to a guest besides those that are to every guest, and which are open all the same.
#[derive(Debug, Default)]
pub(super) struct Policy {
    closed: Vec<Subnet>,
    open: Vec<Subnet>,
}

/// Networks that are somebody's own (RFC 1918, RFC 6598): the host's neighbours, what it reaches by a VPN, a provider's.
const PRIVATE: [Option<Subnet>; 4] = [
    Subnet::of(Ipv4Addr::new(10, 0, 0, 0), 8),
    Subnet::of(Ipv4Addr::new(172, 16, 0, 0), 12),
    Subnet::of(Ipv4Addr::new(192, 168, 0, 0), 16),
    Subnet::of(Ipv4Addr::new(100, 64, 0, 0), 10),
];

impl Policy {
    /// Reads `-NETWORK` for a closed and `+NETWORK` for an open one.
    pub(super) fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut policy = Self::default();
        for argument in arguments {
            match argument.split_at_checked(1) {
                Some(("-", network)) => policy.closed.push(network.parse()?),
                Some(("+", network)) => policy.open.push(network.parse()?),
                _ => return Err(format!("`{argument}` says nothing of a network")),
            }
        }
        Ok(policy)
    }

    /// Judges a frame that a guest sends. What is not known to be harmless is not passed.
    pub(super) fn judge(&self, frame: &[u8]) -> Verdict {
        // passt takes what is longer apart in a way that could be misled.
        if frame.len() > ETHERNET_HEADER + MTU as usize {
            return Verdict::Drop;
        }
        match frame.get(12..ETHERNET_HEADER) {
            Some(kind) if kind == ARP => Verdict::Pass,
            Some(kind) if kind == IPV4 => {
                Packet::parse(frame).map_or(Verdict::Drop, |packet| self.judge_packet(&packet))
            }
            _ => Verdict::Drop,
        }
    }

    fn judge_packet(&self, packet: &Packet<'_>) -> Verdict {
        let to = packet.to;
        if packet.from != GUEST || to.is_multicast() || to.octets()[0] >= 240 {
            return Verdict::Drop;
        }
        if to == RESOLVER && packet.is_dns() {
            return Verdict::Pass;
        }
        // No setting opens these.
        if leads_to_this_host(to) || is_on_the_guests_network(to) {
            return Verdict::Refuse;
        }
        let is_in = |networks: &[Subnet]| networks.iter().any(|network| network.contains(to));
        let is_private = || PRIVATE.iter().flatten().any(|network| network.contains(to));
        if !is_in(&self.open) && (is_private() || is_in(&self.closed)) {
            return Verdict::Refuse;
        }
        Verdict::Pass
    }
}

/// What is looked at of an IPv4 packet (RFC 791).
#[derive(Debug)]
pub(super) struct Packet<'a> {
    /// The header without its options, and all that follows.
    bytes: &'a [u8],
    from: Ipv4Addr,
    to: Ipv4Addr,
    pub(super) protocol: u8,
    /// Whether it is a whole packet or the first fragment of one.
    pub(super) is_first: bool,
    header: usize,
}

impl<'a> Packet<'a> {
    /// The packet in an Ethernet frame.
    pub(super) fn parse(frame: &'a [u8]) -> Option<Self> {
        let bytes = frame.get(ETHERNET_HEADER..)?;
        let fixed = bytes.first_chunk::<20>()?;
        let header = usize::from(fixed[0] & 15) * 4;
        if fixed[0] >> 4 != 4 || header < 20 || header > bytes.len() {
            return None;
        }
        Some(Self {
            bytes,
            from: address(fixed, 12),
            to: address(fixed, 16),
            protocol: fixed[9],
            is_first: u16::from_be_bytes([fixed[6], fixed[7]]) & 0x1fff == 0,
            header,
        })
    }

    /// What follows the header.
    pub(super) fn payload(&self) -> &'a [u8] {
        &self.bytes[self.header..]
    }

    /// Header and the first 8 bytes after it: what an error message quotes.
    pub(super) fn quotation(&self) -> &'a [u8] {
        &self.bytes[..self.bytes.len().min(self.header + 8)]
    }

    fn is_dns(&self) -> bool {
        let port = self
            .payload()
            .get(2..4)
            .map(|port| u16::from_be_bytes([port[0], port[1]]));
        self.protocol == UDP && self.is_first && port == Some(DNS)
    }
}

fn address(header: &[u8; 20], at: usize) -> Ipv4Addr {
    Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3])
}

/// passt before 2024 hands these to the system as they are: the loopback, "this host" (which Linux takes for the
/// loopback), and link-local addresses, where clouds keep a machine's credentials.
fn leads_to_this_host(to: Ipv4Addr) -> bool {
    to.is_loopback() || to.octets()[0] == 0 || to.is_link_local()
}

/// Nobody else is on it; the host may be on a network of the same addresses.
fn is_on_the_guests_network(to: Ipv4Addr) -> bool {
    let network = |address: Ipv4Addr| address.to_bits() >> (32 - PREFIX);
    network(to) == network(GUEST)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::addresses::GATEWAY;

    pub(in super::super) const TCP: u8 = 6;

    /// A frame with a packet to `to`; its payload begins with two ports.
    pub(in super::super) fn frame_to(to: Ipv4Addr, protocol: u8, port: u16) -> Vec<u8> {
        let mut frame = [[2; 6], [1; 6]].concat();
        frame.extend([8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, protocol, 0, 0]);
        frame.extend(GUEST.octets());
        frame.extend(to.octets());
        frame.extend([0x4e, 0x20]);
        frame.extend(port.to_be_bytes());
        frame.extend([0; 4]);
        frame
    }

    fn judge(frame: &[u8]) -> Verdict {
        Policy::default().judge(frame)
    }

    fn of(to: [u8; 4]) -> Verdict {
        judge(&frame_to(to.into(), TCP, 80))
    }

    #[test]
    fn what_leads_to_the_host_itself_is_refused() {
        for to in [
            [127, 0, 0, 1],
            [127, 0, 0, 53],
            [127, 255, 255, 254],
            [0, 0, 0, 0],
            [0, 1, 2, 3],
            [169, 254, 169, 254],
        ] {
            assert_eq!(of(to), Verdict::Refuse, "{to:?}");
        }
        for to in [GATEWAY, GUEST, Ipv4Addr::new(10, 0, 2, 77)] {
            assert_eq!(of(to.octets()), Verdict::Refuse, "{to}");
        }
    }

    #[test]
    fn what_leads_outside_passes_and_what_leads_to_many_does_not() {
        for to in [
            [1, 1, 1, 1],
            [126, 0, 0, 1],
            [128, 0, 0, 1],
            [172, 15, 255, 255],
            [172, 32, 0, 0],
            [100, 63, 255, 255],
            [100, 128, 0, 0],
            [192, 167, 1, 1],
            [223, 1, 1, 1],
        ] {
            assert_eq!(of(to), Verdict::Pass, "{to:?}");
        }
        for to in [
            [224, 0, 0, 251],
            [239, 1, 1, 1],
            [240, 0, 0, 1],
            [255, 255, 255, 255],
        ] {
            assert_eq!(of(to), Verdict::Drop, "{to:?}");
        }
    }

    #[test]
    fn private_networks_and_those_of_the_host_are_closed_unless_they_are_opened() {
        let told = |arguments: &[&str], to: [u8; 4]| {
            let arguments: Vec<_> = arguments.iter().map(|&argument| argument.into()).collect();
            let policy = Policy::parse(&arguments).unwrap();
            policy.judge(&frame_to(to.into(), TCP, 80))
        };
        for private in [
            [10, 0, 3, 15],
            [10, 255, 255, 255],
            [172, 16, 0, 1],
            [172, 31, 255, 255],
            [192, 168, 1, 1],
            [100, 64, 0, 1],
            [100, 127, 255, 255],
        ] {
            assert_eq!(told(&[], private), Verdict::Refuse, "{private:?}");
            assert_eq!(told(&["+0.0.0.0/0"], private), Verdict::Pass, "{private:?}");
        }
        let own = ["-198.51.100.0/24", "+192.168.7.0/24", "+198.51.100.9/32"];
        for (to, expected) in [
            ([198, 51, 100, 1], Verdict::Refuse),
            ([198, 51, 100, 9], Verdict::Pass),
            ([198, 51, 101, 1], Verdict::Pass),
            ([192, 168, 7, 1], Verdict::Pass),
            ([192, 168, 8, 1], Verdict::Refuse),
        ] {
            assert_eq!(told(&own, to), expected, "{to:?}");
        }
    }

    #[test]
    fn no_setting_opens_the_host_itself() {
        let policy = Policy::parse(&["+0.0.0.0/0".into()]).unwrap();
        for to in [
            [127, 0, 0, 1],
            [0, 0, 0, 0],
            [169, 254, 169, 254],
            [10, 0, 2, 2],
            [10, 0, 2, 3],
        ] {
            let judged = policy.judge(&frame_to(to.into(), TCP, 80));
            assert_eq!(judged, Verdict::Refuse, "{to:?}");
        }
        for bad in ["", "+", "10.0.0.0/8", "*10.0.0.0/8", "-10.0.0.1/8", "é"] {
            assert!(Policy::parse(&[bad.into()]).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_resolver_takes_dns_over_udp_only() {
        assert_eq!(judge(&frame_to(RESOLVER, UDP, 53)), Verdict::Pass);
        for (protocol, port) in [(UDP, 54), (TCP, 53), (1, 53)] {
            assert_eq!(judge(&frame_to(RESOLVER, protocol, port)), Verdict::Refuse);
        }
        let mut fragment = frame_to(RESOLVER, UDP, 53);
        fragment[21] = 1;
        assert_eq!(judge(&fragment), Verdict::Refuse, "what it holds is no port");
    }

    #[test]
    fn only_plain_ipv4_from_the_guests_address_and_arp_pass() {
        let good = frame_to([1, 1, 1, 1].into(), TCP, 80);
        for (at, value) in [
            (12, 0x86),
            (12, 0x81),
            (14, 0x65),
            (14, 0x44),
            (14, 0x4f),
            (29, 16),
        ] {
            let mut bad = good.clone();
            bad[at] = value;
            assert_eq!(judge(&bad), Verdict::Drop, "byte {at} is {value:#x}");
        }
        let mut long = good.clone();
        long.resize(ETHERNET_HEADER + MTU as usize, 0);
        assert_eq!(judge(&long), Verdict::Pass);
        long.push(0);
        assert_eq!(judge(&long), Verdict::Drop);
        assert_eq!(judge(&[]), Verdict::Drop);
        assert_eq!(judge(&[&[0xff; 12][..], &ARP, &[0; 28]].concat()), Verdict::Pass);
    }

    proptest! {
        #[test]
        fn no_frame_makes_it_panic_and_none_that_passes_names_the_loopback(
            start: [u8; 12], kind in prop::sample::select(vec![IPV4, ARP, [0x86, 0xdd]]), rest: Vec<u8>, loopback: bool,
        ) {
            let mut frame = [&start[..], &kind, &rest].concat();
            if loopback && frame.len() > 30 {
                frame[30] = 127;
            }
            let passes = judge(&frame) == Verdict::Pass;
            prop_assert!(!(passes && frame[12..14] == IPV4 && [0, 127].contains(&frame[30])));
        }
    }
}
