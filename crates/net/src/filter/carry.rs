//! Carries frames between a VMM and passt, and datagrams between a VMM and the relay, judging what comes from the guest.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Barrier, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, send, shutdown};

use super::answers::frames_of;
use super::frames::{Frames, LONGEST, each};
use super::handover::{Handover, Incoming};
use super::judge::{Way, way};
use super::neighbours::answer_to;
use super::refusal::refusal_of;
use super::repeats::Repeats;
use crate::channel::{self, Flow, What};
use crate::packet::{Ends, PREFIX};
use crate::policy::Policy;

/// What it stands between.
#[derive(Debug)]
pub(crate) struct Sides {
    pub(crate) vmm: UnixStream,
    pub(crate) passt: UnixStream,
    /// See [`channel`].
    pub(crate) relay: OwnedFd,
}

impl Sides {
    /// What waits there waits no longer.
    fn close(&self) {
        for side in [self.vmm.as_fd(), self.passt.as_fd(), self.relay.as_fd()] {
            let _ = shutdown(side, Shutdown::Both);
        }
    }
}

/// What one thread does.
type Direction<'a> = Box<dyn FnOnce() -> io::Result<()> + Send + 'a>;

/// Where frames to the guest go. All directions write there, whole frames only.
enum Card<'a> {
    /// To the VMM's end of the socket, each after its length.
    Stream(&'a UnixStream),
    /// Into the far end of its card's wire.
    Tap(File),
}

/// The guest's card, and what is known of it.
struct ToGuest<'a> {
    card: Card<'a>,
    /// As its last datagram named them.
    ends: Ends,
    identification: u16,
}

/// Runs until a side closes. Once all is ready but nothing has been read, `confine` is called.
///
/// # Errors
/// A side sent what it may not, or the system failed.
pub(crate) fn run(
    sides: &Sides,
    policy: &Policy,
    confine: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    let to_guest = &Mutex::new(ToGuest {
        card: Card::Stream(&sides.vmm),
        ends: Ends::default(),
        identification: 0,
    });
    let repeats = &Mutex::new(Repeats::new());
    let (done, ends) = mpsc::channel();
    // Threads that have begun need less of the system than those that begin.
    let (begun, go) = (&Barrier::new(4), &Barrier::new(4));
    let directions: [Direction<'_>; 3] = [
        Box::new(|| inward(&sides.passt, to_guest, repeats)),
        Box::new(|| answers(sides.relay.as_fd(), to_guest)),
        Box::new(|| {
            let guest = Guest {
                passt: &sides.passt,
                relay: sides.relay.as_fd(),
                policy,
                to_guest,
                repeats,
                ends: Ends::default(),
                message: Vec::new(),
            };
            guest.outward(&sides.vmm)
        }),
    ];
    thread::scope(|scope| {
        for direction in directions {
            let done = done.clone();
            scope.spawn(move || {
                begun.wait();
                go.wait();
                // Nothing waits for it any more where another has ended before.
                let _ = done.send(direction());
            });
        }
        begun.wait();
        // Not before the relay is there, either: what answers through this process answers through all.
        let ready = confine().and_then(|()| channel::wait_until_ready(&sides.relay));
        if !matches!(ready, Ok(true)) {
            sides.close();
        }
        go.wait();
        let first = ready.and_then(|_| ends.recv().unwrap_or(Ok(())));
        // The other directions end as well then, wherever they wait.
        sides.close();
        match first {
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                Ok(())
            }
            first => first,
        }
    })
}

/// The way from the guest to the world.
struct Guest<'a> {
    passt: &'a UnixStream,
    relay: BorrowedFd<'a>,
    policy: &'a Policy,
    to_guest: &'a Mutex<ToGuest<'a>>,
    repeats: &'a Mutex<Repeats>,
    /// As [`ToGuest`] has them.
    ends: Ends,
    /// To the relay.
    message: Vec<u8>,
}

impl Guest<'_> {
    /// First frames come over the VMM's socket. A VMM that attaches a card by itself hands its wire over there, and
    /// from then on they come out of that.
    fn outward(mut self, vmm: &UnixStream) -> io::Result<()> {
        let mut frames = Frames::new(Incoming::new(vmm));
        while frames.wait()? {
            while let Some(frame) = frames.next()? {
                self.judge(frame)?;
            }
        }
        match frames.into_stream().handover {
            Some(handover) => self.outward_from(&handover),
            None => Ok(()),
        }
    }

    fn outward_from(&mut self, handover: &Handover) -> io::Result<()> {
        lock(self.to_guest).card = Card::Tap(handover.tap.try_clone()?);
        let mut buffer = vec![0; LONGEST];
        while handover.wait(self.passt)? {
            loop {
                let length = match (&handover.tap).read(&mut buffer[PREFIX..]) {
                    Ok(length) => length,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error),
                };
                let prefix = u32::try_from(length).map_err(io::Error::other)?.to_be_bytes();
                buffer[..PREFIX].copy_from_slice(&prefix);
                self.judge(&mut buffer[..PREFIX + length])?;
            }
        }
        Ok(())
    }

    /// A frame after its length.
    fn judge(&mut self, frame: &mut [u8]) -> io::Result<()> {
        match way(self.policy, &frame[PREFIX..]) {
            Way::Passt => {
                lock(self.repeats).pass(&mut frame[PREFIX..], Instant::now());
                // One write a frame: passt loses its place in the stream if it reads a length alone.
                (&mut &*self.passt).write_all(frame)
            }
            Way::Relay(flow, payload) => {
                if let Some(ends) = Ends::of(&frame[PREFIX..])
                    && ends != self.ends
                {
                    self.ends = ends;
                    lock(self.to_guest).ends = ends;
                }
                self.relay(&flow, payload)
            }
            Way::Asks => self.tell(answer_to(&frame[PREFIX..])),
            Way::Refused => self.tell(refusal_of(&frame[PREFIX..])),
            Way::Dropped => Ok(()),
        }
    }

    fn tell(&self, frame: Option<Vec<u8>>) -> io::Result<()> {
        frame.map_or(Ok(()), |frame| lock(self.to_guest).write(&frame))
    }

    /// Waits until the relay has taken it, which always goes on reading: a guest that is fast is held back, not robbed.
    fn relay(&mut self, flow: &Flow, payload: &[u8]) -> io::Result<()> {
        self.message.clear();
        self.message.extend(channel::head(flow, What::Data));
        self.message.extend(payload);
        loop {
            match send(self.relay, &self.message, SendFlags::NOSIGNAL) {
                Err(Errno::INTR) => {}
                sent => return Ok(sent.map(drop)?),
            }
        }
    }
}

/// From the relay to the guest.
fn answers(relay: BorrowedFd<'_>, to_guest: &Mutex<ToGuest<'_>>) -> io::Result<()> {
    let mut buffer = vec![0; channel::LONGEST];
    loop {
        match channel::receive(relay, &mut buffer, RecvFlags::empty())? {
            Some([]) => return Ok(()),
            None => {}
            Some(message) => {
                let Some((flow, what, payload)) = channel::parse(message) else {
                    return Err(io::Error::other("the relay says what is no message"));
                };
                let mut to_guest = lock(to_guest);
                to_guest.identification = to_guest.identification.wrapping_add(1);
                let frames = frames_of(to_guest.ends, to_guest.identification, &flow, what, payload);
                to_guest.write(&frames)?;
            }
        }
    }
}

/// From passt to the guest.
fn inward(passt: &UnixStream, to_guest: &Mutex<ToGuest<'_>>, repeats: &Mutex<Repeats>) -> io::Result<()> {
    let mut frames = Frames::new(passt);
    while frames.wait()? {
        let frames = frames.all()?;
        // Before the guest can answer them.
        {
            let mut repeats = lock(repeats);
            each(frames).for_each(|frame| repeats.sent(frame));
        }
        lock(to_guest).write(frames)?;
    }
    Ok(())
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ToGuest<'_> {
    /// Writes whole frames, each after its length.
    fn write(&mut self, frames: &[u8]) -> io::Result<()> {
        match &mut self.card {
            Card::Stream(socket) => socket.write_all(frames),
            Card::Tap(tap) => {
                for frame in each(frames) {
                    // What a card does not take is lost, as on any wire; the VMM's end is seen elsewhere.
                    let _ = tap.write(frame);
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixDatagram;

    use super::super::handover::tests::hand_over;
    use super::*;
    use crate::channel::Kind;
    use crate::packet::TCP;
    use crate::packet::tests::{frame_to, frame_with};

    fn framed(frame: &[u8]) -> Vec<u8> {
        [&(frame.len() as u32).to_be_bytes(), frame].concat()
    }

    /// Runs `test` with the far ends of a filter: VMM's, passt's and the relay's. Gives how the filter ended.
    fn with_filter(test: impl FnOnce(UnixStream, UnixStream, OwnedFd)) -> io::Result<()> {
        let ((vmm, vmm_side), (passt, passt_side)) =
            (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
        let (relay, relay_side) = channel::pair().unwrap();
        channel::say_ready(&relay).unwrap();
        let sides = Sides {
            vmm: vmm_side,
            passt: passt_side,
            relay: relay_side,
        };
        let filter = thread::spawn(move || run(&sides, &Policy::default(), || Ok(())));
        test(vmm, passt, relay);
        filter.join().unwrap()
    }

    fn expect(mut from: &UnixStream, bytes: &[u8]) {
        let mut received = vec![0; bytes.len()];
        from.read_exact(&mut received).unwrap();
        assert_eq!(received, bytes);
    }

    #[test]
    fn what_passes_arrives_what_is_refused_comes_back_and_the_rest_vanishes() {
        let ended = with_filter(|mut vmm, mut passt, _relay| {
            let good = frame_to([1, 1, 1, 1].into(), TCP, 80);
            let refused = frame_to([127, 0, 0, 1].into(), TCP, 80);
            let dropped = frame_to([224, 0, 0, 1].into(), TCP, 80);
            vmm.write_all(&[framed(&dropped), framed(&refused), framed(&good)].concat())
                .unwrap();
            expect(&passt, &framed(&good));
            expect(&vmm, &refusal_of(&refused).unwrap());
            passt
                .write_all(&[framed(&refused), framed(&[])].concat())
                .unwrap();
            expect(&vmm, &[framed(&refused), framed(&[])].concat());
        });
        ended.unwrap();
    }

    #[test]
    fn a_card_that_is_handed_over_carries_what_the_stream_did() {
        // As a tap, it gives and takes one frame a call.
        let (card, far) = UnixDatagram::pair().unwrap();
        far.set_nonblocking(true).unwrap();
        let (process, alive) = UnixStream::pair().unwrap();
        let ended = with_filter(|mut vmm, mut passt, _relay| {
            let good = frame_to([1, 1, 1, 1].into(), TCP, 80);
            let refused = frame_to([127, 0, 0, 1].into(), TCP, 80);
            vmm.write_all(&framed(&good)).unwrap();
            expect(&passt, &framed(&good));
            hand_over(&vmm, &[far.as_fd(), process.as_fd()]);
            drop(vmm);
            card.send(&refused).unwrap();
            card.send(&good).unwrap();
            expect(&passt, &framed(&good));
            let mut received = [0; 200];
            let length = card.recv(&mut received).unwrap();
            assert_eq!(framed(&received[..length]), refusal_of(&refused).unwrap());
            passt
                .write_all(&[framed(&refused), framed(&good)].concat())
                .unwrap();
            for expected in [&refused, &good] {
                let length = card.recv(&mut received).unwrap();
                assert_eq!(&received[..length], expected);
            }
            // The VMM ends.
            drop(alive);
            assert_eq!(passt.read(&mut [0]).unwrap(), 0);
        });
        ended.unwrap();
    }

    #[test]
    fn passts_end_is_the_end_of_a_card_too() {
        let (_card, far) = UnixDatagram::pair().unwrap();
        far.set_nonblocking(true).unwrap();
        let (process, _alive) = UnixStream::pair().unwrap();
        let ended = with_filter(|vmm, passt, _relay| {
            hand_over(&vmm, &[far.as_fd(), process.as_fd()]);
            drop(passt);
        });
        ended.unwrap();
    }

    #[test]
    fn each_end_takes_the_others_along() {
        let is_closed =
            |relay: &OwnedFd| channel::receive(relay, &mut [0], RecvFlags::empty()).unwrap() == Some(&[]);
        with_filter(|vmm, mut passt, relay| {
            drop(vmm);
            assert_eq!(passt.read(&mut [0]).unwrap(), 0);
            assert!(is_closed(&relay));
        })
        .unwrap();
        with_filter(|mut vmm, passt, relay| {
            drop(passt);
            assert_eq!(vmm.read(&mut [0]).unwrap(), 0);
            assert!(is_closed(&relay));
        })
        .unwrap();
        with_filter(|mut vmm, mut passt, relay| {
            drop(relay);
            assert_eq!(vmm.read(&mut [0]).unwrap(), 0);
            assert_eq!(passt.read(&mut [0]).unwrap(), 0);
        })
        .unwrap();
    }

    #[test]
    fn datagrams_go_to_the_relay_and_come_back_to_their_sender() {
        let ended = with_filter(|mut vmm, _passt, relay| {
            let datagram = [0x4e, 0x20, 0, 99, 0, 11, 0, 0, b'h', b'o', b'w'];
            vmm.write_all(&framed(&frame_with([1, 1, 1, 1].into(), 17, &datagram)))
                .unwrap();
            let mut buffer = [0; 100];
            let message = channel::receive(&relay, &mut buffer, RecvFlags::empty()).unwrap();
            let flow = Flow {
                kind: Kind::Datagram,
                guest: 20_000,
                peer: [1, 1, 1, 1].into(),
                port: 99,
            };
            assert_eq!(
                channel::parse(message.unwrap()),
                Some((flow, What::Data, &b"how"[..]))
            );
            let answer = [&channel::head(&flow, What::Data)[..], b"so"].concat();
            send(&relay, &answer, SendFlags::NOSIGNAL).unwrap();
            let ends = Ends {
                guest: [1; 6],
                gateway: [2; 6],
            };
            expect(&vmm, &frames_of(ends, 1, &flow, What::Data, b"so"));
        });
        ended.unwrap();
    }

    #[test]
    fn a_relay_that_is_not_ready_or_says_what_is_no_message_ends_it() {
        let (relay, relay_side) = channel::pair().unwrap();
        let ((_vmm, vmm), (_passt, passt)) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
        let sides = Sides {
            vmm,
            passt,
            relay: relay_side,
        };
        drop(relay);
        run(&sides, &Policy::default(), || Ok(())).unwrap();
        let ended = with_filter(|mut vmm, _passt, relay| {
            send(&relay, b"x", SendFlags::NOSIGNAL).unwrap();
            assert_eq!(vmm.read(&mut [0]).unwrap(), 0);
        });
        assert_eq!(
            ended.unwrap_err().to_string(),
            "the relay says what is no message"
        );
    }

    #[test]
    fn what_is_no_stream_of_frames_ends_it() {
        let ended = with_filter(|mut vmm, _passt, _relay| {
            vmm.write_all(&[0xff; 8]).unwrap();
            let _ = vmm.read(&mut [0]);
        });
        assert_eq!(ended.unwrap_err().to_string(), "a frame of 4294967295 bytes");
    }
}
