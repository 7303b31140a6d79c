//! What is packed comes back as it was.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use archive::{Keep, PackOptions, Placement};
use proptest::prelude::*;
use tempfile::tempdir;

use crate::support::{pack, unpack_bytes};

fn copy(from: &Path, to: &Path) {
    unpack_bytes(
        &pack(from, PackOptions::default()),
        to,
        Placement::Copy,
        Keep::default(),
    )
    .unwrap();
}

#[test]
fn a_tree_comes_back_with_modes_times_links_and_holes() {
    let folder = tempdir().unwrap();
    let tree = folder.path().join("tree");
    let long = "n".repeat(200);
    fs::create_dir_all(tree.join("a/b").join(&long)).unwrap();
    fs::write(tree.join("a/b").join(&long).join("deep"), "x").unwrap();
    fs::write(tree.join("empty"), "").unwrap();
    fs::write(tree.join("large"), vec![7; 1_000_003]).unwrap();
    fs::set_permissions(tree.join("large"), Permissions::from_mode(0o640)).unwrap();
    fs::hard_link(tree.join("large"), tree.join("a/second")).unwrap();
    symlink("/no/where", tree.join("link")).unwrap();
    symlink(&long, tree.join("a/long link")).unwrap();
    let sparse = File::create(tree.join("sparse")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    sparse.write_all_at(b"middle", 32 << 20).unwrap();
    fs::set_permissions(tree.join("a/b"), Permissions::from_mode(0o555)).unwrap();
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    File::open(tree.join("large")).unwrap().set_modified(old).unwrap();
    File::open(tree.join("a")).unwrap().set_modified(old).unwrap();

    let stream = pack(&tree, PackOptions::default());
    assert!(stream.len() < 3 << 20, "holes are not sent: {}", stream.len());
    let back = folder.path().join("back");
    unpack_bytes(&stream, &back, Placement::Copy, Keep::default()).unwrap();

    let differ = Command::new("diff")
        .args(["-r", "--no-dereference"])
        .args([&tree, &back])
        .output()
        .unwrap();
    assert!(
        differ.status.success(),
        "{}",
        String::from_utf8_lossy(&differ.stdout)
    );
    let large = back.join("large").metadata().unwrap();
    assert_eq!(
        (large.mode() & 0o7777, large.mtime(), large.nlink()),
        (0o640, 1_000_000_000, 2)
    );
    assert_eq!(back.join("a").metadata().unwrap().mtime(), 1_000_000_000);
    assert_eq!(back.join("a/b").metadata().unwrap().mode() & 0o7777, 0o555);
    let sparse = back.join("sparse").metadata().unwrap();
    assert_eq!(sparse.len(), 64 << 20);
    assert!(sparse.blocks() < 1024, "{} blocks", sparse.blocks());
}

#[test]
fn an_archive_copy_keeps_nanoseconds_and_extended_attributes() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 123_456_789);
    File::open(&file).unwrap().set_modified(time).unwrap();
    let value = b"a\n\0b";
    rustix::fs::setxattr(&file, "user.banger", value, rustix::fs::XattrFlags::empty()).unwrap();
    let stream = pack(&file, PackOptions { archive: true });
    let back = folder.path().join("back");
    unpack_bytes(
        &stream,
        &back,
        Placement::Copy,
        Keep {
            owners: true,
            modes: true,
            privileges: false,
        },
    )
    .unwrap();
    assert_eq!(back.metadata().unwrap().modified().unwrap(), time);
    let mut read = [0; 10];
    let length = rustix::fs::getxattr(&back, "user.banger", &mut read[..]).unwrap();
    assert_eq!(&read[..length], value);
}

#[test]
fn a_file_whose_size_the_kernel_does_not_tell_is_whole() {
    let folder = tempdir().unwrap();
    let back = folder.path().join("version");
    copy(Path::new("/proc/version"), &back);
    assert_eq!(fs::read(&back).unwrap(), fs::read("/proc/version").unwrap());
}

#[test]
fn gnu_tar_reads_what_is_packed_and_what_it_writes_is_unpacked() {
    let folder = tempdir().unwrap();
    let tree = folder.path().join("tree");
    fs::create_dir_all(tree.join("d".repeat(90)).join("e".repeat(30))).unwrap();
    fs::write(
        tree.join("d".repeat(90)).join("e".repeat(30)).join("file"),
        "inside",
    )
    .unwrap();
    let sparse = File::create(tree.join("sparse")).unwrap();
    sparse.set_len(8 << 20).unwrap();
    sparse.write_all_at(b"one", 0).unwrap();
    sparse.write_all_at(b"two", 4 << 20).unwrap();
    let tar = |arguments: &[&str], input: &[u8]| {
        let mut child = Command::new("tar")
            .args(arguments)
            .current_dir(folder.path())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        output.stdout
    };
    let same = |other: &Path| {
        let differ = Command::new("diff")
            .arg("-r")
            .args([&tree, other])
            .status()
            .unwrap();
        assert!(differ.success());
        assert!(other.join("sparse").metadata().unwrap().blocks() < 1024);
    };
    fs::create_dir(folder.path().join("by-tar")).unwrap();
    tar(&["-x", "-C", "by-tar"], &pack(&tree, PackOptions::default()));
    same(&folder.path().join("by-tar/tree"));
    for format in [
        "--format=gnu",
        "--format=posix",
        "--sparse-version=0.1",
        "--format=ustar",
    ] {
        let into = folder.path().join(format);
        fs::create_dir(&into).unwrap();
        let sparse = if format == "--format=ustar" {
            "--no-acls"
        } else {
            "-S"
        };
        let mut arguments = vec!["-c", sparse, format, "tree"];
        if format == "--sparse-version=0.1" {
            arguments.push("--format=posix");
        }
        unpack_bytes(&tar(&arguments, &[]), &into, Placement::Inside, Keep::default()).unwrap();
        if format == "--format=ustar" {
            assert_eq!(
                fs::read(
                    into.join("tree")
                        .join("d".repeat(90))
                        .join("e".repeat(30))
                        .join("file")
                )
                .unwrap(),
                b"inside"
            );
        } else {
            same(&into.join("tree"));
        }
    }
}

#[test]
fn what_cannot_be_read_is_told_to_whoever_unpacks() {
    // A folder that changes while it is read is hard to come by: a file that shrinks does as well.
    let folder = tempdir().unwrap();
    let file = folder.path().join("shrinks");
    fs::write(&file, vec![1; 4 << 20]).unwrap();
    let source = archive::Source::open(&file, false).unwrap();
    let mut stream = Vec::new();
    let packed = source.pack(PackOptions::default(), &mut |piece| {
        File::options()
            .write(true)
            .open(&file)
            .unwrap()
            .set_len(1 << 20)
            .unwrap();
        stream.extend_from_slice(&piece);
        Ok(())
    });
    let (here, back) = (packed.unwrap_err().line(), folder.path().join("back"));
    let there = unpack_bytes(&stream, &back, Placement::Copy, Keep::default())
        .unwrap_err()
        .line();
    assert!(
        here.contains("became shorter") && here == there,
        "{here} / {there}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn files_of_any_sizes_and_names_come_back(
        files in proptest::collection::btree_map("[a-z.é ]{1,110}", 0usize..300_000, 0..8),
    ) {
        let folder = tempdir().unwrap();
        let tree = folder.path().join("tree");
        fs::create_dir(&tree).unwrap();
        for (name, size) in files.iter().filter(|(name, _)| !matches!(name.as_str(), "." | "..")) {
            fs::write(tree.join(name), vec![b'x'; *size]).unwrap();
        }
        copy(&tree, &folder.path().join("back"));
        let differ = Command::new("diff").arg("-r").args([&tree, &folder.path().join("back")]).status().unwrap();
        prop_assert!(differ.success());
    }
}
