//! Disks that are full, the host's and the guest's.

use crate::home::{Home, binaries, finished};

/// The host's disk has room for 40 MiB, then for more.
const HOST: &str = r#"
mount -t tmpfs -o mode=700,size=40m none "$VMS"
banger vm run -q -d --name a --disk-size 1G --network none
banger vm exec a -- sh -c 'echo kept > /root/kept; sync'
echo "full: $(banger vm exec a -- dd if=/dev/urandom of=/root/large bs=1M count=100 conv=fsync 2>&1 | grep -c 'Input/output error')"
echo "another: $(banger vm run -q -d --name b --network none 2>&1 | sed 's/.*: //')"
echo "known: $(banger ps -aq | wc -l)"
mount -o remount,mode=700,size=400m "$VMS"
banger vm restart -q a
echo "after: $(banger vm exec a -- sh -c 'cat /root/kept; dd if=/dev/zero of=/root/large bs=1M count=100 conv=fsync status=none && echo written')"
banger vm exec a -- mount -t tmpfs -o size=1m none /mnt
head -c 4M /dev/urandom > large
echo "copied: $(banger vm cp -q large a:/mnt/large 2>&1)"
echo "left: $(banger vm exec a -- ls -A /mnt)"
banger vm delete a
banger daemon stop
"#;

#[test]
fn a_disk_that_is_full_fails_what_needs_it_and_nothing_else() {
    let home = Home::new();
    let vms = home.state().join("vms");
    std::fs::create_dir_all(&vms).unwrap();
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", binaries().display());
    let mut script = home.surrounded("unshare");
    script
        .args(["--user", "--map-root-user", "--mount", "sh", "-ec", HOST])
        .env("VMS", &vms)
        .env("PATH", path)
        .current_dir(home.folder());
    let ran = finished(script.output().unwrap());
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    let mut lines = ran.out.lines();
    let mut line = |of: &str| {
        let found = lines.find_map(|line| line.strip_prefix(of));
        found.unwrap_or_else(|| panic!("no `{of}` in {}", ran.out))
    };
    // The guest's program is told; the guest goes on.
    assert_eq!(line("full: "), "1");
    // No other VM starts, and none is left half made.
    assert_eq!(line("another: "), "No space left on device (os error 28)");
    assert_eq!(line("known: "), "1");
    // With room again, all is as it was.
    assert_eq!(line("after: "), "kept");
    assert_eq!(line("written"), "");
    // A copy into a guest whose disk is full says so and leaves nothing there.
    let copied = line("copied: ");
    assert!(copied.contains("in `a`: no space left for `large`"), "{copied}");
    assert_eq!(line("left: "), "");
}
