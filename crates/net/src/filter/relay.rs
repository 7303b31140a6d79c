//! Carries frames between a VMM and passt, judging those of the guest.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

use super::frames::{Frames, LONGEST, PREFIX, each};
use super::handover::{Handover, Incoming};
use super::policy::{Policy, Verdict};
use super::refusal::refusal_of;

/// Where frames to the guest go.
enum ToGuest<'a> {
    /// To the VMM's end of the socket, each after its length.
    Stream(&'a UnixStream),
    /// Into the far end of its card's wire.
    Tap(File),
}

/// Runs until either side closes.
///
/// # Errors
/// One side sent what is no stream of frames, or the system failed.
pub(super) fn run(vmm: &UnixStream, passt: &UnixStream, policy: &Policy) -> io::Result<()> {
    let to_guest = Mutex::new(ToGuest::Stream(vmm));
    let (done, ends) = mpsc::channel();
    thread::scope(|scope| {
        let inward_done = done.clone();
        let to_guest = &to_guest;
        scope.spawn(move || inward_done.send(inward(passt, to_guest)));
        scope.spawn(move || {
            let guest = Guest {
                passt,
                policy,
                to_guest,
            };
            done.send(guest.outward(vmm))
        });
        let first = ends.recv().unwrap_or(Ok(()));
        // The other direction ends as well then, wherever it waits.
        for side in [vmm, passt] {
            let _ = side.shutdown(Shutdown::Both);
        }
        match first {
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                Ok(())
            }
            first => first,
        }
    })
}

/// The way from the guest to passt.
struct Guest<'a> {
    passt: &'a UnixStream,
    policy: &'a Policy,
    to_guest: &'a Mutex<ToGuest<'a>>,
}

impl Guest<'_> {
    /// First frames come over the VMM's socket. A VMM that attaches a card by itself hands its wire over there, and
    /// from then on they come out of that.
    fn outward(&self, vmm: &UnixStream) -> io::Result<()> {
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

    fn outward_from(&self, handover: &Handover) -> io::Result<()> {
        *lock(self.to_guest) = ToGuest::Tap(handover.tap.try_clone()?);
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
                self.judge(&buffer[..PREFIX + length])?;
            }
        }
        Ok(())
    }

    /// A frame after its length.
    fn judge(&self, frame: &[u8]) -> io::Result<()> {
        match self.policy.judge(&frame[PREFIX..]) {
            // One write a frame: passt loses its place in the stream if it reads a length alone.
            Verdict::Pass => (&mut &*self.passt).write_all(frame),
            Verdict::Refuse => match refusal_of(&frame[PREFIX..]) {
                Some(refusal) => lock(self.to_guest).write(&refusal),
                None => Ok(()),
            },
            Verdict::Drop => Ok(()),
        }
    }
}

/// From passt to the guest.
fn inward(passt: &UnixStream, to_guest: &Mutex<ToGuest<'_>>) -> io::Result<()> {
    let mut frames = Frames::new(passt);
    while frames.wait()? {
        lock(to_guest).write(frames.all()?)?;
    }
    Ok(())
}

/// Both directions write to the guest, each whole frames only.
fn lock<'a, 'b>(to: &'a Mutex<ToGuest<'b>>) -> std::sync::MutexGuard<'a, ToGuest<'b>> {
    to.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ToGuest<'_> {
    /// Writes whole frames, each after its length.
    fn write(&mut self, frames: &[u8]) -> io::Result<()> {
        match self {
            Self::Stream(socket) => socket.write_all(frames),
            Self::Tap(tap) => {
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
    use super::super::policy::tests::{TCP, frame_to};
    use super::*;

    fn framed(frame: &[u8]) -> Vec<u8> {
        [&(frame.len() as u32).to_be_bytes(), frame].concat()
    }

    /// Runs `test` with the far ends of a relay, VMM's and passt's; gives how the relay ended.
    fn with_relay(test: impl FnOnce(UnixStream, UnixStream)) -> io::Result<()> {
        let ((vmm, vmm_side), (passt, passt_side)) =
            (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
        let relay = thread::spawn(move || run(&vmm_side, &passt_side, &Policy::default()));
        test(vmm, passt);
        relay.join().unwrap()
    }

    fn expect(mut from: &UnixStream, bytes: &[u8]) {
        let mut received = vec![0; bytes.len()];
        from.read_exact(&mut received).unwrap();
        assert_eq!(received, bytes);
    }

    #[test]
    fn what_passes_arrives_what_is_refused_comes_back_and_the_rest_vanishes() {
        let ended = with_relay(|mut vmm, mut passt| {
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
        let ended = with_relay(|mut vmm, mut passt| {
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
        let ended = with_relay(|vmm, passt| {
            hand_over(&vmm, &[far.as_fd(), process.as_fd()]);
            drop(passt);
        });
        ended.unwrap();
    }

    #[test]
    fn either_end_takes_the_other_along() {
        with_relay(|vmm, mut passt| {
            drop(vmm);
            assert_eq!(passt.read(&mut [0]).unwrap(), 0);
        })
        .unwrap();
        with_relay(|mut vmm, passt| {
            drop(passt);
            assert_eq!(vmm.read(&mut [0]).unwrap(), 0);
        })
        .unwrap();
    }

    #[test]
    fn what_is_no_stream_of_frames_ends_it() {
        let ended = with_relay(|mut vmm, _passt| {
            vmm.write_all(&[0xff; 8]).unwrap();
            let _ = vmm.read(&mut [0]);
        });
        assert_eq!(ended.unwrap_err().to_string(), "a frame of 4294967295 bytes");
    }
}
