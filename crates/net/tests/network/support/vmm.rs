//! A process that joins a network as a VMM with a tap does: confined, without a right, it attaches the card by its name.
//! Then it hands it to the test, which speaks for its guest.
#![expect(
    unsafe_code,
    reason = "a tap is attached by an ioctl, and a descriptor is passed by its number"
)]

use std::fs::File;
use std::io::{IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use net::UserNetwork;
use nix::libc;
use process::{CARD, Confinement, Identity, Launch, Signal, Started, Wire};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

use super::guest::Guest;

/// The test that such a process runs, and the number of its socket.
pub const TEST: &str = "tap::what_a_vmm_does";
const SOCKET: &str = "NET_TEST_SOCKET";

const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
const IFF_TAP: u16 = 2;
const IFF_NO_PI: u16 = 0x1000;

/// One that has joined. Dropped, it ends.
pub struct Vmm {
    started: Started,
    /// Its guest's card.
    pub card: File,
    /// It waits for the end of this.
    _socket: UnixStream,
}

impl Vmm {
    pub fn process(&self) -> &Identity {
        self.started.handle().identity()
    }

    /// The card goes first, or it would hold the network.
    pub async fn end(self) {
        drop(self.card);
        self.started.handle().kill(Signal::KILL).unwrap();
        self.started.handle().wait().await.unwrap();
    }

    /// Speaks for its guest.
    pub fn guest(&self) -> Guest {
        Guest::on_a_tap(self.card.try_clone().unwrap())
    }
}

/// Starts one.
pub async fn join(network: UserNetwork, folder: &Path) -> Vmm {
    let own = File::open(std::env::current_exe().unwrap()).unwrap();
    let mut launch = Launch::of_opened(own.into(), "a-vmm", folder, folder.join("process.json"));
    let mut confinement = Confinement::new(7);
    confinement
        .show_programs()
        .device("/dev/null")
        .device("/dev/net/tun");
    let (socket, theirs) = UnixStream::pair().unwrap();
    let number = launch.pass(theirs.into());
    launch
        .arguments(["--exact", TEST, "--ignored", "--nocapture"])
        .variable(SOCKET, number.to_string())
        .confine(confinement)
        .wire(Wire::new(network.socket, net::user_plan().mtu));
    let started = launch.start().await.unwrap();
    Vmm {
        started,
        card: receive(&socket),
        _socket: socket,
    }
}

fn receive(socket: &UnixStream) -> File {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut [0])],
        &mut control,
        RecvFlags::empty(),
    )
    .unwrap();
    let descriptor = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    descriptor.expect("it failed to attach its card").into()
}

/// What such a process does. It has no right to, but that the card is its own.
pub fn attach_and_wait() {
    let number = std::env::var(SOCKET).expect("run by another test, which passes a socket");
    // SAFETY: it was passed to this process.
    let socket = unsafe { OwnedFd::from_raw_fd(number.parse().unwrap()) };
    let status = std::fs::read_to_string("/proc/self/status");
    assert!(status.is_err(), "it is not confined");
    let tap = File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .unwrap();
    attach(&tap, CARD);
    let descriptors = [tap.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
    sendmsg(&socket, &[IoSlice::new(b"t")], &mut control, SendFlags::empty()).unwrap();
    // Until the test has ended, or ends it.
    let mut socket = UnixStream::from(socket);
    let _ = socket.read(&mut [0]);
}

/// Attaches a tap of that name.
pub(super) fn attach(tap: &File, name: &str) {
    let mut request = [0_u8; 40];
    request[..name.len()].copy_from_slice(name.as_bytes());
    request[16..18].copy_from_slice(&(IFF_TAP | IFF_NO_PI).to_ne_bytes());
    // SAFETY: the kernel reads and writes a structure of this size.
    let attached = unsafe { libc::ioctl(tap.as_raw_fd(), TUNSETIFF as _, request.as_mut_ptr()) };
    assert_eq!(attached, 0, "{}", std::io::Error::last_os_error());
}
