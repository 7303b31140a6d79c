//! The host's resolvers, for which the guest's stands: read out of `/etc/resolv.conf` (resolv.conf(5)).

use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};

use crate::policy::DNS;

/// Where hosts keep their settings for it.
const SETTINGS: &str = "/etc/resolv.conf";
/// Longer settings are cut.
const LONGEST: u64 = 64 << 10;
/// As many resolvers are asked; the C library asks three.
pub(crate) const MOST: usize = 8;
/// As many domains are searched, and none is longer (RFC 1035, 2.3.4).
const MOST_DOMAINS: usize = 16;
const LONGEST_DOMAIN: usize = 253;
/// Where the C library asks when no resolver is named.
const THIS_HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What the host's settings say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostResolver {
    /// The resolvers, most preferred first; never empty.
    pub(crate) servers: Vec<SocketAddr>,
    /// Domains in which a short name is looked for.
    pub search: Vec<String>,
    /// A name with fewer dots than this is short.
    pub ndots: Option<u8>,
    /// Why no resolver of the settings can be asked.
    trouble: Option<String>,
}

impl HostResolver {
    /// Reads the settings as they are now.
    pub fn read() -> Self {
        let mut settings = Vec::new();
        let read = File::open(SETTINGS).and_then(|file| file.take(LONGEST).read_to_end(&mut settings));
        match read {
            Ok(_) => Self::of(&settings),
            Err(error) => Self::unusable(format!("cannot be read ({})", plain(&error))),
        }
    }

    /// One line for the user where the settings name no resolver that can be asked.
    pub fn warning(&self) -> Option<String> {
        let trouble = self.trouble.as_ref()?;
        Some(format!(
            "{SETTINGS} {trouble}: names of the guest are asked for at {THIS_HOST}, as those of this host's own programs; \
             add a line `nameserver ADDRESS` there, running VMs follow"
        ))
    }

    /// Whether the settings name a resolver that can be asked.
    pub(crate) fn is_usable(&self) -> bool {
        self.trouble.is_none()
    }

    fn unusable(trouble: String) -> Self {
        Self {
            servers: vec![SocketAddr::new(THIS_HOST, DNS)],
            trouble: Some(trouble),
            ..Self::default()
        }
    }

    fn of(settings: &[u8]) -> Self {
        let (mut found, mut bad) = (Self::default(), None);
        let settings = String::from_utf8_lossy(settings);
        for line in settings.lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let Some(word) = words.next() else { continue };
                    match server(word) {
                        Some(server) if found.servers.len() < MOST => found.servers.push(server),
                        Some(_) => {}
                        None => bad = bad.or(Some(word)),
                    }
                }
                // The last of both counts.
                Some("search") => found.search = words.filter_map(domain).take(MOST_DOMAINS).collect(),
                Some("domain") => found.search = words.next().and_then(domain).into_iter().collect(),
                Some("options") => {
                    let mut ndots = words.filter_map(|word| word.strip_prefix("ndots:")?.parse().ok());
                    // More than 15 are taken for 15.
                    found.ndots = ndots.next_back().map(|dots: u8| dots.min(15)).or(found.ndots);
                }
                _ => {}
            }
        }
        if found.servers.is_empty() {
            let trouble = match bad {
                Some(word) => format!(
                    "names no resolver with an address that can be used (`{}`)",
                    shown(word)
                ),
                None => "names no resolver".to_owned(),
            };
            let Self { search, ndots, .. } = found;
            return Self {
                search,
                ndots,
                ..Self::unusable(trouble)
            };
        }
        found
    }
}

/// An address, and of a link-local one the interface after `%`.
fn server(word: &str) -> Option<SocketAddr> {
    if let Ok(address) = word.parse() {
        // Of a link-local address without an interface nothing tells where it is.
        return match address {
            IpAddr::V6(address) if address.is_unicast_link_local() => None,
            IpAddr::V4(address) if address.is_multicast() || address.is_broadcast() => None,
            // The C library takes it for this host.
            address => Some(SocketAddr::new(address, DNS)),
        };
    }
    let (address, interface) = word.split_once('%')?;
    let index = match interface.parse() {
        Ok(index) => index,
        Err(_) => nix::net::if_::if_nametoindex(interface).ok()?,
    };
    Some(SocketAddrV6::new(address.parse().ok()?, DNS, 0, index).into())
}

/// A domain that can be written into a guest's settings as it is.
fn domain(word: &str) -> Option<String> {
    let word = word.strip_suffix('.').unwrap_or(word);
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(sound);
    (word.len() <= LONGEST_DOMAIN && word.split('.').all(is_label)).then(|| word.to_owned())
}

fn shown(word: &str) -> String {
    word.chars().take(60).flat_map(char::escape_debug).collect()
}

fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "it is not there".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_resolvers_of_the_host_are_found_of_ipv6_too() {
        for (settings, expected) in [
            (
                &b"nameserver 127.0.0.53\nnameserver 1.1.1.1\n"[..],
                &["127.0.0.53:53", "1.1.1.1:53"][..],
            ),
            (
                b"# nameserver 9.9.9.9\n; nameserver 9.9.9.9\n\tnameserver\t10.0.0.1 # its own",
                &["10.0.0.1:53"],
            ),
            (
                b"nameserver ::1\nnameserver fe80::1%lo\nnameserver fe80::2%7\nnameserver 8.8.8.8",
                &["[::1]:53", "[fe80::1%1]:53", "[fe80::2%7]:53", "8.8.8.8:53"],
            ),
            (
                b"nameserver fe80::1\nnameserver 224.0.0.1\nnameserver dns.corp\nnameserver 2001:db8::1",
                &["[2001:db8::1]:53"],
            ),
            (
                b"nameserver 1.1.1.1\r\nnameserver 9.9.9.9",
                &["1.1.1.1:53", "9.9.9.9:53"],
            ),
        ] {
            let found = HostResolver::of(settings);
            let servers: Vec<_> = found.servers.iter().map(ToString::to_string).collect();
            assert_eq!(
                (servers, found.warning()),
                (expected.iter().map(ToString::to_string).collect(), None)
            );
        }
        let many: String = (1..20)
            .map(|last| format!("nameserver 10.0.0.{last}\n"))
            .collect();
        assert_eq!(HostResolver::of(many.as_bytes()).servers.len(), MOST);
    }

    #[test]
    fn settings_without_a_usable_resolver_are_one_warning_and_this_host_is_asked() {
        for (settings, expected) in [
            (&b""[..], "names no resolver:"),
            (b"# nothing\nsearch corp.example\n", "names no resolver:"),
            (
                b"nameserver\nnameservers 1.1.1.1\n\xff\xfe\n",
                "names no resolver:",
            ),
            (
                b"nameserver 1.1.1\n",
                "names no resolver with an address that can be used (`1.1.1`)",
            ),
            (b"nameserver fe80::1%nowhere0", "can be used (`fe80::1%nowhere0`)"),
            (b"nameserver \x1b[2J", "can be used (`\\u{1b}[2J`)"),
        ] {
            let found = HostResolver::of(settings);
            let warning = found.warning().unwrap();
            assert!(
                warning.contains(expected) && warning.contains("asked for at 127.0.0.1"),
                "{warning}"
            );
            assert!(!warning.contains('\n') && !found.is_usable());
            assert_eq!(found.servers, [SocketAddr::new(THIS_HOST, 53)]);
        }
    }

    #[test]
    fn domains_are_searched_as_on_the_host() {
        for (settings, search, ndots) in [
            (
                "search corp.example lab.example.\noptions rotate ndots:3 edns0",
                &["corp.example", "lab.example"][..],
                Some(3),
            ),
            ("domain a.example\nsearch b.example", &["b.example"], None),
            (
                "search b.example\ndomain a.example c.example",
                &["a.example"],
                None,
            ),
            ("search .\noptions ndots:99", &[], Some(15)),
            (
                "search a..b -x- _tcp.example x/y $(id) a;b\noptions ndots:many",
                &["-x-", "_tcp.example"],
                None,
            ),
        ] {
            let found = HostResolver::of(format!("nameserver 1.1.1.1\n{settings}\n").as_bytes());
            assert_eq!(
                (&found.search[..], found.ndots),
                (
                    &search.iter().map(ToString::to_string).collect::<Vec<_>>()[..],
                    ndots
                ),
                "{settings}"
            );
        }
    }
}
