//! The guest's resolver: it is as good as the host's are together, over datagrams and connections.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::path::Path;
use std::thread;

use net::stop;

use crate::support::guest::{Answer, Guest};
use crate::support::host::on_a_host;
use crate::support::names::{
    QUESTION, answer, answer_a_question, answer_at_length, ask_the_resolver, resolver,
};
use crate::support::network::{LOCAL_RESOLVER, bind, every_passt, start, start_with};

const SETTINGS: &str = "/etc/resolv.conf";

/// Follows the host's settings, as the daemon does, for as long as the test runs.
fn follow(folder: &Path) {
    let folder = folder.to_owned();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(net::follow_resolvers(folder));
    });
}

#[test]
fn what_does_not_fit_a_datagram_comes_over_a_connection_and_opens_no_port_of_the_host() {
    for passt in every_passt() {
        on_a_host(LOCAL_RESOLVER, || async move {
            let listener = TcpListener::bind((LOCAL_RESOLVER, 53)).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let mut guest = Guest::new(start_with(folder.path(), &passt, &[]).await.unwrap());
            for more in [0, 3_000, 60_000] {
                let answering = listener.try_clone().unwrap();
                let answered = thread::spawn(move || answer_at_length(&answering, more));
                let expected = [answer(QUESTION), vec![7; more]].concat();
                assert!(guest.exchange(resolver(), 53, QUESTION) == expected, "{more}");
                answered.join().unwrap();
            }
            drop(listener);
            let listening = fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
            assert!(
                !listening.lines().any(|line| line.contains(" 0A ")),
                "{listening}"
            );
            stop(folder.path()).await.unwrap();
        });
    }
}

#[test]
fn the_next_resolver_is_asked_of_ipv6_too() {
    on_a_host(LOCAL_RESOLVER, || async {
        fs::write(
            SETTINGS,
            "nameserver 127.0.0.9\nnameserver 127.0.0.8\nnameserver ::1\n",
        )
        .unwrap();
        // One is not there, and one is silent.
        let _silent = bind(Ipv4Addr::new(127, 0, 0, 8), 53);
        let socket = UdpSocket::bind((Ipv6Addr::LOCALHOST, 53)).unwrap();
        let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 53)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut guest = Guest::new(start(folder.path()).await.unwrap());
        ask_the_resolver(&mut guest, &socket);
        let answered = thread::spawn(move || answer_at_length(&listener, 0));
        assert_eq!(guest.exchange(resolver(), 53, QUESTION), answer(QUESTION));
        answered.join().unwrap();
        stop(folder.path()).await.unwrap();
    });
}

#[test]
fn changed_settings_of_the_host_are_followed_while_the_network_runs() {
    on_a_host(LOCAL_RESOLVER, || async {
        let (before, after) = (bind(LOCAL_RESOLVER, 53), bind(Ipv4Addr::LOCALHOST, 53));
        let folder = tempfile::tempdir().unwrap();
        let mut guest = Guest::new(start(folder.path()).await.unwrap());
        follow(folder.path());
        ask_the_resolver(&mut guest, &before);
        // Half of a change, as an editor may leave it for a moment.
        fs::write(SETTINGS, "").unwrap();
        ask_the_resolver(&mut guest, &before);
        fs::write(SETTINGS, "nameserver 127.0.0.1\n").unwrap();
        after.set_read_timeout(None).unwrap();
        thread::spawn(move || {
            loop {
                answer_a_question(&after);
            }
        });
        // The one before is silent from now on: only a question to the new one is answered.
        let answered = loop {
            let own = guest.send_datagram(resolver(), 53, QUESTION);
            if let Some(answered) = guest.next_of(resolver(), own) {
                break answered;
            }
        };
        assert_eq!(answered, Answer::Datagram(answer(QUESTION)));
        stop(folder.path()).await.unwrap();
    });
}

#[test]
fn names_are_answered_when_the_daemon_is_gone_and_settings_without_a_resolver_mean_this_host() {
    on_a_host(LOCAL_RESOLVER, || async {
        fs::write(SETTINGS, "# nothing\n").unwrap();
        let warning = net::HostResolver::read().warning().unwrap();
        assert!(
            warning.starts_with("/etc/resolv.conf names no resolver"),
            "{warning}"
        );
        let folder = tempfile::tempdir().unwrap();
        let mut guest = Guest::new(start(folder.path()).await.unwrap());
        let own = guest.send_datagram(resolver(), 53, QUESTION);
        assert_eq!(guest.wait_for(resolver(), own), Answer::NothingThere);
        let socket = bind(Ipv4Addr::LOCALHOST, 53);
        ask_the_resolver(&mut guest, &socket);
        assert!(guest.is_accepted(resolver(), 53));
        stop(folder.path()).await.unwrap();
    });
}
