//! Which addresses are this machine's, or never leave its network link.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};

use nix::ifaddrs::{InterfaceAddress, getifaddrs};

use super::origin::host_of;

/// Where cloud machines find their credentials, beside the link-local addresses: Alibaba's, Oracle's first and Azure's.
const METADATA: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
    Ipv4Addr::new(168, 63, 129, 16),
];
/// The same over IPv6: Amazon's, Google's and Oracle's.
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
];

/// Whether a host is by its name this machine or on its network link: an address, or `localhost`.
pub(super) fn is_local_name(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    if host == "localhost" || host.ends_with(".localhost") {
        return true;
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    // One that cannot be judged is not trusted.
    bare.parse()
        .is_ok_and(|address| is_this_machines(address).unwrap_or(true))
}

/// Whether an endpoint's `host` or `host:port` leads to this machine now, however it is written: by what it resolves to.
/// One that resolves to nothing does not.
pub(crate) fn leads_here(address: &str) -> bool {
    let host = host_of(address).trim_matches(['[', ']']);
    let found = (host, 0).to_socket_addrs();
    is_local_name(host)
        || found.is_ok_and(|mut found| found.any(|address| is_this_machines(address.ip()).unwrap_or(true)))
}

/// As [`is_local_name`], of an endpoint's `host` or `host:port`.
pub(crate) fn is_local_address(address: &str) -> bool {
    is_local_name(host_of(address))
}

/// Whether an address is one of this machine's, by the place that it is in, or of its interfaces.
///
/// # Errors
/// The interfaces cannot be listed.
pub(super) fn is_this_machines(address: IpAddr) -> io::Result<bool> {
    let address = match address {
        IpAddr::V6(v6) => within(v6).map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    };
    Ok(is_local(address) || own()?.contains(&address))
}

/// The addresses of this machine's interfaces.
fn own() -> io::Result<Vec<IpAddr>> {
    let address = |interface: InterfaceAddress| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|v4| v4.ip().into());
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| v6.ip().into()))
    };
    Ok(getifaddrs()?.filter_map(address).collect())
}

/// The IPv4 address that an IPv6 one stands for: mapped, compatible, or for a translator on the way (RFC 6052).
fn within(address: Ipv6Addr) -> Option<Ipv4Addr> {
    if let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = address.segments() {
        return Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    }
    address.to_ipv4()
}

/// Whether an address is this machine's own or one that never leaves its network link: loopback, unspecified,
/// link-local (where most clouds keep a machine's credentials), multicast, broadcast; or where other clouds keep them.
fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.is_loopback()
                || v4.octets()[0] == 0
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || METADATA.contains(&v4)
        }
        IpAddr::V6(v6) => match within(v6) {
            Some(v4) => is_local(v4.into()),
            None => {
                v6.is_loopback()
                    || v6.is_unspecified()
                    || v6.is_unicast_link_local()
                    || v6.is_multicast()
                    || METADATA_V6.contains(&v6)
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_and_its_link_are_known_however_they_are_written() {
        for local in [
            "localhost",
            "LOCALHOST.",
            "a.localhost",
            "127.0.0.1",
            "127.1.2.3",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "[::1]",
            "::",
            "[fe80::1]",
            "[ff02::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:169.254.169.254]",
            "[fd00:ec2::254]",
            "[fd20:ce::254]",
            "[fd00:c1::a9fe:a9fe]",
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
            "[::ffff:100.100.100.200]",
            "[64:ff9b::a9fe:a9fe]",
            "[64:ff9b::7f00:1]",
            "[::127.0.0.1]",
        ] {
            assert!(is_local_name(local), "{local}");
        }
        for other in [
            "docker.io",
            "10.0.0.1",
            "192.168.1.1",
            "8.8.8.8",
            "[2001:db8::1]",
            "[fd00::1]",
            "[64:ff9b::808:808]",
            "localhost.x",
        ] {
            assert!(!is_local_name(other), "{other}");
        }
        assert!(
            is_local_address("127.0.0.1:5000") && is_local_address("[::1]:5000") && is_local_address("[::1]")
        );
        assert!(!is_local_address("r.x:5000"));
        for here in [
            "127.1:80",
            "2130706433",
            "0x7f000001:5000",
            "[::1]:5000",
            "localhost:1",
        ] {
            assert!(leads_here(here), "{here}");
        }
        for elsewhere in ["192.0.2.77:5000", "[2001:db8::1]:5000", "name.invalid"] {
            assert!(!leads_here(elsewhere), "{elsewhere}");
        }
        let own = own().unwrap();
        assert!(own.contains(&Ipv4Addr::LOCALHOST.into()), "{own:?}");
        for address in own {
            assert!(is_this_machines(address).unwrap(), "{address}");
        }
    }
}
