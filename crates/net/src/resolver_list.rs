//! The list of the host's resolvers, a file in the VM's folder: written by the daemon, now and whenever the host's settings
//! change, and read by the relay, which can open no file and has this one open.
//!
//! It is written in place. Its first line holds a sum of the others, so that half of a new list is never taken for a whole.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::resolver::{HostResolver, MOST};

const NAME: &str = "resolvers";
/// Before the sum.
const MARK: &str = "resolvers ";
/// No list is longer.
const LONGEST: usize = 1024;
/// Rest between two looks at the host's settings.
const LOOK: Duration = Duration::from_secs(2);

/// Writes the list of a VM whose network is about to start, and opens it for the relay.
pub(crate) fn hand_over(folder: &Path, servers: &[SocketAddr]) -> io::Result<File> {
    let path = folder.join(NAME);
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)?;
    write(&file, servers)?;
    File::open(path)
}

/// Removes the list of a network that has ended.
pub(crate) fn remove(folder: &Path) {
    // One that stays does nothing, and goes with the VM.
    let _ = std::fs::remove_file(folder.join(NAME));
}

/// Follows the host's settings for a VM whose network runs, for as long as this is awaited: the relay asks the new resolvers
/// from then on. Settings without a usable resolver change nothing; they may be half written. Ends at once for a VM whose
/// network has no list.
pub async fn follow_resolvers(folder: PathBuf) {
    let Ok(file) = File::options().read(true).write(true).open(folder.join(NAME)) else {
        return;
    };
    let mut last = read(&file);
    loop {
        let now = HostResolver::read();
        if now.is_usable() && last.as_ref() != Some(&now.servers) {
            match write(&file, &now.servers) {
                Ok(()) => last = Some(now.servers),
                Err(error) => {
                    tracing::warn!(%error, "cannot give a VM's network the host's new resolvers");
                }
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn write(file: &File, servers: &[SocketAddr]) -> io::Result<()> {
    let text = text(servers);
    file.write_all_at(text.as_bytes(), 0)?;
    file.set_len(text.len() as u64)
}

fn text(servers: &[SocketAddr]) -> String {
    let lines: String = servers.iter().map(|server| format!("{server}\n")).collect();
    format!("{MARK}{:016x}\n{lines}", sum(lines.as_bytes()))
}

/// FNV-1a; against half a write, not against anybody.
fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The list as it is now; `None` where it is no whole one.
pub(crate) fn read(file: &File) -> Option<Vec<SocketAddr>> {
    let mut text = [0; LONGEST];
    let length = file.read_at(&mut text, 0).ok()?;
    let (first, lines) = std::str::from_utf8(&text[..length]).ok()?.split_once('\n')?;
    if u64::from_str_radix(first.strip_prefix(MARK)?, 16).ok()? != sum(lines.as_bytes()) {
        return None;
    }
    let servers: Option<Vec<SocketAddr>> = lines.lines().map(|line| line.parse().ok()).collect();
    servers.filter(|servers| servers.len() <= MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_list_that_is_written_again_is_read_by_who_has_it_open() {
        let folder = tempfile::tempdir().unwrap();
        let longest = "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255%4294967295]:53";
        for list in [
            servers(&[longest; MOST]),
            servers(&["[fe80::1%2]:53", "1.1.1.1:53"]),
            servers(&[]),
            servers(&["127.0.0.53:53"]),
        ] {
            let file = hand_over(folder.path(), &servers(&["9.9.9.9:53", "8.8.8.8:53"])).unwrap();
            hand_over(folder.path(), &list).unwrap();
            assert_eq!(read(&file), Some(list));
        }
    }

    #[test]
    fn half_a_list_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        let (one, other) = (
            text(&servers(&["1.1.1.1:53", "1.0.0.1:53"])),
            text(&servers(&["9.9.9.9:53"])),
        );
        for at in 0..one.len() {
            std::fs::write(&path, &one[..at]).unwrap();
            assert_eq!(read(&File::open(&path).unwrap()), None, "{at}");
            let end = other.get(at..).unwrap_or_default();
            let mixed = format!("{}{end}", &one[..at]);
            std::fs::write(&path, &mixed).unwrap();
            let whole = mixed == other || mixed == one;
            assert_eq!(read(&File::open(&path).unwrap()).is_some(), whole, "{at}");
        }
    }
}
