//! `banger vm exec` without a terminal.

use nix::sys::signal::Signal;

use crate::support::FakeDaemon;

/// Shell that tells of its signals and goes on.
const LISTENER: &str = "trap 'echo got' INT; echo ready; while :; do sleep 0.01; done";

#[test]
fn exit_codes_are_the_commands_own() {
    let daemon = FakeDaemon::with_box();
    let exec = |command: &[&str]| daemon.run(&[&["vm", "exec", "box", "--"], command].concat()).code;
    for code in [0, 1, 2, 42, 125, 255] {
        assert_eq!(exec(&["sh", "-c", &format!("exit {code}")]), code);
        let run = daemon.run(&["vm", "run", "--rm", "--", "sh", "-c", &format!("exit {code}")]);
        assert_eq!(run.code, code);
    }
    assert_eq!(exec(&["sh", "-c", "kill -TERM $$"]), 128 + 15);
    assert_eq!(exec(&["sh", "-c", "kill -KILL $$"]), 128 + 9);
    assert_eq!(exec(&["no-such-command"]), 127);
    assert_eq!(exec(&["unfit"]), 126);
    assert_eq!(daemon.run(&["vm", "exec", "nobody", "--", "true"]).code, 1);
    assert_eq!(daemon.run(&["vm", "exec", "box"]).code, 2);
}

#[test]
fn a_command_that_is_not_there_is_one_line() {
    let daemon = FakeDaemon::with_box();
    insta::assert_snapshot!(
        daemon
            .run(&["vm", "exec", "box", "--", "no-such-command"])
            .screen()
    );
}

#[test]
fn stdout_and_stderr_come_apart_byte_for_byte() {
    let daemon = FakeDaemon::with_box();
    let script = "printf 'out\\033[2J'; echo err >&2; echo 'more out'";
    let ran = daemon.run(&["vm", "exec", "box", "--", "sh", "-c", script]);
    assert_eq!(
        (ran.out.as_str(), ran.err.as_str()),
        ("out\x1b[2Jmore out\n", "err\n")
    );
}

#[test]
fn arguments_of_any_bytes_arrive_as_they_are() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let daemon = FakeDaemon::with_box();
    for words in [
        &["vm", "exec", "box", "--"][..],
        &["vm", "run", "-q", "--rm", "--"],
    ] {
        for bytes in [&b"caf\xe9"[..], b"\xff\xfe\x80", "\u{fc}ber".as_bytes()] {
            let script = "printf %s \"$1\" | od -An -v -tx1";
            let mut command = daemon.command(&[words, &["sh", "-c", script, "sh"]].concat());
            let output = command.arg(OsStr::from_bytes(bytes)).output().unwrap();
            let expected: String = bytes.iter().map(|byte| format!(" {byte:02x}")).collect();
            let out = String::from_utf8(output.stdout).unwrap();
            assert_eq!(
                out.trim_end(),
                expected,
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
}

#[test]
fn stdin_is_passed_on_only_if_asked_for() {
    let daemon = FakeDaemon::with_box();
    assert_eq!(
        daemon
            .run_with_stdin(&["vm", "exec", "box", "--", "cat"], b"hi\n")
            .out,
        ""
    );
    assert_eq!(
        daemon
            .run_with_stdin(&["vm", "exec", "-i", "box", "--", "cat"], b"hi\n")
            .out,
        "hi\n"
    );
    assert_eq!(
        daemon
            .run_with_stdin(&["vm", "run", "--rm", "--", "cat"], b"hi\n")
            .out,
        ""
    );
    assert_eq!(
        daemon
            .run_with_stdin(&["vm", "run", "--rm", "-i", "--", "cat"], b"hi\n")
            .out,
        "hi\n"
    );
}

#[test]
fn megabytes_arrive_unchanged_in_both_directions() {
    let daemon = FakeDaemon::with_box();
    let sent: String = (0..2_000_000).map(|line| format!("{line}\n")).collect();
    let ran = daemon.run_with_stdin(&["vm", "exec", "-i", "box", "--", "cat"], sent.as_bytes());
    assert_eq!(ran.code, 0);
    assert!(ran.out == sent, "{} bytes of {}", ran.out.len(), sent.len());
}

#[test]
fn a_command_that_ends_before_its_stdin_does_is_not_waited_for() {
    let daemon = FakeDaemon::with_box();
    let mut command = daemon.command(&["vm", "exec", "-i", "box", "--", "sh", "-c", "exit 3"]);
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let open = child.stdin.take();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    drop(open);
}

#[test]
fn variables_directory_and_command_go_as_they_are() {
    let daemon = FakeDaemon::with_box();
    let file = daemon.folder().join("env");
    std::fs::write(&file, "# comment\nFROM_FILE=1\nBOTH=file\n").unwrap();
    let ran = daemon.run(&[
        "vm",
        "exec",
        "--env-file",
        file.to_str().unwrap(),
        "--env",
        "BOTH=flag",
        "--env",
        "TERM",
        "--workdir",
        "/tmp",
        "box",
        "--",
        "sh",
        "-c",
        "echo \"$FROM_FILE $BOTH $TERM $PWD $0 $1\"",
        "--rm",
        "a  b",
    ]);
    assert_eq!(ran.out, "1 flag xterm /tmp --rm a  b\n", "{}", ran.err);
}

#[test]
fn ctrl_c_during_a_command_reaches_it() {
    let daemon = FakeDaemon::with_box();
    let script = "trap 'echo got; exit 9' INT; echo ready; while :; do sleep 0.01; done";
    let mut client = daemon.start(&["vm", "exec", "box", "--", "sh", "-c", script]);
    client.read_out_until("ready\n");
    client.signal(Signal::SIGINT);
    let finished = client.finish();
    assert_eq!(
        (finished.code, finished.out.as_str()),
        (9, "got\n"),
        "{}",
        finished.err
    );
}

#[test]
fn a_second_ctrl_c_within_a_second_ends_it() {
    let daemon = FakeDaemon::with_box();
    let mut client = daemon.start(&["vm", "exec", "box", "--", "sh", "-c", LISTENER]);
    client.read_out_until("ready\n");
    client.signal(Signal::SIGINT);
    client.read_out_until("got\n");
    // Two may be too far apart on a busy host, or be one to the kernel.
    while client.runs() {
        client.signal(Signal::SIGINT);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(client.finish().code, 128 + 2);
    daemon.wait_for_call("exec ended");
}

#[test]
fn a_client_that_is_killed_hangs_its_command_up() {
    let daemon = FakeDaemon::with_box();
    let script = "trap 'exit 0' HUP; echo ready; while :; do sleep 0.01; done";
    let mut client = daemon.start(&["vm", "exec", "box", "--", "sh", "-c", script]);
    client.read_out_until("ready\n");
    client.signal(Signal::SIGKILL);
    client.ended_by(Signal::SIGKILL);
    daemon.wait_for_call("exec ended");
}

#[test]
fn a_reader_that_has_gone_ends_the_command() {
    let daemon = FakeDaemon::with_box();
    let mut client = daemon.start(&["vm", "exec", "box", "--", "yes"]);
    client.read_out_until("y\n");
    client.close_out();
    let finished = client.finish();
    assert_eq!((finished.code, finished.err.as_str()), (128 + 13, ""));
    daemon.wait_for_call("exec ended");
}

#[test]
fn a_command_whose_vm_dies_says_why() {
    let daemon = FakeDaemon::with_box();
    let mut client = daemon.start(&["vm", "exec", "box", "--", "sh", "-c", LISTENER]);
    client.read_out_until("ready\n");
    daemon.kill_machine("box");
    insta::assert_snapshot!(client.finish().screen());
}

#[test]
fn a_command_whose_daemon_dies_says_so() {
    let mut daemon = FakeDaemon::with_box();
    let mut client = daemon.start(&["vm", "exec", "box", "--", "sh", "-c", LISTENER]);
    client.read_out_until("ready\n");
    daemon.die();
    insta::assert_snapshot!(client.finish().screen());
}

#[test]
fn a_terminal_that_is_not_there_is_not_given() {
    let daemon = FakeDaemon::with_box();
    let ran = daemon.run(&["vm", "exec", "-t", "box", "--", "echo", "hi"]);
    insta::assert_snapshot!(ran.screen());
}
