//! `lo` and `eth0`: up, with the address and the route that the host gives.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use guest::{GuestIpv6, GuestNetwork};
use rustix::io::Errno;
use rustix::net::netdevice::name_to_index;

use super::netlink::{Message, Netlink};

/// How long the device may take to appear: its driver may still be looking for it.
const PATIENCE: Duration = Duration::from_secs(3);

/// Rest between two looks for it.
const LOOK: Duration = Duration::from_millis(2);

/// The loopback device, which is the first of every network namespace.
const LOOPBACK: u32 = 1;

/// What nobody but the host says: routers, that is, and other addresses and ways by their word. And no search for others that
/// have the same address.
const IPV6_SETTINGS: [(&str, &str); 4] = [
    ("accept_ra", "0"),
    ("autoconf", "0"),
    ("accept_redirects", "0"),
    ("dad_transmits", "0"),
];

/// Sets up `lo`, and `eth0` as `wanted`. What it was given `before` is taken away if it is not wanted any more.
pub(super) fn set_up(before: Option<&GuestNetwork>, wanted: Option<&GuestNetwork>) -> io::Result<()> {
    let mut netlink = Netlink::open()?;
    netlink.request(&Message::link_up(LOOPBACK, None))?;
    let Some(wanted) = wanted else {
        return match before {
            Some(before) => {
                let index = wait_for_index(&netlink, "eth0")?;
                remove_ipv6(&mut netlink, index, before.ipv6.as_ref())?;
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
    let ipv6_before = before.and_then(|before| before.ipv6.as_ref());
    if ipv6_before != wanted.ipv6.as_ref() {
        remove_ipv6(&mut netlink, index, ipv6_before)?;
    }
    if wanted.ipv6.is_some() {
        // Before it is up: it does nothing by itself then.
        hear_nobody("eth0")?;
    }
    netlink.request(&Message::link_up(index, wanted.mtu))?;
    netlink.request(&Message::add_address(index, wanted.address.into(), wanted.prefix))?;
    netlink.request(&Message::default_route(index, wanted.gateway.into()))?;
    match &wanted.ipv6 {
        Some(ipv6) => set_up_ipv6(&mut netlink, index, ipv6),
        None => Ok(()),
    }
}

fn set_up_ipv6(netlink: &mut Netlink, index: u32, wanted: &GuestIpv6) -> io::Result<()> {
    match netlink.request(&Message::add_address(index, wanted.address.into(), wanted.prefix)) {
        // The image's kernel or its settings have it switched off: that is the image's word.
        Err(error) if has_no_ipv6(&error) => return Ok(()),
        result => result?,
    }
    netlink.request(&Message::default_route(index, wanted.gateway.into()))
}

fn has_no_ipv6(error: &io::Error) -> bool {
    let switched_off = [Errno::OPNOTSUPP, Errno::AFNOSUPPORT, Errno::ACCESS];
    Errno::from_io_error(error).is_some_and(|error| switched_off.contains(&error))
}

fn hear_nobody(device: &str) -> io::Result<()> {
    for (name, value) in IPV6_SETTINGS {
        match fs::write(format!("/proc/sys/net/ipv6/conf/{device}/{name}"), value) {
            // The kernel has none.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result?,
        }
    }
    Ok(())
}

fn remove(netlink: &mut Netlink, index: u32, before: &GuestNetwork) -> io::Result<()> {
    let address = Message::remove_address(index, before.address.into(), before.prefix);
    unless_gone(netlink.request(&address))
}

fn remove_ipv6(netlink: &mut Netlink, index: u32, before: Option<&GuestIpv6>) -> io::Result<()> {
    let Some(before) = before else { return Ok(()) };
    // The route stays without the address.
    for message in [
        Message::remove_default_route(index, before.gateway.into()),
        Message::remove_address(index, before.address.into(), before.prefix),
    ] {
        match netlink.request(&message) {
            Err(error) if has_no_ipv6(&error) => {}
            result => unless_gone(result)?,
        }
    }
    Ok(())
}

/// Fine where somebody else took it away.
fn unless_gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error)
            if matches!(
                Errno::from_io_error(&error),
                Some(Errno::ADDRNOTAVAIL | Errno::SRCH)
            ) =>
        {
            Ok(())
        }
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
            ipv6: None,
        }
    }

    fn with_ipv6(network: &GuestNetwork, address: &str, gateway: &str) -> GuestNetwork {
        GuestNetwork {
            ipv6: Some(GuestIpv6 {
                address: address.parse().unwrap(),
                prefix: 64,
                gateway: gateway.parse().unwrap(),
            }),
            ..network.clone()
        }
    }

    /// Runs a test once more, in a network of its own. `false`: this is that run.
    fn runs_apart(name: &str) -> bool {
        if std::env::var_os(INSIDE).is_some() {
            return false;
        }
        let status = Command::new("unshare")
            .args(["--map-root-user", "--net", "--"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg(format!("configure::network::tests::{name}"))
            .env(INSIDE, "1")
            .status()
            .unwrap();
        assert!(status.success());
        true
    }

    #[test]
    fn eth0_has_what_the_host_gives_however_often_and_whatever_it_had() {
        if runs_apart("eth0_has_what_the_host_gives_however_often_and_whatever_it_had") {
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
    fn eth0_has_the_ipv6_that_the_host_gives_and_no_other() {
        if runs_apart("eth0_has_the_ipv6_that_the_host_gives_and_no_other") {
            return;
        }
        ip("link add eth0 type veth peer name peer");
        ip("link set peer up");
        let plain = network([10, 0, 2, 15], [10, 0, 2, 2], None);
        let first = with_ipv6(&plain, "fd62::15", "fd62::2");
        let second = with_ipv6(&plain, "fd63::9", "fd99::1");
        for before in [None, Some(&first)] {
            set_up(before, Some(&first)).unwrap();
            let addresses = ip("-o -6 address show eth0 scope global");
            assert!(
                addresses.contains("fd62::15/64") && !addresses.contains("tentative"),
                "{addresses}"
            );
            assert_eq!(addresses.lines().count(), 1, "{addresses}");
            let route = ip("-6 route show default");
            assert!(route.starts_with("default via fd62::2 dev eth0"), "{route}");
            for (name, value) in IPV6_SETTINGS {
                let set = fs::read_to_string(format!("/proc/sys/net/ipv6/conf/eth0/{name}")).unwrap();
                assert_eq!(set.trim(), value, "{name}");
            }
        }
        set_up(Some(&first), Some(&second)).unwrap();
        let addresses = ip("-o -6 address show eth0 scope global");
        assert!(addresses.contains("fd63::9/64"), "{addresses}");
        assert_eq!(addresses.lines().count(), 1, "{addresses}");
        let route = ip("-6 route show default");
        assert!(route.starts_with("default via fd99::1"), "{route}");
        assert_eq!(route.lines().count(), 1, "{route}");
        assert!(ip("-o -4 address show eth0").contains("10.0.2.15/24"));

        // Also where something else was quicker.
        ip("-6 route del default");
        for (before, wanted) in [(&second, Some(&plain)), (&first, None)] {
            set_up(Some(before), wanted).unwrap();
            assert_eq!(ip("-o -6 address show eth0 scope global"), "");
            assert_eq!(ip("-6 route show default"), "");
        }
        // An image that has none has its way.
        fs::write("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "1").unwrap();
        set_up(None, Some(&first)).unwrap();
        assert_eq!(ip("-o -6 address show eth0"), "");
        assert!(ip("-o -4 address show eth0").contains("10.0.2.15/24"));
    }

    #[test]
    fn a_missing_device_is_named() {
        let netlink = Netlink::open().unwrap();
        let error = wait_for_index(&netlink, "no-such-device").unwrap_err();
        assert!(error.to_string().contains("no-such-device"), "{error}");
    }
}
