//! The requests that join the two cards (`rtnetlink(7)`), as bytes made before the fork.

use rustix::io::Errno;

use super::CARD;

/// The far end's card, and the bridge between both; seen by nobody but this namespace.
pub(super) const FAR: &str = "out0";
const BRIDGE: &str = "wire";
/// Interfaces that the system numbers itself begin at 1.
const BRIDGE_INDEX: u32 = 1000;
/// How many frames wait for a VMM that is slower than its guest's connections. A connection that loses one on a way
/// that cannot lose any waits for seconds.
const QUEUE: u32 = 8192;

// linux/rtnetlink.h, linux/netlink.h
const RTM_NEWLINK: u16 = 16;
const RTM_SETLINK: u16 = 19;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const NLA_F_NESTED: u16 = 1 << 15;
// linux/if_link.h
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_TXQLEN: u16 = 13;
const IFLA_LINKINFO: u16 = 18;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_INFO_SLAVE_DATA: u16 = 5;
const IFLA_BR_MCAST_SNOOPING: u16 = 23;
const IFLA_BRPORT_LEARNING: u16 = 8;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
const IN6_ADDR_GEN_MODE_NONE: u8 = 1;
const AF_INET6: u16 = 10;
const IFF_UP: u32 = 1;

/// A request.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) bytes: Vec<u8>,
    /// An error that is as good as success.
    pub(super) fine: Option<Errno>,
}

/// All that it takes once both taps are there, in order.
pub(super) fn joining(mtu: u32) -> Vec<Message> {
    let mut messages = vec![bridge(), without_ipv6(BRIDGE)];
    for card in [CARD, FAR] {
        messages.extend([without_ipv6(card), port(card, mtu), not_learning(card)]);
    }
    messages.extend([CARD, FAR, BRIDGE].map(up));
    messages
}

fn bridge() -> Message {
    // Neither does it ask who takes part in which group.
    let data = attribute(IFLA_BR_MCAST_SNOOPING, &[0]);
    let info = [
        attribute(IFLA_INFO_KIND, b"bridge"),
        nested(IFLA_INFO_DATA, &data),
    ]
    .concat();
    let attributes = [name(BRIDGE), nested(IFLA_LINKINFO, &info)].concat();
    let flags = NLM_F_CREATE | NLM_F_EXCL;
    request(RTM_NEWLINK, flags, BRIDGE_INDEX, 0, &attributes)
}

/// Before it is up: no address is made, and nothing is said.
fn without_ipv6(card: &str) -> Message {
    let mode = attribute(IFLA_INET6_ADDR_GEN_MODE, &[IN6_ADDR_GEN_MODE_NONE]);
    let family = nested(IFLA_AF_SPEC, &nested(AF_INET6, &mode));
    Message {
        // There is no IPv6 at all.
        fine: Some(Errno::AFNOSUPPORT),
        ..request(RTM_SETLINK, 0, 0, 0, &[name(card), family].concat())
    }
}

fn port(card: &str, mtu: u32) -> Message {
    let attributes = [
        name(card),
        attribute(IFLA_MTU, &mtu.to_ne_bytes()),
        attribute(IFLA_TXQLEN, &QUEUE.to_ne_bytes()),
        attribute(IFLA_MASTER, &BRIDGE_INDEX.to_ne_bytes()),
    ];
    request(RTM_SETLINK, 0, 0, 0, &attributes.concat())
}

/// A guest that sends from ever new addresses would fill the host's memory with them.
fn not_learning(card: &str) -> Message {
    let data = attribute(IFLA_BRPORT_LEARNING, &[0]);
    let info = [
        attribute(IFLA_INFO_SLAVE_KIND, b"bridge"),
        nested(IFLA_INFO_SLAVE_DATA, &data),
    ]
    .concat();
    let attributes = [name(card), nested(IFLA_LINKINFO, &info)].concat();
    request(RTM_NEWLINK, 0, 0, 0, &attributes)
}

fn up(card: &str) -> Message {
    request(RTM_SETLINK, 0, 0, IFF_UP, &name(card))
}

fn name(card: &str) -> Vec<u8> {
    attribute(IFLA_IFNAME, &[card.as_bytes(), &[0]].concat())
}

/// `struct nlmsghdr`, `struct ifinfomsg`, attributes. Which flags of the interface are set is also which are changed.
fn request(kind: u16, flags: u16, index: u32, set: u32, attributes: &[u8]) -> Message {
    let flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    let information = [
        // Family, padding and type of the device.
        [0; 4],
        index.to_ne_bytes(),
        set.to_ne_bytes(),
        set.to_ne_bytes(),
    ];
    let length = 16 + 16 + attributes.len();
    let header = [
        &u32::try_from(length).unwrap_or(0).to_ne_bytes()[..],
        &kind.to_ne_bytes(),
        &flags.to_ne_bytes(),
        // Number and sender: there is one request at a time.
        &[0; 8],
    ];
    Message {
        bytes: [&header.concat(), &information.concat(), attributes].concat(),
        fine: None,
    }
}

fn nested(kind: u16, attributes: &[u8]) -> Vec<u8> {
    attribute(kind | NLA_F_NESTED, attributes)
}

/// `struct nlattr` and its value, up to a multiple of 4.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(0);
    let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_says_how_long_it_is_and_so_does_every_attribute() {
        for message in joining(16_000) {
            let bytes = &message.bytes;
            let length = u32::from_ne_bytes(bytes[..4].try_into().unwrap());
            assert_eq!(length as usize, bytes.len());
            let mut rest = &bytes[32..];
            while let Some(length) = rest.first_chunk::<2>() {
                let length = usize::from(u16::from_ne_bytes(*length));
                assert!((4..=rest.len()).contains(&length), "{rest:?}");
                rest = &rest[length.next_multiple_of(4)..];
            }
        }
    }
}
