//! A root disk that boots itself.

use crate::{Home, Scenario};

pub(super) const DIRECT: Scenario = Scenario {
    name: "direct",
    shows: "a Debian with its own kernel, initrd and modules, as mmdebstrap makes it, booted on a copy; with a work seed; \
            and a container image with that kernel",
    uses: &[
        "image pull --name --kernel --modules",
        "image register --name --rootfs --kernel --initrd --modules --work-seed",
        "vm run --rm --image",
        "image delete",
    ],
    fast: false,
    alone_with: &[],
    run: direct,
};

/// The commands of `docs/image-catalog.md`; names without a version, for what comes after.
const MAKE: &str = "
mmdebstrap --quiet --variant=minbase --include=linux-image-cloud-amd64,initramfs-tools,systemd-sysv bookworm tree
mke2fs -q -t ext4 -d tree disk.ext4 1G
mv tree/boot/vmlinuz-* vmlinuz
mv tree/boot/initrd.img-* initrd.img
mv tree/lib/modules/* modules
mkdir seed
echo planted > seed/greeting
tar -C seed -cf seed.tar .
tar -C tree -cf layer.tar sbin/ldconfig
umoci init --layout layout
umoci new --image layout:1
umoci raw add-layer --image layout:1 layer.tar
";

fn direct(home: &Home) {
    let folder = home.path().join("disk");
    std::fs::create_dir(&folder).unwrap();
    let script = format!("cd \"$1\"\n{MAKE}");
    home.host("sh", &["-ec", &script, "sh", folder.to_str().unwrap()]);
    let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (disk, kernel, initrd) = (at("disk.ext4"), at("vmlinuz"), at("initrd.img"));
    let (modules, seed) = (at("modules"), at("seed.tar"));
    let register = ["image", "register", "--name", "own", "--rootfs", &disk];
    let brought = ["--kernel", &kernel, "--initrd", &initrd, "--modules", &modules];
    let registered = home.succeeds(&[&register[..], &brought, &["--work-seed", &seed]].concat());
    assert_eq!(registered, "own\n");
    let look = "cat /root/greeting; systemctl is-system-running --wait; systemctl --failed --quiet; \
                mount | grep ' / '; uname -r; ls /lib/modules";
    let seen = home.succeeds(&["vm", "run", "--rm", "--image", "own", "--", "sh", "-c", look]);
    assert!(
        seen.starts_with("planted\nrunning\n/dev/vda on / type ext4 (rw"),
        "{seen}"
    );
    home.succeeds(&["image", "delete", "own"]);

    let layout = format!("oci:{}:1", at("layout"));
    let pull = ["image", "pull", &layout, "--name", "contained"];
    let brought = ["--kernel", &kernel, "--modules", &modules];
    assert_eq!(home.succeeds(&[&pull[..], &brought].concat()), "contained\n");
    let run = ["vm", "run", "--rm", "--image", "contained", "--network", "none"];
    let version = home.succeeds(&[&run[..], &["--", "/sbin/ldconfig", "--version"]].concat());
    assert!(version.starts_with("ldconfig "), "{version}");
    home.succeeds(&["image", "delete", "contained"]);
    assert!(!home.succeeds(&["kernel", "list", "-q"]).contains("contained"));
}
