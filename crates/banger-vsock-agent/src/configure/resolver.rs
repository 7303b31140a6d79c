//! `/etc/resolv.conf`: the agent's own, whatever the image had there.

use std::fmt::Write;
use std::io;
use std::path::Path;

use guest::GuestNetwork;

use super::files::{about, replace};

/// Names the resolvers, and the domains in which short names are looked for.
pub(super) fn write(root: &Path, network: &GuestNetwork) -> io::Result<()> {
    let mut content = String::from("# Written by banger at each start.\n");
    let mut line = |line: std::fmt::Arguments<'_>| writeln!(content, "{line}").map_err(io::Error::other);
    if !network.search.is_empty() {
        line(format_args!("search {}", network.search.join(" ")))?;
    }
    if let Some(dots) = network.ndots {
        line(format_args!("options ndots:{dots}"))?;
    }
    for resolver in &network.dns {
        line(format_args!("nameserver {resolver}"))?;
    }
    let path = root.join("etc/resolv.conf");
    replace(&path, content.as_bytes(), 0o644).map_err(about(&path))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_link_is_replaced_and_what_it_led_to_stays() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        fs::write(root.path().join("stub"), "stub\n").unwrap();
        let path = root.path().join("etc/resolv.conf");
        for target in ["../stub", "/run/not/there"] {
            let _ = fs::remove_file(&path);
            std::os::unix::fs::symlink(target, &path).unwrap();
            let network = GuestNetwork {
                address: [10, 0, 2, 15].into(),
                prefix: 24,
                gateway: [10, 0, 2, 2].into(),
                dns: vec!["10.0.2.3".parse().unwrap(), "fd00::3".parse().unwrap()],
                search: vec!["corp.example".into(), "lab".into()],
                ndots: Some(3),
                mtu: None,
                ipv6: None,
            };
            write(root.path(), &network).unwrap();
            assert!(fs::symlink_metadata(&path).unwrap().is_file());
            let content = fs::read_to_string(&path).unwrap();
            assert!(
                content.ends_with(
                    "\nsearch corp.example lab\noptions ndots:3\nnameserver 10.0.2.3\nnameserver fd00::3\n"
                ),
                "{content}"
            );
        }
        assert_eq!(fs::read_to_string(root.path().join("stub")).unwrap(), "stub\n");
    }
}
