//! The merged tree, file by file with every attribute, against what `umoci unpack` as root puts on a disk.

#![expect(clippy::unwrap_used, reason = "a failure here fails the test")]

mod support;

use std::fs;
use std::process::Command;

use oci::Compression;
use support::tar::{Meta, Tar};
use support::{TAG, TestImage, flatten, oracle};
use tar::EntryType;

fn compare(what: &str, archives: &[Tar]) {
    let archives: Vec<_> = archives
        .iter()
        .map(|tar| (tar.clone().finish(), Compression::Gzip))
        .collect();
    let image = TestImage::new(&archives);
    oracle::compare(what, image.folder.path(), TAG);
}

#[test]
fn the_merged_tree_is_what_umoci_unpacks() {
    if !oracle::can_unpack() {
        eprintln!("left out: needs umoci (Debian package `umoci`) and root");
        return;
    }
    let meta = |mode, uid, gid| Meta {
        mode,
        uid,
        gid,
        mtime: 1_234_567_890,
    };
    let base = || {
        Tar::new()
            .dir("./")
            .dir("etc")
            .file("etc/passwd", "root")
            .file("etc/shadow", "x")
            .dir("usr")
            .dir("usr/bin")
            .file("usr/bin/sh", "sh")
            .link("usr/bin/bash", "usr/bin/sh")
            .symlink("bin", "usr/bin")
            .dir("var")
            .dir("var/lib")
            .file("var/lib/a", "1")
            .file("var/lib/b", "2")
            .symlink("abs", "/etc/passwd")
            .symlink("dangling", "/nowhere/at/all")
    };
    let corpus: Vec<(&str, Vec<Tar>)> = vec![
        ("one layer", vec![base()]),
        (
            "attributes",
            vec![
                base()
                    .entry(EntryType::Regular, "suid", "", b"x", meta(0o4755, 1000, 2000))
                    .entry(EntryType::Directory, "tmp", "", b"", meta(0o1777, 0, 0))
                    .entry(EntryType::Symlink, "owned", "etc", b"", meta(0o777, 7, 8))
                    .record("SCHILY.xattr.user.a", b"line\nline\0\xff")
                    .record("SCHILY.xattr.trusted.b", b"t")
                    .record("mtime", b"1234567890.123456789")
                    .file("xattrs", "x")
                    .record(
                        "SCHILY.xattr.security.capability",
                        b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
                    )
                    .file("capable", "x"),
            ],
        ),
        (
            "devices",
            vec![
                base()
                    .device(EntryType::Char, "null", 1, 3)
                    .device(EntryType::Block, "loop", 7, 0)
                    .device(EntryType::Fifo, "pipe", 0, 0),
            ],
        ),
        (
            "whiteouts",
            vec![
                base(),
                Tar::new()
                    .file("etc/.wh.shadow", "")
                    .file("usr/.wh.bin", "")
                    .file(".wh.nothing", ""),
            ],
        ),
        (
            "an opaque directory",
            vec![
                base(),
                Tar::new()
                    .dir("var/lib")
                    .file("var/lib/.wh..wh..opq", "")
                    .file("var/lib/c", "3"),
            ],
        ),
        (
            "an opaque directory, its mark last",
            vec![
                base(),
                Tar::new()
                    .dir("var/lib")
                    .file("var/lib/c", "3")
                    .file("var/lib/.wh..wh..opq", ""),
            ],
        ),
        (
            "a whiteout and a new one",
            vec![
                base(),
                Tar::new().file(".wh.etc", "").dir("etc").file("etc/new", "n"),
            ],
        ),
        (
            "kinds change",
            vec![
                base(),
                Tar::new()
                    .file("etc", "file")
                    .dir("bin")
                    .file("bin/x", "x")
                    .symlink("var", "usr"),
            ],
        ),
        (
            "and back",
            vec![
                base(),
                Tar::new().file("etc", "file"),
                Tar::new().dir("etc").file("etc/x", "x"),
            ],
        ),
        (
            "a link of an older layer on the path",
            vec![base(), Tar::new().file("bin/ls", "ls").link("bin/dir", "bin/ls")],
        ),
        (
            "a hard link to an older layer",
            vec![base(), Tar::new().link("etc/again", "etc/passwd")],
        ),
        (
            "the first name of a hard link goes",
            vec![
                base(),
                Tar::new().file("usr/bin/.wh.sh", ""),
                Tar::new().link("usr/bin/zsh", "usr/bin/bash"),
            ],
        ),
        (
            "one name of a hard link is replaced",
            vec![base(), Tar::new().file("usr/bin/sh", "new")],
        ),
        (
            "a hard link to a symbolic link",
            vec![base(), Tar::new().link("abs2", "abs")],
        ),
        (
            "a directory anew keeps what is in it",
            vec![
                base(),
                Tar::new().entry(EntryType::Directory, "etc", "", b"", meta(0o700, 1, 2)),
            ],
        ),
        (
            "a file over a link does not write through it",
            vec![base(), Tar::new().file("abs", "mine")],
        ),
        (
            "a path twice",
            vec![base().file("twice", "1").link("once", "twice").file("twice", "2")],
        ),
        (
            "strange names",
            vec![
                base()
                    .file("new\nline", "1")
                    .file(&"n".repeat(255), "2")
                    .file("sp ace\\", "3"),
            ],
        ),
        (
            "directories that nobody describes",
            vec![Tar::new().file("a/b/c/d", "1"), Tar::new().file("a/x/y", "2")],
        ),
        (
            "a long path",
            vec![Tar::new().file(&format!("{}f", "directory-of-some-length/".repeat(30)), "deep")],
        ),
    ];
    for (what, archives) in &corpus {
        compare(what, archives);
    }
}

/// From a tree of two layers by buildah, the second of which takes away, replaces and adds; and from Debian's packages as
/// mmdebstrap unpacks them, by umoci. Each is the image `1` of the layout in `$1`.
const MADE_ELSEWHERE: [(&str, &str); 2] = [
    (
        "buildah",
        r#"
mkdir -p tree/bin tree/etc/cron tree/var/lib
cp /bin/busybox tree/bin/
ln tree/bin/busybox tree/bin/sh
ln -s busybox tree/bin/ls
echo root:x:0:0::/root:/bin/sh > tree/etc/passwd
echo old > tree/etc/motd
echo job > tree/etc/cron/job
mkfifo tree/var/lib/pipe
chmod 4711 tree/bin/busybox
chmod 1777 tree/var/lib
chown -R 12:34 tree/etc/cron
echo '{"default": [{"type": "insecureAcceptAnything"}]}' > policy.json
buildah() { command buildah --root "$PWD/storage" --runroot "$PWD/run" --storage-driver vfs "$@"; }
commit() { buildah commit --quiet --signature-policy policy.json "$@" >/dev/null; }
first=$(buildah from scratch)
root=$(buildah mount "$first")
cp -a tree/. "$root/"
buildah umount "$first" >/dev/null
commit "$first" first
second=$(buildah from --signature-policy policy.json localhost/first)
root=$(buildah mount "$second")
rm -r "$root/etc/cron" "$root/bin/ls"
echo new > "$root/etc/motd"
mkdir "$root/etc/cron" && echo other > "$root/etc/cron/other"
python3 -c 'import os, sys; os.setxattr(sys.argv[1], "user.comment", b"hello")' "$root/etc/motd"
buildah umount "$second" >/dev/null
commit "$second" "oci:$1:1"
"#,
    ),
    (
        "mmdebstrap",
        r#"
mmdebstrap --quiet --variant=extract --include=login,passwd,tar bookworm layer.tar
umoci init --layout "$1"
umoci new --image "$1:1"
umoci raw add-layer --image "$1:1" layer.tar
"#,
    ),
];

#[test]
fn images_of_buildah_and_of_mmdebstrap_are_what_umoci_unpacks() {
    if !oracle::can_unpack() {
        eprintln!("left out: needs umoci (Debian package `umoci`) and root");
        return;
    }
    for (what, script) in MADE_ELSEWHERE {
        let folder = tempfile::tempdir().unwrap();
        let layout = folder.path().join("layout");
        let mut shell = Command::new("sh");
        let shell = shell.args(["-ec", script, "sh"]).arg(&layout);
        let made = shell.current_dir(folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{what}: {said}");
        oracle::compare(what, &layout, "1");
    }
}

#[test]
fn sparse_files_of_gnu_tar_read_as_their_holes_say() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("holes");
    let file = fs::File::create(&path).unwrap();
    file.set_len(3 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"middle", 1 << 20).unwrap();
    let whole = fs::read(&path).unwrap();
    for format in [
        vec!["--format=gnu"],
        vec!["--format=posix", "--sparse-version=0.0"],
        vec!["--format=posix", "--sparse-version=0.1"],
        vec!["--format=posix", "--sparse-version=1.0"],
    ] {
        let output = Command::new("tar")
            .arg("-cS")
            .args(&format)
            .arg("-C")
            .arg(folder.path())
            .arg("holes")
            .output()
            .unwrap();
        assert!(output.stdout.len() < whole.len() / 2, "{format:?}");
        let flat = flatten(&support::layers(&[output.stdout])).unwrap();
        assert_eq!(flat[0].0.path, b"holes", "{format:?}");
        assert!(flat[0].1 == whole, "{format:?}");
    }
}
