//! The control group of a jailed machine: how much memory and how many threads it may take (`cgroups(7)`).
//!
//! The jailer makes it, below the first hierarchy of that version in the table of mounts. Each machine's lies in a group
//! of its own name, so that removing one is in no other start's way:
//!
//! ```text
//!  version 2   <hierarchy>/banger-<id>/<id>/          memory.max, pids.max
//!  version 1   <memory's hierarchy>/banger-<id>/<id>/ memory.limit_in_bytes
//!              <pids' hierarchy>/banger-<id>/<id>/    pids.max
//! ```

use std::fs;
use std::path::PathBuf;

use crate::MachineSpec;
use crate::groups::remove_group;

/// Where a process finds what is mounted.
const MOUNTS: &str = "/proc/self/mounts";
/// Memory that Firecracker takes beside the guest's, with room to spare, and threads beside one a processor.
const OWN_MEMORY_MIB: u64 = 256;
const OWN_THREADS: u32 = 16;

/// How often a group that is busy is tried to be removed.
const TRIES: usize = 20;

/// What this host counts memory and threads with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ControlGroups {
    /// One hierarchy for both.
    Two(PathBuf),
    /// One for each.
    One { memory: PathBuf, pids: PathBuf },
    /// It does not, or not both.
    None,
}

impl ControlGroups {
    /// This host's.
    pub(super) fn of_host() -> Self {
        Self::among(&fs::read_to_string(MOUNTS).unwrap_or_default())
    }

    fn among(mounts: &str) -> Self {
        let lines = || mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let first = |kind: &str, option: &str| {
            lines().find_map(|fields| match fields[..] {
                [_, place, found, options, ..]
                    if found == kind
                        && (option.is_empty() || options.split(',').any(|given| given == option)) =>
                {
                    Some(PathBuf::from(place))
                }
                _ => None,
            })
        };
        // A host that has both versions counts each thing with one of them.
        if let Some(hierarchy) = first("cgroup2", "") {
            let counted = fs::read_to_string(hierarchy.join("cgroup.controllers")).unwrap_or_default();
            let counts = |name: &str| counted.split_whitespace().any(|counted| counted == name);
            if counts("memory") && counts("pids") {
                return Self::Two(hierarchy);
            }
        }
        match (first("cgroup", "memory"), first("cgroup", "pids")) {
            (Some(memory), Some(pids)) => Self::One { memory, pids },
            _ => Self::None,
        }
    }

    /// What the jailer is told of the limits of that machine, which it knows by `name`.
    pub(super) fn arguments(&self, name: &str, spec: &MachineSpec) -> Vec<String> {
        let memory = (spec.memory_mib + OWN_MEMORY_MIB) << 20;
        let threads = spec.vcpu + OWN_THREADS;
        let (version, memory_file) = match self {
            Self::Two(_) => (2, "memory.max"),
            Self::One { .. } => (1, "memory.limit_in_bytes"),
            Self::None => return Vec::new(),
        };
        [
            ("--parent-cgroup", parent(name)),
            ("--cgroup-version", version.to_string()),
            ("--cgroup", format!("{memory_file}={memory}")),
            ("--cgroup", format!("pids.max={threads}")),
        ]
        .into_iter()
        .flat_map(|(option, value)| [option.to_owned(), value])
        .collect()
    }

    /// Removes the groups of a machine whose processes have ended. Fine if there are none.
    pub(super) fn remove(&self, name: &str) {
        let hierarchies: &[&PathBuf] = match self {
            Self::Two(hierarchy) => &[hierarchy],
            Self::One { memory, pids } => &[memory, pids],
            Self::None => &[],
        };
        for hierarchy in hierarchies {
            let outer = hierarchy.join(parent(name));
            for group in [outer.join(name), outer] {
                remove_group(&group, TRIES);
            }
        }
    }
}

fn parent(name: &str) -> String {
    format!("banger-{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> MachineSpec {
        MachineSpec {
            id: String::new(),
            folder: PathBuf::new(),
            vcpu: 2,
            memory_mib: 1024,
            kernel: PathBuf::new(),
            initramfs: PathBuf::new(),
            command_line: String::new(),
            drives: Vec::new(),
            network: None,
        }
    }

    #[test]
    fn the_hierarchies_that_count_memory_and_threads_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let unified = folder.path().display().to_string();
        let controllers = folder.path().join("cgroup.controllers");
        let two = format!("cgroup2 {unified} cgroup2 rw,nsdelegate 0 0\n");
        let one = "tmpfs /c tmpfs rw 0 0\ncgroup /c/memory cgroup rw,memory 0 0\ncgroup /c/p cgroup rw,net,pids 0 0\n";
        let of_one = ControlGroups::One {
            memory: "/c/memory".into(),
            pids: "/c/p".into(),
        };
        fs::write(&controllers, "cpu memory pids\n").unwrap();
        assert_eq!(ControlGroups::among(&two), ControlGroups::Two(unified.into()));
        // A hybrid host: the second version is there, and counts something else.
        fs::write(&controllers, "hugetlb\n").unwrap();
        assert_eq!(ControlGroups::among(&format!("{one}{two}")), of_one);
        assert_eq!(ControlGroups::among(&two), ControlGroups::None);
        assert_eq!(
            ControlGroups::among("cgroup /c cgroup rw,memory 0 0\n"),
            ControlGroups::None
        );
        assert_eq!(ControlGroups::among("what is this\n"), ControlGroups::None);
    }

    #[test]
    fn limits_follow_the_machines_shape_where_the_host_can_hold_them() {
        let limits = |groups: ControlGroups| groups.arguments("a-vm", &spec()).join(" ");
        assert_eq!(
            limits(ControlGroups::Two("/c".into())),
            "--parent-cgroup banger-a-vm --cgroup-version 2 --cgroup memory.max=1342177280 --cgroup pids.max=18"
        );
        let one = ControlGroups::One {
            memory: "/m".into(),
            pids: "/p".into(),
        };
        assert_eq!(
            limits(one),
            "--parent-cgroup banger-a-vm --cgroup-version 1 --cgroup memory.limit_in_bytes=1342177280 --cgroup \
             pids.max=18"
        );
        assert_eq!(limits(ControlGroups::None), "");
    }
}
