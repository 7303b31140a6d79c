//! What an IPv6 address is by itself (RFC 4291 and the registry of special-purpose addresses).

use std::net::{IpAddr, Ipv6Addr};

use super::Place;
use crate::Subnet;
use crate::addresses::{GUEST_V6, PREFIX_V6};

/// What no setting opens: this host itself, and what holds an IPv4 address, behind which is whatever that one leads to.
const CLOSED: [Option<Subnet>; 9] = [
    // Unspecified, the loopback, and IPv4 in the last 32 bits.
    of([0; 8], 96),
    // IPv4 as programs write it, and as stateless translators did (RFC 2765).
    of([0, 0, 0, 0, 0, 0xffff, 0, 0], 96),
    of([0, 0, 0, 0, 0xffff, 0, 0, 0], 96),
    // Translated to IPv4 on the way (RFC 6052, RFC 8215).
    of([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96),
    of([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48),
    // 6to4 and Teredo, which packets of IPv4 carry.
    of([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
    of([0x2001, 0, 0, 0, 0, 0, 0, 0], 32),
    // Link-local.
    of([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
    // Nothing but the guest is there; the host may be on a network of the same addresses.
    Subnet::of(IpAddr::V6(GUEST_V6), PREFIX_V6),
];

/// Where cloud machines find their credentials: Amazon's, Google's, Oracle's and Scaleway's.
const METADATA: [Option<Subnet>; 4] = [
    of([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128),
    of([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128),
    of([0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe], 128),
    of([0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42], 128),
];

/// Networks that are somebody's own: of unique local addresses (RFC 4193) and, before them, site-local ones.
const PRIVATE: [Option<Subnet>; 2] = [
    of([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),
    of([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10),
];

const fn of(address: [u16; 8], prefix: u8) -> Option<Subnet> {
    let [a, b, c, d, e, f, g, h] = address;
    Subnet::of(IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h)), prefix)
}

pub(super) fn place(to: Ipv6Addr) -> Place {
    let is_in = |networks: &[Option<Subnet>]| {
        networks
            .iter()
            .flatten()
            .any(|network| network.contains(to.into()))
    };
    match to {
        _ if to.is_multicast() => Place::Many,
        _ if is_in(&CLOSED) || is_in(&METADATA) => Place::Closed,
        _ if is_in(&PRIVATE) => Place::Private,
        _ => Place::World,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Policy, Verdict};
    use super::*;

    /// Whether a setting opens it, its first and last address, and the neighbours of these; those of which another row
    /// tells are left out.
    const TABLE: &[(bool, &str, &str, &str, &str)] = &[
        (false, "::", "::ffff:ffff", "", "::1:0:0"),
        (
            false,
            "::ffff:0:0",
            "::ffff:ffff:ffff",
            "::fffe:ffff:ffff",
            "0:0:0:0:1::",
        ),
        (
            false,
            "::ffff:0:0:0",
            "::ffff:0:ffff:ffff",
            "::fffe:ffff:ffff:ffff",
            "::ffff:1:0:0",
        ),
        (
            false,
            "64:ff9b::",
            "64:ff9b::ffff:ffff",
            "64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff",
            "64:ff9b::1:0:0",
        ),
        (
            false,
            "64:ff9b:1::",
            "64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
            "64:ff9b:0:ffff:ffff:ffff:ffff:ffff",
            "64:ff9b:2::",
        ),
        (
            false,
            "2001::",
            "2001:0:ffff:ffff:ffff:ffff:ffff:ffff",
            "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:1::",
        ),
        (
            false,
            "2002::",
            "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "2003::",
        ),
        (
            true,
            "fc00::",
            "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "fe00::",
        ),
        (
            false,
            "fe80::",
            "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "",
        ),
        (true, "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", ""),
        (
            false,
            "fd62:616e:6765:72::",
            "fd62:616e:6765:72:ffff:ffff:ffff:ffff",
            "",
            "",
        ),
    ];

    fn judge(policy: &Policy, to: &str) -> Verdict {
        policy.judge(to.parse().unwrap())
    }

    fn on(open: &[&str], closed: &[&str], shut: &[&str]) -> Policy {
        let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Policy {
            ipv6: true,
            closed: networks(closed),
            open: networks(open),
            shut: networks(shut),
        }
    }

    #[test]
    fn what_is_closed_is_from_its_first_address_to_its_last() {
        let (closed, open) = (on(&[], &[], &[]), on(&["::/0"], &[], &[]));
        for &(opens, first, last, before, after) in TABLE {
            for to in [first, last] {
                assert_eq!(judge(&closed, to), Verdict::Refuse, "{to}");
                let expected = if opens { Verdict::Pass } else { Verdict::Refuse };
                assert_eq!(judge(&open, to), expected, "{to}, opened");
            }
            for to in [before, after].into_iter().filter(|to| !to.is_empty()) {
                assert_eq!(judge(&closed, to), Verdict::Pass, "{to}");
            }
        }
        for to in ["2600::", "2a00:1450:4001::1", "2001:db8::1", "3fff:ffff::1"] {
            assert_eq!(judge(&closed, to), Verdict::Pass, "{to}");
        }
    }

    #[test]
    fn what_is_for_many_is_dropped_whatever_is_opened() {
        let policy = on(&["::/0", "ff00::/8"], &[], &[]);
        for to in [
            "ff00::",
            "ff02::1",
            "ff0e::1",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        ] {
            assert_eq!(judge(&policy, to), Verdict::Drop, "{to}");
        }
    }

    #[test]
    fn credentials_of_clouds_and_translated_networks_stay_closed_whatever_is_opened() {
        let policy = on(
            &["::/0", "fd00::/8", "2001:db8:64::/96"],
            &[],
            &["2001:db8:64::/96"],
        );
        for to in [
            "fd00:ec2::254",
            "fd20:ce::254",
            "fd00:c1::a9fe:a9fe",
            "fd00:42::42",
            "2001:db8:64::",
            "2001:db8:64::ffff:ffff",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::10.0.0.1",
            "2002:7f00:1::1",
        ] {
            assert_eq!(judge(&policy, to), Verdict::Refuse, "{to}");
        }
        for to in [
            "fd00:ec2::253",
            "2001:db8:64::1:0:0",
            "2001:db8:63:ffff:ffff:ffff:ffff:ffff",
        ] {
            assert_eq!(judge(&policy, to), Verdict::Pass, "{to}");
        }
    }

    #[test]
    fn networks_of_the_host_are_closed_and_some_are_opened() {
        let policy = on(
            &["fd12:3456:789a:1::/64", "2001:db8:1:2::9/128"],
            &["2001:db8:1::/48"],
            &[],
        );
        for (to, expected) in [
            ("2001:db8:1::", Verdict::Refuse),
            ("2001:db8:1:ffff:ffff:ffff:ffff:ffff", Verdict::Refuse),
            ("2001:db8:1:2::9", Verdict::Pass),
            ("2001:db8:1:2::a", Verdict::Refuse),
            ("2001:db8:2::", Verdict::Pass),
            ("fd12:3456:789a:1::1", Verdict::Pass),
            ("fd12:3456:789a:2::1", Verdict::Refuse),
        ] {
            assert_eq!(judge(&policy, to), expected, "{to}");
        }
    }

    proptest! {
        #[test]
        fn nothing_passes_where_ipv6_is_off(to: u128, port: u16, opened: bool) {
            let policy = Policy { ipv6: false, ..if opened { on(&["::/0"], &[], &[]) } else { Policy::default() } };
            prop_assert_eq!(policy.judge(Ipv6Addr::from(to).into()), Verdict::Drop);
            prop_assert_eq!(policy.judge_port(Ipv6Addr::from(to).into(), port), Verdict::Drop);
        }

        /// However an address of IPv4 is written, it opens nothing.
        #[test]
        fn no_form_of_an_ipv4_address_passes(v4: u32, form in 0..6_usize) {
            let v4 = u128::from(v4);
            let forms = [
                v4,
                0xffff << 32 | v4,
                0xffff << 48 | v4,
                0x64_ff9b << 96 | v4,
                0x64_ff9b_0001 << 80 | v4,
                0x2002 << 112 | v4 << 80 | 1,
            ];
            let to = Ipv6Addr::from(forms[form]).into();
            prop_assert_eq!(on(&["::/0"], &[], &[]).judge(to), Verdict::Refuse);
        }
    }
}
