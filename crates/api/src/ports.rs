//! Ports of the host that lead to ports of a guest.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use guest::Protocol;
use serde::{Deserialize, Serialize};

use crate::HostAddress;

/// A port of the host that leads to one of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PortForward {
    /// TCP or UDP; TCP if left out.
    #[serde(default)]
    pub protocol: Protocol,
    /// Address of the host that is bound; `localhost` if left out, which is 127.0.0.1 and ::1 where the host has both.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub address: HostAddress,
    /// The host's port; 0 for any that is free.
    pub host: u16,
    /// The guest's port, not 0.
    pub guest: u16,
}

impl PortForward {
    /// What is bound on the host, as far as the host has it.
    #[must_use]
    pub fn endpoints(&self) -> Vec<SocketAddr> {
        let all = self.address.all().into_iter();
        all.map(|address| SocketAddr::new(address, self.host)).collect()
    }

    /// Where this host reaches it: an address of its own for one that stands for all of them.
    #[must_use]
    pub fn reachable(&self) -> SocketAddr {
        SocketAddr::new(self.address.reachable(), self.host)
    }
}

/// What a port of the host is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortUse {
    /// `vm forward`: for as long as the command runs.
    Forward,
    /// `--publish`: for as long as the VM runs.
    Publish,
}

/// Why a port of the host cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// One line.
    pub message: String,
    /// What the user can do about it.
    pub hint: Option<String>,
}

impl PortForward {
    /// Why it cannot be bound at one of its addresses, in words.
    #[must_use]
    pub fn refusal(&self, wanted: PortUse, at: IpAddr, error: &io::Error) -> Refusal {
        let (verb, flag) = match wanted {
            PortUse::Forward => ("forward", ""),
            PortUse::Publish => ("publish", "--publish "),
        };
        let (why, other) = match error.kind() {
            // Most programs have 127.0.0.1 alone: who looks there would find nothing.
            io::ErrorKind::AddrInUse if self.address == HostAddress::Localhost && at.is_ipv6() => {
                (format!("it is taken on this host at {at}"), true)
            }
            io::ErrorKind::AddrInUse => ("it is taken on this host".to_owned(), true),
            io::ErrorKind::PermissionDenied if self.host < 1024 => (
                "ports below 1024 are for the administrator on this host".to_owned(),
                true,
            ),
            io::ErrorKind::AddrNotAvailable => (format!("{at} is no address of this host"), false),
            _ => (error.to_string(), false),
        };
        Refusal {
            message: format!("cannot {verb} port {}: {why}", self.host),
            hint: other.then(|| format!("choose another, for example {flag}{}", self.another())),
        }
    }

    /// The same with a host port that is more likely to be free, as a person writes it.
    fn another(&self) -> String {
        let host = match self.host {
            22 => 2222,
            below @ ..1024 => below + 8000,
            above => above.checked_add(1).unwrap_or(0),
        };
        let address = match self.address {
            HostAddress::Localhost => String::new(),
            HostAddress::One(IpAddr::V4(address)) => format!("{address}:"),
            HostAddress::One(IpAddr::V6(address)) => format!("[{address}]:"),
        };
        let protocol = match self.protocol {
            Protocol::Tcp => "",
            Protocol::Udp => "/udp",
        };
        format!("{address}{host}:{}{protocol}", self.guest)
    }
}

impl fmt::Display for PortForward {
    /// `localhost:8080->80/tcp`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.address.with_port(self.host);
        write!(f, "{host}->{}/{}", self.guest, self.protocol)
    }
}

/// A port that something listens on in a guest, and where the host has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GuestPort {
    /// What listens, as the guest tells it.
    #[serde(flatten)]
    pub listener: guest::Listener,
    /// Where the host reaches it, if it is published.
    pub endpoint: Option<SocketAddr>,
    /// The same for a browser, if it answers in HTTP.
    pub url: Option<String>,
}

/// Answer of `GET /v1/vms/{ref}/ports`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GuestPorts {
    /// The ports, lowest first.
    pub ports: Vec<GuestPort>,
    /// Whether there are more.
    pub more: bool,
}

impl GuestPort {
    /// A listener of a VM that is published on these ports.
    #[must_use]
    pub fn of(listener: guest::Listener, published: &[PortForward]) -> Self {
        // A published port leads to the guest's loopback.
        let inside = listener.address.is_unspecified() || listener.address.is_loopback();
        let port = published
            .iter()
            .find(|port| inside && port.protocol == listener.protocol && port.guest == listener.port);
        let endpoint = port.map(PortForward::reachable);
        Self {
            url: endpoint
                .filter(|_| listener.http)
                .map(|endpoint| format!("http://{endpoint}")),
            endpoint,
            listener,
        }
    }
}

impl PortForward {
    /// Whether two cannot be bound on one host at a time.
    #[must_use]
    pub fn clashes_with(&self, other: &Self) -> bool {
        self.address.overlaps(other.address)
            && self.host != 0
            && (self.protocol, self.host) == (other.protocol, other.host)
    }
}

/// Why a text names no forwarded port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortForwardError {
    /// Not of the form that is asked for.
    #[error("`{0}` is not HOST:GUEST, as in 8080:80, 0.0.0.0:8080:80 or 53:53/udp")]
    Form(String),
    /// A port that is none.
    #[error("`{0}` is no port: it is a number from {1} to 65535")]
    Port(String, u16),
    /// An address that is none.
    #[error(
        "`{0}` is no address of this host: write it in numbers, as 127.0.0.1 or [::1], or leave it out for localhost"
    )]
    Address(String),
    /// Another protocol.
    #[error("`{0}` is neither tcp nor udp")]
    Protocol(String),
}

impl FromStr for PortForward {
    type Err = PortForwardError;

    /// Parses `[ADDRESS:]HOST:GUEST[/PROTOCOL]`, or `PORT[/PROTOCOL]` for the same port on both sides. An IPv6 address
    /// stands in brackets.
    fn from_str(text: &str) -> Result<Self, PortForwardError> {
        let form = || PortForwardError::Form(text.to_owned());
        let (ports, protocol) = match text.split_once('/') {
            None => (text, Protocol::Tcp),
            Some((ports, "tcp")) => (ports, Protocol::Tcp),
            Some((ports, "udp")) => (ports, Protocol::Udp),
            Some((_, other)) => return Err(PortForwardError::Protocol(other.to_owned())),
        };
        let (address, ports) = match ports.strip_prefix('[') {
            Some(rest) => {
                let (address, ports) = rest.split_once("]:").ok_or_else(form)?;
                (Some(address), ports)
            }
            None if ports.matches(':').count() == 2 => {
                let (address, ports) = ports.split_once(':').ok_or_else(form)?;
                (Some(address), ports)
            }
            None => (None, ports),
        };
        let (host, guest) = match (ports.split_once(':'), address) {
            (Some((_, guest)), _) if guest.contains(':') => return Err(form()),
            (Some((host, guest)), _) => (port(host, 0)?, port(guest, 1)?),
            (None, None) => (port(ports, 1)?, port(ports, 1)?),
            (None, Some(_)) => return Err(form()),
        };
        let address = match address {
            None => HostAddress::Localhost,
            Some(address) => address
                .parse()
                .map_err(|_| PortForwardError::Address(address.to_owned()))?,
        };
        Ok(Self {
            protocol,
            address,
            host,
            guest,
        })
    }
}

fn port(text: &str, least: u16) -> Result<u16, PortForwardError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| digits && *number >= least);
    number.ok_or_else(|| PortForwardError::Port(text.to_owned(), least))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_forms_that_people_know_are_understood() {
        for (text, shown) in [
            ("8080:80", "localhost:8080->80/tcp"),
            ("80", "localhost:80->80/tcp"),
            ("0:80", "localhost:0->80/tcp"),
            ("53:5353/udp", "localhost:53->5353/udp"),
            ("53/udp", "localhost:53->53/udp"),
            ("8080:80/tcp", "localhost:8080->80/tcp"),
            ("localhost:8080:80", "localhost:8080->80/tcp"),
            ("127.0.0.1:8080:80", "127.0.0.1:8080->80/tcp"),
            ("0.0.0.0:8080:80", "0.0.0.0:8080->80/tcp"),
            ("[::1]:8080:80", "[::1]:8080->80/tcp"),
            ("[::]:0:80/udp", "[::]:0->80/udp"),
        ] {
            assert_eq!(text.parse::<PortForward>().unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn a_text_that_names_no_port_is_refused_and_says_why() {
        for (text, why) in [
            ("", "`` is no port"),
            ("0", "`0` is no port"),
            (":80", "`` is no port"),
            ("80:", "`` is no port"),
            ("80:0", "`0` is no port: it is a number from 1"),
            ("+80:80", "`+80` is no port"),
            ("80:65536", "`65536` is no port"),
            ("http:80", "`http` is no port"),
            ("myhost:80:80", "`myhost` is no address"),
            ("1:2:3:4", "is not HOST:GUEST"),
            ("[::1]:80", "is not HOST:GUEST"),
            ("[::1]:1:2:3", "is not HOST:GUEST"),
            ("::1:80:80", "is not HOST:GUEST"),
            ("80:80/sctp", "`sctp` is neither"),
            ("80:80/", "`` is neither"),
        ] {
            let error = text.parse::<PortForward>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_listener_is_found_on_the_host_only_where_a_published_port_leads_to_it() {
        let published: Vec<PortForward> = ["8080:80", "0.0.0.0:5353:53/udp"]
            .map(|port| port.parse().unwrap())
            .into();
        for (protocol, address, port, http, endpoint, url) in [
            (
                Protocol::Tcp,
                "0.0.0.0",
                80,
                true,
                Some("127.0.0.1:8080"),
                Some("http://127.0.0.1:8080"),
            ),
            (Protocol::Tcp, "::1", 80, false, Some("127.0.0.1:8080"), None),
            (Protocol::Tcp, "10.0.2.15", 80, true, None, None),
            (Protocol::Tcp, "0.0.0.0", 81, true, None, None),
            (
                Protocol::Udp,
                "127.0.0.1",
                53,
                false,
                Some("127.0.0.1:5353"),
                None,
            ),
            (Protocol::Tcp, "127.0.0.1", 53, false, None, None),
        ] {
            let listener = guest::Listener {
                protocol,
                address: address.parse().unwrap(),
                port,
                process: None,
                http,
            };
            let port = GuestPort::of(listener, &published);
            assert_eq!(
                port.endpoint,
                endpoint.map(|endpoint| endpoint.parse().unwrap()),
                "{port:?}"
            );
            assert_eq!(port.url.as_deref(), url, "{port:?}");
        }
    }

    #[test]
    fn a_port_that_cannot_be_had_says_why_and_which_to_try() {
        let taken = io::ErrorKind::AddrInUse.into();
        for (text, at, message, hint) in [
            (
                "22:22",
                "127.0.0.1",
                "cannot publish port 22: it is taken on this host",
                "2222:22",
            ),
            (
                "80",
                "::1",
                "cannot publish port 80: it is taken on this host at ::1",
                "8080:80",
            ),
            (
                "[::1]:8080:80/udp",
                "::1",
                "cannot publish port 8080: it is taken on this host",
                "[::1]:8081:80/udp",
            ),
        ] {
            let refusal =
                text.parse::<PortForward>()
                    .unwrap()
                    .refusal(PortUse::Publish, at.parse().unwrap(), &taken);
            assert_eq!(refusal.message, message);
            assert_eq!(
                refusal.hint.unwrap(),
                format!("choose another, for example --publish {hint}")
            );
            hint.parse::<PortForward>().unwrap();
        }
        let port: PortForward = "80".parse().unwrap();
        let refusal = port.refusal(
            PortUse::Forward,
            "127.0.0.1".parse().unwrap(),
            &io::ErrorKind::PermissionDenied.into(),
        );
        assert!(refusal.message.contains("below 1024"), "{}", refusal.message);
        assert_eq!(refusal.hint.unwrap(), "choose another, for example 8080:80");
    }

    #[test]
    fn two_ports_clash_where_one_host_cannot_have_both() {
        for (one, other, clash) in [
            ("8080:80", "8080:81", true),
            ("8080:80", "0.0.0.0:8080:80", true),
            ("8080:80", "[::1]:8080:80", true),
            ("8080:80", "[::]:8080:80", true),
            ("8080:80", "127.0.0.1:8080:80", true),
            ("8080:80", "10.0.0.1:8080:80", false),
            ("127.0.0.1:8080:80", "[::1]:8080:80", false),
            ("127.0.0.1:8080:80", "[::]:8080:80", false),
            ("0.0.0.0:8080:80", "[::]:8080:80", false),
            ("[::1]:8080:80", "[::]:8080:80", true),
            ("8080:80", "8080:80/udp", false),
            ("8080:80", "8081:80", false),
            ("0:80", "0:80", false),
        ] {
            let [one, other] = [one, other].map(|text| text.parse::<PortForward>().unwrap());
            assert_eq!(one.clashes_with(&other), clash, "{one} {other}");
            assert_eq!(other.clashes_with(&one), clash, "{other} {one}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "[0-9a-z:./\\[\\]]{0,24}") {
            let _ = text.parse::<PortForward>();
        }
    }
}
