//! Where the control groups of machines can be made, so that they end with nothing that a VM outlives.
//!
//! ```text
//!  systemd, root or a user that lingers    a scope that systemd delegates, apart from logins: systemd.rs
//!  systemd, a user that does not linger    nowhere: all of a user's groups end with the last login
//!  no systemd, root, version 2             /sys/fs/cgroup/banger, unless something bounds this daemon's group
//!  no systemd, root, version 1             `banger` below this daemon's own groups
//!  no systemd, a user                      nowhere
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use rustix::process::geteuid;
use tokio::sync::OnceCell;

use super::systemd;

/// What groups of machines lie in, where no scope of systemd's does it.
pub(super) const OURS: &str = "banger";

/// Where groups of machines are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// One folder of version 2, whose children count memory and threads.
    Two(PathBuf),
    /// A folder of version 1 for each: memory, threads and, where it is there, processors.
    One(Vec<PathBuf>),
}

/// What is counted, the indispensable first.
const NEEDED: [&str; 2] = ["memory", "pids"];
const ADDED: [&str; 1] = ["cpu"];

impl Place {
    pub(super) fn version(&self) -> u32 {
        match self {
            Self::Two(_) => 2,
            Self::One(_) => 1,
        }
    }

    /// What the groups of machines lie in.
    pub(super) fn folders(&self) -> &[PathBuf] {
        match self {
            Self::Two(folder) => std::slice::from_ref(folder),
            Self::One(folders) => folders,
        }
    }

    /// The groups of a machine of that name.
    pub(super) fn groups(&self, name: &str) -> Vec<PathBuf> {
        self.folders().iter().map(|folder| folder.join(name)).collect()
    }

    /// Makes the place, which goes with the last machine, where it is not systemd's to make.
    pub(super) fn prepare(&self) -> io::Result<()> {
        match self {
            Self::Two(folder) if !is_ours(folder) => Err(io::ErrorKind::NotFound.into()),
            Self::Two(folder) => fs::create_dir_all(folder).and_then(|()| count(folder)),
            Self::One(folders) => folders.iter().try_for_each(fs::create_dir_all),
        }
    }
}

/// Whether it is a group that banger itself makes and removes.
pub(super) fn is_ours(group: &Path) -> bool {
    group.ends_with(OURS)
}

/// This daemon's place, or why there is none. Asked for once.
pub(super) async fn place() -> &'static Result<Place, String> {
    static PLACE: OnceCell<Result<Place, String>> = OnceCell::const_new();
    PLACE
        .get_or_init(|| async {
            let found = tokio::task::spawn_blocking(|| Host::this().place()).await;
            let found = found.unwrap_or_else(|error| Err(error.to_string()));
            match &found {
                Ok(place) => tracing::debug!(?place, "VMs get control groups"),
                Err(reason) => tracing::info!(reason, "VMs get no control groups"),
            }
            found
        })
        .await
}

/// Whether machines of this user's get groups on this host, as far as it can be told without asking for one: where, or
/// why not.
///
/// # Errors
/// Why not, in one line.
pub fn outlook() -> Result<&'static str, String> {
    Host::this().outlook()
}

/// What there is to know of a host.
pub(super) struct Host {
    /// `/`, or what stands for it.
    pub(super) root: PathBuf,
    pub(super) user: u32,
}

impl Host {
    pub(super) fn this() -> Self {
        Self {
            root: "/".into(),
            user: geteuid().as_raw(),
        }
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.join(path)).unwrap_or_default()
    }

    /// The way in which groups are had here.
    fn way(&self) -> Result<Way, String> {
        let hierarchies = Hierarchies::of(&self.read("proc/self/mounts"));
        let counts = |folder: &Path| {
            let counted = fs::read_to_string(folder.join("cgroup.controllers")).unwrap_or_default();
            NEEDED
                .iter()
                .all(|needed| counted.split_whitespace().any(|name| name == *needed))
        };
        let two = hierarchies.two.filter(|folder| counts(folder));
        if self.root.join("run/systemd/system").exists() {
            let two = two.ok_or("systemd counts by control groups of version 1 here, and delegates none")?;
            systemd::may_be_asked(self)?;
            return Ok(Way::Systemd(two));
        }
        if self.user != 0 {
            return Err("this host has no systemd, which gives groups to users".into());
        }
        let own = self.read("proc/self/cgroup");
        if let Some(folder) = two {
            let own = own_group(&own, "").unwrap_or_default();
            if let Some(bound) = bound_above(&folder, &own) {
                return Err(format!("this daemon is bounded itself, by {}", bound.display()));
            }
            changeable(&folder)?;
            return Ok(Way::Two(folder.join(OURS)));
        }
        let mut folders = Vec::new();
        for (name, folder) in hierarchies.one {
            let below = own_group(&own, &name).unwrap_or_default();
            let below = folder.join(below.trim_start_matches('/'));
            // In a container, the group's name may be that of the host.
            let own = if below.is_dir() { below } else { folder };
            changeable(&own)?;
            folders.push((name, own.join(OURS)));
        }
        let found = |name: &&str| folders.iter().any(|(found, _)| found == *name);
        if !NEEDED.iter().all(found) {
            return Err("this host counts no memory and threads by control groups".into());
        }
        Ok(Way::One(folders.into_iter().map(|(_, folder)| folder).collect()))
    }

    fn outlook(&self) -> Result<&'static str, String> {
        Ok(match self.way()? {
            Way::Systemd(_) => "delegated by systemd",
            Way::Two(_) => "made by root",
            Way::One(_) => "made by root, of version 1",
        })
    }

    fn place(&self) -> Result<Place, String> {
        match self.way()? {
            Way::Systemd(hierarchy) => systemd::ask(self, &hierarchy).map(Place::Two),
            Way::Two(folder) => {
                let root = folder.parent().unwrap_or(Path::new("/"));
                let cannot = |error: io::Error| format!("{}: {error}", root.display());
                count(root).map_err(cannot)?;
                let place = Place::Two(folder.clone());
                place.prepare().map_err(cannot)?;
                Ok(place)
            }
            Way::One(folders) => Ok(Place::One(folders)),
        }
    }
}

/// Whether groups can be made in this one: in a container, often not.
fn changeable(group: &Path) -> Result<(), String> {
    let access = rustix::fs::access(group, Access::WRITE_OK);
    access.map_err(|error| format!("no group can be made in {} ({error})", group.display()))
}

/// How groups are had.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    Systemd(PathBuf),
    Two(PathBuf),
    One(Vec<PathBuf>),
}

/// Has the children of a group counted.
pub(super) fn count(group: &Path) -> io::Result<()> {
    let file = group.join("cgroup.subtree_control");
    let add = |name: &str| fs::write(&file, format!("+{name}"));
    NEEDED.iter().try_for_each(|name| add(name))?;
    for name in ADDED {
        let _ = add(name);
    }
    Ok(())
}

/// What is mounted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Hierarchies {
    two: Option<PathBuf>,
    /// What each of version 1 counts, one entry for each thing; those that are not of use are left out.
    one: Vec<(String, PathBuf)>,
}

impl Hierarchies {
    fn of(mounts: &str) -> Self {
        let mut found = Self::default();
        for line in mounts.lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            let [_, place, kind, options, ..] = fields[..] else {
                continue;
            };
            match kind {
                "cgroup2" => found.two = found.two.or_else(|| Some(place.into())),
                "cgroup" => {
                    let counted = options
                        .split(',')
                        .find(|option| NEEDED.contains(option) || ADDED.contains(option));
                    if let Some(name) = counted
                        && found.one.iter().all(|(other, _)| other != name)
                    {
                        found.one.push((name.into(), place.into()));
                    }
                }
                _ => {}
            }
        }
        found
    }
}

/// A process's own group by `/proc/self/cgroup`: of what counts `name`, or of version 2 where that is empty.
pub(super) fn own_group(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let counted = fields.next()?;
        let group = fields.next()?;
        let is = if name.is_empty() {
            counted.is_empty()
        } else {
            counted.split(',').any(|counted| counted == name)
        };
        is.then(|| group.to_owned())
    })
}

/// The setting that bounds the group `own` of this process or one above it. A VM's group apart from it would not be
/// bounded by that.
fn bound_above(hierarchy: &Path, own: &str) -> Option<PathBuf> {
    let mut group = hierarchy.join(own.trim_start_matches('/'));
    while group.starts_with(hierarchy) && group != hierarchy {
        for file in ["memory.max", "pids.max"] {
            let path = group.join(file);
            let limit = fs::read_to_string(&path).unwrap_or_default();
            if !matches!(limit.trim(), "" | "max") {
                return Some(path);
            }
        }
        group.pop();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_ONE: &str = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup CGROUP/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n\
                          cgroup CGROUP/memory cgroup rw,memory 0 0\ncgroup CGROUP/pids cgroup rw,pids 0 0\n\
                          cgroup CGROUP/freezer cgroup rw,freezer 0 0\n";
    const OF_TWO: &str = "cgroup2 CGROUP cgroup2 rw,nsdelegate 0 0\n";

    /// A host made of files.
    fn host(mounts: &str, own: &str, user: u32) -> (tempfile::TempDir, Host) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        let groups = root.join("cgroup");
        let below = ["memory/inner", "limited/inner", "pids", "cpu,cpuacct"].map(|name| groups.join(name));
        for made in below.into_iter().chain([root.join("proc/self")]) {
            fs::create_dir_all(made).unwrap();
        }
        fs::write(groups.join("cgroup.controllers"), "cpuset cpu io memory pids\n").unwrap();
        let mounts = mounts.replace("CGROUP", groups.to_str().unwrap());
        fs::write(root.join("proc/self/mounts"), mounts).unwrap();
        fs::write(root.join("proc/self/cgroup"), own).unwrap();
        (folder, Host { root, user })
    }

    #[test]
    fn root_makes_groups_below_its_own_where_the_first_version_counts() {
        let own = "4:memory:/inner\n3:pids:/not-to-be-seen-here\n2:cpu,cpuacct:/\n0::/\n";
        let (folder, host) = host(OF_ONE, own, 0);
        let at = |path: &str| folder.path().join("cgroup").join(path);
        assert_eq!(
            host.way(),
            Ok(Way::One(vec![
                at("cpu,cpuacct/banger"),
                at("memory/inner/banger"),
                at("pids/banger")
            ]))
        );
        assert_eq!(host.outlook(), Ok("made by root, of version 1"));
    }

    #[test]
    fn root_makes_groups_of_the_second_version_unless_it_is_bounded_itself() {
        let (folder, host) = host(OF_TWO, "0::/limited/inner\n", 0);
        let groups = folder.path().join("cgroup");
        assert_eq!(host.way(), Ok(Way::Two(groups.join("banger"))));
        fs::write(groups.join("limited/memory.max"), "max\n").unwrap();
        assert_eq!(host.outlook(), Ok("made by root"));
        fs::write(groups.join("limited/pids.max"), "100\n").unwrap();
        let reason = host.way().unwrap_err();
        assert!(reason.ends_with("cgroup/limited/pids.max"), "{reason}");
    }

    #[test]
    fn a_host_that_counts_nothing_is_said_to() {
        for mounts in [
            "",
            "what is this\n",
            "cgroup CGROUP/memory cgroup rw,memory 0 0\n",
        ] {
            let (_folder, host) = host(mounts, "", 0);
            let reason = host.way().unwrap_err();
            assert_eq!(reason, "this host counts no memory and threads by control groups");
        }
        let (folder, host) = host(OF_TWO, "0::/\n", 0);
        fs::write(folder.path().join("cgroup/cgroup.controllers"), "hugetlb\n").unwrap();
        assert!(host.way().is_err());
    }

    #[test]
    fn a_user_gets_groups_of_systemd_alone() {
        let (_folder, host) = host(OF_TWO, "0::/\n", 1000);
        let reason = host.way().unwrap_err();
        assert_eq!(reason, "this host has no systemd, which gives groups to users");
    }

    #[test]
    fn without_lingering_groups_would_end_with_the_login() {
        let (folder, host) = host(OF_TWO, "0::/user.slice\n", 1000);
        let make = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        make("run/systemd/system/x", "");
        assert!(host.way().unwrap_err().contains("logged in"));
        make("run/systemd/users/1000", "# Private\nNAME=anna\nSTATE=active\n");
        let reason = host.way().unwrap_err();
        assert!(reason.contains("loginctl enable-linger"), "{reason}");
        make("var/lib/systemd/linger/anna", "");
        assert!(host.way().unwrap_err().contains("bus"));
        make("run/user/1000/bus", "");
        assert_eq!(host.outlook(), Ok("delegated by systemd"));
        // Somebody else's lingering is no help.
        make("run/systemd/users/1000", "NAME=bert\n");
        assert!(host.way().is_err());
    }

    #[test]
    fn systemd_with_the_first_version_delegates_nothing() {
        let (folder, host) = host(OF_ONE, "4:memory:/\n", 0);
        fs::create_dir_all(folder.path().join("run/systemd/system")).unwrap();
        assert!(host.way().unwrap_err().contains("version 1"));
    }
}
