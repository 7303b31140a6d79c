//! `banger completion` as the shells use it.

use std::process::Command;

use api::VmState;

use crate::support::{FakeDaemon, vm};

fn daemon() -> FakeDaemon {
    FakeDaemon::with(vec![
        vm("web", 'a', VmState::Running),
        vm("worker", 'b', VmState::Stopped),
    ])
}

/// What bash would offer for the last of these words.
fn offered(daemon: &FakeDaemon, words: &[&str]) -> Vec<String> {
    let mut command = daemon.command(&[&["--"], words].concat());
    let output = command
        .env("BANGER_COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string())
        .env("_CLAP_IFS", "\n")
        .env("BANGER_SOCKET", daemon.socket())
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "",
        "a shell's line is no place for messages"
    );
    assert!(output.status.success());
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn commands_flags_and_names_are_completed() {
    let mut daemon = daemon();
    assert_eq!(offered(&daemon, &["banger", "vm", "sto"]), ["stop"]);
    assert_eq!(offered(&daemon, &["banger", "vm", "run", "--memo"]), ["--memory"]);
    // Short forms complete as the verbs that they stand for.
    assert_eq!(offered(&daemon, &["banger", "sto"]), ["stop"]);
    assert_eq!(offered(&daemon, &["banger", "re"]), ["restart"]);
    assert_eq!(offered(&daemon, &["banger", "run", "--memo"]), ["--memory"]);
    for words in [
        &["rm", "w"][..],
        &["vm", "rm", "w"],
        &["stop", "w"],
        &["logs", "w"],
    ] {
        let words = [&["banger"], words].concat();
        assert_eq!(offered(&daemon, &words), ["web", "worker"], "{words:?}");
    }
    assert_eq!(offered(&daemon, &["banger", "exec", "--start", "wo"]), ["worker"]);
    assert_eq!(offered(&daemon, &["banger", "cp", "wo"]), ["worker:"]);
    assert_eq!(
        offered(&daemon, &["banger", "vm", "run", "--network", ""]),
        ["none", "user"]
    );
    assert_eq!(
        offered(&daemon, &["banger", "vm", "stop", "w"]),
        ["web", "worker"]
    );
    assert_eq!(offered(&daemon, &["banger", "vm", "exec", "wo"]), ["worker"]);
    assert_eq!(
        offered(&daemon, &["banger", "vm", "run", "--image", "deb"]),
        ["debian-bookworm", "debian-minimal"],
        "the default too, which need not be here"
    );
    assert_eq!(
        offered(&daemon, &["banger", "kernel", "pull", "de"]),
        ["debian-cloud"]
    );
    assert_eq!(offered(&daemon, &["banger", "kernel", "rm", "mi"]), ["mine"]);
    let calls = daemon.calls();
    assert!(calls.iter().all(|call| call == "list"), "{calls:?}");
    daemon.die();
    assert_eq!(
        offered(&daemon, &["banger", "vm", "stop", "w"]),
        Vec::<String>::new()
    );
    assert_eq!(offered(&daemon, &["banger", "vm", "sto"]), ["stop"]);
}

#[test]
fn a_daemon_that_says_nothing_holds_no_shell_up() {
    let daemon = daemon();
    let silent = std::os::unix::net::UnixListener::bind(daemon.folder().join("silent.sock")).unwrap();
    let socket = silent.local_addr().unwrap();
    let socket = socket.as_pathname().unwrap().to_str().unwrap();
    assert_eq!(
        offered(&daemon, &["banger", "--socket", socket, "vm", "stop", "w"]),
        Vec::<String>::new()
    );
}

#[test]
fn what_each_shell_is_given_is_a_script_that_it_takes() {
    let daemon = daemon();
    for shell in ["bash", "zsh", "fish"] {
        let script = daemon.run(&["completion", shell]);
        assert_eq!((script.code, script.err.as_str()), (0, ""));
        assert!(script.out.contains("BANGER_COMPLETE"), "{}", script.out);
        let file = daemon.folder().join(shell);
        std::fs::write(&file, &script.out).unwrap();
        match Command::new(shell).arg("-n").arg(&file).output() {
            Ok(output) => assert!(
                output.status.success(),
                "{shell}: {}",
                String::from_utf8_lossy(&output.stderr)
            ),
            Err(error) => println!("{shell} is not here ({error}): its script was not given to it"),
        }
    }
    let wrong = daemon.run(&["completion", "powershell"]);
    assert_eq!(wrong.code, 2);
    assert!(
        wrong.err.contains("hint: its values are: bash, zsh, fish"),
        "{}",
        wrong.err
    );
}

#[test]
fn bash_completes_a_name_with_the_script_it_was_given() {
    let daemon = daemon();
    let script = daemon.folder().join("completion");
    std::fs::write(&script, daemon.run(&["completion", "bash"]).out).unwrap();
    let asked = "source \"$1\"; COMP_WORDS=(banger vm stop wo); COMP_CWORD=3; COMP_TYPE=9; \
                 _clap_complete_banger banger wo stop; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let output = Command::new("bash")
        .args(["--norc", "-c", asked, "bash"])
        .arg(&script)
        .env("BANGER_SOCKET", daemon.socket())
        .env("HOME", daemon.folder())
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "worker\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
