//! How a VMM that attaches a card by itself joins: in the place of frames, one message with two descriptors comes from
//! its side, that of the far end of its card's wire and that of its process.
#![expect(
    unsafe_code,
    reason = "the standard library takes no descriptors over a socket, and does not poll"
)]

use std::ffi::{c_int, c_short, c_ulong, c_void};
use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

/// `unix(7)`, `socket(7)`
const SOL_SOCKET: c_int = 1;
const SCM_RIGHTS: c_int = 1;
const MSG_CMSG_CLOEXEC: c_int = 0x4000_0000;
const MSG_CTRUNC: c_int = 8;
/// `poll(2)`
const POLLIN: c_short = 1;

/// `struct iovec`
#[repr(C)]
struct Piece {
    start: *mut c_void,
    length: usize,
}

/// `struct msghdr`, as the kernel has it.
#[repr(C)]
struct Message {
    name: *mut c_void,
    name_length: u32,
    pieces: *mut Piece,
    piece_count: usize,
    control: *mut c_void,
    control_length: usize,
    flags: c_int,
}

/// `struct cmsghdr`, and room for the two descriptors.
#[repr(C)]
struct Control {
    length: usize,
    level: c_int,
    kind: c_int,
    descriptors: [RawFd; 2],
}

/// `struct pollfd`
#[repr(C)]
struct Watched {
    descriptor: RawFd,
    events: c_short,
    happened: c_short,
}

unsafe extern "C" {
    fn recvmsg(socket: c_int, message: *mut Message, flags: c_int) -> isize;
    fn poll(watched: *mut Watched, count: c_ulong, timeout: c_int) -> c_int;
}

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
        let mut piece = Piece {
            start: into.as_mut_ptr().cast(),
            length: into.len(),
        };
        let mut control = MaybeUninit::<Control>::zeroed();
        let mut message = Message {
            name: std::ptr::null_mut(),
            name_length: 0,
            pieces: &raw mut piece,
            piece_count: 1,
            control: control.as_mut_ptr().cast(),
            control_length: size_of::<Control>(),
            flags: 0,
        };
        // SAFETY: the structures are the kernel's, and all that they point to outlives the call.
        let read = unsafe { recvmsg(self.socket.as_raw_fd(), &raw mut message, MSG_CMSG_CLOEXEC) };
        let read = usize::try_from(read).map_err(|_| io::Error::last_os_error())?;
        if message.control_length == 0 {
            return Ok(read);
        }
        // SAFETY: all zeros, and what the kernel has written over them, is one.
        let control = unsafe { control.assume_init() };
        let whole = control.length == size_of::<Control>() && message.flags & MSG_CTRUNC == 0;
        if !whole || (control.level, control.kind) != (SOL_SOCKET, SCM_RIGHTS) {
            return Err(io::Error::other("something else than a card was handed over"));
        }
        // SAFETY: the kernel has just opened these two for this process.
        let [tap, vmm] = control
            .descriptors
            .map(|number| unsafe { OwnedFd::from_raw_fd(number) });
        self.handover = Some(Handover { tap: tap.into(), vmm });
        // The kernel stops behind the byte that the descriptors came with; before it may lie what was sent earlier.
        Ok(read.saturating_sub(1))
    }
}

impl Handover {
    /// Waits until there is a frame to be read. `false`: the VMM has ended, or `other` is closed.
    pub(super) fn wait(&self, other: &UnixStream) -> io::Result<bool> {
        let watch = |descriptor: std::os::fd::BorrowedFd<'_>, events| Watched {
            descriptor: descriptor.as_raw_fd(),
            events,
            happened: 0,
        };
        let mut watched = [
            watch(self.tap.as_fd(), POLLIN),
            watch(self.vmm.as_fd(), POLLIN),
            // That it hangs up is told unasked.
            watch(other.as_fd(), 0),
        ];
        // SAFETY: as many structures as are said, which outlive the call.
        let happened = unsafe { poll(watched.as_mut_ptr(), watched.len() as c_ulong, -1) };
        if happened < 0 {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::Interrupted => Ok(true),
                _ => Err(error),
            };
        }
        Ok(watched[1].happened == 0 && watched[2].happened == 0)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::{IoSlice, Write};
    use std::os::fd::BorrowedFd;

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
