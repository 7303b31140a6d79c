//! A confinement that is a small system of its own: who root is there, what it may do, and what is left of it. Recipes
//! that try to get out are in `catalog`.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use process::{Bounds, Command, Confinement, Ending, Finished, IdRange, ProcessError};
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
