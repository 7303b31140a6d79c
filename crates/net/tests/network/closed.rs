//! What is closed to a guest and what opens it.

use std::net::Ipv4Addr;

use net::{Subnet, stop};

use crate::support::guest::{Answer, Guest};
use crate::support::host::{ADDRESS, INTERNET, in_the_internet, ip, on_a_host};
use crate::support::names::ask_the_resolver;
use crate::support::network::{GREETING, LOCAL_RESOLVER, bind, has_a_client, listen, start_open_to};

/// Addresses of the host, of its neighbours, and private ones that it has a route to.
const CLOSED: [Ipv4Addr; 6] = [
    ADDRESS,
    Ipv4Addr::new(198, 51, 100, 77),
    Ipv4Addr::new(192, 168, 7, 1),
    Ipv4Addr::new(172, 20, 0, 1),
    Ipv4Addr::new(100, 64, 9, 9),
    Ipv4Addr::new(10, 0, 3, 15),
];

fn more_networks() {
    ip("address add 192.168.7.1/24 dev out");
    ip("route add default via 198.51.100.254");
}

#[test]
fn the_internet_is_open_and_private_networks_and_the_host_are_not() {
    on_a_host(LOCAL_RESOLVER, || async {
        more_networks();
        let (listener, port) = in_the_internet(|| listen(INTERNET));
        let folder = tempfile::tempdir().unwrap();
        let mut guest = Guest::new(start_open_to(folder.path(), &[]).await.unwrap());
        let (of_the_host, open_port) = listen(ADDRESS);
        for to in CLOSED {
            let own = guest.connect(to, open_port);
            assert_eq!(guest.wait_for(to, own), Answer::Prohibited, "{to}");
            let own = guest.send_datagram(to, 53, GREETING);
            assert_eq!(guest.wait_for(to, own), Answer::Prohibited, "{to}");
        }
        // passt takes frames in order: had one gone through, it would be there before this one.
        let own = guest.connect(INTERNET, port);
        assert_eq!(guest.wait_for(INTERNET, own), Answer::Accepted);
        assert!(has_a_client(&listener) && !has_a_client(&of_the_host));
        stop(folder.path()).await.unwrap();
    });
}

#[test]
fn a_network_that_is_opened_is_reached_and_the_others_are_not() {
    on_a_host(LOCAL_RESOLVER, || async {
        more_networks();
        let folder = tempfile::tempdir().unwrap();
        let open: Subnet = "192.168.7.0/24".parse().unwrap();
        let mut guest = Guest::new(start_open_to(folder.path(), &[open]).await.unwrap());
        let address = Ipv4Addr::new(192, 168, 7, 1);
        let (listener, port) = listen(address);
        let own = guest.connect(address, port);
        assert_eq!(guest.wait_for(address, own), Answer::Accepted);
        assert!(has_a_client(&listener));
        let own = guest.connect(ADDRESS, port);
        assert_eq!(guest.wait_for(ADDRESS, own), Answer::Prohibited);
        stop(folder.path()).await.unwrap();
    });
}

#[test]
fn the_resolver_serves_from_a_network_that_is_closed() {
    let address = Ipv4Addr::new(192, 168, 7, 1);
    on_a_host(address, move || async move {
        more_networks();
        let socket = bind(address, 53);
        let folder = tempfile::tempdir().unwrap();
        let mut guest = Guest::new(start_open_to(folder.path(), &[]).await.unwrap());
        ask_the_resolver(&mut guest, &socket);
        let own = guest.send_datagram(address, 53, GREETING);
        assert_eq!(guest.wait_for(address, own), Answer::Prohibited);
        stop(folder.path()).await.unwrap();
    });
}
