//! The other side of a machine's network, whichever way the machine joins it.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]
#![allow(dead_code, reason = "each file of tests uses what it needs")]

use std::fs::File;
use std::io::{self, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use vmm::NetworkDevice;

pub const MAC: &str = "52:54:00:12:34:56";
/// Far more than anything here takes, also on a busy host.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a machine is on a network with.
pub struct Peer {
    socket: UnixStream,
    wire: Option<Wire>,
}

/// What a machine hands over that attaches a tap.
pub struct Wire {
    pub tap: File,
    process: OwnedFd,
}

impl Peer {
    /// One, and the device of the machine that it is for.
    pub fn new() -> (Self, NetworkDevice) {
        let (socket, end) = UnixStream::pair().unwrap();
        let device = NetworkDevice::Socket {
            socket: OwnedFd::from(end).into(),
            mac: MAC.into(),
            mtu: 16_000,
        };
        (Self { socket, wire: None }, device)
    }

    /// Takes the wire of a machine that has been started.
    pub fn take_wire(&mut self) -> &Wire {
        assert!(!self.looks_ended(), "it has ended");
        self.wire.as_ref().expect("it joined by a stream")
    }

    /// Whether the machine has let go of its end; does not wait for it.
    pub fn looks_ended(&mut self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        loop {
            if let Some(wire) = &self.wire {
                let mut watched = [PollFd::new(&wire.process, PollFlags::IN)];
                return poll(&mut watched, Some(&Timespec::default())).unwrap() == 1;
            }
            match self.read_once() {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Waits until the machine has let go of its end.
    pub fn wait_for_the_end(mut self) {
        self.socket.set_nonblocking(false).unwrap();
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
        while self.wire.is_none() {
            match self.read_once() {
                // What was not read makes the end a reset.
                Ok(0) => return,
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return,
                Ok(_) => {}
                Err(error) => panic!("{error}"),
            }
        }
        let wire = self.wire.unwrap();
        let mut watched = [PollFd::new(&wire.process, PollFlags::IN)];
        let timeout = Timespec::try_from(PATIENCE).unwrap();
        assert_eq!(poll(&mut watched, Some(&timeout)).unwrap(), 1, "it never ended");
    }

    /// Reads frames, or takes what is handed over.
    fn read_once(&mut self) -> io::Result<usize> {
        let mut bytes = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let read = recvmsg(
            &self.socket,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut control,
            flags,
        )?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(mut descriptors) = message {
                let (tap, process) = (descriptors.next().unwrap(), descriptors.next().unwrap());
                let tap = File::from(tap);
                self.wire = Some(Wire { tap, process });
            }
        }
        Ok(read.bytes)
    }
}

impl Wire {
    /// Sends a frame to the machine.
    pub fn send(&self, frame: &[u8]) {
        assert_eq!((&self.tap).write(frame).unwrap(), frame.len());
    }

    /// Waits for a frame of the machine's.
    pub fn receive(&self) -> Vec<u8> {
        let mut watched = [PollFd::new(&self.tap, PollFlags::IN)];
        let timeout = Timespec::try_from(PATIENCE).unwrap();
        assert_eq!(poll(&mut watched, Some(&timeout)).unwrap(), 1, "nothing came");
        let mut frame = vec![0; 1 << 17];
        let length = (&self.tap).read(&mut frame).unwrap();
        frame.truncate(length);
        frame
    }
}
