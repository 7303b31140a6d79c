//! Images against their source: read back by the format's description, checked by `fsck.erofs`, and mounted.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is the failure"
)]

mod compressed;
mod hostile;
mod overlay;
mod reader;
mod tree;

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;
use rootfs::erofs::{Builder, Entry, ErofsError, Kind, Options, Timestamp, Written, Xattr, write_tar};
use rustix::fs::{AtFlags, CWD, FileType, Mode, XattrFlags, lsetxattr, makedev, mknodat, utimensat};
use tree::{Tree, walk};

/// Runs a program that has to succeed.
fn run(program: &str, arguments: &[&Path]) {
    let status = Command::new(program).args(arguments).status();
    let status = status.unwrap_or_else(|error| panic!("{program} is needed: {error}"));
    assert!(status.success(), "{program} {arguments:?}: {status}");
}

/// A folder with an image in it.
struct Image {
    folder: tempfile::TempDir,
}

impl Image {
    fn path(&self) -> PathBuf {
        self.folder.path().join("image.erofs")
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    fn make<T>(write: impl FnOnce(&mut File) -> Result<T, ErofsError>) -> Result<(Self, T), ErofsError> {
        let image = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let mut file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(image.path())
            .unwrap();
        let made = write(&mut file)?;
        Ok((image, made))
    }

    fn of_tar(tar: impl Read) -> Result<(Self, Written), ErofsError> {
        Self::of_tar_with(tar, &Options::default())
    }

    fn of_tar_with(tar: impl Read, options: &Options) -> Result<(Self, Written), ErofsError> {
        Self::make(|file| write_tar(tar, file, options))
    }

    fn of_entries(entries: &[(Entry, Vec<u8>)]) -> Result<(Self, Written), ErofsError> {
        Self::of_entries_with(entries, Options::default())
    }

    fn of_entries_with(
        entries: &[(Entry, Vec<u8>)],
        options: Options,
    ) -> Result<(Self, Written), ErofsError> {
        Self::make(|file| {
            let mut builder = Builder::new(file, options)?;
            for (entry, data) in entries {
                builder.add(entry, data.as_slice())?;
            }
            builder.finish()
        })
    }

    fn check(&self) {
        run("fsck.erofs", &[Path::new("-d0"), &self.path()]);
    }
}

/// A mount that ends with it.
struct Mounted(PathBuf);

impl Mounted {
    fn new(image: &Image) -> Self {
        let at = image.folder.path().join("mounted");
        fs::create_dir(&at).unwrap();
        run(
            "mount",
            &["-t", "erofs", "-o", "loop,ro"]
                .map(Path::new)
                .into_iter()
                .chain([&*image.path(), &at])
                .collect::<Vec<_>>(),
        );
        Self(at)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run("umount", &[&self.0]);
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A tree with every attribute that the user who runs this can give.
fn make_tree(at: &Path) {
    let path = |name: &str| at.join(name);
    fs::create_dir(at).unwrap();
    fs::create_dir(path("folder")).unwrap();
    fs::create_dir(path("empty")).unwrap();
    fs::write(path("folder/small"), "seven b").unwrap();
    fs::write(path("folder/nothing"), "").unwrap();
    fs::write(path("block"), [1; 4096]).unwrap();
    fs::write(
        path("large"),
        (0..300_001).map(|at| (at / 3) as u8).collect::<Vec<_>>(),
    )
    .unwrap();
    let name = "\u{fc}n\u{ef} \\ \n \"x\" ".to_owned() + &"long".repeat(50);
    fs::write(path(&name), "odd name").unwrap();
    fs::hard_link(path("large"), path("folder/other name of large")).unwrap();
    fs::hard_link(path("large"), path("a third name of large")).unwrap();
    symlink("../large", path("folder/link")).unwrap();
    symlink("x/".repeat(2000), path("long link")).unwrap();
    symlink("/nowhere", path("dangling")).unwrap();
    let sparse = File::create(path("sparse")).unwrap();
    sparse.set_len(40 << 20).unwrap();
    sparse.write_all_at(b"middle", 20 << 20).unwrap();
    mknodat(CWD, path("fifo"), FileType::Fifo, Mode::from_raw_mode(0o640), 0).unwrap();
    // More names than a directory block holds.
    for number in 0..500 {
        fs::write(path(&format!("folder/file-{number}")), [number as u8; 100]).unwrap();
    }
    for (name, mode) in [
        ("folder/small", 0o4755),
        ("folder", 0o2770),
        ("empty", 0o1777),
        ("block", 0),
    ] {
        fs::set_permissions(path(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let set = |name: &str, key: &str, value: &[u8]| {
        lsetxattr(path(name), key, value, XattrFlags::empty())
            .unwrap_or_else(|error| panic!("{name} {key}: {error}"));
    };
    set("folder/small", "user.binary", b"\0\n=\xff");
    set("folder/small", "user.empty", b"");
    set("folder", "user.same", b"shared by two");
    set("large", "user.same", b"shared by two");
    set("large", "user.long", &[b'v'; 3000]);
    if is_root() {
        // struct vfs_cap_data, version 2: CAP_NET_RAW.
        let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        set("folder/small", "security.capability", &capability);
        set("long link", "trusted.of.a.link", b"yes");
        let acl = [
            &[2, 0, 0, 0][..],
            &[
                1, 0, 7, 0, 255, 255, 255, 255, 2, 0, 5, 0, 0xe8, 3, 0, 0, 4, 0, 5, 0, 255, 255, 255, 255,
            ],
            &[
                0x10, 0, 5, 0, 255, 255, 255, 255, 0x20, 0, 0, 0, 255, 255, 255, 255,
            ],
        ];
        set("empty", "system.posix_acl_default", &acl.concat());
        for (name, kind, device) in [
            ("null", FileType::CharacterDevice, makedev(1, 3)),
            ("disk", FileType::BlockDevice, makedev(259, 0x12345)),
        ] {
            mknodat(CWD, path(name), kind, Mode::from_raw_mode(0o660), device).unwrap();
        }
        for (name, uid, gid) in [
            ("folder", 1000, 100),
            ("disk", 4_000_000_000, 7),
            ("dangling", 5, 6),
            ("fifo", 0, 70_000),
        ] {
            std::os::unix::fs::lchown(path(name), Some(uid), Some(gid)).unwrap();
        }
        // Changing the owner took the set-group-id bit.
        fs::set_permissions(path("folder"), fs::Permissions::from_mode(0o2770)).unwrap();
    }
    for (name, seconds, nanoseconds) in [
        ("folder/small", -86_401, 123_456_789),
        ("dangling", 4_294_967_299, 1),
        ("folder", 0, 999_999_999),
        (".", 1_700_000_000, 5),
    ] {
        let time = rustix::fs::Timespec {
            tv_sec: seconds,
            tv_nsec: nanoseconds,
        };
        let times = rustix::fs::Timestamps {
            last_access: time,
            last_modification: time,
        };
        utimensat(CWD, path(name), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
}

/// The same tree as GNU tar archives it.
fn archive(tree: &Path, to: &Path) {
    let status = Command::new("tar")
        .args([
            "--format=posix",
            "--xattrs",
            "--xattrs-include=*",
            "--sparse",
            "--numeric-owner",
            "--sort=name",
        ])
        .arg("-cf")
        .args([to, Path::new("-C"), tree, Path::new(".")])
        .status();
    assert!(status.expect("tar is needed").success());
}

/// Compares trees by the first path that differs, since a whole one is long.
fn assert_same(found: &Tree, expected: &Tree) {
    for (path, expected) in expected {
        let name = path.escape_ascii();
        let found = found.get(path).unwrap_or_else(|| panic!("{name} is missing"));
        let brief = |side: &tree::Found| tree::Found {
            content: Vec::new(),
            ..side.clone()
        };
        assert_eq!(brief(found), brief(expected), "{name}");
        assert!(found.content == expected.content, "content of {name}");
    }
    assert_eq!(found.len(), expected.len());
}

/// Mounted where that is possible: by root. For others the image is read by the format's description only, and what
/// root alone can give a file comes from entries in the tests below.
#[test]
fn a_mounted_image_has_every_attribute_of_its_source() {
    let folder = tempfile::tempdir().unwrap();
    let (source, tar) = (folder.path().join("source"), folder.path().join("tar"));
    make_tree(&source);
    // A plain user could not read it.
    if !is_root() {
        fs::set_permissions(source.join("block"), fs::Permissions::from_mode(0o400)).unwrap();
    }
    archive(&source, &tar);
    let expected = walk(&source);
    let (image, written) = Image::of_tar(File::open(&tar).unwrap()).unwrap();
    image.check();
    assert_same(&reader::read(&image.bytes()), &expected);
    assert_eq!(written.bytes, fs::metadata(image.path()).unwrap().len());
    assert!(
        written.bytes < 2 << 20,
        "holes of the sparse file are holes in the image: {written:?}"
    );
    if is_root() {
        let mounted = Mounted::new(&image);
        assert_same(&walk(&mounted.0), &expected);
        let sparse = fs::metadata(mounted.0.join("sparse")).unwrap();
        assert_eq!(sparse.len(), 40 << 20);
    } else {
        println!("not root: the image was read, not mounted");
    }
}

#[test]
fn the_same_entries_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (source, tar) = (folder.path().join("source"), folder.path().join("tar"));
    make_tree(&source);
    fs::set_permissions(source.join("block"), fs::Permissions::from_mode(0o600)).unwrap();
    archive(&source, &tar);
    let make = || Image::of_tar(File::open(&tar).unwrap()).unwrap();
    let ((first, one), (second, other)) = (make(), make());
    assert_eq!(one, other);
    assert!(first.bytes() == second.bytes());
    // A byte at a time: how the archive arrives does not count.
    struct Slow(File);
    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let length = buffer.len().min(997);
            self.0.read(&mut buffer[..length])
        }
    }
    let (_, slowly) = Image::of_tar(Slow(File::open(&tar).unwrap())).unwrap();
    assert_eq!(slowly, one);
    let digest = Command::new("sha256sum").arg(first.path()).output().unwrap();
    assert!(String::from_utf8(digest.stdout).unwrap().starts_with(&one.digest));
}

/// What any entry may be, with small ranges so that paths meet.
fn entries() -> impl Strategy<Value = Vec<(Entry, Vec<u8>)>> {
    let name = prop::sample::select(vec!["a", "b", "c", "dd"]);
    let path = prop::collection::vec(name, 1..4).prop_map(|names| names.join("/").into_bytes());
    let kind = prop_oneof![
        prop_oneof![0_u64..200, 4000_u64..4200, 65_000_u64..140_000].prop_map(|size| Kind::File { size }),
        Just(Kind::Directory),
        "[a-z/.]{1,200}".prop_map(|target| Kind::Symlink {
            target: target.into_bytes()
        }),
        path.clone().prop_map(|target| Kind::HardLink { target }),
        (1_u32..4096, 0_u32..1 << 20).prop_map(|(major, minor)| Kind::CharacterDevice { major, minor }),
        (0_u32..4096, 0_u32..1 << 20).prop_map(|(major, minor)| Kind::BlockDevice { major, minor }),
        Just(Kind::Fifo),
        Just(Kind::Socket),
    ];
    let xattr = (
        "(user|trusted|security)\\.[a-c]{1,3}",
        prop::collection::vec(any::<u8>(), 0..300),
    )
        .prop_map(|(name, value)| Xattr {
            name: name.into_bytes(),
            value,
        });
    let entry = (
        path,
        kind,
        0_u32..0o10000,
        any::<(u32, u32, i64)>(),
        0_u32..1_000_000_000,
        prop::collection::vec(xattr, 0..4),
        any::<bool>(),
    );
    let entry = entry.prop_map(
        |(path, kind, mode, (uid, gid, seconds), nanoseconds, xattrs, zeros)| {
            let size = match kind {
                Kind::File { size } => size,
                _ => 0,
            };
            let data = (0..size)
                .map(|at| if zeros { 0 } else { (at / 11 + 1) as u8 })
                .collect();
            let modified = Timestamp { seconds, nanoseconds };
            (
                Entry {
                    path,
                    kind,
                    mode,
                    uid,
                    gid,
                    modified,
                    xattrs,
                },
                data,
            )
        },
    );
    prop::collection::vec(entry, 0..25)
}

/// What a list of entries comes to, done in the simplest way. Nothing where the list is to be refused.
fn model(entries: &[(Entry, Vec<u8>)]) -> Option<Tree> {
    use std::collections::BTreeMap;
    let found = |entry: &Entry, data: &[u8]| {
        let (kind, content, device) = match &entry.kind {
            Kind::File { .. } => (0o100_000, data.to_vec(), (0, 0)),
            Kind::Symlink { target } => (0o120_000, target.clone(), (0, 0)),
            Kind::CharacterDevice { major, minor } => (0o020_000, Vec::new(), (*major, *minor)),
            Kind::BlockDevice { major, minor } => (0o060_000, Vec::new(), (*major, *minor)),
            Kind::Fifo => (0o010_000, Vec::new(), (0, 0)),
            Kind::Socket => (0o140_000, Vec::new(), (0, 0)),
            _ => (0o040_000, Vec::new(), (0, 0)),
        };
        tree::Found {
            mode: kind | entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            modified: (entry.modified.seconds, entry.modified.nanoseconds),
            links: 0,
            device,
            xattrs: entry
                .xattrs
                .iter()
                .map(|xattr| (xattr.name.clone(), xattr.value.clone()))
                .collect(),
            content,
            same_as: None,
        }
    };
    let made = found(&Entry::directory(b""), b"");
    let mut tree: BTreeMap<Vec<u8>, (u64, tree::Found)> = BTreeMap::from([(Vec::new(), (0, made.clone()))]);
    for (number, (entry, data)) in (1_u64..).zip(entries) {
        let path = [b"/", entry.path.as_slice()].concat();
        for (end, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            let parent = tree
                .entry(path[..end].to_vec())
                .or_insert_with(|| (u64::MAX, made.clone()));
            if !parent.1.is_directory() {
                return None;
            }
        }
        let new = match &entry.kind {
            Kind::HardLink { target } => {
                let target = tree.get([b"/", target.as_slice()].concat().as_slice())?;
                if target.1.is_directory() {
                    return None;
                }
                target.clone()
            }
            _ => (number, found(entry, data)),
        };
        let stays = new.1.is_directory() && tree.get(&path).is_some_and(|old| old.1.is_directory());
        if !stays {
            let below = [path.as_slice(), b"/"].concat();
            tree.retain(|other, _| !other.starts_with(&below));
        }
        tree.insert(path, new);
    }
    let numbers: BTreeMap<_, _> = tree
        .iter()
        .map(|(path, (number, _))| (path.clone(), *number))
        .collect();
    let mut links: BTreeMap<u64, u32> = BTreeMap::new();
    for number in numbers.values() {
        *links.entry(*number).or_default() += 1;
    }
    let mut tree: Tree = tree
        .into_iter()
        .map(|(path, (number, found))| {
            (
                path,
                tree::Found {
                    links: links[&number],
                    ..found
                },
            )
        })
        .collect();
    tree::group(&mut tree, &numbers);
    Some(tree)
}

/// What Linux shows of a tree: users' attributes only on files and directories.
fn shown(mut tree: Tree) -> Tree {
    for found in tree.values_mut() {
        if !found.is_directory() && found.mode & 0o170_000 != 0o100_000 {
            found.xattrs.retain(|name, _| !name.starts_with(b"user."));
        }
    }
    tree
}

proptest! {
    // As many as the environment wants, in proportion.
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.div_ceil(3)))]

    #[test]
    fn an_image_holds_what_its_entries_come_to(entries in entries()) {
        match (Image::of_entries(&entries), model(&entries)) {
            (Ok((image, _)), Some(expected)) => {
                image.check();
                assert_same(&reader::read(&image.bytes()), &expected);
                if is_root() {
                    assert_same(&walk(&Mounted::new(&image).0), &shown(expected));
                }
            }
            (Err(_), None) => {}
            (Ok(_), None) => prop_assert!(false, "it should have been refused"),
            (Err(error), Some(_)) => prop_assert!(false, "refused: {error}"),
        }
    }
}

#[test]
fn a_mounted_image_of_nothing_but_its_root_is_sound() {
    let (image, written) = Image::of_entries(&[]).unwrap();
    image.check();
    assert_eq!(written.entries, 1);
    let tree = reader::read(&image.bytes());
    assert_eq!(tree[&Vec::new()].mode, 0o040_755);
    assert_eq!(fs::metadata(image.path()).unwrap().size() % 4096, 0);
}
