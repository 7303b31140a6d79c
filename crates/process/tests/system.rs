//! A confinement that is a small system of its own: who root is there, what it may do, and what is left of it. Recipes
//! that try to get out are in `catalog`.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use process::{Bounds, Command, Confinement, Ending, Finished, IdRange, Kind, ProcessError, SystemCalls};
use tempfile::TempDir;

const BOUNDS: Bounds = Bounds {
    output: 1 << 20,
    errors: 1 << 20,
    time: Duration::from_secs(60),
};

/// A folder to give away.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::set_permissions(place.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(place.tree()).unwrap();
        place
    }

    fn tree(&self) -> PathBuf {
        self.0.path().join("tree")
    }
}

/// A range; a plain user needs one by `/etc/subuid` and `/etc/subgid`.
fn range() -> IdRange {
    IdRange::find(7).unwrap()
}

fn run(confinement: Confinement, script: &str) -> Result<Finished, ProcessError> {
    let mut command = Command::new("/bin/sh");
    command
        .arguments(["-euc", script])
        .variable("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .confine(confinement);
    command.run(None, BOUNDS)
}

fn says(confinement: Confinement, script: &str) -> String {
    let finished = run(confinement, script).unwrap();
    let errors = String::from_utf8_lossy(&finished.errors);
    assert_eq!(finished.ending, Ending::Exited(0), "{errors}");
    String::from_utf8(finished.output).unwrap()
}

#[test]
fn root_inside_owns_what_it_is_given_and_is_somebody_who_owns_nothing_on_the_host() {
    let range = range();
    let place = Place::new();
    let (user, group) = range.root();
    chown(place.tree(), Some(user), Some(group)).unwrap();
    let mut confinement = Confinement::system(Some(range));
    confinement.show_programs().give(place.tree(), "/tree");
    let said = says(
        confinement,
        "id -u; umask; touch /tree/mine /tree/other /tree/last; chown 1:2 /tree/other; chown 65535:65535 /tree/last
         chmod 4755 /tree/mine; stat -c '%u %g %a' /tree/*; cat /proc/self/uid_map | wc -l; echo $$
         mount -t tmpfs none /tree 2>/dev/null || echo no mounts; unshare -U true 2>/dev/null || echo no namespaces",
    );
    let lines: Vec<&str> = said.lines().map(str::trim).collect();
    assert_eq!(lines[..2], ["0", "0022"]);
    assert_eq!(lines[2..5], ["65535 65535 644", "0 0 4755", "1 2 644"]);
    assert_eq!(lines[6..], ["1", "no mounts", "no namespaces"]);
    let owner = |name: &str| {
        let metadata = fs::metadata(place.tree().join(name)).unwrap();
        (metadata.uid(), metadata.gid())
    };
    assert_eq!(owner("mine"), (user, group));
    if rustix::process::geteuid().is_root() {
        assert!(user >= 0x7f00_0000, "{user}");
        assert_eq!(owner("other"), (user + 1, group + 2));
        assert_eq!(owner("last"), (user + 65535, group + 65535));
    }
}

#[test]
fn a_system_that_may_mount_does_so_where_nobody_else_sees_it() {
    let range = range();
    let place = Place::new();
    let (user, group) = range.root();
    chown(place.tree(), Some(user), Some(group)).unwrap();
    let mut confinement = Confinement::system(Some(range));
    confinement.show_programs().give(place.tree(), "/tree").mounts();
    let said = says(
        confinement,
        "mount -t tmpfs none /tree; touch /tree/inside; ls /tree; mkdir /tree/proc; mount -t proc proc /tree/proc; ls -d /tree/proc/1
         mknod /tree/disk b 8 0 2>/dev/null || echo no devices",
    );
    assert_eq!(said, "inside\n/tree/proc/1\nno devices\n");
    assert_eq!(fs::read_dir(place.tree()).unwrap().count(), 0);
}

#[test]
fn what_is_shown_stays_read_only_to_a_system_that_may_mount() {
    let range = range();
    let place = Place::new();
    let (user, group) = range.root();
    let shown = place.tree().join("shown");
    fs::write(&shown, "as it was").unwrap();
    chown(&shown, Some(user), Some(group)).unwrap();
    let mut confinement = Confinement::system(Some(range));
    confinement.show_programs().show(&shown, "/shown").mounts();
    // By the old call, by each of the new ones (fspick, mount_setattr, open_tree_attr), and by way of a second mount.
    let script = r#"
        mount -o remount,bind,rw /shown 2>/dev/null || echo refused
        touch /dev/shm/second; mount --bind /shown /dev/shm/second
        mount -o remount,bind,rw /dev/shm/second 2>/dev/null || echo refused
        perl -e 'my $path = "/shown"; my $clear = pack("Q4", 0, 1, 0, 0);
            for my $call ([433, -100, $path, 0], [442, -100, $path, 0, $clear, 32], [467, -100, $path, 1, $clear, 32]) {
                my ($number, @arguments) = @$call; $! = 0; syscall($number, @arguments); print "$number: ", $! + 0, "\n" }'
        mount -t tmpfs none /dev/shm && echo mounts
        (echo changed > /shown) 2>/dev/null || echo read-only"#;
    let mut command = Command::new("/bin/sh");
    command
        .arguments(["-euc", script])
        .variable("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .confine(confinement)
        .filter(SystemCalls::deny(&[Kind::Remounts]));
    let finished = command.run(None, BOUNDS).unwrap();
    assert_eq!(
        String::from_utf8_lossy(&finished.output),
        "refused\nrefused\n433: 1\n442: 38\n467: 38\nmounts\nread-only\n",
        "{}",
        String::from_utf8_lossy(&finished.errors)
    );
    assert_eq!(fs::read_to_string(shown).unwrap(), "as it was");
}

#[test]
fn a_root_of_the_hosts_changes_no_device_and_nothing_that_it_reads_from() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let place = Place::new();
    // One of the test's own, of the kind of /dev/null.
    let device = place.tree().join("device");
    let null = rustix::fs::makedev(1, 3);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &device,
        rustix::fs::FileType::CharacterDevice,
        rustix::fs::Mode::from_raw_mode(0o666),
        null,
    )
    .unwrap();
    fs::set_permissions(&device, fs::Permissions::from_mode(0o666)).unwrap();
    let mut confinement = Confinement::system(None);
    confinement.show_programs().device(&device);
    let at = device.display();
    let said = says(
        confinement,
        &format!(
            "echo goes > {at} && echo written; chmod 600 {at} 2>/dev/null || echo mode; chown 12 {at} 2>/dev/null || echo owner
             stat -L -c %F /proc/self/fd/0; cat"
        ),
    );
    assert_eq!(said, "written\nmode\nowner\nfifo\n");
    let after = fs::metadata(&device).unwrap();
    assert_eq!((after.mode() & 0o7777, after.uid()), (0o666, 0));
}

#[test]
fn what_is_mounted_in_a_tree_goes_over_no_link_of_it() {
    let range = range();
    let place = Place::new();
    let outside = place.0.path().join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, place.tree().join("proc")).unwrap();
    let (user, group) = range.root();
    chown(place.tree(), Some(user), Some(group)).unwrap();
    let mut confinement = Confinement::system(Some(range));
    confinement.rooted_at(place.tree());
    let refusal = confinement.try_out().unwrap_err();
    assert!(
        refusal.reason().starts_with("cannot make /proc: "),
        "{}",
        refusal.reason()
    );
    assert_eq!(fs::read_dir(outside).unwrap().count(), 0);
}

#[test]
fn ranges_of_different_numbers_differ_and_are_no_single_processes_ids() {
    if !rustix::process::geteuid().is_root() {
        // The user's own is the only one.
        assert_eq!(IdRange::find(1).unwrap(), range());
        return;
    }
    let first = IdRange::find(1).unwrap().root();
    let second = IdRange::find(2).unwrap().root();
    assert!(first.0.abs_diff(second.0) >= 65536);
    for number in [0, 1, u32::MAX] {
        assert!(Confinement::id(number) < 0x7f00_0000);
    }
}

#[test]
fn dropping_what_never_ran_is_over_at_once() {
    let mut command = Command::new("/bin/true");
    let mut confinement = Confinement::new(0);
    confinement.show(Path::new("/nowhere/at-all"), "/x");
    command.confine(confinement);
    assert!(matches!(command.spawn(), Err(ProcessError::Confine { .. })));
}
