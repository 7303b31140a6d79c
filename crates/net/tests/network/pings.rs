//! A guest's pings. The host decides whether its users may (`ping_group_range`).

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};

use net::stop;
use rustix::net::{AddressFamily, SendFlags, SocketType, bind, ipproto, sendto, socket};

use crate::support::apart::is_root_of_the_machine;
use crate::support::guest::Guest;
use crate::support::host::{ADDRESS, ip, on_a_host};
use crate::support::network::{LOCAL_RESOLVER, every_passt, start, start_open_to, start_with};
use crate::support::sockets::{Watch, sockets};

const STRANGER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 9);

/// Lets every user of this host ping.
pub fn let_users_ping() {
    // Within a user namespace there is one group.
    let all = if is_root_of_the_machine() {
        "0 2147483647"
    } else {
        "0 0"
    };
    fs::write("/proc/sys/net/ipv4/ping_group_range", all).unwrap();
}

/// An echo reply, from that address.
fn reply(from: Ipv4Addr, to: Ipv4Addr, number: u16) {
    let raw = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMP)).unwrap();
    bind(&raw, &SocketAddrV4::new(from, 0)).unwrap();
    let [high, low] = number.to_be_bytes();
    let mut message = [0, 0, 0, 0, high, low, 0, 1, b'b', b'a', b'd', b'!'];
    let pairs = message
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let sum: u32 = pairs.sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    sendto(&raw, &message, SendFlags::empty(), &SocketAddrV4::new(to, 0)).unwrap();
}

#[test]
fn a_ping_is_answered_by_its_peer_and_by_nothing_else() {
    for passt in every_passt() {
        on_a_host(LOCAL_RESOLVER, || async move {
            let_users_ping();
            ip(&format!("address add {STRANGER}/24 dev out"));
            let mut watch = Watch::start();
            let folder = tempfile::tempdir().unwrap();
            let open = net::Subnet::of(ADDRESS.into(), 32).unwrap();
            let mut guest = Guest::new(start_with(folder.path(), &passt, &[open]).await.unwrap());
            guest.ping(ADDRESS, 77, 1, b"data");
            let answer = guest.wait_for_icmp(ADDRESS);
            assert_eq!(answer[..2], [0, 0]);
            assert_eq!(answer[4..], [&[0, 77, 0, 1][..], b"data"].concat());
            watch.look();
            watch.look();
            // The host's socket takes the replies of everybody by its number; the relay does not.
            let [socket] = &sockets("icmp")[..] else {
                panic!("one ping, one socket")
            };
            assert!(socket.is_connected && *socket.peer.ip() == ADDRESS);
            reply(STRANGER, ADDRESS, socket.local.port());
            guest.ping(ADDRESS, 77, 2, b"more");
            let next = guest.receive();
            assert_eq!(next[26..30], ADDRESS.octets(), "{next:?}");
            assert_eq!(next[38..], [&[0, 77, 0, 2][..], b"more"].concat());
            stop(folder.path()).await.unwrap();
            assert_eq!(sockets("icmp"), []);
        });
    }
}

#[test]
fn pings_are_bounded_as_datagrams_are() {
    on_a_host(LOCAL_RESOLVER, || async {
        let_users_ping();
        let mut watch = Watch::start();
        let folder = tempfile::tempdir().unwrap();
        let mut guest = Guest::new(start(folder.path()).await.unwrap());
        for number in 0..2_000 {
            guest.ping(ADDRESS, number, 1, b"data");
            if number % 50 == 0 {
                watch.look();
                assert!(sockets("icmp").len() <= 512);
            }
        }
        stop(folder.path()).await.unwrap();
    });
}

#[test]
fn a_guest_is_told_where_it_may_not_ping() {
    on_a_host(LOCAL_RESOLVER, || async {
        let gateway = net::user_plan().gateway;
        let folder = tempfile::tempdir().unwrap();
        let mut guest = Guest::new(start(folder.path()).await.unwrap());
        fs::write("/proc/sys/net/ipv4/ping_group_range", "1 0").unwrap();
        guest.ping(ADDRESS, 77, 5, b"data");
        let told = guest.wait_for_icmp(gateway);
        assert_eq!(told[..2], [3, 13]);
        assert_eq!(told[28..], [8, 0, 0, 0, 0, 77, 0, 5]);
        stop(folder.path()).await.unwrap();

        // Or what is closed to it.
        let_users_ping();
        let mut guest = Guest::new(start_open_to(folder.path(), &[]).await.unwrap());
        for to in [ADDRESS, Ipv4Addr::LOCALHOST, gateway, Ipv4Addr::new(10, 0, 2, 3)] {
            guest.ping(to, 77, 5, b"data");
            assert_eq!(guest.wait_for_icmp(gateway)[..2], [3, 13], "{to}");
        }
        stop(folder.path()).await.unwrap();
    });
}
