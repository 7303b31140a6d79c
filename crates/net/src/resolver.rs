//! The host's resolver, which the guest's stands for.

use std::fs;
use std::net::Ipv4Addr;

/// Where hosts keep their settings for it (`resolv.conf(5)`).
const SETTINGS: &str = "/etc/resolv.conf";

/// The first resolver of the host's that has an IPv4 address; `None` where it has none.
pub(crate) fn of_host() -> Option<Ipv4Addr> {
    first_of(&fs::read(SETTINGS).ok()?)
}

fn first_of(settings: &[u8]) -> Option<Ipv4Addr> {
    String::from_utf8_lossy(settings).lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next() == Some("nameserver")).then_some(())?;
        words.next()?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_ipv4_is_found() {
        for (settings, expected) in [
            (
                &b"nameserver 127.0.0.53\nnameserver 1.1.1.1\n"[..],
                Some([127, 0, 0, 53]),
            ),
            (
                b"# nameserver 9.9.9.9\nsearch a\n\tnameserver\t10.0.0.1 # its own",
                Some([10, 0, 0, 1]),
            ),
            (
                b"nameserver ::1\nnameserver fe80::1%eth0\nnameserver 8.8.8.8",
                Some([8, 8, 8, 8]),
            ),
            (
                b"nameserver\nnameservers 1.1.1.1\n\xff\xfe\nnameserver 1.1.1\n",
                None,
            ),
            (b"", None),
        ] {
            assert_eq!(first_of(settings), expected.map(Ipv4Addr::from), "{settings:?}");
        }
    }
}
