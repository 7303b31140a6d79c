//! Work that is in a VM only: said before the VM goes, and brought back by `vm run`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;

use crate::support::{Client, Terminal, Workshop};

/// A workshop with a commit, a changed file and a new one in the guest.
fn with_work() -> Workshop {
    let scene = Workshop::new();
    scene.prepare();
    fs::write(scene.inside.join("README"), "by the guest\n").unwrap();
    scene.git_in(&scene.inside, &["commit", "-qam", "done there"]);
    fs::write(scene.inside.join("new\u{1b}[31m"), "new\n").unwrap();
    scene
}

/// `banger …` on a terminal, up to its question.
fn asked(scene: &Workshop, terminal: &mut Terminal, arguments: &[&str]) -> (Client, String) {
    let client = terminal.run(&scene.daemon, arguments);
    let question = terminal.read_until("[y/N] ");
    (client, question)
}

#[test]
fn a_delete_on_a_terminal_names_work_that_is_nowhere_else_and_asks() {
    let scene = with_work();
    for (answer, code, left) in [("\n", 1, 2), ("n\n", 1, 2), ("y\n", 0, 1)] {
        let mut terminal = Terminal::open();
        let (client, question) = asked(&scene, &mut terminal, &["vm", "delete", "box"]);
        for part in [
            "repo holds 1 commit and 2 files that are nowhere else",
            " done there",
            "changed README",
            "new     new\\u{1b}[31m",
            "Delete this VM and its disk?",
        ] {
            assert!(question.contains(part), "{part}: {question}");
        }
        terminal.type_keys(answer.as_bytes());
        assert_eq!(
            (client.wait(), scene.daemon.names().len()),
            (code, left),
            "{answer:?}"
        );
    }
}

#[test]
fn a_delete_without_a_terminal_by_force_or_of_nothing_does_not_ask() {
    // What was brought back is lost with no VM.
    let scene = with_work();
    fs::remove_file(scene.inside.join("new\u{1b}[31m")).unwrap();
    assert_eq!(scene.workspace("pull", &["-q"]).code, 0);
    let terminal = Terminal::open();
    let client = terminal.run(&scene.daemon, &["vm", "delete", "box"]);
    assert_eq!((client.wait(), scene.daemon.names().len()), (0, 1));

    let scene = with_work();
    let client = terminal.run(&scene.daemon, &["vm", "delete", "-f", "box"]);
    assert_eq!((client.wait(), scene.daemon.names().len()), (0, 1));

    let scene = with_work();
    let done = scene.daemon.run(&["vm", "delete", "box"]);
    assert_eq!((done.code, done.out.as_str()), (0, "box\n"));
    assert!(!done.err.contains("nowhere else"), "{}", done.err);
}

#[test]
fn of_a_vm_that_is_off_or_silent_the_last_that_was_known_is_said_or_that_nothing_is() {
    let scene = with_work();
    scene.daemon.kill_machine("box");
    let mut terminal = Terminal::open();
    let (client, question) = asked(&scene, &mut terminal, &["vm", "delete", "box"]);
    assert!(
        question.contains("may hold work that is nowhere else; it is stopped, and was not looked at"),
        "{question}"
    );
    terminal.type_keys(b"n\n");
    assert_eq!(client.wait(), 1);

    // A stop looks while the guest can still be asked.
    let scene = with_work();
    assert_eq!(scene.daemon.run(&["vm", "stop", "-q", "box"]).code, 0);
    for verb in ["delete", "prune"] {
        let mut terminal = Terminal::open();
        let arguments = [&["vm", verb][..], if verb == "delete" { &["box"] } else { &[] }].concat();
        let (client, question) = asked(&scene, &mut terminal, &arguments);
        assert!(
            question.contains("holds 1 commit and 2 files that are nowhere else, as of "),
            "{question}"
        );
        terminal.type_keys(b"n\n");
        assert_eq!(client.wait(), 1);
    }

    // What was found while it ran on is not what there is now.
    let scene = with_work();
    for _ in 0..2 {
        let mut terminal = Terminal::open();
        let (client, question) = asked(&scene, &mut terminal, &["vm", "delete", "box"]);
        let stale = question.contains("; it has run since");
        assert_eq!(
            stale,
            scene.daemon.run(&["ps"]).out.lines().count() < 2,
            "{question}"
        );
        terminal.type_keys(b"n\n");
        assert_eq!(client.wait(), 1);
        scene.daemon.kill_machine("box");
    }

    // Its git waits for ever.
    let scene = with_work();
    let head = scene.inside.join(".git/HEAD");
    fs::remove_file(&head).unwrap();
    assert!(Command::new("mkfifo").arg(&head).status().unwrap().success());
    let mut terminal = Terminal::open();
    let (client, question) = asked(&scene, &mut terminal, &["vm", "delete", "box"]);
    assert!(
        question.contains("may hold work that is nowhere else; it does not answer"),
        "{question}"
    );
    terminal.type_keys(b"y\n");
    assert_eq!(client.wait(), 0);
}

#[test]
fn of_a_vm_that_was_shut_down_while_programs_ran_in_its_workspace_the_look_before_is_not_all() {
    for busy in [true, false] {
        let scene = Workshop::new();
        scene.prepare();
        let place = match busy {
            true => scene.inside.join("src"),
            false => scene.inside.parent().unwrap().to_owned(),
        };
        fs::create_dir_all(&place).unwrap();
        let mut program = Command::new("sleep")
            .arg("600")
            .current_dir(place)
            .spawn()
            .unwrap();
        let stopped = scene.daemon.run(&["vm", "stop", "-q", "box"]);
        program.kill().unwrap();
        program.wait().unwrap();
        assert_eq!(stopped.code, 0, "{}", stopped.err);
        // It saved something when it was told to end.
        fs::write(scene.inside.join("saved"), "precious\n").unwrap();
        let mut terminal = Terminal::open();
        if !busy {
            let client = terminal.run(&scene.daemon, &["vm", "delete", "box"]);
            assert_eq!((client.wait(), scene.daemon.names().len()), (0, 1));
            continue;
        }
        let (client, question) = asked(&scene, &mut terminal, &["vm", "delete", "box"]);
        assert!(
            question.contains("held no work that is nowhere else, as of ")
                && question.contains("; programs that ran in it were ended after that"),
            "{question}"
        );
        terminal.type_keys(b"n\n");
        assert_eq!((client.wait(), scene.daemon.names().len()), (1, 2));
    }
}

#[test]
fn notes_that_cannot_be_read_are_no_reason_not_to_ask() {
    let scene = with_work();
    let notes = scene.daemon.folder().join(".local/state/banger/workspaces");
    let notes = fs::read_dir(notes).unwrap().map(|entry| entry.unwrap().path());
    let notes: Vec<_> = notes
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .collect();
    fs::write(&notes[0], "{").unwrap();
    // Nothing is written over them.
    let refused = scene.workspace("prepare", &[scene.top.to_str().unwrap()]);
    assert_eq!(refused.code, 1, "{}", refused.err);
    assert!(
        refused.err.starts_with("banger: cannot read /"),
        "{}",
        refused.err
    );
    assert_eq!(fs::read_to_string(&notes[0]).unwrap(), "{");
    let mut terminal = Terminal::open();
    let (client, question) = asked(&scene, &mut terminal, &["vm", "delete", "box"]);
    assert!(
        question.contains("box may hold work that is nowhere else; cannot read /"),
        "{question}"
    );
    terminal.type_keys(b"y\n");
    assert_eq!((client.wait(), notes[0].exists()), (0, false));
}

#[test]
fn a_workspace_that_cannot_be_looked_at_is_asked_about() {
    let moved = |scene: &Workshop| fs::rename(&scene.inside, scene.inside.with_extension("old")).unwrap();
    let broken = |scene: &Workshop| fs::remove_file(scene.inside.join(".git/HEAD")).unwrap();
    for spoil in [&moved as &dyn Fn(&Workshop), &broken] {
        let scene = with_work();
        spoil(&scene);
        let mut terminal = Terminal::open();
        let (client, question) = asked(&scene, &mut terminal, &["vm", "delete", "box"]);
        assert!(
            question.contains("repo may hold work that is nowhere else; `")
                && question.contains("is no workspace that was prepared from here"),
            "{question}"
        );
        terminal.type_keys(b"n\n");
        assert_eq!((client.wait(), scene.daemon.names().len()), (1, 2));
    }
}

/// `banger vm run SITE --rm MORE -- sh -c SCRIPT`.
fn run(scene: &Workshop, more: &[&str], script: &str) -> crate::support::Finished {
    let top = scene.top.to_str().unwrap();
    let arguments = [&["vm", "run", top, "--rm"][..], more, &["--", "sh", "-c", script]].concat();
    // The daemon's guests have one folder, which no delete empties.
    let _ = fs::remove_dir_all(scene.daemon.folder().join("guest/root"));
    let mut ran = scene.daemon.run(&arguments);
    ran.err = ran.err.replace(WARNING, "");
    ran
}

/// What the tests' daemon says of each delete.
const WARNING: &str = "banger: warning: delete is a test\\x1b[2J\n";

fn made(scene: &Workshop) -> usize {
    scene.daemon.names().len() - 2
}

#[test]
fn rm_says_beforehand_what_goes_with_the_vm() {
    let scene = Workshop::new();
    let ran = run(&scene, &[], "echo x >README; echo said >&2");
    let (before, after) = ran.err.split_once("said").unwrap();
    assert!(before.contains("goes with the VM"), "{}", ran.err);
    assert_eq!((after, ran.code, made(&scene)), ("\n", 0, 0));
    let quiet = run(&scene, &["-q"], "true");
    assert_eq!(quiet.err, "");
}

#[test]
fn what_a_command_changed_comes_back_before_its_vm_goes() {
    let scene = Workshop::new();
    let ran = run(&scene, &["--apply"], "echo three >>README; echo new >new; exit 4");
    assert_eq!((ran.code, made(&scene)), (4, 0), "{}", ran.err);
    assert_eq!(
        fs::read_to_string(scene.top.join("README")).unwrap(),
        "one\ntwo\nthree\n"
    );
    assert!(ran.err.contains("2 files changed"), "{}", ran.err);
    assert!(!ran.err.contains("goes with the VM"), "{}", ran.err);

    let patch = scene.daemon.folder().join("out.patch");
    let ran = run(
        &scene,
        &["--export", patch.to_str().unwrap()],
        "git commit -qam there; echo four >>README",
    );
    assert_eq!((ran.code, made(&scene)), (0, 0), "{}", ran.err);
    assert!(fs::read_to_string(&patch).unwrap().contains("+three\n+four\n"));
    assert!(
        ran.err
            .contains("1 commit comes as its changes; the commit itself goes with the VM"),
        "{}",
        ran.err
    );
    let ran = run(&scene, &["--apply", "-q"], "true");
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
}

#[test]
fn a_patch_is_on_the_disk_before_its_vm_goes() {
    let scene = Workshop::new();
    let top = scene.top.to_str().unwrap();
    let patch = scene.daemon.folder().join("out.patch");
    let exported = ["--export", patch.to_str().unwrap()];
    for (more, script) in [
        (&exported[..], "echo four >>README"),
        // One that is saved, since it is not applied.
        (&["--apply"], "mkdir .github; echo x >.github/ci.yml"),
    ] {
        let _ = fs::remove_dir_all(scene.daemon.folder().join("guest/root"));
        let arguments = [&["vm", "run", top, "--rm"][..], more, &["--", "sh", "-c", script]].concat();
        let banger = scene.daemon.command(&arguments);
        let log = scene.daemon.folder().join("calls");
        let mut traced = Command::new("strace");
        traced
            .args(["-f", "-y", "-e", "trace=fsync,/^(rename|link)"])
            .arg("-o")
            .arg(&log);
        traced
            .arg(banger.get_program())
            .args(banger.get_args())
            .env_clear();
        traced.envs(banger.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let ran = Client::of(&mut traced).finish();
        let calls = fs::read_to_string(&log).unwrap();
        let at = |wanted: &dyn Fn(&str) -> bool| calls.lines().position(wanted);
        let file = at(&|call| call.contains("fsync(") && call.contains("/.banger-patch-"));
        let named =
            at(&|call| (call.contains(" rename") || call.contains(" link")) && call.contains(".patch\""));
        let folder = calls
            .lines()
            .enumerate()
            .filter(|(_, call)| call.contains("fsync("))
            .last();
        assert!(file.is_some() && file < named, "{}: {calls}", ran.err);
        assert!(named < folder.map(|(number, _)| number), "{}: {calls}", ran.err);
    }
}

/// The file that a message says the patch is saved in.
fn saved(screen: &str) -> PathBuf {
    let (_, path) = screen.split_once("the patch is saved: ").unwrap();
    path.lines().next().unwrap().into()
}

#[test]
fn work_whose_apply_is_refused_is_saved_as_a_patch() {
    let scene = Workshop::new();
    let risky = "mkdir .github; echo x >.github/ci.yml";
    for (script, code) in [(risky.to_owned(), 1), (format!("{risky}; exit 3"), 3)] {
        let ran = run(&scene, &["--apply"], &script);
        assert_eq!((ran.code, made(&scene)), (code, 0), "{}", ran.err);
        let path = saved(&ran.err);
        assert!(fs::read_to_string(&path).unwrap().contains(".github/ci.yml"));
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
    }
    assert!(!scene.top.join(".github").exists());
    // One that does not fit, and one that cannot be written where it is to go.
    let moved = format!("echo x >README; echo moved >{}/README", scene.top.display());
    let ran = run(&scene, &["--apply"], &moved);
    assert_eq!((ran.code, made(&scene)), (1, 0), "{}", ran.err);
    assert!(saved(&ran.err).exists());
    // The VM is gone, and with it what flags of `workspace apply` would need.
    assert!(
        ran.err
            .contains("once your own changes are committed, `git apply --3way`"),
        "{}",
        ran.err
    );
    assert!(!ran.err.contains("--branch"), "{}", ran.err);
    let ran = run(
        &scene,
        &["--export", "/proc/nonexistent/out.patch"],
        "echo y >README",
    );
    assert_eq!((ran.code, made(&scene)), (1, 0), "{}", ran.err);
    assert!(saved(&ran.err).exists());
}

#[test]
fn what_no_patch_carries_keeps_the_vm() {
    let scene = Workshop::new();
    let aside = "git checkout -qb side; git commit -qm aside --allow-empty; git checkout -q -";
    let stash = "echo x >README; git stash -q";
    let inside = "git clone -q . sub";
    let empty = "git init -q empty; echo x >empty/x";
    let cases = [
        (aside, " aside"),
        (stash, "commit "),
        (inside, "new     sub"),
        (empty, "new     empty"),
    ];
    for (number, (script, named)) in cases.into_iter().enumerate() {
        let ran = run(
            &scene,
            &["--apply", "--name", &format!("v{number}")],
            &format!("{script}; echo more >>new"),
        );
        assert_eq!((ran.code, made(&scene)), (1, number + 1), "{}", ran.err);
        assert!(ran.err.contains(named), "{}", ran.err);
        assert!(
            ran.err.contains("no patch carries that: it is in `"),
            "{}",
            ran.err
        );
        assert!(scene.top.join("new").exists());
        fs::remove_file(scene.top.join("new")).unwrap();
    }
    // Also where the patch itself is refused and saved.
    let risky = format!("{aside}; mkdir .github; echo x >.github/ci.yml");
    let ran = run(&scene, &["--apply", "--name", "v9"], &risky);
    assert_eq!((ran.code, made(&scene)), (1, 5), "{}", ran.err);
    assert!(saved(&ran.err).exists());
    assert!(
        ran.err.contains("no patch carries that: it is in `v9` alone"),
        "{}",
        ran.err
    );
}

#[test]
fn a_vm_whose_work_can_go_nowhere_stays() {
    let scene = Workshop::new();
    let first = run(&scene, &["--apply"], "mkdir .github; echo x >.github/ci.yml");
    let folder = saved(&first.err).parent().unwrap().to_owned();
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, "in the way").unwrap();
    let ran = run(
        &scene,
        &["--apply", "--name", "kept"],
        "mkdir .github; echo x >.github/ci.yml; exit 5",
    );
    assert_eq!((ran.code, made(&scene)), (5, 1), "{}", ran.err);
    assert!(
        ran.err.contains("the work is in `kept` alone, which stays"),
        "{}",
        ran.err
    );
    // One that is fine needs no place to be saved at.
    let ran = run(&scene, &["--apply"], "echo fine >README");
    assert_eq!((ran.code, made(&scene)), (0, 1), "{}", ran.err);
    assert_eq!(fs::read_to_string(scene.top.join("README")).unwrap(), "fine\n");
}

#[test]
fn a_workspace_belongs_to_the_user_that_the_command_runs_as() {
    let scene = Workshop::new();
    let user = nix::unistd::geteuid();
    let number = match user.is_root() {
        true => "12345".to_owned(),
        false => user.to_string(),
    };
    let top = scene.top.to_str().unwrap();
    let prepared = scene.workspace("prepare", &[top, "--user", &number, "-q"]);
    assert_eq!((prepared.code, prepared.err.as_str()), (0, ""));
    let owner = |name: &str| scene.inside.join(name).metadata().unwrap().uid().to_string();
    assert_eq!(owner("README"), number);
    // It stays so.
    scene.write("README", "changed\n");
    assert_eq!(scene.workspace("prepare", &[top, "-q"]).code, 0);
    assert_eq!(owner("README"), number);
    let nobody = scene.workspace("prepare", &[top, "--user", "no-such-user"]);
    assert_eq!(nobody.code, 1);
    assert!(
        nobody
            .err
            .starts_with("banger: the guest has no user `no-such-user`\nhint: "),
        "{}",
        nobody.err
    );
}

#[test]
fn a_workspace_that_changes_hands_says_whose_it_is_and_its_work_is_named() {
    let scene = Workshop::new();
    scene.prepare();
    let user = nix::unistd::geteuid();
    let (number, root) = match user.is_root() {
        true => ("12345".to_owned(), "root".to_owned()),
        false => (user.to_string(), user.to_string()),
    };
    let top = scene.top.to_str().unwrap();
    let owner = |name: &str| scene.inside.join(name).metadata().unwrap().uid().to_string();
    let given = scene.workspace("prepare", &[top, "--user", &number]);
    assert_eq!(given.code, 0, "{}", given.err);
    let said = format!("it belongs to {number} there; --user NAME gives it to another\n");
    assert!(given.err.ends_with(&said), "{}", given.err);
    // It says so again, also where work is in the way.
    let again = scene.workspace("prepare", &[top]);
    assert!(again.err.ends_with(&said), "{}", again.err);
    fs::write(scene.inside.join("README"), "work\n").unwrap();
    scene.write("README", "other\n");
    let refused = scene.workspace("prepare", &[top, "--user", &root]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("`README`"), "{}", refused.err);
    let back = scene.workspace("prepare", &[top, "--user", &root, "--force"]);
    assert_eq!(back.code, 0, "{}", back.err);
    assert_eq!(
        (owner("README"), owner(".git")),
        (user.to_string(), user.to_string())
    );
    assert!(
        back.err.contains(&format!("it belongs to {root} there")),
        "{}",
        back.err
    );
}

#[test]
fn a_hint_names_the_place_in_the_vm_where_the_work_is() {
    let scene = Workshop::new();
    scene.prepare();
    let place = scene.inside.display().to_string();
    fs::write(scene.inside.join(".envrc"), "x\n").unwrap();
    let top = scene.top.to_str().unwrap();
    for (verb, more) in [("apply", &[][..]), ("pull", &[]), ("prepare", &[top])] {
        if verb == "pull" {
            scene.git_in(&scene.inside, &["add", "-A"]);
            scene.git_in(&scene.inside, &["commit", "-qm", "there"]);
        }
        let refused = scene.workspace(verb, more);
        assert_eq!(refused.code, 1);
        let hint = format!(" box --guest-path {place}`");
        assert!(refused.err.contains(&hint), "{}", refused.err);
    }
}
