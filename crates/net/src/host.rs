//! The networks that this host is on: not for guests.

use std::collections::BTreeSet;
use std::io;
use std::net::Ipv4Addr;

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;

use crate::Subnet;

/// Networks that the host's interfaces are directly on, and each of its own addresses, those on its loopback too.
pub(crate) fn networks() -> io::Result<Vec<Subnet>> {
    let mut found = BTreeSet::new();
    for interface in getifaddrs()? {
        let ipv4 = |address: &Option<SockaddrStorage>| Some(address.as_ref()?.as_sockaddr_in()?.ip());
        let Some(address) = ipv4(&interface.address) else {
            continue;
        };
        // A tunnel has somebody at its other end.
        for one in [Some(address), ipv4(&interface.destination)]
            .into_iter()
            .flatten()
        {
            found.insert((one, 32));
        }
        // Where all the world is on one interface, the world is not the host's.
        if let Some(prefix @ 1..) = ipv4(&interface.netmask).map(prefix_of) {
            found.insert((address, prefix));
        }
    }
    Ok(found
        .into_iter()
        .filter_map(|(address, prefix)| Subnet::of(address, prefix))
        .collect())
}

fn prefix_of(mask: Ipv4Addr) -> u8 {
    // At most 32.
    mask.to_bits().leading_ones() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_among_them() {
        let networks = networks().unwrap();
        assert!(
            networks
                .iter()
                .any(|network| network.to_string() == "127.0.0.0/8"),
            "{networks:?}"
        );
        assert_eq!(prefix_of([255, 255, 240, 0].into()), 20);
        assert_eq!(prefix_of([0; 4].into()), 0);
    }
}
