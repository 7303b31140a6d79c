//! `lo` and `eth0`: up, with the address and the route that the host gives.

use std::io;
use std::time::{Duration, Instant};

use guest::GuestNetwork;
use rustix::io::Errno;
use rustix::net::netdevice::name_to_index;

use super::netlink::{Message, Netlink};

/// How long the device may take to appear: its driver may still be looking for it.
const PATIENCE: Duration = Duration::from_secs(3);

/// Rest between two looks for it.
const LOOK: Duration = Duration::from_millis(2);

/// The loopback device, which is the first of every network namespace.
const LOOPBACK: u32 = 1;

/// Sets up `lo`, and `eth0` as `wanted`. What it was given `before` is taken away if it is not wanted any more.
pub(super) fn set_up(before: Option<&GuestNetwork>, wanted: Option<&GuestNetwork>) -> io::Result<()> {
    let mut netlink = Netlink::open()?;
    netlink.request(&Message::link_up(LOOPBACK, None))?;
    let Some(wanted) = wanted else {
        return match before {
            Some(before) => {
                let index = wait_for_index(&netlink, "eth0")?;
                remove(&mut netlink, index, before)
            }
            None => Ok(()),
        };
    };
    let index = wait_for_index(&netlink, "eth0")?;
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

fn wait_for_index(netlink: &Netlink, device: &str) -> io::Result<u32> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match name_to_index(netlink, device) {
            Ok(index) => return Ok(index),
            Err(Errno::NODEV) if Instant::now() < deadline => std::thread::sleep(LOOK),
            Err(error) => {
                let error = io::Error::from(error);
                let message = format!("no device {device} after {PATIENCE:?}: {error}");
                return Err(io::Error::new(error.kind(), message));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Set where the test has a network of its own.
    const INSIDE: &str = "BANGER_TEST_OWN_NETWORK";

    fn ip(arguments: &str) -> String {
        let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
        assert!(output.status.success(), "ip {arguments}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn network(address: [u8; 4], gateway: [u8; 4], mtu: Option<u32>) -> GuestNetwork {
        GuestNetwork {
            address: address.into(),
            prefix: 24,
            gateway: gateway.into(),
            dns: Vec::new(),
            search: Vec::new(),
            ndots: None,
            mtu,
        }
    }

    #[test]
    fn eth0_has_what_the_host_gives_however_often_and_whatever_it_had() {
        if std::env::var_os(INSIDE).is_none() {
            let status = Command::new("unshare")
                .args(["--map-root-user", "--net", "--"])
                .arg(std::env::current_exe().unwrap())
                .args(["--exact", "--nocapture"])
                .arg("configure::network::tests::eth0_has_what_the_host_gives_however_often_and_whatever_it_had")
                .env(INSIDE, "1")
                .status()
                .unwrap();
            assert!(status.success());
            return;
        }
        ip("link add eth0 type veth peer name peer");
        let first = network([10, 0, 2, 15], [10, 0, 2, 2], Some(1400));
        let second = network([192, 168, 7, 9], [192, 168, 7, 1], None);
        for before in [None, Some(&first)] {
            set_up(before, Some(&first)).unwrap();
            let link = ip("-o link show eth0");
            assert!(link.contains("UP") && link.contains("mtu 1400"), "{link}");
            let addresses = ip("-o -4 address show eth0");
            assert!(addresses.contains("10.0.2.15/24 brd 10.0.2.255"), "{addresses}");
            assert_eq!(addresses.lines().count(), 1, "{addresses}");
            assert!(ip("route show default").starts_with("default via 10.0.2.2 dev eth0"));
        }
        assert!(ip("-o link show lo").contains("UP"));

        set_up(Some(&first), Some(&second)).unwrap();
        let addresses = ip("-o -4 address show eth0");
        assert!(addresses.contains("192.168.7.9/24"), "{addresses}");
        assert_eq!(addresses.lines().count(), 1, "{addresses}");
        let route = ip("route show default");
        assert!(route.starts_with("default via 192.168.7.1"), "{route}");
        assert_eq!(route.lines().count(), 1, "{route}");

        set_up(Some(&second), None).unwrap();
        assert_eq!(ip("-o -4 address show eth0"), "");
    }

    #[test]
    fn a_missing_device_is_named() {
        let netlink = Netlink::open().unwrap();
        let error = wait_for_index(&netlink, "no-such-device").unwrap_err();
        assert!(error.to_string().contains("no-such-device"), "{error}");
    }
}
