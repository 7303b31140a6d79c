//! A guest's datagrams, and what of the world comes in because of them.

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::thread;

use net::{Subnet, stop, user_plan};

use crate::support::guest::{Answer, Guest};
use crate::support::host::{ADDRESS, ip, on_a_host};
use crate::support::names::{QUESTION, answer, answer_a_question, resolver};
use crate::support::network::{
    GREETING, LOCAL_RESOLVER, answer_in_capitals, bind, every_passt, reach_the_host, recorded, start,
    start_with,
};
use crate::support::sockets::{Watch, listening, sockets};

/// As many as a relay has at most, for flows and for questions.
const LIMIT: usize = 512 + 256;
/// Descriptors that it has besides.
const OTHERS: usize = 8;
/// Another address of the host's.
const STRANGER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 9);

fn capitals() -> Answer {
    Answer::Datagram(GREETING.to_ascii_uppercase())
}

/// The system gives a descriptor the lowest number that is free, so there were never more of the relay's than this.
fn highest_descriptor(folder: &Path) -> usize {
    let relay = recorded(folder)[1].pid;
    let open = fs::read_dir(format!("/proc/{relay}/fd")).unwrap();
    let numbers = open.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap());
    numbers.max().unwrap()
}

/// Answers until the test ends.
fn answer_all(socket: UdpSocket) {
    socket.set_read_timeout(None).unwrap();
    thread::spawn(move || {
        let mut received = [0; 100];
        while let Ok((length, from)) = socket.recv_from(&mut received) {
            let answer = received[..length].to_ascii_uppercase();
            let _ = socket.send_to(&answer, from);
        }
    });
}

#[test]
fn ten_thousand_datagrams_open_no_port_of_the_host_and_take_a_bounded_number() {
    for passt in every_passt() {
        on_a_host(LOCAL_RESOLVER, || async move {
            let (names, silent, echo) = (bind(LOCAL_RESOLVER, 53), bind(ADDRESS, 0), bind(ADDRESS, 0));
            let [silent_port, echo_port] = [&silent, &echo].map(|socket| socket.local_addr().unwrap().port());
            names.set_read_timeout(None).unwrap();
            thread::spawn(move || {
                loop {
                    answer_a_question(&names);
                }
            });
            answer_all(echo);
            let mut watch = Watch::start();
            let folder = tempfile::tempdir().unwrap();
            let open = Subnet::of(ADDRESS.into(), 32).unwrap();
            let mut guest = Guest::new(start_with(folder.path(), &passt, &[open]).await.unwrap());
            watch.look();
            for number in 0..10_000_u16 {
                let (to, port, sent) = match number % 3 {
                    0 => (resolver(), 53, QUESTION),
                    1 => (ADDRESS, silent_port, GREETING),
                    _ => (ADDRESS, echo_port, GREETING),
                };
                guest.send_datagram_from(1024 + number, to, port, sent);
                if number % 100 == 0 {
                    watch.look();
                    assert!(highest_descriptor(folder.path()) < LIMIT + OTHERS);
                }
            }
            assert_eq!(listening(), [0; 0]);
            // The guest is still served, once what it has flooded is silent.
            let served = loop {
                guest.send_datagram_from(7, ADDRESS, echo_port, b"after");
                if let Some(answer) = guest.next_of(ADDRESS, 7) {
                    break answer;
                }
                watch.look();
            };
            assert_eq!(served, Answer::Datagram(b"AFTER".into()));
            watch.look();
            stop(folder.path()).await.unwrap();
            watch.look();
            assert_eq!(
                sockets("udp").iter().filter(|socket| socket.is_connected).count(),
                0
            );
        });
    }
}

#[test]
fn the_guests_port_is_none_of_the_hosts() {
    for passt in every_passt() {
        on_a_host(LOCAL_RESOLVER, || async move {
            let names = bind(LOCAL_RESOLVER, 53);
            let folder = tempfile::tempdir().unwrap();
            let mut guest = Guest::new(start_with(folder.path(), &passt, &[]).await.unwrap());
            guest.send_datagram_from(8125, resolver(), 53, QUESTION);
            let mut received = [0; 100];
            let (length, relay) = names.recv_from(&mut received).unwrap();
            assert_ne!(relay.port(), 8125);
            let answered = answer(&received[..length]);
            let local = bind(Ipv4Addr::LOCALHOST, 0);
            for to in [Ipv4Addr::LOCALHOST, ADDRESS, LOCAL_RESOLVER] {
                local.connect((to, 8125)).unwrap();
                local.send(b"a local program").unwrap();
                // Nothing takes it, which a socket that is connected is told.
                assert_eq!(
                    local.recv(&mut received).unwrap_err().kind(),
                    ErrorKind::ConnectionRefused
                );
            }
            names.send_to(&answered, relay).unwrap();
            let expected = Answer::Datagram(answer(QUESTION));
            assert_eq!(guest.next_of(resolver(), 8125), Some(expected));
            stop(folder.path()).await.unwrap();
        });
    }
}

#[test]
fn only_the_peer_answers() {
    on_a_host(LOCAL_RESOLVER, || async {
        ip(&format!("address add {STRANGER}/24 dev out"));
        let peer = bind(ADDRESS, 0);
        let port = peer.local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let mut guest = Guest::new(start(folder.path()).await.unwrap());
        let own = guest.send_datagram(ADDRESS, port, GREETING);
        let mut received = [0; 100];
        let (_, relay) = peer.recv_from(&mut received).unwrap();
        for stranger in [
            bind(ADDRESS, 0),
            bind(STRANGER, port),
            bind(Ipv4Addr::LOCALHOST, port),
        ] {
            let _ = stranger.send_to(b"an answer of a stranger's", relay);
        }
        peer.send_to(&GREETING.to_ascii_uppercase(), relay).unwrap();
        assert_eq!(
            guest.next_of(ADDRESS, own),
            Some(capitals()),
            "it is the first to come"
        );
        stop(folder.path()).await.unwrap();
    });
}

#[test]
fn each_flow_has_a_port_of_its_own_and_keeps_it() {
    on_a_host(LOCAL_RESOLVER, || async {
        let peers = [bind(ADDRESS, 0), bind(ADDRESS, 0)];
        let folder = tempfile::tempdir().unwrap();
        let mut guest = Guest::new(start(folder.path()).await.unwrap());
        let mut seen = Vec::new();
        for _ in 0..2 {
            let mut ports = Vec::new();
            for peer in &peers {
                for own in [1111, 2222] {
                    guest.send_datagram_from(own, ADDRESS, peer.local_addr().unwrap().port(), GREETING);
                    ports.push(peer.recv_from(&mut [0; 100]).unwrap().1.port());
                }
            }
            seen.push(ports);
        }
        assert_eq!(seen[0], seen[1]);
        let mut different = seen.remove(0);
        different.sort_unstable();
        different.dedup();
        assert_eq!(different.len(), 4);
        stop(folder.path()).await.unwrap();
    });
}

#[test]
fn a_port_that_nothing_is_at_is_said_to_be_closed() {
    on_a_host(LOCAL_RESOLVER, || async {
        let folder = tempfile::tempdir().unwrap();
        let mut guest = Guest::new(start(folder.path()).await.unwrap());
        let own = guest.send_datagram(ADDRESS, 9, GREETING);
        assert_eq!(guest.wait_for(ADDRESS, own), Answer::NothingThere);
        // The resolver of the host has ended.
        let own = guest.send_datagram(resolver(), 53, QUESTION);
        assert_eq!(guest.wait_for(resolver(), own), Answer::NothingThere);
        reach_the_host(&mut guest);
        stop(folder.path()).await.unwrap();
    });
}

#[test]
fn datagrams_of_every_length_go_both_ways() {
    on_a_host(LOCAL_RESOLVER, || async {
        let peer = bind(ADDRESS, 0);
        let port = peer.local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let mut guest = Guest::new(start(folder.path()).await.unwrap());
        let most = user_plan().mtu as usize - 28;
        let mut received = vec![0; 70_000];
        for length in [0, 1, 1472, 1473, most] {
            let sent: Vec<u8> = (0..length).map(|number| number as u8).collect();
            let own = guest.send_datagram(ADDRESS, port, &sent);
            let (got, relay) = peer.recv_from(&mut received).unwrap();
            assert!(received[..got] == sent, "{length}");
            peer.send_to(&sent, relay).unwrap();
            assert!(guest.wait_for(ADDRESS, own) == Answer::Datagram(sent), "{length}");
        }
        // A guest's card takes no packet as long: it comes in fragments.
        let own = guest.send_datagram(ADDRESS, port, GREETING);
        let (_, relay) = peer.recv_from(&mut received).unwrap();
        let sent: Vec<u8> = (0..65_507).map(|number| number as u8).collect();
        peer.send_to(&sent, relay).unwrap();
        assert!(guest.reassemble(ADDRESS, own) == sent);
        stop(folder.path()).await.unwrap();
    });
}

#[test]
fn a_fragment_is_refused_and_what_is_broken_is_lost() {
    on_a_host(LOCAL_RESOLVER, || async {
        let peer = bind(ADDRESS, 0);
        let port = peer.local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let mut guest = Guest::new(start(folder.path()).await.unwrap());
        let own = guest.send_changed(ADDRESS, port, |packet| packet[6] = 0x20);
        assert_eq!(guest.wait_for(ADDRESS, own), Answer::Prohibited);
        for at in [9, 20 + 6, 20 + 8] {
            guest.send_changed(ADDRESS, port, |packet| packet[at] ^= 0xff);
        }
        let own = guest.send_datagram(ADDRESS, port, GREETING);
        answer_in_capitals(&peer);
        assert_eq!(
            guest.wait_for(ADDRESS, own),
            capitals(),
            "the first that arrives is whole"
        );
        stop(folder.path()).await.unwrap();
    });
}
