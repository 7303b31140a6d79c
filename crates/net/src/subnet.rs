//! A network of IPv4 addresses.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// All addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    first: Ipv4Addr,
    prefix: u8,
}

impl Subnet {
    /// The network of `prefix` bits that `address` is in; `None` where there cannot be so many.
    pub const fn of(address: Ipv4Addr, prefix: u8) -> Option<Self> {
        if prefix > 32 {
            return None;
        }
        let first = Ipv4Addr::from_bits(address.to_bits() & mask(prefix));
        Some(Self { first, prefix })
    }

    /// Whether an address is in it.
    pub const fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & mask(self.prefix) == self.first.to_bits()
    }
}

/// As many ones, and zeros up to 32 bits.
const fn mask(prefix: u8) -> u32 {
    // By 32 it could not be shifted.
    ((u32::MAX as u64) << (32 - prefix)) as u32
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
            assert_eq!(network.contains(address.into()), is_in, "{address:?}");
        }
        let all: Subnet = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains([255; 4].into()));
        let one: Subnet = "1.2.3.4/32".parse().unwrap();
        assert!(one.contains([1, 2, 3, 4].into()) && !one.contains([1, 2, 3, 5].into()));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for bad in ["", "/", "1.2.3.4", "1.2.3.0/33", "1.2.3.4/24", "1.2.3/24", "::/0"] {
            assert!(bad.parse::<Subnet>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_network_is_read_as_it_is_written(address: u32, prefix in 0_u8..=32) {
            let network = Subnet::of(address.into(), prefix).unwrap();
            prop_assert_eq!(network.to_string().parse(), Ok(network));
            prop_assert!(network.contains(address.into()));
        }
    }
}
