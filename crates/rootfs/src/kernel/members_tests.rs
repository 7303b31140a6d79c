//! Kernels in the plain form, from folders and from hands that mean harm.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use proptest::prelude::*;

use super::elf::tests::{kernel, module};
use super::tests::{Made, Outcome};
use super::*;

const RELEASE: &str = "6.1.0-9-test";

/// A kernel that says its release.
fn vmlinux() -> Vec<u8> {
    let mut vmlinux = kernel(50_000);
    let banner = format!("Linux version {RELEASE} (somebody@somewhere) #1 SMP\n");
    vmlinux[20_000..20_000 + banner.len()].copy_from_slice(banner.as_bytes());
    vmlinux
}

/// A kernel with modules as `Made` has them.
fn with_modules() -> Made {
    let mut made = Made::new();
    for (path, _) in &mut made.0 {
        if let Some(inner) = path.strip_prefix(&format!("lib/modules/{RELEASE}/")) {
            *path = format!("modules/{inner}");
        }
    }
    made.remove("vmlinuz");
    made.put("vmlinux", &vmlinux());
    made
}

fn taken(made: &Made) -> Result<(Outcome, ImportedKernel), String> {
    let outcome = Outcome(tempfile::tempdir().unwrap());
    match import_members(made.tar().as_slice(), outcome.0.path()) {
        Ok(kernel) => Ok((outcome, kernel)),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn a_kernel_alone_is_all_that_is_needed_and_says_its_version_itself() {
    for image in [
        vmlinux(),
        bzimage::tests::image(&bzimage::tests::payload_of(decompress::Format::Zstd, &vmlinux())),
    ] {
        let (outcome, kernel) = taken(&Made(vec![("vmlinux".into(), image)])).unwrap();
        assert_eq!(kernel.version, RELEASE);
        assert!(fs::read(outcome.at("vmlinux")).unwrap() == vmlinux());
        assert_eq!(fs::read_dir(outcome.at("boot-modules")).unwrap().count(), 0);
        assert!(outcome.at("modules.erofs").is_file() && !outcome.at("initrd.img").exists());
    }
}

#[test]
fn modules_and_an_initrd_come_along_as_from_a_package() {
    let mut made = with_modules();
    made.put("initrd.img", &vec![7; 300_000]);
    let (outcome, kernel) = taken(&made).unwrap();
    let of_package = Outcome(tempfile::tempdir().unwrap());
    import(Made::new().tar().as_slice(), of_package.0.path()).unwrap();
    let read = |outcome: &Outcome| fs::read(outcome.at("modules.erofs")).unwrap();
    assert!(read(&outcome) == read(&of_package));
    assert!(outcome.at("boot-modules/00-virtio_ring.ko").is_file());
    assert_eq!(fs::read(outcome.at("initrd.img")).unwrap(), vec![7; 300_000]);
    assert!(kernel.bytes > 350_000);
}

#[test]
fn a_member_that_does_not_belong_to_a_kernel_is_refused_by_its_name() {
    for path in [
        "manifest.json",
        "etc/passwd",
        "boot/vmlinuz-6.1",
        "modules/modules.dep",
        "modules/kernel/readme",
        "lib/modules/6.1/kernel/a.ko",
        "vmlinux/x",
    ] {
        let mut made = with_modules();
        made.put(path, b"");
        let message =
            format!("`{path}` does not belong to a kernel: only vmlinux, initrd.img and modules/ do");
        assert_eq!(taken(&made).err().unwrap(), message);
    }
    type Change = fn(&mut Made);
    let table: [(Change, &str); 7] = [
        (
            |made| made.remove("vmlinux"),
            "the kernel package holds no kernel, vmlinux",
        ),
        (
            |made| made.0.push(("vmlinux".into(), vmlinux())),
            "`vmlinux` comes twice in the kernel package",
        ),
        (
            |made| made.0.push(("modules/modules.order".into(), Vec::new())),
            "`modules/modules.order` comes twice in the kernel package",
        ),
        (
            |made| made.put("vmlinux", &kernel(50_000)),
            "the kernel image is unusable: it does not say which version it is",
        ),
        (
            |made| made.put("vmlinux", b"#!/bin/sh\necho this is no kernel"),
            "the kernel image is unusable: it is cut short",
        ),
        (
            |made| made.put("modules/extra/odd.ko", &module(b"vermagic=5.10.0 SMP \0", &[])),
            "the kernel package holds the versions `6.1.0-9-test` and `5.10.0`; one is expected",
        ),
        (
            |made| made.remove("overlay.ko"),
            "the kernel has no `overlay`, neither as a module nor built in: it cannot boot here",
        ),
    ];
    for (change, message) in table {
        let mut made = with_modules();
        change(&mut made);
        assert_eq!(taken(&made).err().unwrap(), message);
    }
}

#[test]
fn links_devices_and_paths_that_lead_out_are_refused() {
    use tar::EntryType;
    for (path, kind) in [
        ("vmlinux", EntryType::Symlink),
        ("vmlinux", EntryType::Link),
        ("initrd.img", EntryType::Symlink),
        ("modules/kernel/a.ko", EntryType::Symlink),
        ("modules/kernel/a.ko", EntryType::Link),
        ("modules/kernel/a.ko", EntryType::Char),
        ("modules/kernel/a.ko", EntryType::Fifo),
        ("../vmlinux", EntryType::Regular),
        ("modules/../../a.ko", EntryType::Regular),
        ("etc", EntryType::Directory),
    ] {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_gnu_mut().unwrap().linkname[..4].copy_from_slice(b"/etc");
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_mode(0o644);
        header.set_device_major(1).unwrap();
        header.set_device_minor(1).unwrap();
        header.set_cksum();
        tar.append(&header, &b""[..]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let error = import_members(tar.into_inner().unwrap().as_slice(), folder.path()).unwrap_err();
        assert!(
            matches!(error, KernelError::Unexpected { .. } | KernelError::Archive(_)),
            "{path} {kind:?}: {error}"
        );
        assert!(!folder.path().join("vmlinux").exists());
    }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (path, data) in files {
            folder.put(path, data);
        }
        folder
    }

    fn put(&self, path: &str, data: &[u8]) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, data).unwrap();
    }

    fn link(&self, target: impl AsRef<Path>, path: &str) {
        symlink(target, self.0.path().join(path)).unwrap();
    }

    /// The paths of what would be sent.
    fn packed(&self) -> Result<Vec<String>, String> {
        let told = |error: FolderError| error.to_string().replace(self.0.path().to_str().unwrap(), "DIR");
        let mut out = Vec::new();
        let folder = KernelFolder::open(self.0.path()).map_err(told)?;
        folder.pack(&mut out).map_err(told)?;
        let mut archive = tar::Archive::new(out.as_slice());
        let entries = archive.entries().unwrap();
        Ok(entries
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect())
    }
}

#[test]
fn a_kernel_is_found_where_builds_and_packages_put_it() {
    let order = ("modules.order", &b""[..]);
    for (files, sent) in [
        (vec!["vmlinux"], vec!["vmlinux"]),
        (vec!["vmlinux", "vmlinuz", "bzImage"], vec!["vmlinux"]),
        (vec!["bzImage", "System.map", "config"], vec!["vmlinux"]),
        (
            vec!["vmlinuz-6.1", "initrd.img", "modules/6.1/modules.order"],
            vec!["vmlinux", "initrd.img", "modules/modules.order"],
        ),
        (
            vec!["vmlinux", "modules/kernel/a.ko", "modules/modules.dep"],
            vec!["vmlinux", "modules/kernel/a.ko"],
        ),
        (
            vec![
                "boot/vmlinuz-6.1",
                "boot/config-6.1",
                "usr/lib/modules/6.1/extra/b.ko.xz",
            ],
            vec!["vmlinux", "modules/extra/b.ko.xz"],
        ),
        (
            vec!["boot/vmlinuz-6.1", "lib/modules/6.1/modules.builtin"],
            vec!["vmlinux", "modules/modules.builtin"],
        ),
    ] {
        let files: Vec<_> = files.into_iter().map(|path| (path, order.1)).collect();
        assert_eq!(Folder::new(&files).packed().unwrap(), sent);
    }
    let merged = Folder::new(&[("vmlinux", b""), ("usr/lib/modules/6.1/kernel/a.ko", b"")]);
    merged.link("usr/lib", "lib");
    merged.link("/usr/src/linux", "usr/lib/modules/6.1/build");
    assert_eq!(merged.packed().unwrap(), ["vmlinux", "modules/kernel/a.ko"]);
}

#[test]
fn parts_are_taken_from_where_they_lie_and_each_is_what_it_has_to_be() {
    let folder = Folder::new(&[
        ("a/bzImage", b"kernel"),
        ("b/my-initrd", b"initrd"),
        ("c/extra/x.ko", b""),
    ]);
    folder.link("a/bzImage", "vmlinuz");
    let at = |name: &str| folder.0.path().join(name);
    let packed = |initrd: Option<&str>, modules: Option<&str>| {
        let (initrd, modules) = (initrd.map(at), modules.map(at));
        let parts = KernelFolder::of_parts(&at("vmlinuz"), initrd.as_deref(), modules.as_deref());
        let told = |error: FolderError| {
            error
                .to_string()
                .replace(folder.0.path().to_str().unwrap(), "DIR")
        };
        let mut out = Vec::new();
        parts.map_err(told)?.pack(&mut out).map_err(told)?;
        let mut archive = tar::Archive::new(out.as_slice());
        let entries = archive.entries().unwrap();
        let names = entries.map(|entry| entry.unwrap().path().unwrap().display().to_string());
        Ok::<Vec<String>, String>(names.collect())
    };
    assert_eq!(packed(None, None).unwrap(), ["vmlinux"]);
    assert_eq!(
        packed(Some("b/my-initrd"), Some("c")).unwrap(),
        ["vmlinux", "initrd.img", "modules/extra/x.ko"]
    );
    assert_eq!(packed(Some("b"), None).unwrap_err(), "DIR/b is not a file");
    assert_eq!(packed(Some("none"), None).unwrap_err(), "cannot read DIR/none");
    assert_eq!(
        packed(None, Some("a/bzImage")).unwrap_err(),
        "cannot read DIR/a/bzImage"
    );
}

#[test]
fn a_folder_that_is_no_kernel_is_refused_with_the_reason() {
    let none =
        "there is no kernel in DIR: no vmlinux, vmlinuz, bzImage, vmlinuz-VERSION or boot/vmlinuz-VERSION";
    assert_eq!(Folder::new(&[("README", b"")]).packed().unwrap_err(), none);
    let two = Folder::new(&[("boot/vmlinuz-6.1", b""), ("boot/vmlinuz-6.2", b"")]);
    assert_eq!(
        two.packed().unwrap_err(),
        "there are several kernels in DIR: boot/vmlinuz-6.1, boot/vmlinuz-6.2"
    );
    let two = Folder::new(&[
        ("vmlinux", b""),
        ("lib/modules/6.1/kernel/a.ko", b""),
        ("lib/modules/6.2/kernel/a.ko", b""),
    ]);
    assert_eq!(
        two.packed().unwrap_err(),
        "there are several folders of modules in DIR: lib/modules/6.1, lib/modules/6.2"
    );
    let large = Folder::new(&[("vmlinux", b"")]);
    let file = File::options()
        .write(true)
        .open(large.0.path().join("vmlinux"))
        .unwrap();
    file.set_len((256 << 20) + 1).unwrap();
    assert_eq!(
        large.packed().unwrap_err(),
        "DIR/vmlinux has 268435457 bytes; 268435456 is the most"
    );
    let folder = Folder::new(&[("vmlinux/x", b"")]);
    assert_eq!(folder.packed().unwrap_err(), "DIR/vmlinux is not a file");
    let missing = KernelFolder::open(Path::new("/proc/nonexistent/kernel")).unwrap_err();
    assert_eq!(missing.to_string(), "cannot read /proc/nonexistent/kernel");
}

#[test]
fn links_are_followed_within_the_folder_and_never_out_of_it() {
    let inside = Folder::new(&[("real/image", b"kernel"), ("modules/kernel/a.ko", b"")]);
    inside.link("real/image", "vmlinuz");
    inside.link("a.ko", "modules/kernel/b.ko");
    assert_eq!(
        inside.packed().unwrap(),
        ["vmlinux", "modules/kernel/a.ko", "modules/kernel/b.ko"]
    );
    let secret = tempfile::NamedTempFile::new().unwrap();
    for (link, target) in [
        ("vmlinux", secret.path()),
        ("vmlinux", Path::new("../outside")),
        ("initrd.img", secret.path()),
        ("modules", Path::new("/lib/modules")),
        ("modules/kernel/b.ko", secret.path()),
        ("modules/extra", Path::new("../..")),
    ] {
        let folder = Folder::new(&[("bzImage", b"kernel"), ("real/x", b"")]);
        if link != "modules" {
            folder.put("modules/kernel/a.ko", b"");
        }
        folder.link(target, link);
        assert_eq!(
            folder.packed().unwrap_err(),
            format!("DIR/{link} is a link that leads out of the folder"),
            "{}",
            target.display()
        );
    }
    let endless = Folder::new(&[("vmlinux", b""), ("modules/kernel/a.ko", b"")]);
    endless.link(".", "modules/kernel/again");
    assert!(
        endless
            .packed()
            .unwrap_err()
            .starts_with("cannot read DIR/modules/kernel/again")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_members_make_it_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut in any::<Option<prop::sample::Index>>()) {
        use std::sync::OnceLock;
        static TAR: OnceLock<Vec<u8>> = OnceLock::new();
        let mut tar = TAR.get_or_init(|| with_modules().tar()).clone();
        for (at, byte) in flips {
            let at = at.index(tar.len());
            tar[at] = byte;
        }
        if let Some(cut) = cut {
            tar.truncate(cut.index(tar.len()));
        }
        let folder = tempfile::tempdir().unwrap();
        let _ = import_members(tar.as_slice(), folder.path());
    }
}
