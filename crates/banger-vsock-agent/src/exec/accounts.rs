//! Users of the guest, read from its own files.
//!
//! Not by `getpwnam`: in a static binary that loads the image's name service modules.
//! Format: passwd(5), group(5). A line that does not decode is skipped, as the C library does.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Most bytes that are read of either file.
const MAX_FILE: u64 = 4 << 20;

/// Bytes that few of them have more of.
const USUAL: usize = 8 << 10;

/// Most supplementary groups of a process (`NGROUPS_MAX`).
const MAX_GROUPS: usize = 65536;

/// A user, with the groups that it is a member of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) name: OsString,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) home: PathBuf,
    /// As the file has it: may be empty, or not there.
    pub(super) shell: PathBuf,
    pub(super) groups: Vec<u32>,
}

impl Account {
    /// Root, for an image whose files do not name it.
    fn root() -> Self {
        Self {
            name: "root".into(),
            uid: 0,
            gid: 0,
            home: "/root".into(),
            shell: "/bin/sh".into(),
            groups: vec![0],
        }
    }

    /// A user that the image's files do not know.
    fn nameless(uid: u32) -> Self {
        Self {
            name: uid.to_string().into(),
            uid,
            gid: 0,
            home: "/".into(),
            shell: "/bin/sh".into(),
            groups: vec![0],
        }
    }

    /// Finds a user in the files below `root`: `name` or `uid`, and after a colon a group by name or gid in the place of
    /// the user's own groups, as container images name them. Root exists in every image, and so does every number: it
    /// then has no name, no home, and group 0.
    ///
    /// # Errors
    /// What reading the files fails with, other than that they are missing.
    pub(super) fn find(root: &Path, user: &str) -> io::Result<Option<Self>> {
        let (user, wanted_group) = match user.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (user, None),
        };
        let passwd = read(&root.join("etc/passwd"))?;
        let by_name = accounts(&passwd).find(|account| account.name == user);
        let uid = number(user.as_bytes()).filter(|uid| !user.is_empty() && *uid != u32::MAX);
        let found = match uid {
            Some(uid) if by_name.is_none() => accounts(&passwd)
                .find(|account| account.uid == uid)
                .or_else(|| (uid != 0).then(|| Self::nameless(uid))),
            _ => by_name,
        };
        let found = found.or_else(|| (user == "root" || user == "0").then(Self::root));
        let Some(mut account) = found else { return Ok(None) };
        let group = read(&root.join("etc/group"))?;
        if let Some(wanted) = wanted_group {
            let Some(gid) = gid_of(&group, wanted) else {
                return Ok(None);
            };
            account.gid = gid;
            account.groups = vec![gid];
        } else {
            account.groups = groups_of(&group, &account);
        }
        Ok(Some(account))
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    // With room from the start, most are read at once.
    let mut bytes = Vec::with_capacity(USUAL);
    file.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn fields<const N: usize>(line: &[u8]) -> Option<[&[u8]; N]> {
    let fields: Vec<&[u8]> = line.split(|&byte| byte == b':').collect();
    fields.try_into().ok()
}

fn number(field: &[u8]) -> Option<u32> {
    let digits = field.iter().all(u8::is_ascii_digit);
    str::from_utf8(field).ok().filter(|_| digits)?.parse().ok()
}

fn accounts(passwd: &[u8]) -> impl Iterator<Item = Account> {
    passwd.split(|&byte| byte == b'\n').filter_map(|line| {
        let [name, _, uid, gid, _, home, shell] = fields::<7>(line)?;
        // A path with a NUL in it is none.
        let sound = !name.is_empty() && !line.contains(&0);
        sound.then_some(())?;
        Some(Account {
            name: OsStr::from_bytes(name).to_owned(),
            uid: number(uid)?,
            gid: number(gid)?,
            home: Path::new(OsStr::from_bytes(home)).to_owned(),
            shell: Path::new(OsStr::from_bytes(shell)).to_owned(),
            groups: Vec::new(),
        })
    })
}

/// The number of a group that the files below `root` name.
pub(crate) fn group_id(root: &Path, name: &str) -> Option<u32> {
    gid_by_name(&read(&root.join("etc/group")).ok()?, name)
}

/// A group by its name, or by a number that need not be in the file.
fn gid_of(group: &[u8], wanted: &str) -> Option<u32> {
    let by_number = || number(wanted.as_bytes()).filter(|gid| *gid != u32::MAX);
    gid_by_name(group, wanted)
        .or_else(by_number)
        .filter(|_| !wanted.is_empty())
}

fn gid_by_name(group: &[u8], wanted: &str) -> Option<u32> {
    group.split(|&byte| byte == b'\n').find_map(|line| {
        let [name, _, gid, _] = fields::<4>(line)?;
        (name == wanted.as_bytes()).then(|| number(gid))?
    })
}

/// The account's own group, then those that list it as a member.
fn groups_of(group: &[u8], account: &Account) -> Vec<u32> {
    let mut groups = vec![account.gid];
    for line in group.split(|&byte| byte == b'\n') {
        let Some([_, _, gid, members]) = fields::<4>(line) else {
            continue;
        };
        let Some(gid) = number(gid) else { continue };
        let member = members
            .split(|&byte| byte == b',')
            .any(|member| member == account.name.as_bytes());
        if member && !groups.contains(&gid) && groups.len() < MAX_GROUPS {
            groups.push(gid);
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn root_with(passwd: &[u8], group: &[u8]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join("etc/passwd"), passwd).unwrap();
        std::fs::write(root.path().join("etc/group"), group).unwrap();
        root
    }

    #[test]
    fn users_are_found_by_name_and_by_number_with_their_groups() {
        let root = root_with(
            b"# comment\nroot:x:0:0:root:/root:/bin/bash\nbroken:x:7\nada:x:1000:1000:A,,,:/home/ada:/bin/zsh\n1000:x:5:5::/:\n",
            b"root:x:0:\nada:x:1000:\ndocker:x:999:bob,ada\nvideo:x:44:adam\nsudo:x:27:ada\n",
        );
        let ada = Account::find(root.path(), "ada").unwrap().unwrap();
        assert_eq!((ada.uid, ada.gid), (1000, 1000));
        assert_eq!(ada.home, Path::new("/home/ada"));
        assert_eq!(ada.shell, Path::new("/bin/zsh"));
        assert_eq!(ada.groups, [1000, 999, 27]);
        assert_eq!(Account::find(root.path(), "0").unwrap().unwrap().name, "root");
        // A name wins over a number, as with chown.
        assert_eq!(Account::find(root.path(), "1000").unwrap().unwrap().uid, 5);
        assert_eq!(Account::find(root.path(), "broken").unwrap(), None);
        assert_eq!(Account::find(root.path(), "4294967295").unwrap(), None);
        assert_eq!(Account::find(root.path(), "").unwrap(), None);
    }

    #[test]
    fn users_are_found_as_container_images_name_them() {
        let root = root_with(b"www:x:33:33::/srv:/bin/false\n", b"www:x:33:\nlog:x:4:www\n");
        let found = |user: &str| {
            let account = Account::find(root.path(), user).unwrap()?;
            Some((account.uid, account.groups))
        };
        assert_eq!(found("www"), Some((33, vec![33, 4])));
        assert_eq!(found("www:log"), Some((33, vec![4])));
        assert_eq!(found("33:4"), Some((33, vec![4])));
        assert_eq!(found("4242"), Some((4242, vec![0])));
        assert_eq!(found("4242:4243"), Some((4242, vec![4243])));
        for nobody in [
            "www:nosuch",
            "www:",
            ":4",
            "nosuch:4",
            "+1",
            "4294967296",
            "1:4294967295",
        ] {
            assert_eq!(found(nobody), None, "{nobody}");
        }
        let stranger = Account::find(root.path(), "4242").unwrap().unwrap();
        assert_eq!(stranger.home, Path::new("/"));
    }

    #[test]
    fn root_exists_in_an_image_without_files() {
        let empty = tempfile::tempdir().unwrap();
        let root = Account::find(empty.path(), "root").unwrap().unwrap();
        assert_eq!((root.uid, root.groups), (0, vec![0]));
        assert_eq!(Account::find(empty.path(), "ada").unwrap(), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_files_readers_panic(
            passwd in proptest::collection::vec(prop_oneof![Just(b':'), Just(b'\n'), Just(b'0'), any::<u8>()], 0..300),
            group in proptest::collection::vec(prop_oneof![Just(b':'), Just(b'\n'), Just(b','), any::<u8>()], 0..300),
        ) {
            for account in accounts(&passwd) {
                prop_assert_eq!(groups_of(&group, &account)[0], account.gid);
            }
        }
    }
}
