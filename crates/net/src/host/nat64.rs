//! Prefixes by which the host's network translates IPv6 to IPv4, found as RFC 7050 has it: a name that has addresses of IPv4
//! only is asked for, and a resolver that makes up addresses for the translator makes up one for it.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::Subnet;

/// The name (RFC 8880).
pub(super) const NAME: &str = "ipv4only.arpa";
/// Its addresses.
const ADDRESSES: [[u8; 4]; 2] = [[192, 0, 0, 170], [192, 0, 0, 171]];
/// Lengths that a prefix may have (RFC 6052, 2.2), and the octets in which the address is then; the ninth is none's.
const FORMS: [(u8, [usize; 4]); 6] = [
    (96, [12, 13, 14, 15]),
    (64, [9, 10, 11, 12]),
    (56, [7, 9, 10, 11]),
    (48, [6, 7, 9, 10]),
    (40, [5, 6, 7, 9]),
    (32, [4, 5, 6, 7]),
];
const PATIENCE: Duration = Duration::from_secs(3);
/// What the C libraries say of a name that has no address: an answer, too.
const NONE: [&str; 4] = [
    "Name or service not known",
    "No address associated with hostname",
    "Name does not resolve",
    "Name has no usable address",
];

/// Why it is not known which prefixes there are.
#[derive(Debug)]
pub enum NotKnown {
    /// No resolver answered.
    Silent,
    /// None gave an answer.
    Failed(io::Error),
    /// One gave an address that holds none of the name's.
    Strange(Ipv6Addr),
}

impl fmt::Display for NotKnown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => write!(f, "no answer within {PATIENCE:?}"),
            Self::Failed(error) => write!(f, "{error}"),
            Self::Strange(address) => write!(f, "{address} is no translation of its addresses"),
        }
    }
}

/// Asks for them.
pub(super) async fn find() -> Result<Vec<Subnet>, NotKnown> {
    match tokio::time::timeout(PATIENCE, tokio::net::lookup_host((NAME, 0))).await {
        Err(_) => Err(NotKnown::Silent),
        Ok(Ok(found)) => prefixes(found.map(|address: SocketAddr| address.ip())),
        Ok(Err(error)) if NONE.iter().any(|none| error.to_string().contains(none)) => Ok(Vec::new()),
        Ok(Err(error)) => Err(NotKnown::Failed(error)),
    }
}

fn prefixes(found: impl Iterator<Item = IpAddr>) -> Result<Vec<Subnet>, NotKnown> {
    let mut prefixes: Vec<Subnet> = Vec::new();
    for address in found {
        let IpAddr::V6(address) = address else { continue };
        let octets = address.octets();
        let is_form = |places: [usize; 4]| ADDRESSES.contains(&places.map(|place| octets[place]));
        let before = prefixes.len();
        // Where it is found in two places, either may be meant.
        for (prefix, _) in FORMS.into_iter().filter(|(_, places)| is_form(*places)) {
            prefixes.extend(Subnet::of(address.into(), prefix));
        }
        if prefixes.len() == before {
            return Err(NotKnown::Strange(address));
        }
    }
    prefixes.dedup();
    Ok(prefixes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(found: &[&str]) -> Result<Vec<String>, NotKnown> {
        let found = prefixes(found.iter().map(|text| text.parse().unwrap()))?;
        Ok(found.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_prefix_is_known_by_where_the_address_is() {
        assert_eq!(of(&["192.0.0.170", "192.0.0.171"]).unwrap(), [""; 0]);
        // The examples of RFC 6052, 2.4, with the addresses of the name.
        for (address, prefix) in [
            ("2001:db8:c000:aa::", "2001:db8::/32"),
            ("2001:db8:1c0:0:aa::", "2001:db8:100::/40"),
            ("2001:db8:122:c000:0:aa00::", "2001:db8:122::/48"),
            ("2001:db8:122:3c0:0:aa::", "2001:db8:122:300::/56"),
            ("2001:db8:122:344:c0:0:aa00::", "2001:db8:122:344::/64"),
            ("2001:db8:122:344::192.0.0.171", "2001:db8:122:344::/96"),
            ("64:ff9b::192.0.0.170", "64:ff9b::/96"),
        ] {
            assert_eq!(of(&["192.0.0.170", address]).unwrap(), [prefix], "{address}");
        }
        let two = of(&["64:ff9b::192.0.0.170", "2001:db8:122:344::192.0.0.171"]).unwrap();
        assert_eq!(two, ["64:ff9b::/96", "2001:db8:122:344::/96"]);
        assert!(matches!(of(&["2001:db8::1"]), Err(NotKnown::Strange(_))));
    }
}
