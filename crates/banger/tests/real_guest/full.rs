//! Disks that are full, the host's and the guest's.

use crate::home::{Finished, Home, binaries, finished};

/// Runs a script that may mount: `VMS` is the folder of the home's VMs, and `banger` is found on `PATH`.
fn run_with_mounts(home: &Home, text: &str) -> Finished {
    let vms = home.state().join("vms");
    std::fs::create_dir_all(&vms).unwrap();
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", binaries().display());
    let mut script = home.surrounded("unshare");
    script
        .args(["--user", "--map-root-user", "--mount", "sh", "-ec", text])
        .env("VMS", &vms)
        .env("PATH", path)
        .current_dir(home.folder());
    let ran = finished(script.output().unwrap());
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    ran
}

/// The host's disk has room for 40 MiB, then for more.
const HOST: &str = r#"
mount -t tmpfs -o mode=700,size=40m none "$VMS"
banger vm run -q -d --name a --disk-size 1G --network none
banger vm exec a -- sh -c 'echo kept > /root/kept; sync'
echo "full: $(banger vm exec a -- dd if=/dev/urandom of=/root/large bs=1M count=100 conv=fsync 2>&1 | grep -cE 'Input/output error|Read-only file system')"
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
    home.configure("[limits]\nfree_space_reserve = \"0\"\n");
    let ran = run_with_mounts(&home, HOST);
    let mut lines = ran.out.lines();
    let mut line = |of: &str| {
        let found = lines.find_map(|line| line.strip_prefix(of));
        found.unwrap_or_else(|| panic!("no `{of}` in {}", ran.out))
    };
    // The guest's program gets an error. It depends on the guest's speed which write is the first that fails: the
    // file's, or one of the file system's journal, which makes it read-only.
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

/// The host's disk has room for what the guest writes, but not beyond the reserve.
const RESERVED: &str = r#"
mount -t tmpfs -o mode=700,size=340m none "$VMS"
banger vm run -q -d --name a --disk-size 1G --network none
banger vm exec a -- sh -c 'seq 1 100000 > /root/before; sync; cp /root/before /dev/shm/before'
banger vm exec a -- sh -c 'nohup setsid sh -c "for part in 1 2 3; do head -c 60M /dev/urandom | tee /root/part\$part | sha256sum >> /root/sums; sync; done; echo done >> /root/sums" > /dev/null 2>&1 &'
head -c 190M /dev/zero > "$VMS/filler"
until banger ps | grep -q 'running (paused: the host'; do sleep 0.1; done
echo "room: $(stat -f -c '%a %S' "$VMS" | awk '{ print ($1 * $2 > 0) }')"
echo "refused: $(banger vm exec a -- true 2>&1 | head -1)"
echo "why: $(banger vm show a --json | grep '"paused"')"
echo "another: $(banger vm run -q -d --name b --network none 2>&1 | head -1 | sed 's/.*free, and/and/')"
banger daemon stop
until banger ps | grep -q 'running (paused: the host'; do sleep 0.1; done
echo "still: paused"
rm "$VMS/filler"
until banger vm exec a -- grep -q done /root/sums 2> /dev/null; do sleep 0.5; done
echo "on: $(banger ps | grep -c ' running  ')"
echo "same: $(banger vm exec a -- sh -c 'cmp /root/before /dev/shm/before && for part in 1 2 3; do sha256sum < /root/part$part; done | diff - /root/sums | grep -cE "^[<>] [0-9a-f]{64}"')"
banger vm exec a -- sh -c 'nohup setsid head -c 200M /dev/urandom > /root/more 2> /dev/null &'
until banger ps | grep -q 'running (paused: the host'; do sleep 0.1; done
banger vm stop -q a
echo "stopped: $(banger ps -a | grep -c ' stopped ')"
banger vm delete a
banger daemon stop
"#;

#[test]
fn a_guest_that_writes_is_paused_before_the_hosts_disk_is_full_and_goes_on_without_a_fault() {
    let home = Home::new();
    home.configure("[limits]\nfree_space_reserve = \"64M\"\n");
    let ran = run_with_mounts(&home, RESERVED);
    let line = |of: &str| {
        let found = ran.out.lines().find_map(|line| line.strip_prefix(of));
        found.unwrap_or_else(|| panic!("no `{of}` in {}", ran.out))
    };
    assert_eq!(line("room: "), "1");
    assert_eq!(
        line("refused: "),
        "banger: cannot run a command in `a`: it is paused: the host's disk is full"
    );
    assert!(line("why: ").contains("paused: the host's disk is full"));
    assert_eq!(line("another: "), "and 64 MiB are kept free");
    // The next daemon knows it, and lets the guest go on when there is room: the guest has noticed nothing.
    assert_eq!(line("still: "), "paused");
    assert_eq!(line("on: "), "1");
    assert_eq!(line("same: "), "0");
    // Being stopped, it may write what it has left.
    assert_eq!(line("stopped: "), "1");
}
