//! Commands that are asked to end while the repository is looked at.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::support::{Client, Workshop as Scene, wait_for};

/// Far longer than any of them takes to end, far shorter than the git that they wait for.
const SOON: Duration = Duration::from_secs(20);

/// A git that takes long to look at a repository, as one does that is made for it.
#[test]
fn a_signal_ends_each_look_at_a_repository_and_nothing_is_left() {
    let scene = Scene::new();
    scene.prepare();
    fs::write(scene.inside.join("README"), "theirs\n").unwrap();
    let (slow, temporary) = (
        scene.daemon.folder().join("slow"),
        scene.daemon.folder().join("t"),
    );
    fs::create_dir(&slow).unwrap();
    fs::create_dir(&temporary).unwrap();
    let path = std::env::var("PATH").unwrap();
    let real = std::env::split_paths(&path).map(|folder| folder.join("git"));
    let real = real.into_iter().find(|git| git.is_file()).unwrap();
    let text = format!(
        "#!/bin/sh\ncase $1 in rev-parse) exec sleep 1000 ;; esac\nexec '{}' \"$@\"\n",
        real.display()
    );
    fs::write(slow.join("git"), text).unwrap();
    fs::set_permissions(slow.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
    let (top, inside) = (scene.top.to_str().unwrap(), scene.inside.to_str().unwrap());
    for arguments in [
        &["vm", "workspace", "apply", "box", "--guest-path", inside][..],
        &["vm", "workspace", "pull", "box", "--guest-path", inside],
        &["vm", "workspace", "status", "box"],
        &["vm", "workspace", "prepare", "box", top, "--guest-path", inside],
        &["vm", "run", "--no-config", top, "--", "true"],
        &["vm", "run", "--dry-run", top],
    ] {
        let mut command = scene.daemon.command(arguments);
        command
            .env("PATH", format!("{}:{path}", slow.display()))
            .env("TMPDIR", &temporary)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let client = std::cell::RefCell::new(Client::of(&mut command));
        let is_empty = || fs::read_dir(&temporary).unwrap().next().is_none();
        wait_for("git's folder", || !is_empty());
        client.borrow().signal(Signal::SIGINT);
        let begin = Instant::now();
        wait_for("its end", || !client.borrow_mut().runs());
        let finished = client.into_inner().finish();
        assert!(begin.elapsed() < SOON, "{arguments:?}");
        assert_eq!(
            (finished.code, finished.out.as_str()),
            (130, ""),
            "{arguments:?}: {}",
            finished.err
        );
        assert!(is_empty(), "{arguments:?}");
    }
    assert_eq!(
        fs::read_to_string(scene.top.join("README")).unwrap(),
        "one\ntwo\n"
    );
}
