//! What the guest and the VMM are told about user mode.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use crate::addresses::{GATEWAY, GATEWAY_V6, GUEST, GUEST_V6, MTU, PREFIX, PREFIX_V6, RESOLVER};

/// A file in the VM's folder that is there while its network has IPv6.
const IPV6: &str = "ipv6";

/// What a guest's `eth0` is given in user mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserPlan {
    /// Address of the guest.
    pub address: Ipv4Addr,
    /// Length of the network prefix in bits.
    pub prefix: u8,
    /// Default gateway.
    pub gateway: Ipv4Addr,
    /// Resolvers, most preferred first.
    pub dns: Vec<IpAddr>,
    /// Largest packet in bytes.
    pub mtu: u32,
}

/// The plan of user mode.
///
/// The addresses are those of QEMU's built-in user network, so that a guest is set up alike on either. The
/// resolver's stands for those of the host's `/etc/resolv.conf`: a guest could not reach one on the host's loopback or of
/// IPv6, and a routable one may change while the guest sleeps.
pub fn user_plan() -> UserPlan {
    UserPlan {
        address: GUEST,
        prefix: PREFIX,
        gateway: GATEWAY,
        dns: vec![RESOLVER.into()],
        mtu: MTU,
    }
}

/// What a guest's `eth0` is given besides where it has IPv6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ipv6Plan {
    /// Address of the guest.
    pub address: Ipv6Addr,
    /// Length of the network prefix in bits.
    pub prefix: u8,
    /// Default gateway.
    pub gateway: Ipv6Addr,
}

/// The plan of IPv6 for the VM whose folder this is; none where its network has none.
pub fn ipv6_plan(folder: &Path) -> Option<Ipv6Plan> {
    folder.join(IPV6).exists().then_some(Ipv6Plan {
        address: GUEST_V6,
        prefix: PREFIX_V6,
        gateway: GATEWAY_V6,
    })
}

/// Notes whether a VM's network has IPv6: the next daemon gives the guest what this one did.
pub(crate) fn note_ipv6(folder: &Path, has: bool) -> io::Result<()> {
    let path = folder.join(IPV6);
    if has {
        return fs::write(path, "");
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The hardware address of the VM `id`: the same each time, spread over the 24 bits after `52:54:00`.
pub fn mac_for(id: &str) -> String {
    // FNV-1a, and a final mix, since the low bits of FNV alone follow the last character.
    let mut hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let [.., a, b, c] = (hash ^ (hash >> 33)).to_be_bytes();
    format!("52:54:00:{a:02x}:{b:02x}:{c:02x}")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn hardware_addresses_are_stable_and_spread() {
        assert_eq!(mac_for("a"), mac_for("a"));
        let made: HashSet<_> = (0..1000).map(|number| mac_for(&format!("vm-{number}"))).collect();
        // 1000 of 16 million: a tenth of a percent chance that any two are the same, were they random.
        assert!(made.len() >= 999, "{}", made.len());
        assert!(
            made.iter()
                .all(|mac| mac.len() == 17 && mac.starts_with("52:54:00:"))
        );
        assert_eq!(
            mac_for("0198a1b2-0000-7000-8000-000000000001"),
            "52:54:00:ce:00:d9"
        );
    }

    #[test]
    fn every_address_of_the_plan_lies_on_its_network() {
        let plan = user_plan();
        let network = |address: Ipv4Addr| address.to_bits() >> (32 - plan.prefix);
        let IpAddr::V4(resolver) = plan.dns[0] else {
            panic!("user mode is IPv4")
        };
        assert!(
            [plan.gateway, resolver]
                .into_iter()
                .all(|address| network(address) == network(plan.address))
        );
    }

    #[test]
    fn a_guest_is_told_of_ipv6_as_long_as_its_network_has_it() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(ipv6_plan(folder.path()), None);
        for _ in 0..2 {
            note_ipv6(folder.path(), true).unwrap();
            let plan = ipv6_plan(folder.path()).unwrap();
            let network = |address: Ipv6Addr| address.to_bits() >> (128 - plan.prefix);
            assert_eq!(network(plan.gateway), network(plan.address));
        }
        for _ in 0..2 {
            note_ipv6(folder.path(), false).unwrap();
            assert_eq!(ipv6_plan(folder.path()), None);
        }
    }
}
