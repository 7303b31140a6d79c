//! How a VMM that attaches a card by itself joins: in the place of frames, one message with two descriptors comes from
//! its side, that of the far end of its card's wire and that of its process.

use std::fs::File;
use std::io::{self, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};

/// What is handed over.
#[derive(Debug)]
pub(super) struct Handover {
    /// Frames come out of it and go into it, one at a time.
    pub(super) tap: File,
    /// Readable when the VMM has ended.
    pub(super) vmm: OwnedFd,
}

/// A VMM's end of the socket, as a stream that ends where something is handed over.
pub(super) struct Incoming<'a> {
    socket: &'a UnixStream,
    pub(super) handover: Option<Handover>,
}

impl<'a> Incoming<'a> {
    pub(super) fn new(socket: &'a UnixStream) -> Self {
        Self {
            socket,
            handover: None,
        }
    }
}

impl Read for Incoming<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.handover.is_some() {
            return Ok(0);
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut handed = RecvAncillaryBuffer::new(&mut space);
        let mut pieces = [IoSliceMut::new(into)];
        let received = recvmsg(self.socket, &mut pieces, &mut handed, RecvFlags::CMSG_CLOEXEC)?;
        let rights = handed.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(rights) => Some(rights),
            _ => None,
        });
        let descriptors: Vec<OwnedFd> = rights.flatten().collect();
        let is_cut = received.flags.contains(ReturnFlags::CTRUNC);
        if descriptors.is_empty() && !is_cut {
            return Ok(received.bytes);
        }
        let Some([tap, vmm]) = <[OwnedFd; 2]>::try_from(descriptors).ok().filter(|_| !is_cut) else {
            return Err(io::Error::other("something else than a card was handed over"));
        };
        self.handover = Some(Handover { tap: tap.into(), vmm });
        // The kernel stops behind the byte that the descriptors came with; before it may lie what was sent earlier.
        Ok(received.bytes.saturating_sub(1))
    }
}

impl Handover {
    /// Waits until there is a frame to be read. `false`: the VMM has ended, or `other` is closed.
    pub(super) fn wait(&self, other: &UnixStream) -> io::Result<bool> {
        let mut watched = [
            PollFd::new(&self.tap, PollFlags::IN),
            PollFd::new(&self.vmm, PollFlags::IN),
            // That it hangs up is told unasked.
            PollFd::new(other, PollFlags::empty()),
        ];
        match poll(&mut watched, None) {
            Ok(_) => Ok(watched[1].revents().is_empty() && watched[2].revents().is_empty()),
            Err(Errno::INTR) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::{IoSlice, Write};
    use std::os::fd::{AsFd, BorrowedFd};

    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

    use super::*;

    /// Sends these descriptors as a VMM does.
    pub(in super::super) fn hand_over(to: &UnixStream, descriptors: &[BorrowedFd<'_>]) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)));
        sendmsg(to, &[IoSlice::new(b"w")], &mut control, SendFlags::empty()).unwrap();
    }

    #[test]
    fn a_stream_ends_where_something_is_handed_over_and_not_before() {
        let (mut vmm, end) = UnixStream::pair().unwrap();
        vmm.write_all(b"frames").unwrap();
        let null = File::open("/dev/null").unwrap();
        hand_over(&vmm, &[null.as_fd(), vmm.as_fd()]);
        vmm.write_all(b"never read").unwrap();
        let mut incoming = Incoming::new(&end);
        let mut read = Vec::new();
        incoming.read_to_end(&mut read).unwrap();
        assert_eq!(read, b"frames");
        assert!(incoming.handover.is_some());
    }

    #[test]
    fn what_is_not_two_descriptors_is_an_error() {
        let null = File::open("/dev/null").unwrap();
        for count in [1, 3] {
            let (vmm, end) = UnixStream::pair().unwrap();
            hand_over(&vmm, &vec![null.as_fd(); count]);
            let mut incoming = Incoming::new(&end);
            assert!(incoming.read(&mut [0; 9]).is_err(), "{count}");
            assert!(incoming.handover.is_none());
        }
    }
}
