//! Rights on files that a thread of root's takes for a while.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

use process::FileRights;
use rustix::process::{geteuid, getgroups};
use rustix::thread::capabilities;

const OTHER: u32 = 61_000;

/// A folder of another user's with a link out of it, and a file that is root's alone.
fn place() -> (tempfile::TempDir, std::path::PathBuf) {
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let secret = place.path().join("secret");
    fs::write(&secret, "root's").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let theirs = place.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    symlink(&secret, theirs.join("link")).unwrap();
    if geteuid().is_root() {
        chown(&theirs, Some(OTHER), Some(OTHER)).unwrap();
    }
    (place, secret)
}

/// All that a thread has, as the system tells it.
fn all() -> String {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let told = ["Uid", "Gid", "Groups", "CapPrm", "CapEff", "CapInh", "CapAmb"];
    let lines = status.lines();
    lines
        .filter(|line| told.iter().any(|name| line.starts_with(name)))
        .fold(String::new(), |all, line| all + line + "\n")
}

#[test]
fn a_thread_has_a_users_rights_until_it_gives_them_back_and_no_other_thread_does() {
    let (place, secret) = place();
    let theirs = place.path().join("theirs");
    let before = all();
    if !geteuid().is_root() {
        // None is given to who is not root, and nothing is taken away.
        FileRights::of(OTHER, OTHER).unwrap_err();
        drop(FileRights::own());
        assert_eq!(all(), before);
        assert_eq!(fs::read_to_string(&secret).unwrap(), "root's");
        return;
    }
    let rights = FileRights::of(OTHER, OTHER).unwrap();
    assert_eq!(getgroups().unwrap(), []);
    for outcome in [
        fs::read(&secret).map(drop),
        fs::write(theirs.join("link"), "by the link"),
        fs::write(place.path().join("new"), ""),
        chown(theirs.join("link"), Some(OTHER), None),
        fs::set_permissions(theirs.join("link"), fs::Permissions::from_mode(0o666)),
    ] {
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::PermissionDenied);
    }
    fs::write(theirs.join("made"), "").unwrap();
    let made = theirs.join("made").metadata().unwrap();
    assert_eq!((made.uid(), made.gid()), (OTHER, OTHER));
    std::thread::scope(|scope| {
        // One that is spawned now begins with the same, and can become itself.
        let spawned = scope.spawn(|| {
            let refused = fs::read(&secret).is_err();
            let _own = FileRights::own();
            (refused, fs::read(&secret).is_ok(), all())
        });
        let (refused, read, own) = spawned.join().unwrap();
        assert!(refused && read);
        assert_eq!(own, before);
    });
    // For a while its own again, and once more another's.
    let other = all();
    let own = FileRights::own();
    assert_eq!(all(), before);
    let again = FileRights::of(OTHER, OTHER).unwrap();
    fs::read(&secret).unwrap_err();
    drop(again);
    assert_eq!(all(), before);
    drop(own);
    assert_eq!(all(), other);
    drop(rights);
    assert_eq!(all(), before);
    assert!(
        capabilities(None)
            .unwrap()
            .effective
            .contains(capabilities(None).unwrap().permitted)
    );
    assert_eq!(fs::read_to_string(&secret).unwrap(), "root's");
}

#[test]
fn a_thread_that_was_there_before_keeps_what_it_has() {
    let (ask, asked) = std::sync::mpsc::channel::<()>();
    let (answer, answered) = std::sync::mpsc::channel();
    let other = std::thread::spawn(move || asked.into_iter().for_each(|()| answer.send(all()).unwrap()));
    let before = all();
    let rights = FileRights::of(OTHER, OTHER);
    assert_eq!(rights.is_ok(), geteuid().is_root());
    ask.send(()).unwrap();
    assert_eq!(answered.recv().unwrap(), before);
    drop(ask);
    other.join().unwrap();
}

#[test]
fn rights_are_given_back_by_a_thread_that_panics() {
    let before = all();
    let panicked = std::panic::catch_unwind(|| {
        let _rights = FileRights::of(OTHER, OTHER);
        std::panic::panic_any(());
    });
    assert!(panicked.is_err());
    assert_eq!(all(), before);
}

#[test]
fn root_itself_is_no_other_user() {
    let before = all();
    FileRights::of(0, 0).unwrap_err();
    assert_eq!(all(), before);
}
