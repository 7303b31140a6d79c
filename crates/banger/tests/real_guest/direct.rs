//! A root disk with a kernel and an initrd of its own, and a work seed.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::Home;

/// Makes `initrd.img` and `root.ext4` of busybox alone. The initrd loads what finds the disk, as any does, and knows
/// nothing of an agent.
const MAKE: &str = r#"
mkdir -p initrd/bin initrd/modules initrd/proc initrd/sys initrd/dev initrd/root
cp /bin/busybox initrd/bin/
cp "$1"/*.ko initrd/modules/
cat > initrd/init <<'END'
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
for module in /modules/*.ko; do /bin/busybox insmod "$module"; done
/bin/busybox mount -t ext4 /dev/vda /root
for folder in proc sys dev; do /bin/busybox mount --move /$folder /root/$folder; done
exec /bin/busybox switch_root /root /sbin/init
END
chmod 755 initrd/init
(cd initrd && find . | cpio --quiet -o -H newc | gzip -1) > initrd.img
mkdir -p root/bin root/sbin root/etc root/proc root/sys root/dev root/run root/tmp root/root
cp /bin/busybox root/bin/
for name in sh cat mount df ls; do ln -s busybox root/bin/$name; done
ln -s ../bin/busybox root/sbin/init
echo '::sysinit:/bin/mount -t tmpfs tmpfs /run' > root/etc/inittab
echo 'ID=direct' > root/etc/os-release
mke2fs -q -t ext4 -d root root.ext4 32M
mkdir -p seed/.config && echo hello > seed/greeting && tar -C seed -czf seed.tar.gz .
"#;

fn make(folder: &Path, boot_modules: &Path) {
    let made = Command::new("sh")
        .args(["-ec", MAKE, "sh"])
        .arg(boot_modules)
        .current_dir(folder)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .status();
    assert!(made.unwrap().success());
}

#[test]
fn a_root_disk_boots_its_own_initrd_with_the_agent_beside_it_and_gets_its_work_seed_once() {
    let home = Home::new();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let kernels = fs::read_dir(home.state().join("kernels")).unwrap();
    let kernel = kernels.flatten().next().unwrap().path();
    make(folder.path(), &kernel.join("boot-modules"));
    let vmlinux = kernel.join("vmlinux");
    let (rootfs, initrd, seed) = (at("root.ext4"), at("initrd.img"), at("seed.tar.gz"));
    let register = ["image", "register", "-q", "--name", "own", "--rootfs", &rootfs];
    let brought = [
        "--kernel",
        vmlinux.to_str().unwrap(),
        "--initrd",
        &initrd,
        "--work-seed",
        &seed,
    ];
    assert_eq!(home.succeeds(&[&register[..], &brought].concat()), "own\n");

    let run = [
        "vm",
        "run",
        "--name",
        "a",
        "--image",
        "own",
        "--disk-size",
        "256M",
    ];
    let look =
        "cat /etc/os-release /root/greeting /proc/1/comm; mount | grep ' / '; echo changed > /root/greeting";
    let seen = home.run(&[&run[..], &["--", "sh", "-c", look]].concat());
    assert_eq!(seen.code, Some(0), "{}", seen.err);
    assert!(
        seen.out
            .starts_with("ID=direct\nhello\ninit\n/dev/vda on / type ext4 (rw"),
        "{}",
        seen.out
    );
    let blocks = |home: &Home| -> u64 {
        let df = home.succeeds(&["vm", "exec", "a", "--", "df", "-m", "/"]);
        let size = df.lines().next_back().unwrap().split_whitespace().nth(1);
        size.unwrap().parse().unwrap()
    };
    assert!(blocks(&home) > 200, "it has grown into its disk");
    home.succeeds(&["vm", "restart", "a"]);
    assert_eq!(
        home.succeeds(&["vm", "exec", "a", "--", "cat", "/root/greeting"]),
        "changed\n"
    );
    let set = home.run(&["vm", "set", "a", "--disk-size", "512M"]);
    assert_eq!(set.code, Some(0), "{}", set.err);
    assert!(blocks(&home) > 400, "and does so while it runs: {}", set.err);
    home.succeeds(&["vm", "stop", "a"]);
    home.succeeds(&["vm", "delete", "a"]);
    home.succeeds(&["image", "delete", "own"]);
    assert!(!home.succeeds(&["kernel", "list", "-q"]).contains("own"));
}
