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
        self.of_rootfs("publish-golden-image.sh", name, content)
    }

    fn of_rootfs(&self, script: &str, name: &str, content: &[u8]) -> Command {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, "etc/motd", content).unwrap();
        fs::write(self.path("rootfs.tar"), tar.into_inner().unwrap()).unwrap();
        let arguments = [name, "--rootfs-tar", "rootfs.tar", "--kernel", "generic"];
        self.script(script, &arguments)
    }

    /// What everybody reads now.
    fn catalog(&self) -> RemoteCatalog {
        let bytes = fs::read(self.path("remote/catalog.json")).unwrap();
        RemoteCatalog::parse(&bytes, &format!("{}/catalog.json", self.url), "amd64").unwrap()
    }

    /// Files of the remote.
    fn uploaded(&self) -> Vec<String> {
        let files = fs::read_dir(self.path("remote")).unwrap().flatten();
        files
            .map(|file| file.file_name().into_string().unwrap())
            .collect()
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
fn fails(mut command: Command, words: &str) -> String {
    let Output { status, stderr, .. } = command.output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains(words), "{said}\nnot {words}");
    said
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
    let uploaded = lab.uploaded();
    let uploaded = uploaded.iter().find(|name| name.starts_with("tools-")).unwrap();
    fs::write(elsewhere.join(uploaded), "something else").unwrap();
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

    // Other catalogs than those that banger reads, with nothing uploaded beside them.
    let twice = "{\"schema_version\": 1}{\"schema_version\": 1}";
    for (there, said) in [
        ("{\"schema_version\": 2}", "it is of version 2"),
        (
            "{\"schema_version\": 1, \"images\": 3}",
            "invalid type: integer `3`",
        ),
        ("{\"schema_version\": 1, \"evil\": 1}", "unknown field `evil`"),
        (twice, "trailing characters"),
    ] {
        fs::write(lab.path("remote/catalog.json"), there).unwrap();
        fails(lab.image("box", b"x"), said);
        fails(
            lab.image("box", b"x"),
            "is no catalog that takes the entry; refused",
        );
        assert_eq!(
            fs::read_to_string(lab.path("remote/catalog.json")).unwrap(),
            there
        );
        assert_eq!(lab.uploaded(), ["catalog.json"]);
    }
}

#[test]
fn the_first_publication_makes_the_folder() {
    let lab = Lab::new();
    let mut first = lab.image("box", b"x");
    first
        .env("BANGER_PUBLISH_REMOTE", "public:new/folder")
        .env("BANGER_PUBLISH_URL", format!("{}/new/folder", lab.url));
    succeeds(first);
    assert!(lab.path("remote/new/folder/catalog.json").exists());
}

#[test]
fn nothing_is_uploaded_of_an_entry_that_is_not_true_of_the_bundle_beside_it() {
    let lab = Lab::new();
    succeeds(lab.of_rootfs("make-bundle.sh", "box", b"here"));
    let bundles = lab.path("bundles");
    let good = fs::read_to_string(bundles.join("box.json")).unwrap();
    let read: serde_json::Value = serde_json::from_str(&good).unwrap();
    let [url, sha256] = ["url", "sha256"].map(|key| read["bundle"][key].as_str().unwrap());
    let size = read["bundle"]["size"].as_u64().unwrap();
    for other in [
        "catalog.json",
        "plain.tar.zst",
        "http:/127.0.0.1:9/b",
        "../above.tar.zst",
    ] {
        let path = bundles.join(other);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(bundles.join(url), path).unwrap();
    }
    let renamed = url.replace("box", "cat");
    fs::copy(bundles.join(url), bundles.join(&renamed)).unwrap();
    let empty = "0".repeat(64);
    let missing = url.replace(&sha256[..12], &empty[..12]);

    let edited = |edits: &[(&str, &str)]| {
        edits.iter().fold(good.clone(), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        })
    };
    let no_such_name = "bundle.url: it is not NAME-ARCH-HASH.tar.zst";
    for (entry, words) in [
        (format!("{good}{good}"), "trailing characters"),
        (
            format!("{good}{{\"name\": \"\", \"evil\": 1}}"),
            "trailing characters",
        ),
        (edited(&[("{\n", "{\"evil\": 1,\n")]), "unknown field `evil`"),
        (edited(&[(url, "http://127.0.0.1:9/b")]), no_such_name),
        (
            edited(&[(url, "../above.tar.zst")]),
            "neither an http or https address nor a relative path",
        ),
        (edited(&[(url, "catalog.json")]), no_such_name),
        (edited(&[(url, "plain.tar.zst")]), no_such_name),
        (edited(&[(url, "-x")]), no_such_name),
        (
            edited(&[("\"box\"", "\"\\u001b]0;owned\\u0007\\nnext\"")]),
            "is not a name",
        ),
        (
            edited(&[("\"distro\": \"\"", "\"distro\": \"\\u001b[31mred\"")]),
            "it is not one line",
        ),
        (
            edited(&[(&size.to_string(), &(size + 1).to_string())]),
            "it ended after",
        ),
        (
            edited(&[(&size.to_string(), &(size - 1).to_string())]),
            "it has more than the",
        ),
        (
            edited(&[("\"box\"", "\"cat\""), (url, &renamed)]),
            "its name is `box`; `cat` was due",
        ),
        (
            edited(&[("\"generic\"", "\"other\"")]),
            "its kernel is `generic`; `other` was due",
        ),
        (edited(&[(&sha256[12..], &empty[12..])]), "its sha256 is"),
        (edited(&[(url, &missing), (sha256, &empty)]), "cannot read"),
        (String::new(), "EOF while parsing"),
    ] {
        fs::write(bundles.join("box.json"), &entry).unwrap();
        let said = fails(lab.script("publish", &["images", "bundles/box.json"]), words);
        assert!(said.contains("publish: nothing is uploaded"), "{said}");
        let printable = said.lines().all(|line| !line.contains(char::is_control));
        assert!(printable && said.lines().count() == 2, "{said:?}");
        assert_eq!(lab.uploaded(), Vec::<String>::new(), "{entry}");
    }
    fs::write(bundles.join("box.json"), &good).unwrap();
    fails(
        lab.script("publish", &["kernels", "bundles/box.json"]),
        "unknown field `kernel`",
    );
    assert_eq!(lab.uploaded(), Vec::<String>::new());
    succeeds(lab.script("publish", &["images", "bundles/box.json"]));
    assert_eq!(lab.images(), ["box"]);
}
