use smoltcp::iface::SocketStorage;

use super::*;

/// A guest's stack, wired to the resolver's.
struct Guest {
    interface: Interface,
    sockets: SocketSet<'static>,
    wire: Wire,
    resolver: Connections,
    events: Vec<Event>,
    begun: Instant,
    passed: Duration,
    ports: u16,
}

impl Guest {
    fn new() -> Self {
        let mut wire = Wire::default();
        let mut interface = Interface::new(Config::new(HardwareAddress::Ip), &mut wire, Moment::ZERO);
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(GUEST.into(), PREFIX)).unwrap();
        });
        let begun = Instant::now();
        Self {
            interface,
            sockets: SocketSet::new(Vec::<SocketStorage<'_>>::new()),
            wire,
            resolver: Connections::new(begun).unwrap(),
            events: Vec::new(),
            begun,
            passed: Duration::ZERO,
            ports: 30_000,
        }
    }

    fn connect(&mut self) -> SocketHandle {
        let buffer = || SocketBuffer::new(vec![0; 100_000]);
        let socket = self.sockets.add(Socket::new(buffer(), buffer()));
        self.ports += 1;
        let connecting = self.sockets.get_mut::<Socket<'_>>(socket);
        connecting
            .connect(self.interface.context(), (RESOLVER, DNS), self.ports)
            .unwrap();
        self.exchange();
        socket
    }

    fn socket(&mut self, socket: SocketHandle) -> &mut Socket<'static> {
        self.sockets.get_mut(socket)
    }

    fn send(&mut self, socket: SocketHandle, bytes: &[u8]) {
        assert_eq!(self.socket(socket).send_slice(bytes), Ok(bytes.len()));
        self.exchange();
    }

    fn received(&mut self, socket: SocketHandle) -> Vec<u8> {
        self.socket(socket)
            .recv(|bytes| (bytes.len(), bytes.to_vec()))
            .unwrap_or_default()
    }

    fn answer(&mut self, number: u64, answer: Option<&[u8]>) {
        self.resolver.answer(number, answer, self.begun + self.passed);
        self.exchange();
    }

    /// Carries segments both ways until none is left; delayed ones have their time.
    fn exchange(&mut self) {
        for _ in 0..60 {
            self.wait(Duration::from_millis(5));
        }
    }

    fn wait(&mut self, duration: Duration) {
        self.passed += duration;
        let now = self.begun + self.passed;
        let moment = self.resolver.moment(now);
        self.interface.poll(moment, &mut self.wire, &mut self.sockets);
        for packet in self.wire.outward.drain(..) {
            self.events.extend(self.resolver.receive(&packet[20..], now));
        }
        self.events.extend(self.resolver.turn(now));
        for (port, segment) in self.resolver.sent() {
            assert!(port > 30_000 && segment.len() <= MTU as usize - 20);
            let header = header(RESOLVER, GUEST, TCP, segment.len(), 0, 0).unwrap();
            self.wire.inward.push_back([&header[..], &segment].concat());
        }
        self.interface.poll(moment, &mut self.wire, &mut self.sockets);
    }

    fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }
}

fn message(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes()[..], text].concat()
}

#[test]
fn questions_of_a_connection_are_answered_one_after_the_other() {
    let mut guest = Guest::new();
    let socket = guest.connect();
    // A message may come in pieces, and the next with it.
    let (first, rest) = (message(b"first"), [message(b"second"), message(b"")].concat());
    guest.send(socket, &first[..1]);
    guest.send(socket, &first[1..4]);
    assert_eq!(guest.events(), []);
    guest.send(socket, &[&first[4..], &rest].concat());
    let [Event::Question(number, question)] = &guest.events()[..] else {
        panic!("one question")
    };
    assert_eq!(question, b"first");
    let number = *number;
    let long = vec![7; 65_535];
    guest.answer(number, Some(&long));
    assert!(guest.received(socket) == message(&long));
    assert_eq!(guest.events(), [Event::Question(number, b"second".into())]);
    guest.answer(number, Some(b"yes"));
    assert_eq!(guest.received(socket), message(b"yes"));
    assert_eq!(guest.events(), [Event::Question(number, b"".into())]);
    // It has said all; the answer comes all the same.
    guest.socket(socket).close();
    guest.exchange();
    guest.answer(number, Some(b"no"));
    assert_eq!(guest.received(socket), message(b"no"));
    guest.exchange();
    assert_eq!(guest.events(), [Event::Gone(number)]);
}

#[test]
fn a_question_without_an_answer_or_too_long_a_one_resets_the_connection() {
    let mut guest = Guest::new();
    let socket = guest.connect();
    guest.send(socket, &message(b"?"));
    let [Event::Question(number, _)] = guest.events()[..] else {
        panic!("one question")
    };
    guest.answer(number, None);
    assert_eq!(guest.socket(socket).state(), State::Closed);
    assert_eq!(guest.events(), [Event::Gone(number)]);
    let socket = guest.connect();
    guest.send(socket, &(LONGEST_QUESTION as u16 + 1).to_be_bytes());
    assert_eq!(guest.socket(socket).state(), State::Closed);
    assert!(matches!(guest.events()[..], [Event::Gone(_)]));
}

#[test]
fn one_more_connection_takes_the_place_of_the_one_that_was_silent_longest() {
    let mut guest = Guest::new();
    // One more listens.
    let sockets: Vec<_> = (1..LIMIT).map(|_| guest.connect()).collect();
    for &socket in &sockets[2..] {
        guest.send(socket, &message(b"?"));
    }
    guest.send(sockets[0], &[0]);
    let next = guest.connect();
    let states = |guest: &mut Guest| -> Vec<_> {
        let open = sockets.iter().map(|&socket| guest.socket(socket).is_active());
        open.collect()
    };
    let mut expected = vec![true; LIMIT - 1];
    expected[1] = false;
    assert_eq!(states(&mut guest), expected);
    guest.send(next, &message(b"the next"));
    assert!(
        guest
            .events()
            .iter()
            .any(|event| matches!(event, Event::Question(_, asked) if asked == b"the next"))
    );
}

#[test]
fn a_silent_connection_is_closed_and_nothing_is_to_be_done_then() {
    let mut guest = Guest::new();
    let socket = guest.connect();
    let now = guest.begun + guest.passed;
    assert!(guest.resolver.pause(now).is_some());
    guest.wait(IDLE);
    guest.exchange();
    assert_eq!(guest.socket(socket).state(), State::Closed);
    let now = guest.begun + guest.passed;
    assert_eq!(guest.resolver.pause(now), None);
}

#[test]
fn segments_that_are_none_are_nothing() {
    let mut guest = Guest::new();
    let now = guest.begun;
    for bad in [&[][..], &[0; 19], &[0xff; 20], &[0; 60], &vec![7; 16_000]] {
        assert_eq!(guest.resolver.receive(bad, now), []);
    }
    guest.resolver.sent().for_each(drop);
    let socket = guest.connect();
    guest.send(socket, &message(b"?"));
    assert!(matches!(guest.events()[..], [Event::Question(..)]));
}
