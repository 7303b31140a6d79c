//! `[network]`: what guests have of the network, and which of the networks that are closed to them are open all the same.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Deserializer, de::Error};

/// `[network]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSettings {
    /// Private networks, and networks that this host is on, that guests may reach.
    #[serde(default)]
    pub allow: Vec<IpNetwork>,
    /// Whether guests have IPv6, where this host has it.
    #[serde(default)]
    pub ipv6: bool,
    /// Whether VMs use the VMM's own network where there is no passt; from there they reach this host's loopback.
    #[serde(default)]
    pub insecure_builtin: bool,
}

/// A network of IPv4 or IPv6 addresses that may be opened to guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpNetwork {
    first: IpAddr,
    prefix: u8,
}

const METADATA: &str = "a cloud keeps its machines' credentials there";
const LOOPBACK: &str = "it is this host's loopback";
const LINK_LOCAL: &str = "link-local addresses stay closed";
const GUESTS: &str = "it is the guests' own";
const MANY: &str = "it is no network of single hosts";
const EMBEDDED: &str = "its addresses stand for IPv4 ones";

/// Networks that nothing opens: the host itself, where clouds keep a machine's credentials, the guests' own, what stands
/// for IPv4 in IPv6, and what is for many at once.
const NEVER: [(IpAddr, u8, &str); 23] = [
    (v4(127, 0, 0, 0), 8, LOOPBACK),
    (v4(0, 0, 0, 0), 8, "it stands for this host itself"),
    (v4(169, 254, 0, 0), 16, LINK_LOCAL),
    (v4(100, 100, 100, 200), 32, METADATA),
    (v4(192, 0, 0, 192), 32, METADATA),
    (v4(168, 63, 129, 16), 32, METADATA),
    (v4(10, 0, 2, 0), 24, GUESTS),
    (v4(224, 0, 0, 0), 3, MANY),
    (v6([0, 0, 0, 0, 0, 0, 0, 1]), 128, LOOPBACK),
    (v6([0; 8]), 96, EMBEDDED),
    (v6([0, 0, 0, 0, 0, 0xffff, 0, 0]), 96, EMBEDDED),
    (v6([0, 0, 0, 0, 0xffff, 0, 0, 0]), 96, EMBEDDED),
    (v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0]), 96, EMBEDDED),
    (v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0]), 48, EMBEDDED),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0]), 32, EMBEDDED),
    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0]), 16, EMBEDDED),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0]), 10, LINK_LOCAL),
    (v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]), 128, METADATA),
    (v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254]), 128, METADATA),
    (v6([0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe]), 128, METADATA),
    (v6([0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42]), 128, METADATA),
    (v6([0xfd62, 0x616e, 0x6765, 0x72, 0, 0, 0, 0]), 64, GUESTS),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0]), 8, MANY),
];

const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

const fn v6([a, b, c, d, e, f, g, h]: [u16; 8]) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h))
}

/// Where the network of `prefix` bits begins that an address is in.
fn begin(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX
                .checked_shl(32_u32.saturating_sub(prefix.into()))
                .unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX
                .checked_shl(128_u32.saturating_sub(prefix.into()))
                .unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

impl IpNetwork {
    /// Parses `192.168.7.0/24` or `fd12:3456:789a::/48`; `/32` or `/128` is one host.
    ///
    /// # Errors
    /// Which rule the text breaks, with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = |rule: &str| {
            let text: String = text.chars().take(80).collect();
            format!("{text:?} cannot be opened to guests: {rule}")
        };
        let form = || {
            bad(
                "write a network like 192.168.7.0/24 or fd12:3456:789a::/48, one host like 192.168.7.9/32 or \
                 fd12:3456:789a::9/128",
            )
        };
        let (first, prefix) = text.split_once('/').ok_or_else(form)?;
        let first: IpAddr = first.parse().map_err(|_| form())?;
        let longest = if first.is_ipv4() { 32 } else { 128 };
        let plain = prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix: u8 = Some(prefix)
            .filter(|_| plain)
            .and_then(|prefix| prefix.parse().ok())
            .filter(|prefix| *prefix <= longest)
            .ok_or_else(form)?;
        let network = begin(first, prefix);
        if network != first {
            return Err(bad(&format!("a network of /{prefix} begins at {network}")));
        }
        match NEVER.iter().find(|(never, shortest, _)| {
            never.is_ipv4() == first.is_ipv4() && prefix >= *shortest && begin(first, *shortest) == *never
        }) {
            Some((_, _, rule)) => Err(bad(rule)),
            None => Ok(Self { first, prefix }),
        }
    }

    /// Its first address.
    #[must_use]
    pub const fn first(self) -> IpAddr {
        self.first
    }

    /// How many bits its addresses have in common.
    #[must_use]
    pub const fn prefix(self) -> u8 {
        self.prefix
    }
}

impl<'de> Deserialize<'de> for IpNetwork {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn networks_are_read_strictly_and_some_stay_closed() {
        for good in [
            "192.168.7.0/24",
            "192.168.7.9/32",
            "10.0.0.0/8",
            "0.0.0.0/0",
            "100.64.0.0/10",
            "203.0.113.0/24",
            "::/0",
            "fd12:3456:789a::/48",
            "fd12:3456:789a::9/128",
            "fc00::/7",
            "fec0::/10",
            "2001:db8:1:2::/64",
            "2000::/3",
        ] {
            let network = IpNetwork::parse(good).unwrap();
            assert_eq!(format!("{}/{}", network.first(), network.prefix()), good);
        }
        for (bad, rule) in [
            ("", "write"),
            ("192.168.7.9", "write"),
            ("192.168.7.0/", "write"),
            ("192.168.7.0/+24", "write"),
            ("192.168.7.0/33", "write"),
            ("192.168.7/24", "write"),
            ("fd00::", "write"),
            ("fd00::/129", "write"),
            ("fd00::/-1", "write"),
            ("[fd00::]/8", "write"),
            ("fe80::1%eth0/128", "write"),
            ("192.168.7.9/24", "begins at 192.168.7.0"),
            ("fd00::1/64", "begins at fd00::"),
            ("127.0.0.0/8", "loopback"),
            ("127.0.0.53/32", "loopback"),
            ("0.0.0.0/8", "this host"),
            ("169.254.169.254/32", "link-local"),
            ("100.100.100.200/32", "credentials"),
            ("168.63.129.16/32", "credentials"),
            ("10.0.2.3/32", "guests' own"),
            ("239.0.0.0/8", "single hosts"),
            ("255.255.255.255/32", "single hosts"),
            ("::1/128", "loopback"),
            ("::/128", "stand for IPv4"),
            ("::/96", "stand for IPv4"),
            ("::10.0.0.1/128", "stand for IPv4"),
            ("::ffff:10.0.0.0/104", "stand for IPv4"),
            ("::ffff:0:0:0/96", "stand for IPv4"),
            ("64:ff9b::a00:0/104", "stand for IPv4"),
            ("64:ff9b:1::/48", "stand for IPv4"),
            ("2001::/32", "stand for IPv4"),
            ("2002:a00::/24", "stand for IPv4"),
            ("fe80::/10", "link-local"),
            ("febf::/16", "link-local"),
            ("fd00:ec2::254/128", "credentials"),
            ("fd62:616e:6765:72::2/128", "guests' own"),
            ("ff00::/8", "single hosts"),
            ("ff02::1/128", "single hosts"),
        ] {
            let error = IpNetwork::parse(bad).unwrap_err();
            assert!(error.contains(rule), "{bad}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = IpNetwork::parse(&text);
        }

        #[test]
        fn a_network_is_read_as_it_is_written(v4: u32, v6: u128, prefix: u8) {
            for address in [IpAddr::from(Ipv4Addr::from(v4)), Ipv6Addr::from(v6).into()] {
                let text = format!("{}/{prefix}", begin(address, prefix));
                if let Ok(network) = IpNetwork::parse(&text) {
                    prop_assert_eq!(format!("{}/{}", network.first(), network.prefix()), text);
                }
            }
        }
    }
}
