//! Whole packages, small and made up, with kmod's own programs to judge the outcome.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use proptest::prelude::*;

use super::bzimage::tests::{image, payload_of};
use super::decompress::Format;
use super::decompress::tests::packed;
use super::elf::tests::{kernel, module};
use super::*;

const VERSION: &str = "6.1.0-9-test";

/// Files of a package by their paths.
pub(super) struct Made(pub(super) Vec<(String, Vec<u8>)>);

impl Made {
    /// A kernel that a guest boots with: some of it built in, some of it compressed.
    pub(super) fn new() -> Self {
        let mut package = Self(Vec::new());
        let kernel = image(&payload_of(Format::Lz4Legacy, &kernel(50_000)));
        package.put(&format!("boot/vmlinuz-{VERSION}"), &kernel);
        let modules: [(&str, &str, &[&str]); 8] = [
            ("drivers/virtio/virtio.ko", "depends=virtio_ring\0", &[]),
            (
                "drivers/virtio/virtio_ring.ko",
                "depends=\0",
                &["__ksymtab_virtqueue_kick"],
            ),
            (
                "drivers/virtio/virtio_pci.ko",
                "alias=pci:v00001AF4d*sv*\0depends=virtio,virtio_ring\0",
                &[],
            ),
            (
                "drivers/block/virtio_blk.ko",
                "alias=virtio:d00000002v*\0depends=virtio\0",
                &[],
            ),
            ("drivers/char/virtio_console.ko", "depends=virtio\0", &[]),
            ("fs/overlayfs/overlay.ko", "alias=fs-overlay\0", &[]),
            (
                "fs/fuse/fuse.ko",
                "alias=devname:fuse\0alias=char-major-10-229\0softdep=pre: overlay\0",
                &[],
            ),
            (
                "net/some-thing.ko",
                "alias=net-pf-[0-9a-f]-x\0depends=fuse\0",
                &[],
            ),
        ];
        for (path, modinfo, symbols) in modules {
            package.put_module(&format!("kernel/{path}"), &module(modinfo.as_bytes(), symbols));
        }
        let erofs = packed(Format::Xz, &module(b"alias=fs-erofs\0", &[]));
        package.put_module("kernel/fs/erofs/erofs.ko.xz", &erofs);
        package.put_module(
            "modules.builtin",
            b"kernel/fs/ext4/ext4.ko\nkernel/drivers/net/virtio_net.ko\n",
        );
        package.put_module(
            "modules.builtin.modinfo",
            b"ext4.alias=fs-ext4\0ext4.license=GPL\0",
        );
        let order = modules.map(|(path, ..)| format!("kernel/{path}\n")).concat();
        package.put_module("modules.order", (order + "kernel/fs/erofs/erofs.ko\n").as_bytes());
        package
    }

    pub(super) fn put(&mut self, path: &str, data: &[u8]) {
        self.0.retain(|(other, _)| other != path);
        self.0.push((path.to_owned(), data.to_vec()));
    }

    pub(super) fn put_module(&mut self, path: &str, data: &[u8]) {
        self.put(&format!("lib/modules/{VERSION}/{path}"), data);
    }

    pub(super) fn remove(&mut self, path: &str) {
        self.0.retain(|(other, _)| !other.contains(path));
    }

    pub(super) fn tar(&self) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, data) in &self.0 {
            let mut header = tar::Header::new_gnu();
            header.set_size(data.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, format!("./{path}"), data.as_slice())
                .unwrap();
        }
        tar.into_inner().unwrap()
    }

    fn import(&self) -> Result<(Outcome, ImportedKernel), KernelError> {
        Outcome::of(&self.tar())
    }

    fn refused(&self) -> String {
        match self.import() {
            Err(error) => error.to_string(),
            Ok((_, kernel)) => panic!("it was taken: {kernel:?}"),
        }
    }
}

pub(super) struct Outcome(pub(super) tempfile::TempDir);

impl Outcome {
    fn of(tar: &[u8]) -> Result<(Self, ImportedKernel), KernelError> {
        let outcome = Self(tempfile::tempdir().unwrap());
        let kernel = import(tar, outcome.0.path())?;
        Ok((outcome, kernel))
    }

    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The modules' image as a folder in which kmod looks for them.
    pub(super) fn unpacked(&self) -> PathBuf {
        let root = self.at("unpacked");
        let to = root.join("lib/modules").join(VERSION);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        let mut option = std::ffi::OsString::from("--extract=");
        option.push(&to);
        let mut command = Command::new("fsck.erofs");
        let status = command
            .arg("-d0")
            .arg(option)
            .arg(self.at("modules.erofs"))
            .status();
        assert!(status.expect("erofs-utils is needed").success());
        root
    }
}

fn kmod(program: &str, arguments: &[&str], root: &Path) -> String {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let option = if program == "depmod" { "-b" } else { "-d" };
    let mut command = Command::new(program);
    let command = command.env("PATH", path).arg(option).arg(root).args(arguments);
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{program} of kmod is needed: {error}"));
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    let root = root.join("lib/modules").join(VERSION);
    text.replace(&format!("{}/", root.display()), "")
}

#[test]
fn a_package_becomes_what_a_vm_boots_from() {
    let (outcome, imported) = Made::new().import().unwrap();
    assert_eq!(imported.version, VERSION);
    assert!(fs::read(outcome.at("vmlinux")).unwrap() == kernel(50_000));
    let mut boot: Vec<_> = fs::read_dir(outcome.at("boot-modules"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .collect();
    boot.sort_by_key(|entry| entry.file_name());
    let names: Vec<_> = boot
        .iter()
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    let expected = [
        "00-virtio_ring.ko",
        "01-virtio.ko",
        "02-virtio_pci.ko",
        "03-virtio_blk.ko",
        "04-virtio_console.ko",
        "05-erofs.ko",
        "06-overlay.ko",
    ];
    assert_eq!(names, expected);
    for module in &boot {
        assert!(
            fs::read(module.path()).unwrap().starts_with(b"\x7fELF"),
            "no initramfs has a decompressor"
        );
    }
    let files = [outcome.at("vmlinux"), outcome.at("modules.erofs")];
    let files = files.into_iter().chain(boot.iter().map(fs::DirEntry::path));
    assert_eq!(
        imported.bytes,
        files.map(|path| fs::metadata(path).unwrap().len()).sum::<u64>()
    );
    assert_eq!(
        fs::read_dir(outcome.0.path()).unwrap().count(),
        3,
        "nothing else is left"
    );
}

#[test]
fn modprobe_finds_modules_by_name_alias_and_symbol() {
    let (outcome, _) = Made::new().import().unwrap();
    let root = outcome.unpacked();
    let table = [
        (
            "virtio_pci",
            "insmod kernel/drivers/virtio/virtio_ring.ko \ninsmod kernel/drivers/virtio/virtio.ko \n\
             insmod kernel/drivers/virtio/virtio_pci.ko \n",
        ),
        (
            "virtio:d00000002vFFFF",
            "insmod kernel/drivers/virtio/virtio_ring.ko \ninsmod kernel/drivers/virtio/virtio.ko \n\
             insmod kernel/drivers/block/virtio_blk.ko \n",
        ),
        ("fs-erofs", "insmod kernel/fs/erofs/erofs.ko.xz \n"),
        ("ext4", "builtin ext4\n"),
        ("fs-ext4", "builtin ext4\n"),
        (
            "symbol:virtqueue_kick",
            "insmod kernel/drivers/virtio/virtio_ring.ko \n",
        ),
        (
            "char-major-10-229",
            "insmod kernel/fs/overlayfs/overlay.ko \ninsmod kernel/fs/fuse/fuse.ko \n",
        ),
        (
            "net-pf-7-x",
            "insmod kernel/fs/overlayfs/overlay.ko \ninsmod kernel/fs/fuse/fuse.ko \ninsmod kernel/net/some-thing.ko \n",
        ),
    ];
    for (name, expected) in table {
        let found = kmod("modprobe", &["-S", VERSION, "--show-depends", name], &root);
        assert_eq!(found, expected, "{name}");
    }
    let missing = kmod("modprobe", &["-S", VERSION, "--show-depends", "nothing"], &root);
    assert!(missing.contains("not found"), "{missing}");
}

#[test]
fn the_indices_are_those_of_depmod() {
    let (outcome, _) = Made::new().import().unwrap();
    let root = outcome.unpacked();
    let at = root.join("lib/modules").join(VERSION);
    let read = |name: &str| fs::read(at.join(name)).unwrap();
    // Dependencies and symbols are left out: depmod takes them from tables that the modules here do not have.
    let names = [
        "modules.alias",
        "modules.alias.bin",
        "modules.builtin.bin",
        "modules.builtin.alias.bin",
    ];
    let names = names.into_iter().chain(["modules.softdep", "modules.devname"]);
    let ours: Vec<_> = names.map(|name| (name, read(name))).collect();
    kmod("depmod", &[VERSION], &root);
    for (name, ours) in ours {
        assert_eq!(
            ours.escape_ascii().to_string(),
            read(name).escape_ascii().to_string(),
            "{name}"
        );
    }
}

#[test]
fn a_package_may_have_its_modules_below_usr() {
    let mut package = Made::new();
    for (path, _) in &mut package.0 {
        if path.starts_with("lib/") {
            *path = format!("usr/{path}");
        }
    }
    let (outcome, imported) = package.import().unwrap();
    assert_eq!(imported.version, VERSION);
    assert!(outcome.at("boot-modules/00-virtio_ring.ko").is_file());
}

#[test]
fn a_package_that_cannot_be_used_is_refused_with_the_reason() {
    type Change = fn(&mut Made);
    let table: [(Change, &str); 14] = [
        (
            |package| package.remove("vmlinuz"),
            "the kernel package holds no kernel, /boot/vmlinuz-VERSION",
        ),
        (
            |package| package.put("boot/vmlinuz-6.2", b""),
            "the kernel package holds the versions `6.1.0-9-test` and `6.2`; one is expected",
        ),
        (
            |package| package.put("lib/modules/6.3/kernel/a.ko", b""),
            "the kernel package holds the versions `6.1.0-9-test` and `6.3`; one is expected",
        ),
        (
            |package| package.put("boot/vmlinuz-6 1", b""),
            "`boot/vmlinuz-6 1` of the kernel package has an impossible name",
        ),
        (
            |package| package.put("boot/vmlinuz--6", b""),
            "`boot/vmlinuz--6` of the kernel package has an impossible name",
        ),
        (
            |package| package.put("boot/vmlinuz-", b""),
            "`boot/vmlinuz-` of the kernel package has an impossible name",
        ),
        (
            |package| package.put_module("kernel/a\nb.ko", b""),
            "`lib/modules/6.1.0-9-test/kernel/a\\nb.ko` of the kernel package has an impossible name",
        ),
        (
            |package| package.put(&format!("boot/vmlinuz-{VERSION}"), b"no kernel"),
            "the kernel image is unusable: it is cut short",
        ),
        (
            |package| package.put_module("kernel/text.ko", b"text"),
            "the module `lib/modules/6.1.0-9-test/kernel/text.ko` is broken: it is no module for a 64-bit kernel",
        ),
        (
            |package| package.put_module("kernel/a.ko.zst", b"text"),
            "cannot decompress `lib/modules/6.1.0-9-test/kernel/a.ko.zst` of the kernel package",
        ),
        (
            |package| package.put_module("extra/virtio-blk.ko", &module(b"a=b\0", &[])),
            "the kernel package holds the module `virtio_blk` twice",
        ),
        (
            |package| package.remove("overlay.ko"),
            "the kernel has no `overlay`, neither as a module nor built in: it cannot boot here",
        ),
        (
            |package| package.remove("modules.builtin"),
            "the kernel has no `ext4`, neither as a module nor built in: it cannot boot here",
        ),
        (
            |package| package.put_module("modules.order", &vec![0; (16 << 20) + 1]),
            "`lib/modules/6.1.0-9-test/modules.order` of the kernel package has 16777217 bytes; 16777216 is the most",
        ),
    ];
    for (change, message) in table {
        let mut package = Made::new();
        change(&mut package);
        assert_eq!(package.refused(), message);
    }
    let error = Outcome::of(b"").err().unwrap();
    assert!(matches!(error, KernelError::Archive(_)), "{error}");
}

#[test]
fn links_and_what_is_not_a_kernels_are_left_out() {
    let mut tar = tar::Builder::new(Made::new().tar());
    // What follows the end marker of an archive is not read; so it is cut off first.
    let bytes = tar.get_mut();
    bytes.truncate(bytes.len() - 1024);
    for (path, kind) in [
        ("kernel/evil.ko", tar::EntryType::Symlink),
        ("kernel/device.ko", tar::EntryType::Char),
        ("build", tar::EntryType::Symlink),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_mode(0o777);
        header.set_device_major(1).unwrap();
        header.set_device_minor(1).unwrap();
        let path = format!("lib/modules/{VERSION}/{path}");
        tar.append_link(&mut header, path, "/etc/passwd").unwrap();
    }
    let (outcome, _) = Outcome::of(&tar.into_inner().unwrap()).unwrap();
    let root = outcome.unpacked().join("lib/modules").join(VERSION);
    for absent in ["kernel/evil.ko", "kernel/device.ko", "build"] {
        assert!(fs::symlink_metadata(root.join(absent)).is_err(), "{absent}");
    }
    assert!(root.join("kernel/fs/fuse/fuse.ko").is_file());
}

#[test]
fn a_folder_that_holds_a_kernel_already_is_left_as_it_is() {
    let outcome = Outcome(tempfile::tempdir().unwrap());
    File::create(outcome.at("modules.erofs"))
        .unwrap()
        .write_all(b"old")
        .unwrap();
    let error = import(Made::new().tar().as_slice(), outcome.0.path()).unwrap_err();
    assert!(matches!(error, KernelError::Write { .. }), "{error}");
    assert_eq!(fs::read(outcome.at("modules.erofs")).unwrap(), b"old");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_package_makes_it_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut in any::<Option<prop::sample::Index>>()) {
        use std::sync::OnceLock;
        static TAR: OnceLock<Vec<u8>> = OnceLock::new();
        let mut tar = TAR.get_or_init(|| Made::new().tar()).clone();
        for (at, byte) in flips {
            let at = at.index(tar.len());
            tar[at] = byte;
        }
        if let Some(cut) = cut {
            tar.truncate(cut.index(tar.len()));
        }
        let _ = Outcome::of(&tar);
    }
}
