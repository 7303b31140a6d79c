//! `/etc/resolv.conf`: the agent's own, whatever the image had there.

use std::fmt::Write;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use super::files::{about, replace};

/// Names the resolvers.
pub(super) fn write(root: &Path, resolvers: &[IpAddr]) -> io::Result<()> {
    let mut content = String::from("# Written by banger at each start.\n");
    for resolver in resolvers {
        writeln!(content, "nameserver {resolver}").map_err(io::Error::other)?;
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
            write(
                root.path(),
                &["10.0.2.3".parse().unwrap(), "fd00::3".parse().unwrap()],
            )
            .unwrap();
            assert!(fs::symlink_metadata(&path).unwrap().is_file());
            let content = fs::read_to_string(&path).unwrap();
            assert!(
                content.ends_with("\nnameserver 10.0.2.3\nnameserver fd00::3\n"),
                "{content}"
            );
        }
        assert_eq!(fs::read_to_string(root.path().join("stub")).unwrap(), "stub\n");
    }
}
