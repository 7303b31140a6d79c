//! Container images of every kind, by the tools that people make them with.

use crate::{Home, Registry, Scenario};

pub(super) const CONTAINERS: Scenario = Scenario {
    name: "containers",
    shows: "images made by umoci, buildah and mmdebstrap, with busybox, like alpine, and a whole Debian: pulled and run",
    uses: &[
        "image pull -q --plain-http --name",
        "vm run -q --rm --network --image",
        "image delete",
    ],
    fast: false,
    alone_with: &[],
    run: containers,
};

/// The tree of an image of busybox alone, in the folder that is given.
const BUSYBOX: &str = "
mkdir -p bin etc root tmp
cp /bin/busybox bin/
for name in sh cat ls; do ln -s busybox bin/$name; done
echo 'root:x:0:0:root:/root:/bin/sh' > etc/passwd
echo 'ID=busybox' > etc/os-release
";

/// What alpine has besides: an init that is busybox, and an inittab whose first program a container lacks.
const ALPINE: &str = "
mkdir -p sbin
ln -s ../bin/busybox sbin/init
echo '::sysinit:/sbin/openrc sysinit' > etc/inittab
echo 'ID=alpine-like' > etc/os-release
";

/// From the tree to a layer.
const TAR: &str = "tar -cf ../layer.tar --owner 0 --group 0 --numeric-owner .\n";

/// A layer that is a Debian, as mmdebstrap makes it: without systemd it is a container's.
const MMDEBSTRAP: &str = "mmdebstrap --quiet --variant=essential bookworm ../layer.tar\n";

/// From the layer to the registry, by umoci.
const UMOCI: &str = r#"
umoci init --layout ../layout
umoci new --image ../layout:1
umoci raw add-layer --image ../layout:1 ../layer.tar
skopeo copy --quiet --insecure-policy --dest-tls-verify=false oci:../layout:1 "docker://$1"
"#;

/// From the tree to the registry by buildah, in docker's own format.
const BUILDAH: &str = r#"
echo '{"default": [{"type": "insecureAcceptAnything"}]}' > ../policy.json
buildah() { command buildah --root "$PWD/../storage" --runroot "$PWD/../run" --storage-driver vfs "$@"; }
container=$(buildah from scratch)
buildah copy --quiet "$container" . /
buildah config --cmd /bin/sh "$container"
buildah commit --quiet --rm --format docker --tls-verify=false --signature-policy ../policy.json "$container" "docker://$1"
"#;

fn containers(home: &Home) {
    let registry = Registry::start(&home.path().join("registry"));
    let kinds: [(&str, &[&str], &str); 4] = [
        ("busybox", &[BUSYBOX, TAR, UMOCI], "ID=busybox\n"),
        ("alpine-like", &[BUSYBOX, ALPINE, TAR, UMOCI], "ID=alpine-like\n"),
        ("buildah", &[BUSYBOX, BUILDAH], "ID=busybox\n"),
        ("mmdebstrap", &[MMDEBSTRAP, UMOCI], "VERSION_CODENAME=bookworm\n"),
    ];
    for (name, script, release) in kinds {
        let reference = format!("{}/{name}:1", registry.address());
        let folder = home.path().join(name).join("tree");
        let script = format!("mkdir -p \"$2\"; cd \"$2\"\n{}", script.concat());
        home.host(
            "sh",
            &["-ec", &script, "sh", &reference, folder.to_str().unwrap()],
        );
        let pulled = home.succeeds(&["image", "pull", "-q", "--plain-http", "--name", name, &reference]);
        assert_eq!(pulled, format!("{name}\n"));
        let run = ["vm", "run", "-q", "--rm", "--network", "none", "--image", name];
        let printed = home.succeeds(&[&run[..], &["--", "cat", "/etc/os-release"]].concat());
        assert!(printed.contains(release), "{name}: {printed}");
        home.succeeds(&["image", "delete", name]);
    }
}
