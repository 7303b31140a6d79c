//! Host name and machine id: in the kernel, and in the files that the image's init reads.

use std::fs;
use std::io;
use std::path::Path;

use super::files::{about, read, replace};

/// What a hosts file says that does not exist yet.
const HOSTS: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";

/// The address of a host's own name where the host has no permanent one (Debian's habit, and netplan's).
const OWN_ADDRESS: &str = "127.0.1.1";

/// Names the machine.
pub(super) fn set_hostname(root: &Path, name: &str) -> io::Result<()> {
    rustix::system::sethostname(name.as_bytes())?;
    write_hostname(root, name)
}

fn write_hostname(root: &Path, name: &str) -> io::Result<()> {
    let path = root.join("etc/hostname");
    replace(&path, format!("{name}\n").as_bytes(), 0o644).map_err(about(&path))?;
    let path = root.join("etc/hosts");
    let hosts = read(&path).map_err(about(&path))?;
    replace(&path, &hosts_with(&hosts, name), 0o644).map_err(about(&path))
}

/// The hosts file with this machine's line in it, once.
fn hosts_with(hosts: &[u8], name: &str) -> Vec<u8> {
    let hosts = if hosts.is_empty() { HOSTS.as_bytes() } else { hosts };
    let own = format!("{OWN_ADDRESS}\t{name}\n");
    let mut new = Vec::with_capacity(hosts.len() + own.len());
    for line in hosts.split_inclusive(|&byte| byte == b'\n') {
        let address = line.split(u8::is_ascii_whitespace).find(|word| !word.is_empty());
        if address != Some(OWN_ADDRESS.as_bytes()) {
            new.extend_from_slice(line);
        }
    }
    if new.last().is_some_and(|&byte| byte != b'\n') {
        new.push(b'\n');
    }
    new.extend_from_slice(own.as_bytes());
    new
}

/// Gives the machine its id, before the image's init would make one up.
pub(super) fn set_machine_id(root: &Path, id: &str) -> io::Result<()> {
    let line = format!("{id}\n");
    let path = root.join("etc/machine-id");
    replace(&path, line.as_bytes(), 0o444).map_err(about(&path))?;
    // D-Bus has a copy of its own where that is not a link to the first.
    let copy = root.join("var/lib/dbus/machine-id");
    if fs::symlink_metadata(&copy).is_ok_and(|found| found.is_file()) {
        replace(&copy, line.as_bytes(), 0o444).map_err(about(&copy))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_finds_its_own_name_whatever_it_was_called_before() {
        let root = tempfile::tempdir().unwrap();
        let hosts = root.path().join("etc/hosts");
        write_hostname(root.path(), "first").unwrap();
        assert_eq!(
            fs::read_to_string(&hosts).unwrap(),
            format!("{HOSTS}127.0.1.1\tfirst\n")
        );

        fs::write(&hosts, "10.0.0.9 db\n127.0.1.1 old older\n# end").unwrap();
        for _ in 0..2 {
            write_hostname(root.path(), "second").unwrap();
            assert_eq!(
                fs::read_to_string(&hosts).unwrap(),
                "10.0.0.9 db\n# end\n127.0.1.1\tsecond\n"
            );
        }
        assert_eq!(
            fs::read_to_string(root.path().join("etc/hostname")).unwrap(),
            "second\n"
        );
    }

    #[test]
    fn the_machine_id_is_the_hosts_wherever_the_image_keeps_one() {
        let root = tempfile::tempdir().unwrap();
        let id = "0123456789abcdef0123456789abcdef";
        for folder in ["etc", "var/lib/dbus"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
            fs::write(root.path().join(folder).join("machine-id"), "of the image\n").unwrap();
        }
        set_machine_id(root.path(), id).unwrap();
        for path in ["etc/machine-id", "var/lib/dbus/machine-id"] {
            assert_eq!(
                fs::read_to_string(root.path().join(path)).unwrap(),
                format!("{id}\n"),
                "{path}"
            );
        }
    }
}
