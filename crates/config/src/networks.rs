//! `[network]`: which of the networks that are closed to guests are open to them all the same.

use std::net::Ipv4Addr;

use serde::{Deserialize, Deserializer, de::Error};

/// `[network]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSettings {
    /// Private networks, and networks that this host is on, that guests may reach.
    #[serde(default)]
    pub allow: Vec<Ipv4Network>,
    /// Whether VMs use the VMM's own network where there is no passt; from there they reach this host's loopback.
    #[serde(default)]
    pub insecure_builtin: bool,
}

/// A network of IPv4 addresses that may be opened to guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Network {
    first: Ipv4Addr,
    prefix: u8,
}

const METADATA: &str = "a cloud keeps its machines' credentials there";

/// Networks that nothing opens: the host itself, where clouds keep a machine's credentials, the guests' own, and what
/// is for many at once.
const NEVER: [(Ipv4Addr, u8, &str); 8] = [
    (Ipv4Addr::new(127, 0, 0, 0), 8, "it is this host's loopback"),
    (Ipv4Addr::new(0, 0, 0, 0), 8, "it stands for this host itself"),
    (
        Ipv4Addr::new(169, 254, 0, 0),
        16,
        "link-local addresses stay closed",
    ),
    (Ipv4Addr::new(100, 100, 100, 200), 32, METADATA),
    (Ipv4Addr::new(192, 0, 0, 192), 32, METADATA),
    (Ipv4Addr::new(168, 63, 129, 16), 32, METADATA),
    (Ipv4Addr::new(10, 0, 2, 0), 24, "it is the guests' own"),
    (Ipv4Addr::new(224, 0, 0, 0), 3, "it is no network of single hosts"),
];

impl Ipv4Network {
    /// Parses `192.168.7.0/24`; `/32` is one host.
    ///
    /// # Errors
    /// Which rule the text breaks, with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = |rule: &str| {
            let text: String = text.chars().take(80).collect();
            format!("{text:?} cannot be opened to guests: {rule}")
        };
        let form = || bad("write a network like 192.168.7.0/24, one host like 192.168.7.9/32");
        let (first, prefix) = text.split_once('/').ok_or_else(form)?;
        let first: Ipv4Addr = first.parse().map_err(|_| form())?;
        let plain = prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix: u8 = Some(prefix)
            .filter(|_| plain)
            .and_then(|prefix| prefix.parse().ok())
            .filter(|prefix| *prefix <= 32)
            .ok_or_else(form)?;
        let begin = |address: Ipv4Addr, prefix: u8| {
            Ipv4Addr::from_bits(((u64::from(address.to_bits()) >> (32 - prefix)) << (32 - prefix)) as u32)
        };
        let network = begin(first, prefix);
        if network != first {
            return Err(bad(&format!("a network of /{prefix} begins at {network}")));
        }
        match NEVER
            .iter()
            .find(|(never, shortest, _)| prefix >= *shortest && begin(first, *shortest) == *never)
        {
            Some((_, _, rule)) => Err(bad(rule)),
            None => Ok(Self { first, prefix }),
        }
    }

    /// Its first address.
    #[must_use]
    pub const fn first(self) -> Ipv4Addr {
        self.first
    }

    /// How many bits its addresses have in common.
    #[must_use]
    pub const fn prefix(self) -> u8 {
        self.prefix
    }
}

impl<'de> Deserialize<'de> for Ipv4Network {
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
        ] {
            let network = Ipv4Network::parse(good).unwrap();
            assert_eq!(format!("{}/{}", network.first(), network.prefix()), good);
        }
        for (bad, rule) in [
            ("", "write"),
            ("192.168.7.9", "write"),
            ("192.168.7.0/", "write"),
            ("192.168.7.0/+24", "write"),
            ("192.168.7.0/33", "write"),
            ("192.168.7/24", "write"),
            ("fd00::/8", "write"),
            ("192.168.7.9/24", "begins at 192.168.7.0"),
            ("127.0.0.0/8", "loopback"),
            ("127.0.0.53/32", "loopback"),
            ("0.0.0.0/8", "this host"),
            ("169.254.169.254/32", "link-local"),
            ("100.100.100.200/32", "credentials"),
            ("168.63.129.16/32", "credentials"),
            ("10.0.2.3/32", "guests' own"),
            ("239.0.0.0/8", "single hosts"),
            ("255.255.255.255/32", "single hosts"),
        ] {
            let error = Ipv4Network::parse(bad).unwrap_err();
            assert!(error.contains(rule), "{bad}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = Ipv4Network::parse(&text);
        }
    }
}
