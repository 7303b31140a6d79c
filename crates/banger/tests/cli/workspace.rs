//! `banger vm workspace` and `banger vm run PATH`, with guests that are folders of this host.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Stdio;

use nix::sys::signal::Signal;

use super::support::{Client, FakeDaemon, Workshop as Scene, wait_for};

#[test]
fn a_round_of_prepare_diff_and_apply() {
    let scene = Scene::new();
    scene.write("README", "one\ntwo\nmine\n");
    scene.write("secret", "key");
    scene.write("notes", "untracked");
    let top = scene.top.to_str().unwrap();
    let listed = scene.workspace("prepare", &[top, "--dry-run"]);
    insta::assert_snapshot!("dry_run", listed.screen());
    assert!(!scene.inside.exists());
    let prepared = scene.workspace("prepare", &[top]);
    insta::assert_snapshot!("prepare", scene.screen(&prepared));
    let status = ["status", "--porcelain"];
    assert_eq!(scene.git_in(&scene.inside, &status), " M README\n");

    fs::write(scene.inside.join("README"), "ONE\ntwo\nmine\n").unwrap();
    fs::write(scene.inside.join("new"), "new\n").unwrap();
    let diff = scene.workspace("diff", &[]);
    assert_eq!(diff.code, 0, "{}", diff.err);
    assert!(diff.out.contains("-one\n+ONE\n two\n mine\n"), "{}", diff.out);
    let export = scene.workspace("export", &["-o", &format!("{top}/../out.patch")]);
    assert_eq!((export.code, export.out.as_str()), (0, ""), "{}", export.err);
    let exported = fs::read_to_string(scene.daemon.folder().join("out.patch")).unwrap();
    assert!(exported.contains("+ONE\n two\n+mine\n"), "{exported}");

    let inside = scene.inside.to_str().unwrap();
    let mut checked = scene.daemon.command(&[
        "vm",
        "workspace",
        "apply",
        "box",
        "--check",
        "--guest-path",
        inside,
    ]);
    let checked = checked.current_dir("/").output().unwrap();
    assert_eq!(checked.status.code(), Some(0));
    assert_eq!(
        fs::read_to_string(scene.top.join("README")).unwrap(),
        "one\ntwo\nmine\n"
    );
    let applied = scene.workspace("apply", &[]);
    insta::assert_snapshot!("apply", applied.screen());
    assert_eq!(
        fs::read_to_string(scene.top.join("README")).unwrap(),
        "ONE\ntwo\nmine\n"
    );
    assert_eq!(fs::read_to_string(scene.top.join("notes")).unwrap(), "untracked");
    let shown = scene.daemon.run(&["vm", "workspace", "status", "box"]);
    assert!(shown.out.contains("2 files changed"), "{}", shown.out);
    let json: serde_json::Value = serde_json::from_str(
        &scene
            .daemon
            .run(&["vm", "workspace", "status", "box", "--json"])
            .out,
    )
    .unwrap();
    assert_eq!(
        (&json[0]["changed_files"], &json[0]["host_moved"]),
        (&2.into(), &false.into())
    );
}

#[test]
fn a_branch_takes_what_was_done_and_the_files_stay() {
    let scene = Scene::new();
    scene.prepare();
    fs::write(scene.inside.join("README"), "by the guest\n").unwrap();
    let made = scene.workspace("apply", &["--branch", "try/one"]);
    assert_eq!(made.code, 0, "{}", made.err);
    assert_eq!(scene.git(&["show", "try/one:README"]), "by the guest\n");
    assert_eq!(
        scene.git(&["rev-parse", "try/one~1"]),
        scene.git(&["rev-parse", "HEAD"])
    );
    assert_eq!(scene.git(&["status", "--porcelain"]), "");
    let again = scene.workspace("apply", &["--branch", "try/one"]);
    insta::assert_snapshot!("branch_taken", scene.screen(&again));
}

#[test]
fn work_in_the_guest_is_named_before_it_would_be_lost() {
    let scene = Scene::new();
    scene.prepare();
    fs::write(scene.inside.join("new\u{1b}[31m"), "new\n").unwrap();
    let top = scene.top.to_str().unwrap();
    let refused = scene.workspace("prepare", &[top]);
    insta::assert_snapshot!("guest_work", scene.screen(&refused));
    let forced = scene.workspace("prepare", &[top, "--force", "-q"]);
    assert_eq!((forced.code, forced.err.as_str()), (0, ""));
}

#[test]
fn what_is_risky_is_shown_and_needs_a_word() {
    let scene = Scene::new();
    scene.prepare();
    fs::create_dir_all(scene.inside.join(".github/workflows")).unwrap();
    fs::write(scene.inside.join(".github/workflows/ci.yml"), "on: push\n").unwrap();
    symlink("/etc/passwd", scene.inside.join("link")).unwrap();
    let refused = scene.workspace("apply", &[]);
    insta::assert_snapshot!("risky", scene.screen(&refused));
    assert!(!scene.top.join("link").is_symlink());
    let allowed = scene.workspace("apply", &["--allow-risky", "-q"]);
    assert_eq!(allowed.code, 0, "{}", allowed.err);
    assert!(scene.top.join("link").is_symlink());
}

#[test]
fn what_is_changed_every_day_is_shown_and_applied() {
    let scene = Scene::new();
    scene.write("Makefile", "all:\n");
    fs::write(scene.top.join("picture"), [0, 1, 2]).unwrap();
    scene.git(&["add", "-A"]);
    scene.git(&["commit", "-qm", "tools"]);
    scene.prepare();
    fs::write(scene.inside.join("Makefile"), "all:\n\ttrue\n").unwrap();
    fs::write(scene.inside.join(".gitignore"), "*.o\n").unwrap();
    fs::write(scene.inside.join("picture"), [0; 5000]).unwrap();
    let quiet = scene.workspace("apply", &["-q", "--check"]);
    assert_eq!((quiet.code, quiet.err.as_str()), (0, ""));
    let applied = scene.workspace("apply", &[]);
    insta::assert_snapshot!("every_day", applied.screen());
    assert_eq!(
        fs::read_to_string(scene.top.join("Makefile")).unwrap(),
        "all:\n\ttrue\n"
    );
}

/// However many files of one kind there are, each kind is on the screen.
#[test]
fn a_flood_of_risky_files_hides_no_kind() {
    let scene = Scene::new();
    scene.prepare();
    for number in 0..1000 {
        fs::write(scene.inside.join(format!(".hidden{number}")), "x\n").unwrap();
    }
    fs::write(scene.inside.join("pre-commit"), "x\n").unwrap();
    let refused = scene.workspace("apply", &[]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.lines().count() < 30, "{}", refused.err);
    assert!(
        refused.err.contains("and 980 more of these: hidden"),
        "{}",
        refused.err
    );
    assert!(
        refused.err.contains("`pre-commit`: runs when git is used"),
        "{}",
        refused.err
    );
    let checked = scene.workspace("apply", &["--check", "-q"]);
    assert_eq!((checked.code, checked.err.lines().count()), (0, 1001));
}

#[test]
fn a_patch_that_does_not_fit_changes_nothing_and_a_merge_can_be_asked_for() {
    let scene = Scene::new();
    scene.prepare();
    fs::write(scene.inside.join("README"), "by the guest\ntwo\n").unwrap();
    scene.write("README", "by the host\ntwo\n");
    let refused = scene.workspace("apply", &[]);
    insta::assert_snapshot!("conflict", refused.screen());
    assert_eq!(scene.workspace("apply", &["--3way"]).code, 1);
    assert_eq!(
        fs::read_to_string(scene.top.join("README")).unwrap(),
        "by the host\ntwo\n"
    );
}

#[test]
fn a_command_is_told_when_the_host_has_moved_on_and_can_have_it_brought_along() {
    let scene = Scene::new();
    scene.prepare();
    let inside = scene.inside.to_str().unwrap();
    let quiet = scene.daemon.run(&["vm", "exec", "box", "--", "true"]);
    assert_eq!((quiet.code, quiet.err.as_str()), (0, ""));
    scene.write("README", "second\n");
    scene.git(&["commit", "-qam", "second"]);
    let told = scene.daemon.run(&["vm", "exec", "box", "--", "true"]);
    insta::assert_snapshot!("moved", scene.screen(&told));
    let brought = scene.daemon.run(&[
        "vm",
        "exec",
        "--auto-prepare",
        "--workdir",
        inside,
        "box",
        "--",
        "cat",
        "README",
    ]);
    assert_eq!((brought.out.as_str(), brought.err.as_str()), ("second\n", ""));
    let other = FakeDaemon::with_box();
    let none = other.run(&["vm", "exec", "--auto-prepare", "box", "--", "true"]);
    insta::assert_snapshot!("nothing_to_prepare", none.screen());
}

#[test]
fn what_cannot_go_is_one_line_before_a_vm_is_asked() {
    let scene = Scene::new();
    let home = scene.daemon.folder().to_str().unwrap().to_owned();
    let top = scene.top.to_str().unwrap();
    let mut screens = String::new();
    for arguments in [
        &["vm", "run", &home, "--", "true"][..],
        &["vm", "run", "-d", "uname"],
        &["vm", "run", "-d", "--branch", "x"],
        &["vm", "run", "-d", top, "--from", "nothing"],
        &["vm", "run", "-d", top, "--branch=-x"],
        &["vm", "workspace", "prepare", "off", top],
        &["vm", "workspace", "prepare", "box", top, "--guest-path", "repo"],
        &["vm", "workspace", "apply", "box"],
        &["vm", "workspace", "diff", "box", "--guest-path", "/nowhere"],
    ] {
        let ran = scene.daemon.run(arguments);
        screens.push_str(&format!("$ banger {}\n{}\n", arguments.join(" "), ran.screen()));
    }
    insta::assert_snapshot!("refused", screens.replace(&home, "[home]"));
    assert_eq!(scene.daemon.names(), ["box", "off"]);
}

#[test]
fn two_prepares_at_once_do_not_meet() {
    let scene = Scene::new();
    scene.prepare();
    let folder = scene.daemon.folder().join(".local/state/banger/workspaces");
    let lock = fs::File::options()
        .write(true)
        .open(folder.join(format!("{}.lock", "b".repeat(32))))
        .unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let refused = scene.workspace("prepare", &[scene.top.to_str().unwrap()]);
    assert!(
        refused.err.contains("another `banger` is preparing"),
        "{}",
        refused.err
    );
    drop(lock);
    scene.prepare();
}

#[test]
fn commits_come_onto_a_branch_of_their_own() {
    let scene = Scene::new();
    scene.prepare();
    assert!(
        scene
            .workspace("pull", &[])
            .err
            .contains("nothing was committed there")
    );
    fs::write(scene.inside.join("README"), "by the guest\n").unwrap();
    scene.git_in(&scene.inside, &["commit", "-qam", "made there"]);
    let pulled = scene.workspace("pull", &[]);
    let tip = scene.git(&["rev-parse", "banger/box"]);
    insta::assert_snapshot!("pull", pulled.screen().replace(&tip[..12], "[tip]"));
    assert_eq!(
        scene.git(&["log", "--format=%s", "banger/box"]),
        "made there\nfirst\n"
    );
    assert_eq!(scene.git(&["status", "--porcelain", "--branch"]), "## main\n");
    fs::write(scene.inside.join(".envrc"), "evil\n").unwrap();
    scene.git_in(&scene.inside, &["add", "-A"]);
    scene.git_in(&scene.inside, &["commit", "-qm", "risky"]);
    let risky = scene.workspace("pull", &["--branch", "x"]);
    insta::assert_snapshot!("pull_risky", scene.screen(&risky));
    assert_eq!(scene.git(&["branch", "--list", "x"]), "");
    assert_eq!(
        scene
            .workspace("pull", &["--branch", "x", "--allow-risky", "-q"])
            .err
            .lines()
            .count(),
        1
    );
    assert_eq!(scene.git(&["log", "-1", "--format=%s", "x"]), "risky\n");
}

#[test]
fn a_listing_tells_which_vm_has_what_until_it_is_deleted() {
    let scene = Scene::new();
    assert!(!scene.daemon.run(&["ps", "-a"]).out.contains("WORKSPACE"));
    scene.prepare();
    insta::assert_snapshot!("listed", scene.daemon.run(&["ps", "-a"]).screen());
    assert_eq!(scene.daemon.run(&["vm", "delete", "box"]).code, 0);
    let notes = fs::read_dir(scene.daemon.folder().join(".local/state/banger/workspaces")).unwrap();
    assert_eq!(notes.count(), 0);
}

#[test]
fn a_signal_breaks_a_prepare_off_and_the_copy_stays_as_it_was() {
    let scene = Scene::new();
    scene.prepare();
    // A pipe that nobody writes to, where the guest's git looks for settings: it waits there.
    let pipe = scene.daemon.folder().join("pipe");
    testkit::make_fifo(&pipe);
    let settings = scene.inside.join(".git/config");
    let before = fs::read_to_string(&settings).unwrap();
    fs::write(
        &settings,
        format!("{before}[include]\n\tpath = {}\n", pipe.display()),
    )
    .unwrap();
    scene.write("README", "second\n");
    let (top, inside) = (scene.top.to_str().unwrap(), scene.inside.to_str().unwrap());
    let client = scene
        .daemon
        .start(&["vm", "workspace", "prepare", "box", top, "--guest-path", inside]);
    let scripts = || {
        scene
            .daemon
            .calls()
            .iter()
            .filter(|call| call.starts_with("exec sh"))
            .count()
    };
    wait_for("the last script", || scripts() == 3);
    client.signal(Signal::SIGINT);
    let finished = client.finish();
    assert_eq!(
        (finished.code, finished.out.as_str()),
        (130, ""),
        "{}",
        finished.err
    );
    let ended = || {
        scene
            .daemon
            .calls()
            .iter()
            .filter(|call| *call == "exec ended")
            .count()
    };
    wait_for("the script's end", || ended() == 3);
    fs::write(&settings, before).unwrap();
    assert_eq!(
        fs::read_to_string(scene.inside.join("README")).unwrap(),
        "one\ntwo\n"
    );
    scene.prepare();
    assert_eq!(
        fs::read_to_string(scene.inside.join("README")).unwrap(),
        "second\n"
    );
}

/// A git on the host that takes long over a pack, and a user who does not wait for it.
#[test]
fn a_signal_ends_a_git_that_packs() {
    let scene = Scene::new();
    let folder = scene.daemon.folder().join("slow");
    fs::create_dir(&folder).unwrap();
    let path = std::env::var("PATH").unwrap();
    let real = std::env::split_paths(&path).map(|folder| folder.join("git"));
    let real = real.into_iter().find(|git| git.is_file()).unwrap();
    let text = format!(
        "#!/bin/sh\ncase $1 in pack-objects) exec sleep 1000 ;; esac\nexec '{}' \"$@\"\n",
        real.display()
    );
    let slow = folder.join("git");
    fs::write(&slow, text).unwrap();
    fs::set_permissions(&slow, fs::Permissions::from_mode(0o755)).unwrap();
    let (top, inside) = (scene.top.to_str().unwrap(), scene.inside.to_str().unwrap());
    let mut command =
        scene
            .daemon
            .command(&["vm", "workspace", "prepare", "box", top, "--guest-path", inside]);
    command
        .env("PATH", format!("{}:{path}", folder.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let client = std::cell::RefCell::new(Client::of(&mut command));
    let begun = || {
        scene
            .daemon
            .calls()
            .iter()
            .any(|call| call.starts_with("exec sh"))
    };
    wait_for("the guest's side of it", begun);
    client.borrow().signal(Signal::SIGTERM);
    wait_for("its end", || !client.borrow_mut().runs());
    let finished = client.into_inner().finish();
    assert_eq!(
        (finished.code, finished.out.as_str()),
        (143, ""),
        "{}",
        finished.err
    );
    assert!(!scene.inside.exists());
}

#[test]
fn what_include_untracked_does_not_take_along_is_said_to_stay_without_naming_that_flag() {
    let scene = Scene::new();
    scene.git(&["worktree", "add", "-q", "-b", "mine", "trees/of\u{1b}mine"]);
    scene.write("git~1", "no file that git writes");
    let top = scene.top.to_str().unwrap();
    for more in [&[][..], &["--include-untracked"]] {
        let listed = scene.workspace("prepare", &[&[top, "--dry-run"], more].concat());
        for line in [
            "trees/of\\x1bmine is a repository of its own, which stays behind\n",
            "1 untracked file stays behind: git takes such a name for its own\n",
        ] {
            assert!(listed.err.contains(line), "{line}: {}", listed.err);
        }
        assert!(!listed.err.contains("--include-untracked"), "{}", listed.err);
    }
}
