//! `scripts/make-generic-kernel.sh`, with a source that "compiles" in no time and a key made here: what somebody
//! trusted has signed is built, and nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::{Key, run};

/// Takes every line of the configuration that it is given.
const TAKES_ALL: &str = "\
allnoconfig:\n\tcp $(KCONFIG_ALLCONFIG) $(O)/.config\n\
bzImage:\n\tmkdir -p $(O)/arch/x86/boot && echo a kernel > $(O)/arch/x86/boot/bzImage\n";

struct Lab {
    folder: tempfile::TempDir,
    key: Key,
}

impl Lab {
    /// A source with this Makefile, packed, and signed as upstream does it: the archive before it is packed.
    fn new(makefile: &str) -> Self {
        let lab = Self {
            folder: tempfile::tempdir().unwrap(),
            key: Key::new(),
        };
        let source = lab.path("linux-9.9");
        fs::create_dir(&source).unwrap();
        fs::write(source.join("Makefile"), makefile).unwrap();
        let signature = lab.key.sign(&lab.pack());
        fs::write(lab.path("linux-9.9.tar.sign"), signature).unwrap();
        lab
    }

    /// Packs the source as it is now; gives the archive before it was packed.
    fn pack(&self) -> Vec<u8> {
        let folder = self.folder.path().to_str().unwrap();
        let tar = run("tar", &["-C", folder, "-c", "linux-9.9"], b"");
        fs::write(self.path("linux-9.9.tar.xz"), run("xz", &["-c"], &tar)).unwrap();
        tar
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn make(&self, more: &[&str]) -> Output {
        Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/make-generic-kernel.sh"))
            .args(["--out", "built/generic", "--tarball", "linux-9.9.tar.xz"])
            .args(more)
            .current_dir(self.folder.path())
            .output()
            .unwrap()
    }

    /// Builds nothing, says so with these words, and leaves nothing.
    fn refuses(&self, more: &[&str], words: &str) {
        let output = self.make(more);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(words), "{said}\nnot {words}");
        let left = fs::read_dir(self.path("built")).unwrap().flatten();
        assert_eq!(left.map(|entry| entry.file_name()).collect::<Vec<_>>(), [""; 0]);
    }
}

#[test]
fn a_source_that_somebody_trusted_has_signed_is_built() {
    let lab = Lab::new(TAKES_ALL);
    let output = lab.make(&["--keyring", lab.key.public().to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("linux-9.9.tar.xz signed by "), "{said}");
    let built = |name: &str| fs::read_to_string(lab.path("built/generic").join(name)).unwrap();
    assert_eq!(built("bzImage"), "a kernel\n");
    assert!(built("config").contains("CONFIG_EROFS_FS=y\n"));
    assert!(built("source").starts_with("linux-9.9.tar.xz signed by "));
    assert_eq!(
        fs::read_dir(lab.path("built")).unwrap().count(),
        1,
        "nothing beside it"
    );
}

#[test]
fn a_tampered_source_an_unknown_key_and_a_missing_signature_are_refused() {
    let lab = Lab::new(TAKES_ALL);
    let public = lab.key.public();
    let trusted = ["--keyring", public.to_str().unwrap()];
    let other = Key::new();
    lab.refuses(&["--keyring", other.public().to_str().unwrap()], "does not hold");
    lab.refuses(&["--keyring", "no-such.gpg"], "no such keyring: no-such.gpg");
    lab.refuses(&[], "--keyring FILE");
    fs::write(lab.path("empty"), "").unwrap();
    lab.refuses(
        &[&trusted[..], &["--signature", "empty"]].concat(),
        "is not what empty signs",
    );

    // Signed, but not this.
    let signature = fs::read(lab.path("linux-9.9.tar.sign")).unwrap();
    fs::write(lab.path("other.sign"), lab.key.sign(b"another source")).unwrap();
    lab.refuses(
        &[&trusted[..], &["--signature", "other.sign"]].concat(),
        "is not what other.sign signs: refused",
    );
    fs::remove_file(lab.path("linux-9.9.tar.sign")).unwrap();
    lab.refuses(&trusted, "linux-9.9.tar.sign is not there");
    fs::write(lab.path("linux-9.9.tar.sign"), signature).unwrap();

    // One line more than what was signed.
    fs::write(lab.path("linux-9.9/Makefile"), format!("{TAKES_ALL}\n")).unwrap();
    lab.pack();
    lab.refuses(&trusted, "is not what linux-9.9.tar.sign signs: refused");
    fs::write(lab.path("linux-9.9.tar.xz"), "no archive").unwrap();
    lab.refuses(&trusted, "is damaged, or not packed as its name says");
}

#[test]
fn a_source_that_drops_what_the_kernel_must_have_is_refused_by_name() {
    let drops = TAKES_ALL.replace(
        "cp $(KCONFIG_ALLCONFIG) $(O)/.config",
        "sed '/CONFIG_EROFS_FS=y/d; s/^# CONFIG_MODULES is not set/CONFIG_MODULES=y/' $(KCONFIG_ALLCONFIG) > $(O)/.config",
    );
    let lab = Lab::new(&drops);
    let public = lab.key.public();
    let trusted = ["--keyring", public.to_str().unwrap()];
    lab.refuses(&trusted, "generic.config:\nCONFIG_MODULES=y\nCONFIG_EROFS_FS=y\n");
    assert!(!lab.path("built/generic").exists());

    let broken = Lab::new("allnoconfig:\n\t@echo no compiler && false\n");
    let public = broken.key.public();
    broken.refuses(&["--keyring", public.to_str().unwrap()], "no compiler");
}
