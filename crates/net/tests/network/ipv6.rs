//! A guest's IPv6: what is open to it, what is closed, and that there is none unless it is asked for.

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv6Addr, SocketAddr, TcpStream, UdpSocket};

use net::{HostIpv6, NoIpv6, Subnet, stop};

use crate::pings::let_users_ping;
use crate::support::guest::{Answer, Guest};
use crate::support::guest_v6::{GuestV6, plan_of, solicitation};
use crate::support::host::{ip, on_a_host};
use crate::support::host_v6::{
    ADDRESS_V6, ANSWERING, Elsewhere, INTERNET_V6, answer_for_translation, with_ipv6,
};
use crate::support::network::{
    GREETING, LOCAL_RESOLVER, answer_in_capitals, every_passt, has_a_client, reach_the_host, start,
    start_with_ipv6,
};
use crate::support::sockets::listening;
use crate::support::vmm;

/// Addresses of each kind that is closed. The host reaches all of those in the first list.
const CLOSED: [&str; 15] = [
    "64:ff9b::1",
    "64:ff9b::a00:1",
    "64:ff9b:1::a00:1",
    "2001:db8:64::a00:1",
    "2001:0:1::1",
    "2002:a00:1::1",
    "fc00::1",
    "fd00:ec2::254",
    "fdff:ffff::1",
    "fec0::1",
    "::ffff:0:10.0.0.1",
    "::10.0.0.1",
    // Of the host's own network, and of the site around it.
    "2001:db8:1:2::fe",
    "2001:db8:1:ffff::1",
    "2001:db8:1::1",
];
const CLOSED_HERE: [&str; 8] = [
    "::1",
    "::",
    "::ffff:127.0.0.1",
    "::ffff:203.0.113.7",
    "fe80::1",
    "2001:db8:1:2::1",
    "fd62:616e:6765:72::2",
    "fd62:616e:6765:72::15",
];
const TRANSLATED: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x64, 0, 0, 0, 0, 0);

fn address(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// Has a guest reach what it may: by a connection, a datagram and a ping.
fn reach_the_internet(guest: &mut GuestV6, elsewhere: &Elsewhere, to: Ipv6Addr) {
    let own = guest.connect(to, elsewhere.port);
    assert_eq!(guest.wait_for(to, own), Answer::Accepted);
    assert!(has_a_client(&elsewhere.listener));
    let answering = ANSWERING.iter().zip(&elsewhere.answering);
    let (_, peer) = answering
        .into_iter()
        .find(|(address, _)| **address == to)
        .unwrap();
    let own = guest.send_datagram(to, peer.local_addr().unwrap().port(), GREETING);
    answer_in_capitals(peer);
    assert_eq!(
        guest.wait_for(to, own),
        Answer::Datagram(GREETING.to_ascii_uppercase())
    );
    guest.ping(to, 77, b"data");
    assert_eq!(guest.wait_for_ping(to, 77), Answer::Datagram(b"data".to_vec()));
    let own = guest.send_datagram(to, 9, GREETING);
    assert_eq!(guest.wait_for(to, own), Answer::NothingThere);
}

fn has_no_datagram(elsewhere: &Elsewhere) -> bool {
    let all = elsewhere.answering.iter().chain([&elsewhere.datagrams]);
    let mut received = all.map(|socket| {
        socket.set_nonblocking(true).unwrap();
        let received = socket.recv(&mut [0]);
        socket.set_nonblocking(false).unwrap();
        received
    });
    received.all(|received| received.is_err_and(|error| error.kind() == ErrorKind::WouldBlock))
}

/// Sockets of this host that are not connected.
fn open_to_anybody() -> Vec<String> {
    let tables =
        ["udp6", "icmp6", "raw6"].map(|kind| fs::read_to_string(format!("/proc/thread-self/net/{kind}")));
    let lines: Vec<String> = tables
        .into_iter()
        .flatten()
        .flat_map(|table| table.lines().skip(1).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let open = lines
        .into_iter()
        .filter(|line| line.split_ascii_whitespace().nth(3) != Some("01"));
    open.collect()
}

#[test]
fn a_guest_reaches_the_internet_over_ipv6_and_nothing_that_is_closed() {
    for passt in every_passt() {
        on_a_host(LOCAL_RESOLVER, || async move {
            let_users_ping();
            let elsewhere = with_ipv6();
            answer_for_translation(Some(TRANSLATED));
            let local = UdpSocket::bind((Ipv6Addr::LOCALHOST, elsewhere.port)).unwrap();
            local.set_nonblocking(true).unwrap();
            let (before, ports) = (open_to_anybody(), listening());
            for to in CLOSED {
                let to = SocketAddr::new(address(to).into(), elsewhere.port);
                TcpStream::connect(to)
                    .unwrap_or_else(|error| panic!("the host does not reach {to}: {error}"));
                assert!(has_a_client(&elsewhere.listener), "{to}");
            }
            let folder = tempfile::tempdir().unwrap();
            let ipv6 = HostIpv6::find().await.unwrap();
            let network = start_with_ipv6(folder.path(), &passt, &[], Some(&ipv6)).await;
            let mut guest = GuestV6::new(Guest::new(network.unwrap()), plan_of(folder.path()));
            reach_the_internet(&mut guest, &elsewhere, INTERNET_V6);
            for to in CLOSED.into_iter().chain(CLOSED_HERE).map(address) {
                let own = guest.connect(to, elsewhere.port);
                assert_eq!(guest.wait_for(to, own), Answer::Prohibited, "{to}");
                let own = guest.send_datagram(to, elsewhere.port, GREETING);
                assert_eq!(guest.wait_for(to, own), Answer::Prohibited, "{to}");
                guest.ping(to, 78, b"data");
                assert_eq!(guest.wait_for_ping(to, 78), Answer::Prohibited, "{to}");
            }
            // Dropped: what is for many, and what is behind a header: a fragment, of which there are more or not, and others.
            let all_hosts = address("ff02::1");
            guest.connect(all_hosts, elsewhere.port);
            guest.send_datagram(all_hosts, elsewhere.port, GREETING);
            for (header, extension) in [
                (44, [0, 0, 0, 1, 0, 0, 0, 7]),
                (44, [0, 0, 0, 0, 0, 0, 0, 7]),
                (0, [0, 0, 1, 4, 0, 0, 0, 0]),
                (60, [0, 0, 1, 4, 0, 0, 0, 0]),
                (43, [0, 0, 0, 0, 0, 0, 0, 0]),
            ] {
                guest.send_datagram_behind(INTERNET_V6, elsewhere.port, header, extension);
            }
            assert!(guest.hears_nothing());
            // All go on in order: had one gone through, it would be there before these.
            reach_the_internet(&mut guest, &elsewhere, INTERNET_V6);
            assert!(!has_a_client(&elsewhere.listener) && has_no_datagram(&elsewhere));
            assert!(local.recv(&mut [0]).is_err());
            assert_eq!((open_to_anybody(), listening()), (before, ports));
            reach_over_ipv4(&mut guest.guest);
            stop(folder.path()).await.unwrap();
            assert_eq!(net::ipv6_plan(folder.path()), None);
        });
    }
}

/// IPv4 is there as it always is: what is closed says so.
fn reach_over_ipv4(guest: &mut Guest) {
    let to = [127, 0, 0, 1].into();
    let own = guest.connect(to, 80);
    assert_eq!(guest.wait_for(to, own), Answer::Prohibited);
}

#[test]
fn networks_of_ipv6_are_opened_one_by_one() {
    on_a_host(LOCAL_RESOLVER, || async {
        let_users_ping();
        let elsewhere = with_ipv6();
        answer_for_translation(None);
        let open = ["fd00:7::/64", "2001:db8:1:7::/64", "::/1"].map(|text| text.parse::<Subnet>().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let ipv6 = HostIpv6::find().await.unwrap();
        let passt = &every_passt()[0];
        let network = start_with_ipv6(folder.path(), passt, &open, Some(&ipv6)).await;
        let mut guest = GuestV6::new(Guest::new(network.unwrap()), plan_of(folder.path()));
        for to in ["fd00:7::1", "2001:db8:1:7::1"] {
            reach_the_internet(&mut guest, &elsewhere, address(to));
        }
        for to in ["fd00:8::1", "fe80::1", "64:ff9b::a00:1", "::1", "2002:a00:1::1"].map(address) {
            let own = guest.connect(to, elsewhere.port);
            assert_eq!(guest.wait_for(to, own), Answer::Prohibited, "{to}");
        }
        stop(folder.path()).await.unwrap();
    });
}

#[test]
fn no_frame_of_ipv6_passes_unless_it_is_asked_for() {
    for passt in every_passt() {
        on_a_host(LOCAL_RESOLVER, || async move {
            let elsewhere = with_ipv6();
            let folder = tempfile::tempdir().unwrap();
            let plan = {
                let other = tempfile::tempdir().unwrap();
                fs::write(other.path().join("ipv6"), "").unwrap();
                plan_of(other.path())
            };
            let open: Vec<Subnet> = ["::/0", "198.51.100.1/32"]
                .map(|text| text.parse().unwrap())
                .into();
            let network = start_with_ipv6(folder.path(), &passt, &open, None).await;
            assert_eq!(net::ipv6_plan(folder.path()), None);
            let mut guest = Guest::new(network.unwrap());
            guest.send(&solicitation(plan.address, plan.gateway));
            let mut guest = GuestV6::without_a_gateway(guest, plan);
            for to in [INTERNET_V6, ADDRESS_V6, Ipv6Addr::LOCALHOST] {
                guest.connect(to, elsewhere.port);
                guest.send_datagram(to, elsewhere.port, GREETING);
                guest.ping(to, 77, b"data");
            }
            assert!(guest.hears_nothing());
            reach_the_host(&mut guest.guest);
            assert!(!has_a_client(&elsewhere.listener));
            assert!(has_no_datagram(&elsewhere));
            stop(folder.path()).await.unwrap();
        });
    }
}

#[test]
fn a_host_without_ipv6_says_why_in_a_line_and_starts_all_the_same() {
    on_a_host(LOCAL_RESOLVER, || async {
        let why = async || HostIpv6::find().await.unwrap_err();
        assert!(matches!(why().await, NoIpv6::Route));
        let _elsewhere = with_ipv6();
        // Nothing answers at the resolver's address.
        let NoIpv6::Translation(reason) = why().await else {
            panic!("it is not known what is translated");
        };
        assert!(
            NoIpv6::Translation(reason)
                .to_string()
                .contains("getent ahosts ipv4only.arpa")
        );
        answer_for_translation(None);
        HostIpv6::find().await.unwrap();
        ip("-6 address del 2001:db8:1:2::1/64 dev out");
        ip("-6 route replace default dev out");
        assert!(matches!(why().await, NoIpv6::Address));
        ip("-6 route del default");
        assert!(matches!(why().await, NoIpv6::Route));
        let folder = tempfile::tempdir().unwrap();
        let mut guest = Guest::new(start(folder.path()).await.unwrap());
        reach_the_host(&mut guest);
        assert_eq!(net::ipv6_plan(folder.path()), None);
        stop(folder.path()).await.unwrap();
    });
}

#[test]
fn a_guest_on_a_tap_has_ipv6_too() {
    on_a_host(LOCAL_RESOLVER, || async {
        let_users_ping();
        let elsewhere = with_ipv6();
        answer_for_translation(None);
        let folder = tempfile::tempdir().unwrap();
        let ipv6 = HostIpv6::find().await.unwrap();
        let passt = &every_passt()[0];
        let network = start_with_ipv6(folder.path(), passt, &[], Some(&ipv6)).await;
        let vmm = vmm::join(network.unwrap(), folder.path()).await;
        let mut guest = GuestV6::new(vmm.guest(), plan_of(folder.path()));
        reach_the_internet(&mut guest, &elsewhere, INTERNET_V6);
        for to in ["::1", "fd00::1", "2001:db8:1:2::1"].map(address) {
            let own = guest.connect(to, elsewhere.port);
            assert_eq!(guest.wait_for(to, own), Answer::Prohibited, "{to}");
        }
        vmm.end().await;
        stop(folder.path()).await.unwrap();
    });
}
