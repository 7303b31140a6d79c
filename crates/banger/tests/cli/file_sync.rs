//! `[[file_sync]]`: files of the user's home into each VM that boots.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use nix::sys::signal::Signal;

use super::support::FakeDaemon;

fn configured(lines: &str) -> FakeDaemon {
    let daemon = FakeDaemon::with_box();
    let home = daemon.folder().to_owned();
    fs::create_dir_all(home.join(".config/banger")).unwrap();
    fs::create_dir_all(home.join("guest/root")).unwrap();
    fs::write(home.join(".config/banger/config.toml"), lines).unwrap();
    fs::write(home.join(".gitconfig"), "[user]\n").unwrap();
    fs::create_dir_all(home.join("dots/deep")).unwrap();
    fs::write(home.join("dots/deep/run"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(home.join("dots/deep/run"), fs::Permissions::from_mode(0o700)).unwrap();
    symlink("/etc/passwd", home.join("dots/link")).unwrap();
    daemon
}

#[test]
fn files_of_the_users_home_are_in_a_vm_when_it_is_ready() {
    let daemon = configured(
        "[[file_sync]]\nhost = \"~/.gitconfig\"\nguest = \"/root/.config/git/config\"\nmode = \"0600\"\n\
         [[file_sync]]\nhost = \"~/dots\"\nguest = \"~/dots\"\n\
         [[file_sync]]\nhost = \"~/none\"\nguest = \"~/none\"\n",
    );
    let ran = daemon.run(&["vm", "run", "-d", "-q", "--name", "new"]);
    let missing = format!(
        "banger: warning: [[file_sync]]: there is no {}/none\n",
        daemon.folder().display()
    );
    assert_eq!((ran.code, ran.err), (0, missing));
    let root = daemon.folder().join("guest/root");
    let mode = |path: &str| fs::metadata(root.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        fs::read_to_string(root.join(".config/git/config")).unwrap(),
        "[user]\n"
    );
    assert_eq!(
        (mode(".config/git/config"), mode("dots/deep/run")),
        (0o600, 0o700)
    );
    assert!(!root.join("dots/link").is_symlink(), "a link stays here");
    // Each boot has them as they are then.
    fs::write(daemon.folder().join(".gitconfig"), "[user]\nname = Ada\n").unwrap();
    assert_eq!(daemon.run(&["vm", "restart", "-q", "new"]).code, 0);
    let synced = fs::read_to_string(root.join(".config/git/config")).unwrap();
    assert_eq!(synced, "[user]\nname = Ada\n");
}

#[test]
fn nothing_outside_of_the_users_home_is_synced_and_no_vm_is_made() {
    let entry = |host: &str| format!("[[file_sync]]\nhost = \"{host}\"\nguest = \"~/x\"\n");
    for (host, complaint) in [
        ("/etc/passwd", "/etc/passwd lies outside of your home"),
        ("~/dots/link", "/dots/link lies outside of your home"),
        ("~/../x", "is no path below your home"),
    ] {
        let daemon = configured(&entry(host));
        let refused = daemon.run(&["vm", "run", "-d", "--name", "new"]);
        assert_eq!(refused.code, 1);
        assert!(refused.err.contains(complaint), "{host}: {}", refused.err);
        assert_eq!(daemon.names(), ["box"]);
    }
    let daemon = configured(&entry("~/large"));
    let large = fs::File::create(daemon.folder().join("large")).unwrap();
    large.set_len(40 << 20).unwrap();
    let refused = daemon.run(&["vm", "create", "--name", "new"]);
    assert!(
        refused.err.contains("more than 32 MiB or 10000 files\nhint: "),
        "{}",
        refused.err
    );
}

#[test]
fn a_guest_that_takes_no_files_is_a_warning() {
    let daemon = configured("[[file_sync]]\nhost = \"~/.gitconfig\"\nguest = \"~/x\"\n");
    fs::remove_dir(daemon.folder().join("guest/root")).unwrap();
    let ran = daemon.run(&["vm", "run", "-d", "-q", "--name", "new"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "new\n"));
    let told = "banger: warning: [[file_sync]]: the VM has none of your files: ";
    assert!(ran.err.starts_with(told), "{}", ran.err);
}

#[test]
fn a_guest_that_says_nothing_about_the_files_is_left_by_a_signal() {
    for begin in [&["vm", "run", "-d", "--name", "new"][..], &["vm", "start", "box"]] {
        let daemon = configured("[[file_sync]]\nhost = \"~/.gitconfig\"\nguest = \"~/x\"\n");
        daemon.hang("files");
        let client = daemon.start(begin);
        daemon.wait_for_call("a copy began");
        client.signal(Signal::SIGINT);
        let finished = client.finish();
        assert_eq!(finished.code, 130, "{begin:?}: {}", finished.err);
        let cancelled = "banger: cancelled while your files were copied into the VM";
        assert!(finished.err.contains(cancelled), "{begin:?}: {}", finished.err);
        assert_eq!(daemon.names(), ["box"], "what was begun is undone");
    }
}
