use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::mpsc;
use std::thread;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;

use super::*;
use crate::addresses::RESOLVER;
use crate::channel::Kind;
use crate::policy::DNS;
use crate::resolver_list;

use super::message::tests::answer;
pub(crate) use super::message::tests::question;

/// Far more than what is waited for takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn asker() -> Asker {
    Asker::Flow(Flow {
        kind: Kind::Datagram,
        guest: 20_000,
        peer: RESOLVER.into(),
        port: DNS,
    })
}

/// What a resolver for tests does with a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Answer(u8),
    Lie,
    Nothing,
}

/// Resolvers for tests, and what they are asked.
struct Host {
    asked: mpsc::Receiver<SocketAddr>,
    tell: mpsc::Sender<SocketAddr>,
}

impl Host {
    fn new() -> Self {
        let (tell, asked) = mpsc::channel();
        Self { asked, tell }
    }

    fn resolver(&self, address: &str, does: Does) -> SocketAddr {
        let socket = UdpSocket::bind(address).unwrap();
        let (local, tell) = (socket.local_addr().unwrap(), self.tell.clone());
        thread::spawn(move || {
            let mut buffer = [0; 5000];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let asked = &buffer[..length];
                let _ = tell.send(local);
                match does {
                    Does::Answer(outcome) => drop(socket.send_to(&answer(asked, outcome), from)),
                    Does::Lie => {
                        let wrong_number = [&[asked[0] ^ 1], &asked[1..]].concat();
                        for lie in [
                            &answer(&wrong_number, 0)[..],
                            &answer(&question(0, "evil.example"), 0),
                            asked,
                            b"?",
                        ] {
                            socket.send_to(lie, from).unwrap();
                        }
                    }
                    Does::Nothing => {}
                }
            }
        });
        local
    }

    fn asked(&self) -> Vec<SocketAddr> {
        self.asked.try_iter().collect()
    }
}

/// Names with these resolvers, turned until something has become of a question.
struct Turned {
    names: Names,
    events: OwnedFd,
    _folder: tempfile::TempDir,
}

impl Turned {
    fn new(servers: &[SocketAddr]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let list = resolver_list::hand_over(folder.path(), servers).unwrap();
        Self {
            names: Names::new(list),
            events: epoll::create(epoll::CreateFlags::CLOEXEC).unwrap(),
            _folder: folder,
        }
    }

    fn ask(&mut self, asker: Asker, question: &[u8]) -> Outcome {
        self.names
            .ask(&self.events, asker, question, Instant::now())
            .unwrap();
        let begun = Instant::now();
        loop {
            if let Some((told, outcome)) = self.names.outcomes().pop() {
                assert_eq!(told, asker);
                assert_eq!(self.names.pause(Instant::now()), None);
                return outcome;
            }
            assert!(begun.elapsed() < PATIENCE);
            let pause = self.names.pause(Instant::now()).unwrap();
            let pause = Timespec {
                tv_sec: pause.as_secs().cast_signed(),
                tv_nsec: pause.subsec_nanos().into(),
            };
            let mut happened = Vec::with_capacity(8);
            epoll::wait(&self.events, spare_capacity(&mut happened), Some(&pause)).unwrap();
            for event in happened {
                self.names.hear(
                    &self.events,
                    event.data.u64(),
                    &mut vec![0; 70_000],
                    Instant::now(),
                );
            }
            self.names.turn(&self.events, Instant::now());
        }
    }
}

fn closed_port() -> SocketAddr {
    // It is given up at once.
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap()
}

#[test]
fn the_next_resolver_is_asked_where_one_is_silent_lies_fails_or_is_not_there() {
    let host = Host::new();
    let [v4, v6] = ["127.0.0.1:0", "[::1]:0"];
    let silent = host.resolver(v4, Does::Nothing);
    let liar = host.resolver(v4, Does::Lie);
    let failing = host.resolver(v6, Does::Answer(2));
    let refusing = host.resolver(v4, Does::Answer(5));
    let good = host.resolver(v6, Does::Answer(0));
    let denying = host.resolver(v4, Does::Answer(3));
    let unreachable = "[2001:db8::1]:53".parse().unwrap();
    let asked = question(0x1234, "good.example");
    let answered = |outcome| Outcome::Answer(answer(&asked, outcome));
    for (servers, expected) in [
        (&[good, denying][..], answered(0)),
        (&[denying, good], answered(3)),
        (&[silent, good], answered(0)),
        (&[liar, good], answered(0)),
        (&[failing, refusing, good], answered(0)),
        (&[closed_port(), good], answered(0)),
        (
            &[unreachable, closed_port(), silent, liar, failing, good],
            answered(0),
        ),
        (&[closed_port(), failing], answered(2)),
        (&[failing, silent], answered(2)),
        (&[closed_port()], Outcome::Unreachable),
        (&[], Outcome::Unreachable),
    ] {
        assert_eq!(Turned::new(servers).ask(asker(), &asked), expected, "{servers:?}");
    }
    host.asked();
    Turned::new(&[good, denying]).ask(asker(), &asked);
    assert_eq!(host.asked(), [good], "one that answers at once is the only one");
}

#[test]
fn an_answer_comes_within_two_seconds_however_many_are_silent() {
    for count in 1..=crate::resolver::MOST {
        let host = Host::new();
        let servers: Vec<_> = (0..count)
            .map(|_| host.resolver("127.0.0.1:0", Does::Nothing))
            .collect();
        let mut names = Turned::new(&servers);
        // The clock of this test stands on what is due.
        let begun = Instant::now();
        names
            .names
            .ask(&names.events, asker(), &question(1, "a.example"), begun)
            .unwrap();
        let mut now = begun;
        while names.names.places[0].as_ref().unwrap().asked.len() < count {
            now += names.names.pause(now).unwrap();
            names.names.turn(&names.events, now);
        }
        assert!(now - begun <= LAST, "{count}: {:?}", now - begun);
        now += names.names.pause(now).unwrap();
        assert_eq!(now - begun, OVER);
        names.names.turn(&names.events, now);
        assert_eq!(names.names.outcomes(), [(asker(), Outcome::Silence)]);
    }
}

#[test]
fn one_that_is_silent_again_and_again_is_asked_last() {
    let host = Host::new();
    let silent = host.resolver("127.0.0.1:0", Does::Nothing);
    let good = host.resolver("127.0.0.1:0", Does::Answer(0));
    let mut names = Turned::new(&[silent, good]);
    let mut asked = Vec::new();
    for number in 0..6 {
        names.ask(asker(), &question(number, "a.example"));
        asked.push(host.asked());
    }
    assert_eq!(asked[0], [silent, good]);
    assert_eq!(asked[5], [good]);
}

#[test]
fn a_question_of_a_connection_goes_over_one_and_its_answer_may_be_long() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let server = listener.local_addr().unwrap();
    let asked = question(0x1234, "big.example");
    let long = |question: &[u8]| [answer(question, 0), vec![7; 65_000]].concat();
    thread::spawn(move || {
        // The first closes without a word; the next answers in pieces.
        drop(listener.accept().unwrap());
        let (mut connection, _) = listener.accept().unwrap();
        let mut length = [0; 2];
        connection.read_exact(&mut length).unwrap();
        let mut question = vec![0; u16::from_be_bytes(length).into()];
        connection.read_exact(&mut question).unwrap();
        let answer = long(&question);
        let answer = [&(answer.len() as u16).to_be_bytes()[..], &answer].concat();
        for piece in answer.chunks(10_001) {
            connection.write_all(piece).unwrap();
        }
    });
    let mut names = Turned::new(&[server, server]);
    let told = names.ask(Asker::Connection(9), &asked);
    assert!(told == Outcome::Answer(long(&asked)));
    let mut names = Turned::new(&[closed_port()]);
    assert_eq!(names.ask(Asker::Connection(9), &asked), Outcome::Unreachable);
}

#[test]
fn what_is_no_question_is_asked_of_none() {
    let host = Host::new();
    let good = host.resolver("127.0.0.1:0", Does::Answer(0));
    let mut names = Turned::new(&[good]);
    assert_eq!(names.ask(asker(), b"how do you do"), Outcome::Silence);
    assert_eq!(
        names.ask(asker(), &answer(&question(1, "a.example"), 0)),
        Outcome::Silence
    );
    names.ask(asker(), &question(1, "a.example"));
    assert_eq!(host.asked(), [good]);
}

#[test]
fn there_are_so_many_sockets_and_no_more_and_the_oldest_question_makes_room() {
    let host = Host::new();
    let silent = host.resolver("127.0.0.1:0", Does::Nothing);
    let mut names = Turned::new(&[silent]);
    let begun = Instant::now();
    for number in 0..LIMIT as u64 + 10 {
        let asker = Asker::Connection(number);
        let now = begun + Duration::from_millis(number);
        names
            .names
            .ask(&names.events, asker, &question(7, "a.example"), now)
            .unwrap();
    }
    let open = names
        .names
        .places
        .iter()
        .flatten()
        .flat_map(|question| &question.asked);
    assert_eq!(open.flatten().count(), LIMIT);
    let lost: Vec<_> = names.names.outcomes();
    let expected: Vec<_> = (0..10)
        .map(|number| (Asker::Connection(number), Outcome::Silence))
        .collect();
    assert_eq!(lost, expected);
    for number in 0..LIMIT as u64 + 10 {
        names.names.forget(number);
    }
    assert_eq!(names.names.pause(begun), None);
}
