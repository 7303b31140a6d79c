//! A host with IPv6, and an internet in which every address is somebody's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::thread;
use std::time::Duration;

use super::host::{in_the_internet, ip};
use super::network::{LOCAL_RESOLVER, bind};

/// The host's address, on the network from which it has a way out.
pub const ADDRESS_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0, 0, 0, 1);
/// What is neither the host's nor its site's.
pub const INTERNET_V6: Ipv6Addr = Ipv6Addr::new(0x2600, 0, 0, 0, 0, 0, 0, 7);

/// Addresses elsewhere that answer datagrams.
pub const ANSWERING: [Ipv6Addr; 3] = [
    INTERNET_V6,
    Ipv6Addr::new(0xfd00, 7, 0, 0, 0, 0, 0, 1),
    Ipv6Addr::new(0x2001, 0xdb8, 1, 7, 0, 0, 0, 1),
];

/// A listener of connections and one of datagrams at the same port of every address elsewhere.
#[derive(Debug)]
pub struct Elsewhere {
    pub listener: TcpListener,
    /// What comes to addresses that answer none.
    pub datagrams: UdpSocket,
    /// In the order of these, each at a port of its own.
    pub answering: [UdpSocket; 3],
    pub port: u16,
}

/// Gives this host IPv6, and whatever is elsewhere a listener.
pub fn with_ipv6() -> Elsewhere {
    let elsewhere = in_the_internet(|| {
        ip("-6 address add 2001:db8:1:2::fe/64 dev in0 nodad");
        // Each address that is nobody else's is this one's own.
        ip("-6 route add local ::/0 dev lo table main");
        let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let datagrams = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port)).unwrap();
        datagrams.set_nonblocking(true).unwrap();
        let answering = ANSWERING.map(|address| {
            ip(&format!("-6 address add {address}/128 dev in0 nodad"));
            let socket = UdpSocket::bind((address, 0)).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            socket
        });
        Elsewhere {
            listener,
            datagrams,
            answering,
            port,
        }
    });
    ip(&format!("-6 address add {ADDRESS_V6}/64 dev out nodad"));
    ip("-6 route add default via 2001:db8:1:2::fe");
    elsewhere
}

/// A resolver that knows one name, as RFC 7050 has it: with addresses for a translator of that prefix, if there is one.
pub fn answer_for_translation(prefix: Option<Ipv6Addr>) {
    let socket = bind(LOCAL_RESOLVER, 53);
    thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut question) {
            let _ = socket.send_to(&answer(&question[..length], prefix), from);
        }
    });
}

fn answer(question: &[u8], prefix: Option<Ipv6Addr>) -> Vec<u8> {
    let name = b"\x08ipv4only\x04arpa\0";
    assert_eq!(question[12..12 + name.len()], name[..]);
    let end = 12 + name.len() + 4;
    let last = Ipv4Addr::new(192, 0, 0, 170);
    let address: Option<IpAddr> = match question[12 + name.len() + 1] {
        1 => Some(last.into()),
        28 => prefix.map(|prefix| Ipv6Addr::from(prefix.to_bits() | u128::from(last.to_bits())).into()),
        kind => panic!("a question of kind {kind}"),
    };
    let count = u8::from(address.is_some());
    let head = [question[0], question[1], 0x81, 0x80, 0, 1, 0, count, 0, 0, 0, 0];
    let mut answer = [&head[..], &question[12..end]].concat();
    let octets = match address {
        Some(IpAddr::V4(address)) => address.octets().to_vec(),
        Some(IpAddr::V6(address)) => address.octets().to_vec(),
        None => return answer,
    };
    // The name above, the kind asked for, of the internet, for a minute.
    answer.extend([
        0xc0,
        12,
        0,
        question[end - 3],
        0,
        1,
        0,
        0,
        0,
        60,
        0,
        octets.len() as u8,
    ]);
    answer.extend(octets);
    answer
}
