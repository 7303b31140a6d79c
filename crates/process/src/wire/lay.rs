//! What the child does. Runs between fork and exec: nothing here allocates or locks, each call is a bare system call on
//! what the plan holds.
#![expect(unsafe_code, reason = "taps are made by ioctls that have no safe interface")]

use std::ffi::CStr;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::libc::{self, c_int, c_ulong};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    recv, send, sendmsg, socket_with,
};
use rustix::process::{PidfdFlags, getpid, pidfd_open};

use super::messages::Message;
use super::{Broken, DEVICE, HAND_OVER, JOIN, MAKE, WirePlan};

const DEVICE_PATH: &CStr = c"/dev/net/tun";
const CARD: &CStr = c"vm0";
const FAR: &CStr = c"out0";

// linux/if_tun.h
const TUNSETIFF: c_ulong = 0x4004_54ca;
const TUNSETPERSIST: c_ulong = 0x4004_54cb;
const TUNSETOWNER: c_ulong = 0x4004_54cc;
const IFF_TAP: u16 = 2;
const IFF_NO_PI: u16 = 0x1000;
/// Length of an interface's name, its zero byte included (`netdevice(7)`).
const NAME: usize = 16;

/// `struct ifreq`, as far as it is used.
#[repr(C)]
struct Request {
    name: [u8; NAME],
    flags: u16,
    rest: [u8; 22],
}

/// Makes both cards and what joins them in the network namespace that this process is in, lets `owner` (a user as this
/// process knows it) attach the one, and hands the other over.
pub(crate) fn lay(plan: &WirePlan, owner: u32) -> Result<(), Broken> {
    let make = |error| (MAKE, error);
    let card = tap(CARD)?;
    set(&card, TUNSETOWNER, plan.owner.unwrap_or(owner)).map_err(make)?;
    // It stays when its descriptor closes, until it is attached.
    set(&card, TUNSETPERSIST, 1).map_err(make)?;
    drop(card);
    let far = tap(FAR)?;
    join(&plan.messages).map_err(|error| (JOIN, error))?;
    hand_over(&plan.to, &far).map_err(|error| (HAND_OVER, error))
}

/// A new tap.
fn tap(name: &CStr) -> Result<OwnedFd, Broken> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let device = openat(CWD, DEVICE_PATH, flags, Mode::empty()).map_err(|error| (DEVICE, error))?;
    let mut request = Request {
        name: [0; NAME],
        flags: IFF_TAP | IFF_NO_PI,
        rest: [0; 22],
    };
    for (to, from) in request.name.iter_mut().zip(name.to_bytes()) {
        *to = *from;
    }
    // SAFETY: the kernel reads and writes a structure of this size, which outlives the call.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), TUNSETIFF as _, &raw mut request) };
    check(result).map_err(|error| (MAKE, error))?;
    Ok(device)
}

fn set(tap: &OwnedFd, what: c_ulong, value: u32) -> Result<(), Errno> {
    // SAFETY: the value is a number, and no memory is touched.
    check(unsafe { libc::ioctl(tap.as_raw_fd(), what as _, c_ulong::from(value)) })
}

fn check(result: c_int) -> Result<(), Errno> {
    if result < 0 {
        // SAFETY: this thread's own number.
        return Err(Errno::from_raw_os_error(unsafe { *libc::__errno_location() }));
    }
    Ok(())
}

/// Sends each request and waits for its answer.
fn join(messages: &[Message]) -> Result<(), Errno> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        // NETLINK_ROUTE
        None,
    )?;
    for message in messages {
        send(&socket, &message.bytes, SendFlags::empty())?;
        match answer(&socket)? {
            Ok(()) => {}
            Err(error) if Some(error) == message.fine => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The kernel's answer to a request: `struct nlmsghdr`, and the number of an error, or 0.
fn answer(socket: &OwnedFd) -> Result<Result<(), Errno>, Errno> {
    const ERROR: u16 = 2;
    let mut bytes = [0_u8; 1024];
    let (length, _) = recv(socket, &mut bytes, RecvFlags::empty())?;
    let (Some(kind), Some(error)) = (bytes.get(4..6), bytes.get(16..20)) else {
        return Err(Errno::BADMSG);
    };
    let (&[a, b], &[c, d, e, f]) = (kind, error) else {
        return Err(Errno::BADMSG);
    };
    if length < 20 || u16::from_ne_bytes([a, b]) != ERROR {
        return Err(Errno::BADMSG);
    }
    Ok(match i32::from_ne_bytes([c, d, e, f]) {
        0 => Ok(()),
        number => Err(Errno::from_raw_os_error(-number)),
    })
}

/// Sends the far end, and a descriptor of this process.
fn hand_over(to: &OwnedFd, far: &OwnedFd) -> Result<(), Errno> {
    let process = pidfd_open(getpid(), PidfdFlags::empty())?;
    let descriptors = [far.as_fd(), process.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(Errno::NOBUFS);
    }
    sendmsg(to, &[IoSlice::new(b"w")], &mut control, SendFlags::NOSIGNAL).map(drop)
}
