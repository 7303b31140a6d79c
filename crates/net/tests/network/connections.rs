//! How much of the host a guest's connections take.

use std::os::fd::OwnedFd;

use net::{Subnet, stop};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::support::guest::{Answer, Guest};
use crate::support::host::{ADDRESS, on_a_host};
use crate::support::network::{LOCAL_RESOLVER, every_passt, listen, start_with};
use crate::support::sockets::sockets;

/// What passt's connections take at most.
const LIMIT: usize = 8192;

/// A listener that takes one connection and leaves all others without an answer.
fn deaf() -> (OwnedFd, u16) {
    let (family, kind, flags) = (AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC);
    let socket = rustix::net::socket_with(family, kind, flags, None).unwrap();
    rustix::net::bind(&socket, &std::net::SocketAddrV4::new(ADDRESS, 0)).unwrap();
    rustix::net::listen(&socket, 0).unwrap();
    let address = rustix::net::getsockname(&socket).unwrap();
    let port = std::net::SocketAddrV4::try_from(address).unwrap().port();
    (socket, port)
}

#[test]
fn a_guest_that_opens_connections_without_end_takes_a_bounded_number_of_the_hosts() {
    for passt in every_passt() {
        on_a_host(LOCAL_RESOLVER, || async move {
            let (_deaf, silent) = deaf();
            let folder = tempfile::tempdir().unwrap();
            let open = Subnet::of(ADDRESS.into(), 32).unwrap();
            let mut guest = Guest::new(start_with(folder.path(), &passt, &[open]).await.unwrap());
            let first = guest.connect(ADDRESS, silent);
            for _ in 0..10_000 {
                guest.connect(ADDRESS, silent);
            }
            let taken = sockets("tcp").len();
            assert!(taken <= LIMIT, "{}: {taken}", passt.display());
            // What it had keeps going, and the next guest is served.
            assert_eq!(guest.wait_for(ADDRESS, first), Answer::Accepted);
            let other = tempfile::tempdir().unwrap();
            let mut next = Guest::new(start_with(other.path(), &passt, &[open]).await.unwrap());
            let (_listener, port) = listen(ADDRESS);
            let own = next.connect(ADDRESS, port);
            assert_eq!(next.wait_for(ADDRESS, own), Answer::Accepted);
            stop(other.path()).await.unwrap();
            stop(folder.path()).await.unwrap();
        });
    }
}
