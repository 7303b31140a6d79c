//! Whose sockets they are: the descriptors of every process, each a link `socket:[inode]` (proc_pid_fd(5)).

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

use guest::Process;

/// Most processes looked at, and most descriptors of each.
const MAX_PROCESSES: usize = 8192;
const MAX_DESCRIPTORS: usize = 4096;

/// Most links read in all: a guest that is full of them still gets its answer.
const MAX_LINKS: usize = 200_000;

/// Longest name of a process, in bytes, as the kernel keeps it (`TASK_COMM_LEN`, with room to spare).
const LONGEST_NAME: usize = 64;

/// The process that holds each of these sockets; where several do, the one with the lowest id.
pub(super) fn find(proc: &Path, mut wanted: HashSet<u64>) -> HashMap<u64, Process> {
    let mut owners = HashMap::new();
    let mut links = 0;
    for pid in processes(proc) {
        if wanted.is_empty() || links >= MAX_LINKS {
            break;
        }
        // One that has ended meanwhile holds nothing.
        let Ok(descriptors) = fs::read_dir(proc.join(pid.to_string()).join("fd")) else {
            continue;
        };
        let mut name = None;
        for descriptor in descriptors.take(MAX_DESCRIPTORS).flatten() {
            links += 1;
            let Ok(target) = fs::read_link(descriptor.path()) else {
                continue;
            };
            let inode = target.to_str().and_then(parse_socket);
            if let Some(inode) = inode.filter(|inode| wanted.remove(inode)) {
                let name = name.get_or_insert_with(|| name_of(proc, pid)).clone();
                owners.insert(inode, Process { pid, name });
            }
        }
    }
    owners
}

/// The ids of the processes there are, lowest first.
fn processes(proc: &Path) -> Vec<u32> {
    let entries = fs::read_dir(proc).into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut ids: Vec<u32> = ids.take(MAX_PROCESSES).collect();
    ids.sort_unstable();
    ids
}

fn parse_socket(target: &str) -> Option<u64> {
    target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

fn name_of(proc: &Path, pid: u32) -> String {
    let mut name = fs::read(proc.join(pid.to_string()).join("comm")).unwrap_or_default();
    name.truncate(LONGEST_NAME);
    String::from_utf8_lossy(name.strip_suffix(b"\n").unwrap_or(&name)).into_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_socket_is_its_first_holders() {
        let proc = tempfile::tempdir().unwrap();
        for (pid, name, links) in [
            ("12", "second\n", &["socket:[7]", "/dev/null"][..]),
            ("3", "fir\x1bst\n", &["pipe:[7]", "socket:[7]", "socket:[8]"]),
            ("self", "none\n", &["socket:[9]"]),
        ] {
            let descriptors = proc.path().join(pid).join("fd");
            fs::create_dir_all(&descriptors).unwrap();
            fs::write(proc.path().join(pid).join("comm"), name).unwrap();
            for (number, link) in links.iter().enumerate() {
                symlink(link, descriptors.join(number.to_string())).unwrap();
            }
        }
        let owners = find(proc.path(), [7, 8, 9, 10].into());
        let first = Process {
            pid: 3,
            name: "fir\x1bst".into(),
        };
        assert_eq!(owners, [(7, first.clone()), (8, first)].into());
    }

    #[test]
    fn only_a_socket_is_one() {
        for (target, inode) in [
            ("socket:[123]", Some(123)),
            ("socket:[]", None),
            ("socket:[-1]", None),
            ("socket:[99999999999999999999]", None),
            ("/tmp/socket:[1]", None),
        ] {
            assert_eq!(parse_socket(target), inode, "{target}");
        }
    }
}
