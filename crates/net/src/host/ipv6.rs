//! Whether this host has IPv6 to give to guests, and what of it leads elsewhere than it seems.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddrV6};

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::InterfaceFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, getsockname, ipproto, socket_with};

use super::nat64::{self, NotKnown};
use super::{address_of, is_of_the_world};
use crate::Subnet;

/// A root server of names, for which the kernel is asked the way. Nothing is sent there.
const FAR_AWAY: Ipv6Addr = Ipv6Addr::new(0x2001, 0x503, 0xba3e, 0, 0, 0, 2, 0x30);

/// A host's IPv6, as far as a guest's network needs to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostIpv6 {
    /// One that has a link-local address: passt has IPv6 only by such a one, and takes nothing else of it.
    pub(crate) interface: String,
    /// What is translated to IPv4 on the way.
    pub(crate) translated: Vec<Subnet>,
}

/// Why guests get no IPv6: one line for the user.
#[derive(Debug)]
pub enum NoIpv6 {
    /// The kernel has none.
    Kernel,
    /// None is reached.
    Route,
    /// Nothing could answer.
    Address,
    /// passt could not.
    LinkLocal,
    /// Some addresses may lead to IPv4 that is closed.
    Translation(NotKnown),
    /// The host cannot be looked at.
    Host(io::Error),
}

impl fmt::Display for NoIpv6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the guest has no IPv6, which `[network] ipv6 = true` asks for: ")?;
        match self {
            Self::Kernel => f.write_str("this host has none"),
            Self::Route => f.write_str("this host has no IPv6 route to the internet (`ip -6 route show default`)"),
            Self::Address => {
                f.write_str("this host has no IPv6 address but link-local ones (`ip -6 address show scope global`)")
            }
            Self::LinkLocal => f.write_str(
                "no interface of this host has a link-local IPv6 address, which passt needs (`ip -6 address show scope link`)",
            ),
            Self::Translation(reason) => write!(
                f,
                "this host's resolvers do not say whether its network translates IPv6 to IPv4, by which the guest could reach \
                 what is closed to it (`getent ahosts {}`: {reason})",
                nat64::NAME
            ),
            Self::Host(error) => write!(f, "this host's interfaces cannot be listed ({error})"),
        }
    }
}

impl HostIpv6 {
    /// Looks at the host as it is now; asks its resolvers one question, for three seconds at most.
    ///
    /// # Errors
    /// Why guests are to have none.
    pub async fn find() -> Result<Self, NoIpv6> {
        let source = source()?;
        let interfaces: Vec<_> = getifaddrs()
            .map_err(|error| NoIpv6::Host(error.into()))?
            .collect();
        let interface = choose(&interfaces, source).ok_or(NoIpv6::LinkLocal)?;
        let translated = nat64::find().await.map_err(NoIpv6::Translation)?;
        Ok(Self {
            interface,
            translated,
        })
    }
}

/// The address by which this host would speak with one far away.
fn source() -> Result<Ipv6Addr, NoIpv6> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET6, SocketType::DGRAM, flags, Some(ipproto::UDP))
        .map_err(|_| NoIpv6::Kernel)?;
    match connect(&socket, &SocketAddrV6::new(FAR_AWAY, 9, 0, 0)) {
        Ok(()) => {}
        Err(Errno::ADDRNOTAVAIL) => return Err(NoIpv6::Address),
        Err(_) => return Err(NoIpv6::Route),
    }
    let own = getsockname(&socket).map_err(|error| NoIpv6::Host(error.into()))?;
    let own = SocketAddrV6::try_from(own).map_err(|error| NoIpv6::Host(error.into()))?;
    Some(*own.ip())
        .filter(|address| is_of_the_world(*address))
        .ok_or(NoIpv6::Address)
}

/// An interface with a link-local address; the one that `source` is on, if that has one.
fn choose(interfaces: &[InterfaceAddress], source: Ipv6Addr) -> Option<String> {
    let v6 = |interface: &InterfaceAddress| match interface.address.as_ref().and_then(address_of) {
        Some(IpAddr::V6(address)) if interface.flags.contains(InterfaceFlags::IFF_UP) => Some(address),
        _ => None,
    };
    let names = |is_wanted: &dyn Fn(Ipv6Addr) -> bool| -> Vec<&str> {
        let wanted = interfaces
            .iter()
            .filter(|interface| v6(interface).is_some_and(is_wanted));
        wanted
            .map(|interface| interface.interface_name.as_str())
            .collect()
    };
    let (usable, ways) = (
        names(&|address| address.is_unicast_link_local()),
        names(&|address| address == source),
    );
    let way = usable.iter().find(|name| ways.contains(name));
    way.or(usable.first()).map(|name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV6;

    use super::*;

    fn interface(name: &str, address: &str, flags: InterfaceFlags) -> InterfaceAddress {
        let address = SocketAddrV6::new(address.parse().unwrap(), 0, 0, 0);
        InterfaceAddress {
            interface_name: name.into(),
            flags,
            address: Some(address.into()),
            netmask: None,
            broadcast: None,
            destination: None,
        }
    }

    #[test]
    fn the_way_out_is_taken_if_it_has_a_link_local_address_and_else_another_that_has() {
        let up = InterfaceFlags::IFF_UP;
        let (tunnel, card, link) = ("2001:db8::1", "2001:db8:1::1", "fe80::1");
        let all = [
            interface("wg0", tunnel, up),
            interface("off", link, InterfaceFlags::empty()),
            interface("br0", link, up),
            interface("eth0", card, up),
            interface("eth0", link, up),
        ];
        for (source, expected) in [(card, "eth0"), (tunnel, "br0")] {
            assert_eq!(choose(&all, source.parse().unwrap()).as_deref(), Some(expected));
        }
        assert_eq!(choose(&all[..2], tunnel.parse().unwrap()), None);
    }

    #[test]
    fn each_reason_is_one_line_that_names_the_key() {
        for reason in [
            NoIpv6::Kernel,
            NoIpv6::Route,
            NoIpv6::Address,
            NoIpv6::LinkLocal,
            NoIpv6::Translation(NotKnown::Silent),
            NoIpv6::Host(io::ErrorKind::PermissionDenied.into()),
        ] {
            let line = reason.to_string();
            assert!(
                line.contains("`[network] ipv6 = true`") && !line.contains('\n'),
                "{line}"
            );
        }
    }
}
