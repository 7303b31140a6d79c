//! The few rtnetlink messages that setting up one device takes (rtnetlink(7), `linux/rtnetlink.h`).
//!
//! Host byte order throughout; each part padded to four bytes.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::libc;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, socket,
};

/// Length of `struct nlmsghdr`.
const HEADER: usize = 16;

/// The gateway is reachable on the device, whatever the prefix of its address says.
const RTNH_F_ONLINK: u32 = 4;

/// A request to the kernel, before its header.
#[derive(Debug)]
pub(super) struct Message {
    kind: u16,
    flags: u16,
    body: Vec<u8>,
}

impl Message {
    /// Sets the device up, with this MTU if any.
    pub(super) fn link_up(index: u32, mtu: Option<u32>) -> Self {
        // struct ifinfomsg: family, pad, type, index, flags, change
        let up = (libc::IFF_UP as u32).to_ne_bytes();
        let mut message = Self::new(libc::RTM_NEWLINK, 0, &[&[0; 4], &index.to_ne_bytes(), &up, &up]);
        if let Some(mtu) = mtu {
            message.attribute(libc::IFLA_MTU, &mtu.to_ne_bytes());
        }
        message
    }

    /// Gives the device an address, or keeps it as it is. One of IPv6 is used at once: nobody else can have it.
    pub(super) fn add_address(index: u32, address: IpAddr, prefix: u8) -> Self {
        let flags = libc::NLM_F_CREATE | libc::NLM_F_REPLACE;
        let mut message = Self::address(libc::RTM_NEWADDR, flags, index, address, prefix);
        if let IpAddr::V4(address) = address
            && prefix < 31
        {
            let hosts = u32::MAX >> prefix;
            let broadcast = Ipv4Addr::from_bits(address.to_bits() | hosts);
            message.attribute(libc::IFA_BROADCAST, &broadcast.octets());
        }
        message
    }

    /// Takes an address away.
    pub(super) fn remove_address(index: u32, address: IpAddr, prefix: u8) -> Self {
        Self::address(libc::RTM_DELADDR, 0, index, address, prefix)
    }

    fn address(kind: u16, flags: i32, index: u32, address: IpAddr, prefix: u8) -> Self {
        let without_a_search = match address {
            IpAddr::V4(_) => 0,
            IpAddr::V6(_) => libc::IFA_F_NODAD as u8,
        };
        // struct ifaddrmsg: family, prefix, flags, scope, index
        let head = [family(address), prefix, without_a_search, libc::RT_SCOPE_UNIVERSE];
        let mut message = Self::new(kind, flags, &[&head, &index.to_ne_bytes()]);
        message.attribute(libc::IFA_LOCAL, &octets(address));
        message.attribute(libc::IFA_ADDRESS, &octets(address));
        message
    }

    /// The default route, through a gateway that lies on the device whatever its prefix says.
    pub(super) fn default_route(index: u32, gateway: IpAddr) -> Self {
        let flags = libc::NLM_F_CREATE | libc::NLM_F_REPLACE;
        Self::route(libc::RTM_NEWROUTE, flags, index, gateway)
    }

    /// Takes that away.
    pub(super) fn remove_default_route(index: u32, gateway: IpAddr) -> Self {
        Self::route(libc::RTM_DELROUTE, 0, index, gateway)
    }

    fn route(kind: u16, flags: i32, index: u32, gateway: IpAddr) -> Self {
        // struct rtmsg: family, destination and source prefix, tos, table, protocol, scope, type; flags
        let head = [
            family(gateway),
            0,
            0,
            0,
            libc::RT_TABLE_MAIN,
            libc::RTPROT_STATIC,
            libc::RT_SCOPE_UNIVERSE,
            libc::RTN_UNICAST,
        ];
        let on_link = RTNH_F_ONLINK.to_ne_bytes();
        let mut message = Self::new(kind, flags, &[&head, &on_link]);
        message.attribute(libc::RTA_GATEWAY, &octets(gateway));
        message.attribute(libc::RTA_OIF, &index.to_ne_bytes());
        message
    }

    fn new(kind: u16, flags: i32, parts: &[&[u8]]) -> Self {
        Self {
            kind,
            flags: (libc::NLM_F_REQUEST | libc::NLM_F_ACK | flags) as u16,
            body: parts.concat(),
        }
    }

    /// `struct rtattr`: length, type, payload. All payloads here are of four bytes or sixteen: no padding.
    fn attribute(&mut self, kind: u16, payload: &[u8]) {
        let length = 4 + payload.len() as u16;
        self.body.extend_from_slice(&length.to_ne_bytes());
        self.body.extend_from_slice(&kind.to_ne_bytes());
        self.body.extend_from_slice(payload);
    }

    fn encode(&self, sequence: u32) -> Vec<u8> {
        let length = (HEADER + self.body.len()) as u32;
        [
            &length.to_ne_bytes()[..],
            &self.kind.to_ne_bytes(),
            &self.flags.to_ne_bytes(),
            &sequence.to_ne_bytes(),
            &[0; 4],
            &self.body,
        ]
        .concat()
    }
}

fn family(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => libc::AF_INET as u8,
        IpAddr::V6(_) => libc::AF_INET6 as u8,
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().into(),
        IpAddr::V6(address) => address.octets().into(),
    }
}

/// A conversation with the kernel.
#[derive(Debug)]
pub(super) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// Opens one.
    pub(super) fn open() -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Sends a request and waits for the kernel's answer to it.
    pub(super) fn request(&mut self, message: &Message) -> io::Result<()> {
        self.sequence += 1;
        send(
            self.socket.as_raw_fd(),
            &message.encode(self.sequence),
            MsgFlags::empty(),
        )?;
        loop {
            let mut answer = [0; 4096];
            let length = recv(self.socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
            if let Some(result) = acknowledgement(&answer[..length], self.sequence) {
                return result;
            }
        }
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The verdict on request `sequence`, if that is what the answer is about: a `struct nlmsgerr`.
fn acknowledgement(answer: &[u8], sequence: u32) -> Option<io::Result<()>> {
    let word = |at: usize| {
        answer
            .get(at..at + 4)
            .and_then(|bytes| <[u8; 4]>::try_from(bytes).ok())
    };
    let kind = u16::from_ne_bytes([*answer.get(4)?, *answer.get(5)?]);
    if i32::from(kind) != libc::NLMSG_ERROR || u32::from_ne_bytes(word(8)?) != sequence {
        return None;
    }
    match i32::from_ne_bytes(word(HEADER)?) {
        0 => Some(Ok(())),
        error => Some(Err(io::Error::from_raw_os_error(error.saturating_neg()))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(kind: i32, sequence: u32, error: i32) -> Vec<u8> {
        let mut bytes = vec![0; 20];
        bytes[4..6].copy_from_slice(&(kind as u16).to_ne_bytes());
        bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        bytes[16..].copy_from_slice(&error.to_ne_bytes());
        bytes
    }

    #[test]
    fn only_the_verdict_on_the_request_counts() {
        assert!(
            acknowledgement(&answer(libc::NLMSG_ERROR, 7, 0), 7)
                .unwrap()
                .is_ok()
        );
        let refused = acknowledgement(&answer(libc::NLMSG_ERROR, 7, -libc::EPERM), 7).unwrap();
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert!(acknowledgement(&answer(libc::NLMSG_ERROR, 6, 0), 7).is_none());
        assert!(acknowledgement(&answer(libc::NLMSG_DONE, 7, 0), 7).is_none());
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), error: i32) {
            let _ = acknowledgement(&bytes, 0);
            let _ = acknowledgement(&answer(libc::NLMSG_ERROR, 1, error), 1);
        }
    }
}
