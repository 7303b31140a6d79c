//! The second wall, for peers of IPv6.

use std::net::{Ipv6Addr, SocketAddr, UdpSocket};

use super::*;

fn socket(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind((address.parse::<IpAddr>().unwrap(), 0)).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// Asks the relay to send there, whatever it is.
fn ask_for(filter: BorrowedFd<'_>, peer: &str, port: u16) {
    for kind in [Kind::Datagram, Kind::Echo, Kind::Segment] {
        let peer = peer.parse().unwrap();
        ask(
            filter,
            &Flow {
                kind,
                peer,
                ..question(port)
            },
        );
    }
}

/// What came before has gone by once this is answered.
fn wait_for_a_turn(filter: BorrowedFd<'_>) {
    ask(filter, &question(DNS));
    expect(filter, &question(DNS), What::Unreachable(PORT));
}

fn is_empty(socket: &UdpSocket) -> bool {
    socket
        .recv(&mut [0])
        .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

#[test]
fn a_filter_that_asks_for_what_is_closed_gets_nothing() {
    let (v4, v6) = (socket("127.0.0.1"), socket("::1"));
    let open = |ipv6| Policy {
        ipv6,
        open: vec!["::/0".parse().unwrap(), "0.0.0.0/0".parse().unwrap()],
        ..Policy::default()
    };
    for policy in [open(true), open(false)] {
        with_relay_by(policy, |filter| {
            for of in [&v4, &v6] {
                let port = of.local_addr().unwrap().port();
                for peer in [
                    "::1",
                    "::",
                    "::ffff:127.0.0.1",
                    "::127.0.0.1",
                    "64:ff9b::127.0.0.1",
                    "fe80::1",
                    "ff02::1",
                ] {
                    ask_for(filter, peer, port);
                }
            }
            wait_for_a_turn(filter);
        })
        .unwrap();
        assert!(is_empty(&v4) && is_empty(&v6));
    }
}

#[test]
fn a_socket_of_ipv6_sends_to_its_peer_and_takes_what_that_sends_alone() {
    // The policy would not let it: the socket by itself.
    let (peer, stranger) = (socket("::1"), socket("::1"));
    peer.set_nonblocking(false).unwrap();
    let address = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), peer.local_addr().unwrap().port());
    let own = Socket::open(Kind::Datagram, address).unwrap();
    own.send(b"how").unwrap();
    let mut buffer = [0; 100];
    let (length, from) = peer.recv_from(&mut buffer).unwrap();
    assert_eq!(buffer[..length], *b"how");
    stranger.send_to(b"bad", from).unwrap();
    peer.send_to(b"good", from).unwrap();
    assert!(matches!(
        own.receive(&mut buffer),
        Received::Data { start: 0, end: 4 }
    ));
    assert_eq!(buffer[..4], *b"good");
    assert!(matches!(own.receive(&mut buffer), Received::Nothing));
    drop(peer);
    own.send(b"how").unwrap();
    let refused = own.send(b"how").unwrap_err();
    assert_eq!(code(refused), Some(PORT));
}
