//! `scripts/publish-*.sh`, with an rclone remote that is a folder here, served on loopback.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use catalog::bundle::RemoteCatalog;

struct Lab {
    folder: tempfile::TempDir,
    url: String,
}

impl Lab {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let remote = folder.path().join("remote");
        fs::create_dir(&remote).unwrap();
        let url = smoke::serve(&remote);
        Self { folder, url }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A script, in surroundings that know of the remote and nothing of the caller's.
    fn script(&self, name: &str, arguments: &[&str]) -> Command {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts");
        let mut command = Command::new(scripts.join(name));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("HOME", self.folder.path())
            .env("BANGER", env!("CARGO_BIN_EXE_banger"))
            .env("BANGER_BUNDLES", self.path("bundles"))
            .env("RCLONE_CONFIG_PUBLIC_TYPE", "alias")
            .env("RCLONE_CONFIG_PUBLIC_REMOTE", self.path("remote"))
            .env("BANGER_PUBLISH_REMOTE", "public:")
            .env("BANGER_PUBLISH_URL", &self.url);
        command
    }

    /// Publishes an image with one file of this content.
    fn image(&self, name: &str, content: &[u8]) -> Command {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, "etc/motd", content).unwrap();
        fs::write(self.path("rootfs.tar"), tar.into_inner().unwrap()).unwrap();
        let arguments = [name, "--rootfs-tar", "rootfs.tar", "--kernel", "generic"];
        self.script("publish-golden-image.sh", &arguments)
    }

    /// What everybody reads now.
    fn catalog(&self) -> RemoteCatalog {
        let bytes = fs::read(self.path("remote/catalog.json")).unwrap();
        RemoteCatalog::parse(&bytes, &format!("{}/catalog.json", self.url), "amd64").unwrap()
    }

    fn images(&self) -> Vec<String> {
        self.catalog()
            .images
            .into_iter()
            .map(|image| image.name)
            .collect()
    }
}

fn succeeds(mut command: Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    said
}

#[track_caller]
fn fails(mut command: Command, words: &str) {
    let Output { status, stderr, .. } = command.output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains(words), "{said}\nnot {words}");
}

#[test]
fn what_is_published_is_served_and_listed_in_order_in_place_of_the_old() {
    let lab = Lab::new();
    succeeds(lab.image("tools", b"first"));
    let first = lab.catalog().images[0].bundle.clone();
    fs::create_dir(lab.path("kernel")).unwrap();
    fs::write(lab.path("kernel/bzImage"), "a kernel").unwrap();
    succeeds(lab.script("publish-kernel.sh", &["generic", "--from", "kernel"]));
    succeeds(lab.image("box", b"another"));
    let said = succeeds(lab.image("tools", b"second"));
    assert!(
        said.contains(&format!("published: tools, {}/tools-amd64-", lab.url)),
        "{said}"
    );

    assert_eq!(lab.images(), ["box", "tools"]);
    let catalog = lab.catalog();
    assert_eq!(catalog.kernels[0].name, "generic");
    assert_eq!(catalog.images[1].kernel, "generic");
    assert_ne!(catalog.images[1].bundle, first);
    // Whoever has read the old catalog still finds the old bundle.
    let old = first.url.rsplit('/').next().unwrap();
    assert!(lab.path("remote").join(old).exists(), "{old}");
    assert_eq!(fs::read_dir(lab.path("remote")).unwrap().count(), 5);
    // The same again changes nothing.
    let before = fs::read(lab.path("remote/catalog.json")).unwrap();
    succeeds(lab.image("tools", b"second"));
    assert_eq!(fs::read(lab.path("remote/catalog.json")).unwrap(), before);
}

#[test]
fn what_the_public_address_does_not_serve_is_not_listed() {
    let lab = Lab::new();
    succeeds(lab.image("box", b"here"));
    let elsewhere = lab.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let address = smoke::serve(&elsewhere);
    let mut unseen = lab.image("tools", b"unseen");
    unseen.env("BANGER_PUBLISH_URL", &address);
    fails(unseen, "is not served; the catalog stays as it was");
    let uploaded = fs::read_dir(lab.path("remote")).unwrap().flatten();
    let uploaded = uploaded.map(|file| file.file_name().into_string().unwrap());
    let uploaded = uploaded
        .filter(|name| name.starts_with("tools-"))
        .collect::<Vec<_>>();
    fs::write(elsewhere.join(&uploaded[0]), "something else").unwrap();
    let mut other = lab.image("tools", b"unseen");
    other.env("BANGER_PUBLISH_URL", &address);
    fails(other, "serves something else than was uploaded");
    assert_eq!(lab.images(), ["box"]);
}

#[test]
fn a_publication_that_cannot_be_says_why_before_it_begins() {
    let lab = Lab::new();
    let mut nowhere = lab.image("box", b"x");
    nowhere.env_remove("BANGER_PUBLISH_REMOTE");
    fails(nowhere, "BANGER_PUBLISH_REMOTE is not set");
    let mut unread = lab.image("box", b"x");
    unread.env_remove("BANGER_PUBLISH_URL");
    fails(unread, "BANGER_PUBLISH_URL is not set");
    assert!(!lab.path("bundles").exists());
    let no_folder = lab.script("publish-kernel.sh", &["generic", "--from", "nosuch"]);
    fails(no_folder, "no folder nosuch");

    for (there, said) in [
        ("{\"schema_version\": 2}", "is of another version; refused"),
        ("{\"schema_version\": 1, \"images\": 3}", "is no catalog; refused"),
    ] {
        fs::write(lab.path("remote/catalog.json"), there).unwrap();
        fails(lab.image("box", b"x"), said);
        assert_eq!(
            fs::read_to_string(lab.path("remote/catalog.json")).unwrap(),
            there
        );
    }
}
