//! Where on the host a port is bound: at one address, or as `localhost`, which is one of IPv4 and one of IPv6.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An address of the host's, in numbers, or `localhost`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum HostAddress {
    /// 127.0.0.1 and ::1, as far as the host has them. Clients that are told `localhost` try either first.
    #[default]
    Localhost,
    /// This one alone; one that is unspecified stands for all of its family.
    One(IpAddr),
}

const LOCALHOST: &str = "localhost";

impl HostAddress {
    /// The addresses that it stands for, the one of IPv4 first.
    #[must_use]
    pub fn all(self) -> Vec<IpAddr> {
        match self {
            Self::Localhost => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            Self::One(address) => vec![address],
        }
    }

    /// One under which this host reaches it: an address of its own for one that stands for all of them.
    #[must_use]
    pub fn reachable(self) -> IpAddr {
        match self {
            Self::Localhost => Ipv4Addr::LOCALHOST.into(),
            Self::One(IpAddr::V4(address)) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            Self::One(IpAddr::V6(address)) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            Self::One(address) => address,
        }
    }

    /// Whether both stand for an address that only one of them can have with the same port.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        let same = |one: IpAddr, other: IpAddr| {
            // `[::]` is bound for IPv6 alone.
            one.is_ipv4() == other.is_ipv4()
                && (one == other || one.is_unspecified() || other.is_unspecified())
        };
        self.all()
            .iter()
            .any(|one| other.all().iter().any(|other| same(*one, *other)))
    }

    /// With a port, as a person writes it.
    #[must_use]
    pub fn with_port(self, port: u16) -> String {
        match self {
            Self::Localhost => format!("{LOCALHOST}:{port}"),
            Self::One(address) => SocketAddr::new(address, port).to_string(),
        }
    }
}

impl fmt::Display for HostAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Localhost => f.write_str(LOCALHOST),
            Self::One(address) => write!(f, "{address}"),
        }
    }
}

impl From<HostAddress> for String {
    fn from(address: HostAddress) -> Self {
        address.to_string()
    }
}

impl FromStr for HostAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == LOCALHOST {
            return Ok(Self::Localhost);
        }
        text.parse().map(Self::One).map_err(|_| {
            format!("`{text}` is no address of this host: it is `localhost`, or numbers as 127.0.0.1 or ::1")
        })
    }
}

impl TryFrom<String> for HostAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_is_an_address_of_either_family() {
        for (text, all, reachable, shown) in [
            (
                "localhost",
                &["127.0.0.1", "::1"][..],
                "127.0.0.1",
                "localhost:80",
            ),
            ("127.0.0.1", &["127.0.0.1"], "127.0.0.1", "127.0.0.1:80"),
            ("::1", &["::1"], "::1", "[::1]:80"),
            ("0.0.0.0", &["0.0.0.0"], "127.0.0.1", "0.0.0.0:80"),
            ("::", &["::"], "::1", "[::]:80"),
        ] {
            let address: HostAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
            let numbers: Vec<_> = address.all().iter().map(ToString::to_string).collect();
            assert_eq!(
                (&numbers[..], address.reachable().to_string().as_str()),
                (
                    &all.iter().map(ToString::to_string).collect::<Vec<_>>()[..],
                    reachable
                )
            );
            assert_eq!(address.with_port(80), shown);
            let json = serde_json::to_string(&address).unwrap();
            assert_eq!(
                (json.clone(), serde_json::from_str(&json).unwrap()),
                (format!("\"{text}\""), address)
            );
        }
        for bad in ["", "LOCALHOST", "[::1]", "host", "1.2.3", "localhost."] {
            assert!(bad.parse::<HostAddress>().is_err(), "{bad}");
        }
    }
}
