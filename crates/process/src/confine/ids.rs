//! Who a confined process is on the host.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{Gid, Uid, getegid, geteuid};
use rustix::thread::{CapabilitySet, capabilities};

use super::{Confinement, Rights, What};

/// Ids that neither distributions nor containers hand out (<https://systemd.io/UIDS-GIDS>): the lowest of those for a
/// process each, and how many.
const FIRST: u32 = 0x7000_0000;
const COUNT: u32 = 0x0f00_0000;
/// Behind them those that are given away by ranges: the lowest, and how many ranges.
pub(super) const RANGES: (u32, u32) = (FIRST + COUNT, 0xfe);
/// Who owns nothing, where this process itself knows fewer ids.
const NOBODY: u32 = 65534;
/// Who it is inside, unless it is to look like outside. Not 0, for which the system would make exceptions.
const INSIDE: u32 = 1000;

/// Ids of a confined process.
#[derive(Debug)]
pub(crate) struct Ids {
    /// Whether this process may do all that is needed by itself. Otherwise the user namespace comes first, and the
    /// rest is done with the rights that it gives.
    pub(super) privileged: bool,
    /// Who to become, for the privileged.
    pub(super) other: Option<Other>,
    /// Who it knows itself as, in a user namespace.
    inside: (u32, u32),
    /// Lines for `/proc/self/uid_map` and `gid_map` (`user_namespaces(7)`).
    pub(super) uid_map: String,
    pub(super) gid_map: String,
}

/// Who root becomes.
#[derive(Clone, Debug)]
pub(crate) struct Other {
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    /// Those that the devices are open to.
    pub(super) groups: Vec<Gid>,
}

impl Ids {
    pub(super) fn choose(confinement: &Confinement) -> io::Result<Self> {
        let (uid, gid) = (geteuid(), getegid());
        let privileged = is_privileged()?;
        let other = match confinement.user {
            _ if !privileged => None,
            Some((user, group)) => Other::named(user, group),
            None => Other::choose(confinement)?,
        };
        let (uid, gid) = other.as_ref().map_or((uid, gid), |other| (other.uid, other.gid));
        let (uid, gid) = (uid.as_raw(), gid.as_raw());
        let inside = confinement.user.map_or((INSIDE, INSIDE), |_| (uid, gid));
        Ok(Self {
            privileged,
            other,
            inside,
            uid_map: format!("{} {uid} 1", inside.0),
            gid_map: format!("{} {gid} 1", inside.1),
        })
    }

    /// Who the process becomes, as it knows itself before it gives its rights up.
    pub(super) fn user(&self) -> u32 {
        match &self.other {
            Some(other) => other.uid.as_raw(),
            None if self.privileged => 0,
            None => self.inside.0,
        }
    }
}

/// Whether this process may confine another without a user namespace.
pub(super) fn is_privileged() -> io::Result<bool> {
    let needed = CapabilitySet::SYS_ADMIN
        | CapabilitySet::SETUID
        | CapabilitySet::SETGID
        | CapabilitySet::SETPCAP
        | CapabilitySet::DAC_OVERRIDE;
    Ok(geteuid().is_root() && capabilities(None)?.effective.contains(needed))
}

/// The id of its own for a number.
pub(super) fn own(number: u32) -> u32 {
    FIRST + number % COUNT
}

/// The id of its own for a number, if this process may give it away.
pub(super) fn to_become(number: u32) -> io::Result<Option<u32>> {
    let id = own(number);
    Ok((is_privileged()? && knows(id)?).then_some(id))
}

/// Whether this process knows an id, of users and of groups.
fn knows(id: u32) -> io::Result<bool> {
    let known = [
        fs::read_to_string("/proc/self/uid_map")?,
        fs::read_to_string("/proc/self/gid_map")?,
    ];
    Ok(known.iter().all(|map| has(map, id)))
}

impl Other {
    /// `None` for root, who need not change.
    pub(super) fn named(user: u32, group: u32) -> Option<Self> {
        (user != 0).then(|| Self {
            uid: Uid::from_raw(user),
            gid: Gid::from_raw(group),
            groups: Vec::new(),
        })
    }

    /// `None` where some of what is shown is open to this process only, or it knows no other ids.
    fn choose(confinement: &Confinement) -> io::Result<Option<Self>> {
        let Some(groups) = groups(confinement)? else {
            return Ok(None);
        };
        let id = [own(confinement.number), NOBODY]
            .into_iter()
            .find_map(|id| knows(id).map(|known| known.then_some(id)).transpose())
            .transpose()?;
        Ok(id.map(|id| Self {
            uid: Uid::from_raw(id),
            gid: Gid::from_raw(id),
            groups,
        }))
    }
}

/// The groups with which somebody who owns nothing can use all that is shown; `None` if there are none.
fn groups(confinement: &Confinement) -> io::Result<Option<Vec<Gid>>> {
    let mut groups = Vec::new();
    for entry in &confinement.entries {
        if let What::Bound { source, rights, .. } = &entry.what {
            match open_to(source, *rights)? {
                OpenTo::Everyone => {}
                OpenTo::Group(group) => groups.push(group),
                OpenTo::Owner if confinement.never_root && *rights != Rights::Device => {
                    return Err(io::Error::other(format!(
                        "{} is open to its owner alone, and this does not run as root",
                        source.display()
                    )));
                }
                OpenTo::Owner => return Ok(None),
            }
        }
    }
    Ok(Some(groups))
}

#[derive(Debug, PartialEq, Eq)]
enum OpenTo {
    Everyone,
    Group(Gid),
    Owner,
}

fn open_to(path: &Path, rights: Rights) -> io::Result<OpenTo> {
    let metadata = path.metadata()?;
    let needed = match rights {
        Rights::Read if metadata.is_dir() => 0o5,
        Rights::Read => 0o4,
        Rights::Write | Rights::Own if metadata.is_dir() => 0o7,
        Rights::Write | Rights::Own | Rights::Device => 0o6,
    };
    let mode = metadata.mode();
    let group = Gid::from_raw(metadata.gid());
    Ok(if mode & needed == needed {
        OpenTo::Everyone
    } else if rights == Rights::Device && !group.is_root() && mode >> 3 & needed == needed {
        OpenTo::Group(group)
    } else {
        OpenTo::Owner
    })
}

/// Whether a map knows `id`: lines of first id inside, first id outside, count.
fn has(map: &str, id: u32) -> bool {
    has_range(map, id, 1)
}

/// Whether a map knows so many ids from `id` on, by one of its lines.
pub(super) fn has_range(map: &str, id: u32, wanted: u32) -> bool {
    map.lines().any(|line| {
        let mut numbers = line.split_ascii_whitespace().map(str::parse::<u32>);
        match (numbers.next(), numbers.nth(1)) {
            (Some(Ok(first)), Some(Ok(count))) => id
                .checked_sub(first)
                .and_then(|place| place.checked_add(wanted))
                .is_some_and(|end| end <= count),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn ids_are_looked_for_in_the_ranges_that_a_container_has() {
        let whole = "         0          0 4294967295\n";
        let container = "0 1000 1\n1 100000 65536\n";
        for (map, id, expected) in [
            (whole, FIRST, true),
            (whole, FIRST + COUNT - 1, true),
            (container, 0, true),
            (container, NOBODY, true),
            (container, 65537, false),
            (container, FIRST, false),
            ("", 0, false),
            ("0 0 x\n0 0\n", 0, false),
        ] {
            assert_eq!(has(map, id), expected, "{map:?} {id}");
        }
        for (map, id, wanted, expected) in [
            (whole, RANGES.0 + (RANGES.1 - 1) * 65536, 65536, true),
            (container, 1, 65536, true),
            (container, 2, 65536, false),
            (container, u32::MAX, 65536, false),
        ] {
            assert_eq!(has_range(map, id, wanted), expected, "{map:?} {id}");
        }
    }

    #[test]
    fn what_only_its_owner_may_use_is_told_from_what_others_may() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        for (mode, rights, expected) in [
            (0o644, Rights::Read, OpenTo::Everyone),
            (0o640, Rights::Read, OpenTo::Owner),
            (0o644, Rights::Write, OpenTo::Owner),
            (0o666, Rights::Write, OpenTo::Everyone),
            (0o666, Rights::Device, OpenTo::Everyone),
            (0o600, Rights::Device, OpenTo::Owner),
        ] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(open_to(&file, rights).unwrap(), expected, "{mode:o} {rights:?}");
        }
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o751)).unwrap();
        assert_eq!(open_to(folder.path(), Rights::Read).unwrap(), OpenTo::Owner);
        assert_eq!(open_to(Path::new("/"), Rights::Read).unwrap(), OpenTo::Everyone);
    }
}
