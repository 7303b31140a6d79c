//! `.banger.toml` of a repository: shown, agreed to, and then asked for.

use std::fs;
use std::os::unix::fs::symlink;

use super::support::{Terminal, Workshop};

const FILE: &str = "vcpu = 3\nmemory = \"768M\"\npublish = [\"8080:80\"]\nsetup = [\"echo made > made\"]\n";

fn workshop() -> Workshop {
    let workshop = Workshop::new();
    workshop.write(".banger.toml", FILE);
    workshop
}

/// `banger vm run site -d --name new`, and what comes after.
fn run(workshop: &Workshop, more: &[&str]) -> super::support::Finished {
    let top = workshop.top.to_str().unwrap();
    let arguments = [&["vm", "run", top, "-d", "--name", "new"], more].concat();
    workshop.daemon.run(&arguments)
}

#[test]
fn what_a_repository_asks_for_is_shown_and_nobody_being_there_to_agree_nothing_is_made() {
    let workshop = workshop();
    let refused = run(&workshop, &[]);
    insta::assert_snapshot!("unseen", workshop.screen(&refused));
    assert_eq!(workshop.daemon.names(), ["box", "off"]);
    let listed = run(&workshop, &["--dry-run"]);
    assert_eq!(
        (listed.code, listed.err.lines().count()),
        (0, 1),
        "{}",
        listed.err
    );
}

#[test]
fn what_was_agreed_to_holds_until_it_changes_and_flags_win() {
    let workshop = workshop();
    let agreed = run(&workshop, &["--trust-config", "-q"]);
    assert_eq!((agreed.code, agreed.err.as_str()), (0, ""));
    let made = workshop.daemon.vm("new").unwrap();
    assert_eq!((made.vcpu, made.memory_mib, made.publish.len()), (3, 768, 1));
    let inside = workshop.daemon.folder().join("guest/root/repo");
    assert_eq!(fs::read_to_string(inside.join("made")).unwrap(), "made\n");
    workshop.daemon.run(&["vm", "delete", "new"]);
    fs::remove_dir_all(&inside).unwrap();

    let again = run(&workshop, &["--vcpu", "1", "--publish", "81:81"]);
    assert_eq!(again.code, 0, "{}", again.err);
    assert!(
        again.err.contains("  setup   echo made > made\n"),
        "{}",
        again.err
    );
    let made = workshop.daemon.vm("new").unwrap();
    assert_eq!((made.vcpu, made.memory_mib, made.publish[0].guest), (1, 768, 81));
    workshop.daemon.run(&["vm", "delete", "new"]);

    workshop.write(".banger.toml", "vcpu = 64\n");
    assert_eq!(run(&workshop, &[]).code, 1);
    fs::remove_dir_all(&inside).unwrap();
    let without = run(&workshop, &["--no-config", "-q"]);
    assert_eq!((without.code, without.err.as_str()), (0, ""));
    assert!(workshop.daemon.vm("new").unwrap().vcpu < 3);
}

#[test]
fn on_a_terminal_the_user_is_asked_and_a_no_makes_nothing() {
    let workshop = workshop();
    workshop.write(".banger.toml", "setup = [\"\\u001b]0;evil\\u0007 curl\"]\n");
    let top = workshop.top.to_str().unwrap();
    let mut terminal = Terminal::open();
    let client = terminal.run(&workshop.daemon, &["vm", "run", top, "-d", "--name", "new"]);
    let screen = terminal.read_until("[y/N] ");
    assert!(screen.contains("setup  \\x1b]0;evil\\x07 curl"), "{screen}");
    terminal.type_keys(b"\n");
    assert_eq!(client.finish().code, 1);
    assert_eq!(workshop.daemon.names(), ["box", "off"]);

    workshop.write(".banger.toml", FILE);
    let client = terminal.run(&workshop.daemon, &["vm", "run", top, "-d", "--name", "new"]);
    terminal.read_until("[y/N] ");
    terminal.type_keys(b"y\n");
    assert_eq!(client.finish().code, 0);
    assert_eq!(workshop.daemon.vm("new").unwrap().vcpu, 3);
    // The answer is remembered.
    workshop.daemon.run(&["vm", "delete", "new"]);
    fs::remove_dir_all(workshop.daemon.folder().join("guest/root/repo")).unwrap();
    assert_eq!(run(&workshop, &[]).code, 0);
}

#[test]
fn a_setup_that_fails_says_so_and_leaves_no_vm() {
    let workshop = Workshop::new();
    workshop.write(
        ".banger.toml",
        "setup = [\"echo told; echo complaint >&2; exit 3\", \"echo never\"]\n",
    );
    for more in [&["--trust-config"][..], &["--trust-config", "-q"]] {
        let failed = run(&workshop, more);
        assert_eq!((failed.code, failed.out.as_str()), (1, ""));
        assert!(failed.err.contains("told\ncomplaint\nbanger: "), "{}", failed.err);
        assert!(
            failed
                .err
                .contains("of .banger.toml ended with 3\nhint: --no-config"),
            "{}",
            failed.err
        );
        assert!(!failed.err.contains("never\n"), "{}", failed.err);
        assert_eq!(workshop.daemon.names(), ["box", "off"]);
        let _ = fs::remove_dir_all(workshop.daemon.folder().join("guest/root/repo"));
    }
    // That the VM stays is said beside it, and in its place nothing.
    workshop.daemon.refuse("delete");
    let failed = run(&workshop, &["--trust-config"]);
    assert!(
        failed.err.contains("of .banger.toml ended with 3"),
        "{}",
        failed.err
    );
    assert!(
        failed
            .err
            .contains("banger: warning: `new` could not be deleted: "),
        "{}",
        failed.err
    );
}

#[test]
fn a_file_that_reaches_for_the_host_is_refused_before_anything_is_made() {
    let workshop = Workshop::new();
    let secret = workshop.daemon.folder().join("secret");
    fs::write(&secret, "vcpu = 3\n").unwrap();
    let path = workshop.top.join(".banger.toml");
    let mut screens = String::new();
    let mut refuse = || {
        let refused = run(&workshop, &["--trust-config"]);
        assert_eq!(refused.code, 1, "{}", refused.err);
        screens.push_str(&workshop.screen(&refused));
        fs::remove_file(&path).unwrap();
    };
    symlink(&secret, &path).unwrap();
    refuse();
    for text in [
        "env_file = \"/home/ada/.env\"\n",
        "publish = [\"0.0.0.0:8080:80\"]\n",
        "image = \"/var/lib/secret\"\n",
    ] {
        fs::write(&path, text).unwrap();
        refuse();
    }
    fs::write(&path, "#".repeat(70_000)).unwrap();
    refuse();
    fs::write(&path, [0xff]).unwrap();
    refuse();
    insta::assert_snapshot!("reaching", screens);
    assert_eq!(workshop.daemon.names(), ["box", "off"]);
}

#[test]
fn the_file_of_the_commit_that_goes_is_the_one_that_counts() {
    let workshop = workshop();
    workshop.git(&["add", "-A"]);
    workshop.git(&["commit", "-qm", "asks"]);
    workshop.write(".banger.toml", "vcpu = 5\n");
    let ran = run(&workshop, &["--from", "HEAD", "--trust-config", "-q"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(workshop.daemon.vm("new").unwrap().vcpu, 3);
    workshop.daemon.run(&["vm", "delete", "new"]);
    fs::remove_dir_all(workshop.daemon.folder().join("guest/root/repo")).unwrap();
    let before = run(&workshop, &["--from", "HEAD~1", "-q"]);
    assert_eq!((before.code, before.err.as_str()), (0, ""));
}
