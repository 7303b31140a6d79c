//! The networks that this host is on: not for guests.

pub(crate) mod ipv6;
pub(crate) mod nat64;

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv6Addr};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;

use crate::Subnet;

/// Length of what a site has of its provider's IPv6 addresses (RFC 6177): the host's neighbours are in it, too.
const SITE: u8 = 48;

/// Networks that the host's interfaces are directly on, and each of its own addresses, those on its loopback too; of IPv6
/// the site around each network as well, if they are asked for.
pub(crate) fn networks(ipv6: bool) -> io::Result<Vec<Subnet>> {
    let mut found = BTreeSet::new();
    for interface in getifaddrs()? {
        let Some(address) = interface.address.as_ref().and_then(address_of) else {
            continue;
        };
        let whole = match address {
            IpAddr::V4(_) => 32,
            // The others are closed as they are.
            IpAddr::V6(address) if ipv6 && !address.is_loopback() && !address.is_unicast_link_local() => 128,
            IpAddr::V6(_) => continue,
        };
        // A tunnel has somebody at its other end.
        let other = interface.destination.as_ref().and_then(address_of);
        for one in [Some(address), other].into_iter().flatten() {
            found.insert((one, whole));
        }
        // Where all the world is on one interface, the world is not the host's.
        if let Some(prefix @ 1..) = interface.netmask.as_ref().and_then(address_of).map(prefix_of) {
            found.insert((address, prefix));
            if address.is_ipv6() {
                found.insert((address, prefix.min(SITE)));
            }
        }
    }
    Ok(found
        .into_iter()
        .filter_map(|(address, prefix)| Subnet::of(address, prefix))
        .collect())
}

fn address_of(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|address| address.ip().into());
    v4.or_else(|| Some(address.as_sockaddr_in6()?.ip().into()))
}

fn prefix_of(mask: IpAddr) -> u8 {
    // At most 128.
    let bits = match mask {
        IpAddr::V4(mask) => mask.to_bits().leading_ones(),
        IpAddr::V6(mask) => mask.to_bits().leading_ones(),
    };
    bits as u8
}

/// Whether it is an address by which hosts elsewhere may be spoken with.
fn is_of_the_world(address: Ipv6Addr) -> bool {
    !(address.is_unspecified() || address.is_loopback() || address.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn the_loopback_is_among_them() {
        let networks = networks(true).unwrap();
        assert!(
            networks
                .iter()
                .any(|network| network.to_string() == "127.0.0.0/8"),
            "{networks:?}"
        );
        for (mask, prefix) in [
            (Ipv4Addr::new(255, 255, 240, 0).into(), 20),
            (Ipv4Addr::UNSPECIFIED.into(), 0),
            ("ffff:ffff:ffff:fff0::".parse().unwrap(), 60),
            ("::".parse().unwrap(), 0),
            (Ipv6Addr::from_bits(u128::MAX).into(), 128),
        ] {
            assert_eq!(prefix_of(mask), prefix, "{mask}");
        }
    }
}
