//! Carries frames between a VMM and passt, judging those of the guest.

use std::io::{self, ErrorKind, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

use super::frames::{Frames, PREFIX};
use super::policy::{Verdict, judge};
use super::refusal::refusal_of;

/// Runs until either side closes.
///
/// # Errors
/// One side sent what is no stream of frames, or the system failed.
pub(super) fn run(vmm: &UnixStream, passt: &UnixStream) -> io::Result<()> {
    let to_vmm = Mutex::new(vmm);
    let (done, ends) = mpsc::channel();
    thread::scope(|scope| {
        let inward_done = done.clone();
        let to_vmm = &to_vmm;
        scope.spawn(move || inward_done.send(inward(passt, to_vmm)));
        scope.spawn(move || done.send(outward(vmm, passt, to_vmm)));
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

/// From the guest to passt.
fn outward(vmm: &UnixStream, mut passt: &UnixStream, to_vmm: &Mutex<&UnixStream>) -> io::Result<()> {
    let mut frames = Frames::new(vmm);
    while frames.wait()? {
        while let Some(frame) = frames.next()? {
            match judge(&frame[PREFIX..]) {
                // One write a frame: passt loses its place in the stream if it reads a length alone.
                Verdict::Pass => passt.write_all(frame)?,
                Verdict::Refuse => {
                    if let Some(refusal) = refusal_of(&frame[PREFIX..]) {
                        write_whole(to_vmm, &refusal)?;
                    }
                }
                Verdict::Drop => {}
            }
        }
    }
    Ok(())
}

/// From passt to the guest.
fn inward(passt: &UnixStream, to_vmm: &Mutex<&UnixStream>) -> io::Result<()> {
    let mut frames = Frames::new(passt);
    while frames.wait()? {
        write_whole(to_vmm, frames.all()?)?;
    }
    Ok(())
}

/// Both directions write to the VMM, each whole frames only.
fn write_whole(to: &Mutex<&UnixStream>, frames: &[u8]) -> io::Result<()> {
    to.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .write_all(frames)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::super::policy::tests::{TCP, frame_to};
    use super::*;

    fn framed(frame: &[u8]) -> Vec<u8> {
        [&(frame.len() as u32).to_be_bytes(), frame].concat()
    }

    /// Runs `test` with the far ends of a relay, VMM's and passt's; gives how the relay ended.
    fn with_relay(test: impl FnOnce(UnixStream, UnixStream)) -> io::Result<()> {
        let ((vmm, vmm_side), (passt, passt_side)) =
            (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
        let relay = thread::spawn(move || run(&vmm_side, &passt_side));
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
