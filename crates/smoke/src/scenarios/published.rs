//! From what a publisher does by script to what everybody else then gets by name.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::{Home, Scenario, home, serve};

pub(super) const PUBLISHED: Scenario = Scenario {
    name: "published",
    shows: "an image is published by script, pulled by its name in another home, and is the same to the byte",
    uses: &[
        "image pull -q",
        "image delete",
        "image show --json",
        "vm run -q --rm --network --image",
    ],
    fast: true,
    alone_with: &[],
    run: published,
};

/// A tree that can print what it is, as a tar. Arguments: the folder to make, and the file.
const ROOTFS: &str = r#"
mkdir -p "$1/bin" "$1/etc"
cp /bin/busybox "$1/bin/"
ln -s busybox "$1/bin/cat"
echo ID=published > "$1/etc/os-release"
tar -C "$1" -cf "$2" --owner 0 --group 0 --numeric-owner .
"#;

fn published(home: &Home) {
    let publisher = Home::bare();
    let remote = publisher.path().join("remote");
    fs::create_dir(&remote).unwrap();
    let address = serve(&remote);
    publish(&publisher, &remote, &address);
    let catalog: Value = serde_json::from_slice(&fs::read(remote.join("catalog.json")).unwrap()).unwrap();
    let bundle = remote.join(catalog["images"][0]["bundle"]["url"].as_str().unwrap());
    let digest = r#"tar --zstd -xOf "$1" rootfs.erofs | sha256sum"#;
    let digest = publisher.host("sh", &["-ec", digest, "sh", bundle.to_str().unwrap()]);

    home.configure(&format!("catalog_url = \"{address}/catalog.json\""));
    // What is left is a kernel.
    home.succeeds(&["image", "delete", "debian-minimal"]);
    assert_eq!(home.succeeds(&["image", "pull", "-q", "box"]), "box\n");
    let image: Value = serde_json::from_str(&home.succeeds(&["image", "show", "box", "--json"])).unwrap();
    assert_eq!(format!("{}  -\n", image["id"].as_str().unwrap()), digest);
    let run = ["vm", "run", "-q", "--rm", "--network", "none", "--image", "box"];
    assert_eq!(
        home.succeeds(&[&run[..], &["--", "cat", "/etc/os-release"]].concat()),
        "ID=published\n"
    );
}

/// Publishes an image `box` to a remote of rclone's that is a folder.
fn publish(home: &Home, remote: &Path, address: &str) {
    let (tree, tar) = (home.path().join("tree"), home.path().join("box.tar"));
    let (tree, tar) = (tree.to_str().unwrap(), tar.to_str().unwrap());
    home.host("sh", &["-ec", ROOTFS, "sh", tree, tar]);
    let surroundings = [
        format!("BANGER={}", home::binaries().join("banger").display()),
        format!("BANGER_BUNDLES={}", home.path().join("bundles").display()),
        "RCLONE_CONFIG_PUBLIC_TYPE=alias".to_owned(),
        format!("RCLONE_CONFIG_PUBLIC_REMOTE={}", remote.display()),
        "BANGER_PUBLISH_REMOTE=public:".to_owned(),
        format!("BANGER_PUBLISH_URL={address}"),
        home::script("publish-golden-image.sh").display().to_string(),
    ];
    let mut line: Vec<&str> = surroundings.iter().map(String::as_str).collect();
    line.extend(["box", "--rootfs-tar", tar, "--kernel", "debian-cloud"]);
    home.host("env", &line);
}
