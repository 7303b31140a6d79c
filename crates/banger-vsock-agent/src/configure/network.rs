//! `lo` and `eth0`: up, with the address and the route that the host gives.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use guest::GuestNetwork;
use rustix::io::Errno;

use super::netlink::{Message, Netlink};

/// How long the device may take to appear: its driver may still be looking for it.
const PATIENCE: Duration = Duration::from_secs(3);

/// Rest between two looks for it.
const LOOK: Duration = Duration::from_millis(2);

const DEVICES: &str = "/sys/class/net";

/// The loopback device, which is the first of every network namespace.
const LOOPBACK: u32 = 1;

/// Sets up `lo`, and `eth0` as `wanted`. What it was given `before` is taken away if it is not wanted any more.
pub(super) fn set_up(before: Option<&GuestNetwork>, wanted: Option<&GuestNetwork>) -> io::Result<()> {
    let mut netlink = Netlink::open()?;
    netlink.request(&Message::link_up(LOOPBACK, None))?;
    let Some(wanted) = wanted else {
        return match before {
            Some(before) => remove(&mut netlink, wait_for_index("eth0")?, before),
            None => Ok(()),
        };
    };
    let index = wait_for_index("eth0")?;
    let kept = |before: &GuestNetwork| (before.address, before.prefix) == (wanted.address, wanted.prefix);
    if let Some(before) = before.filter(|before| !kept(before)) {
        remove(&mut netlink, index, before)?;
    }
    netlink.request(&Message::link_up(index, wanted.mtu))?;
    netlink.request(&Message::add_address(index, wanted.address, wanted.prefix))?;
    netlink.request(&Message::default_route(index, wanted.gateway))
}

fn remove(netlink: &mut Netlink, index: u32, before: &GuestNetwork) -> io::Result<()> {
    match netlink.request(&Message::remove_address(index, before.address, before.prefix)) {
        // Somebody else took it away.
        Err(error) if Errno::from_io_error(&error) == Some(Errno::ADDRNOTAVAIL) => Ok(()),
        result => result,
    }
}

fn wait_for_index(device: &str) -> io::Result<u32> {
    let path = Path::new(DEVICES).join(device).join("ifindex");
    let deadline = Instant::now() + PATIENCE;
    loop {
        match fs::read_to_string(&path) {
            Ok(text) => return text.trim_end().parse().map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound && Instant::now() < deadline => {
                std::thread::sleep(LOOK);
            }
            Err(error) => {
                let message = format!("no device {device} after {PATIENCE:?}: {error}");
                return Err(io::Error::new(error.kind(), message));
            }
        }
    }
}
