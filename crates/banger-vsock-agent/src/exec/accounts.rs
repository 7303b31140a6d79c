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

    /// Finds a user by name or uid in the files below `root`. Root exists in every image.
    ///
    /// # Errors
    /// What reading the files fails with, other than that they are missing.
    pub(super) fn find(root: &Path, user: &str) -> io::Result<Option<Self>> {
        let passwd = read(&root.join("etc/passwd"))?;
        let by_name = accounts(&passwd).find(|account| account.name == user);
        let found = match user.parse::<u32>() {
            Ok(uid) if by_name.is_none() => accounts(&passwd).find(|account| account.uid == uid),
            _ => by_name,
        };
        let found = found.or_else(|| (user == "root" || user == "0").then(Self::root));
        let Some(mut account) = found else { return Ok(None) };
        account.groups = groups_of(&read(&root.join("etc/group"))?, &account);
        Ok(Some(account))
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
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
        assert_eq!(Account::find(root.path(), "4242").unwrap(), None);
        assert_eq!(Account::find(root.path(), "").unwrap(), None);
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
