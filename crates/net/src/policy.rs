//! Where guests may send to. The frame filter holds it, and the relay behind it once more.

mod ipv6;

use std::net::{IpAddr, Ipv4Addr};

use crate::Subnet;
use crate::addresses::{GUEST, PREFIX, RESOLVER};

/// The port that names are asked for at.
pub(crate) const DNS: u16 = 53;

/// What becomes of what a guest sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes on.
    Pass,
    /// It is dropped and the guest is told.
    Refuse,
    /// It is dropped.
    Drop,
}

/// What is closed to a guest besides what is to every guest, and what is open all the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Whether there is IPv6 at all.
    pub(crate) ipv6: bool,
    /// Closed unless opened.
    pub(crate) closed: Vec<Subnet>,
    /// Open although closed or private.
    pub(crate) open: Vec<Subnet>,
    /// Closed, and nothing opens them: what leads to IPv4 behind a translator.
    pub(crate) shut: Vec<Subnet>,
}

/// What an address is by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Many hosts at once, or none.
    Many,
    /// This host, or something else that no setting opens.
    Closed,
    /// Somebody's own network.
    Private,
    /// Anywhere else.
    World,
}

/// Networks that are somebody's own (RFC 1918, RFC 6598): the host's neighbours, what it reaches by a VPN, a provider's.
const PRIVATE: [Option<Subnet>; 4] = [
    v4([10, 0, 0, 0], 8),
    v4([172, 16, 0, 0], 12),
    v4([192, 168, 0, 0], 16),
    v4([100, 64, 0, 0], 10),
];

const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> Option<Subnet> {
    Subnet::of(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix)
}

impl Policy {
    /// Reads what [`Policy::arguments`] writes: `-NETWORK` for a closed, `+NETWORK` for an open, `!NETWORK` for a shut one,
    /// and `6` for IPv6.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut policy = Self::default();
        for argument in arguments {
            match argument.split_at_checked(1) {
                Some(("-", network)) => policy.closed.push(network.parse()?),
                Some(("+", network)) => policy.open.push(network.parse()?),
                Some(("!", network)) => policy.shut.push(network.parse()?),
                Some(("6", "")) => policy.ipv6 = true,
                _ => return Err(format!("`{argument}` says nothing of a network")),
            }
        }
        Ok(policy)
    }

    /// As arguments of a program.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let lists = [('-', &self.closed), ('+', &self.open), ('!', &self.shut)];
        let networks = lists
            .into_iter()
            .flat_map(|(sign, list)| list.iter().map(move |network| format!("{sign}{network}")));
        networks.chain(self.ipv6.then(|| "6".to_owned())).collect()
    }

    /// Judges an address that a guest sends to.
    pub(crate) fn judge(&self, to: IpAddr) -> Verdict {
        let place = match to {
            IpAddr::V4(to) => place(to),
            IpAddr::V6(to) if self.ipv6 => ipv6::place(to),
            IpAddr::V6(_) => return Verdict::Drop,
        };
        let is_in = |networks: &[Subnet]| networks.iter().any(|network| network.contains(to));
        match place {
            Place::Many => Verdict::Drop,
            Place::Closed => Verdict::Refuse,
            _ if is_in(&self.shut) => Verdict::Refuse,
            Place::Private | Place::World if is_in(&self.open) => Verdict::Pass,
            Place::World if !is_in(&self.closed) => Verdict::Pass,
            Place::Private | Place::World => Verdict::Refuse,
        }
    }

    /// Judges a port that a datagram or a connection is for: the guest's resolver takes questions, and nothing else.
    pub(crate) fn judge_port(&self, to: IpAddr, port: u16) -> Verdict {
        if (to, port) == (IpAddr::V4(RESOLVER), DNS) {
            return Verdict::Pass;
        }
        self.judge(to)
    }
}

fn place(to: Ipv4Addr) -> Place {
    if to.is_multicast() || to.octets()[0] >= 240 {
        return Place::Many;
    }
    if leads_to_this_host(to) || is_on_the_guests_network(to) {
        return Place::Closed;
    }
    match PRIVATE
        .iter()
        .flatten()
        .any(|network| network.contains(to.into()))
    {
        true => Place::Private,
        false => Place::World,
    }
}

/// Where cloud machines find their credentials, beside the link-local addresses: Alibaba's, Oracle's first and Azure's.
const METADATA: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
    Ipv4Addr::new(168, 63, 129, 16),
];

/// passt before 2024 hands these to the system as they are: the loopback, "this host" (which Linux takes for the
/// loopback), link-local addresses, where most clouds keep a machine's credentials, and where the others do.
fn leads_to_this_host(to: Ipv4Addr) -> bool {
    to.is_loopback() || to.octets()[0] == 0 || to.is_link_local() || METADATA.contains(&to)
}

/// Nobody else is on it; the host may be on a network of the same addresses.
fn is_on_the_guests_network(to: Ipv4Addr) -> bool {
    let network = |address: Ipv4Addr| address.to_bits() >> (32 - PREFIX);
    network(to) == network(GUEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addresses::GATEWAY;

    fn judge(to: [u8; 4]) -> Verdict {
        Policy::default().judge(IpAddr::from(to))
    }

    #[test]
    fn what_leads_to_the_host_itself_is_refused() {
        for to in [
            [127, 0, 0, 1],
            [127, 0, 0, 53],
            [127, 255, 255, 254],
            [0, 0, 0, 0],
            [0, 1, 2, 3],
            [169, 254, 169, 254],
            [100, 100, 100, 200],
            [192, 0, 0, 192],
            [168, 63, 129, 16],
        ] {
            assert_eq!(judge(to), Verdict::Refuse, "{to:?}");
        }
        for to in [GATEWAY, GUEST, RESOLVER, Ipv4Addr::new(10, 0, 2, 77)] {
            assert_eq!(judge(to.octets()), Verdict::Refuse, "{to}");
        }
    }

    #[test]
    fn what_leads_outside_passes_and_what_leads_to_many_does_not() {
        for to in [
            [1, 1, 1, 1],
            [126, 0, 0, 1],
            [128, 0, 0, 1],
            [172, 15, 255, 255],
            [172, 32, 0, 0],
            [100, 63, 255, 255],
            [100, 128, 0, 0],
            [192, 167, 1, 1],
            [223, 1, 1, 1],
        ] {
            assert_eq!(judge(to), Verdict::Pass, "{to:?}");
        }
        for to in [
            [224, 0, 0, 251],
            [239, 1, 1, 1],
            [240, 0, 0, 1],
            [255, 255, 255, 255],
        ] {
            assert_eq!(judge(to), Verdict::Drop, "{to:?}");
        }
    }

    #[test]
    fn private_networks_and_those_of_the_host_are_closed_unless_they_are_opened() {
        let told = |arguments: &[&str], to: [u8; 4]| {
            let arguments: Vec<_> = arguments.iter().map(|&argument| argument.into()).collect();
            Policy::parse(&arguments).unwrap().judge(IpAddr::from(to))
        };
        for private in [
            [10, 0, 3, 15],
            [10, 255, 255, 255],
            [172, 16, 0, 1],
            [172, 31, 255, 255],
            [192, 168, 1, 1],
            [100, 64, 0, 1],
            [100, 127, 255, 255],
        ] {
            assert_eq!(told(&[], private), Verdict::Refuse, "{private:?}");
            assert_eq!(told(&["+0.0.0.0/0"], private), Verdict::Pass, "{private:?}");
        }
        let own = ["-198.51.100.0/24", "+192.168.7.0/24", "+198.51.100.9/32"];
        for (to, expected) in [
            ([198, 51, 100, 1], Verdict::Refuse),
            ([198, 51, 100, 9], Verdict::Pass),
            ([198, 51, 101, 1], Verdict::Pass),
            ([192, 168, 7, 1], Verdict::Pass),
            ([192, 168, 8, 1], Verdict::Refuse),
        ] {
            assert_eq!(told(&own, to), expected, "{to:?}");
        }
    }

    #[test]
    fn no_setting_opens_the_host_itself() {
        let all: Subnet = "0.0.0.0/0".parse().unwrap();
        let policy = Policy {
            open: vec![all],
            ..Policy::default()
        };
        for to in [
            [127, 0, 0, 1],
            [0, 0, 0, 0],
            [169, 254, 169, 254],
            [100, 100, 100, 200],
            [168, 63, 129, 16],
            [10, 0, 2, 2],
            [10, 0, 2, 3],
        ] {
            let to = IpAddr::from(to);
            assert_eq!(policy.judge(to), Verdict::Refuse, "{to}");
            assert_eq!(policy.judge_port(to, 54), Verdict::Refuse, "{to}");
        }
    }

    #[test]
    fn a_policy_is_read_as_it_is_written_and_nothing_else_is() {
        let networks = |texts: [&str; 2]| texts.map(|text| text.parse().unwrap()).to_vec();
        let policy = Policy {
            ipv6: true,
            closed: networks(["198.51.100.0/24", "2001:db8::/48"]),
            open: networks(["10.0.0.0/8", "fd00::/8"]),
            shut: networks(["2001:db8:64::/96", "203.0.113.0/24"]),
        };
        for policy in [policy, Policy::default()] {
            assert_eq!(Policy::parse(&policy.arguments()), Ok(policy));
        }
        for bad in [
            "",
            "+",
            "!",
            "66",
            "6+",
            "10.0.0.0/8",
            "*10.0.0.0/8",
            "-10.0.0.1/8",
            "é",
        ] {
            assert!(Policy::parse(&[bad.into()]).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_resolver_takes_questions_only() {
        let policy = Policy::default();
        let (resolver, gateway) = (IpAddr::from(RESOLVER), IpAddr::from(GATEWAY));
        assert_eq!(policy.judge_port(resolver, DNS), Verdict::Pass);
        assert_eq!(policy.judge_port(resolver, 54), Verdict::Refuse);
        assert_eq!(policy.judge_port(gateway, DNS), Verdict::Refuse);
        assert_eq!(policy.judge(resolver), Verdict::Refuse);
    }
}
