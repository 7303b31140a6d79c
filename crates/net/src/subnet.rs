//! A network of IPv4 or IPv6 addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// All addresses of a family that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    first: IpAddr,
    prefix: u8,
}

impl Subnet {
    /// The network of `prefix` bits that `address` is in; `None` where there cannot be so many.
    pub const fn of(address: IpAddr, prefix: u8) -> Option<Self> {
        let first = match address {
            IpAddr::V4(address) if prefix <= 32 => {
                // By 32 it could not be shifted.
                let mask = ((u32::MAX as u64) << (32 - prefix)) as u32;
                IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
            }
            IpAddr::V6(address) if prefix <= 128 => {
                let mask = match prefix {
                    0 => 0,
                    prefix => u128::MAX << (128 - prefix),
                };
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
            }
            _ => return None,
        };
        Some(Self { first, prefix })
    }

    /// Whether an address is in it; none of the other family is.
    pub fn contains(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4()
            && Self::of(address, self.prefix).is_some_and(|network| network.first == self.first)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = String;

    /// Reads what `Display` writes.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/');
        let parts = parts.and_then(|(first, prefix)| Some((first.parse().ok()?, prefix.parse().ok()?)));
        parts
            .and_then(|(first, prefix)| Self::of(first, prefix).filter(|network| network.first == first))
            .ok_or_else(|| format!("`{text}` is no network"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_network_knows_its_own() {
        let network: Subnet = "192.168.4.0/22".parse().unwrap();
        for (address, is_in) in [
            ([192, 168, 4, 0], true),
            ([192, 168, 7, 255], true),
            ([192, 168, 3, 255], false),
            ([192, 168, 8, 0], false),
        ] {
            assert_eq!(network.contains(IpAddr::from(address)), is_in, "{address:?}");
        }
        let network: Subnet = "2001:db8:4::/46".parse().unwrap();
        for (address, is_in) in [
            ("2001:db8:4::", true),
            ("2001:db8:7:ffff:ffff:ffff:ffff:ffff", true),
            ("2001:db8:3:ffff:ffff:ffff:ffff:ffff", false),
            ("2001:db8:8::", false),
            ("32.1.13.184", false),
        ] {
            assert_eq!(network.contains(address.parse().unwrap()), is_in, "{address}");
        }
        for (all, last, other) in [
            ("0.0.0.0/0", "255.255.255.255", "::"),
            ("::/0", "ff::ff", "0.0.0.0"),
        ] {
            let all: Subnet = all.parse().unwrap();
            assert!(all.contains(last.parse().unwrap()) && !all.contains(other.parse().unwrap()));
        }
        for (one, next) in [("1.2.3.4/32", "1.2.3.5"), ("::1:2/128", "::1:3")] {
            let one: Subnet = one.parse().unwrap();
            assert!(one.contains(one.first) && !one.contains(next.parse().unwrap()));
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for bad in [
            "",
            "/",
            "1.2.3.4",
            "1.2.3.0/33",
            "1.2.3.4/24",
            "1.2.3/24",
            "::",
            "::/129",
            "::1/127",
            "fe80::%1/64",
        ] {
            assert!(bad.parse::<Subnet>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_network_is_read_as_it_is_written(v4: u32, v6: u128, prefix in 0_u8..=128) {
            let addresses = [IpAddr::from(Ipv4Addr::from(v4)), Ipv6Addr::from(v6).into()];
            for (address, longest) in addresses.into_iter().zip([32, 128]) {
                let network = Subnet::of(address, prefix.min(longest)).unwrap();
                prop_assert_eq!(network.to_string().parse(), Ok(network));
                prop_assert!(network.contains(address));
            }
            prop_assert!(Subnet::of(addresses[0], prefix).is_some() == (prefix <= 32));
        }
    }
}
