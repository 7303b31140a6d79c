//! `banger vm run` without a terminal.

use nix::sys::signal::Signal;

use crate::support::FakeDaemon;

#[test]
fn a_command_runs_and_the_vm_stays() {
    let daemon = FakeDaemon::with(Vec::new());
    let ran = daemon.run(&["vm", "run", "--", "sh", "-c", "echo out; echo err >&2; exit 42"]);
    insta::assert_snapshot!(ran.screen());
    assert_eq!(daemon.names(), ["quick-otter"]);
}

#[test]
fn detached_it_prints_the_name_and_the_vm_stays() {
    let daemon = FakeDaemon::with(Vec::new());
    insta::assert_snapshot!(daemon.run(&["vm", "run", "-d", "--name", "web"]).screen());
    assert_eq!(daemon.names(), ["web"]);
}

#[test]
fn rm_deletes_the_vm_whatever_the_exit_code_is() {
    let daemon = FakeDaemon::with(Vec::new());
    for (script, code) in [("exit 0", 0), ("exit 42", 42), ("kill -9 $$", 137)] {
        let ran = daemon.run(&["vm", "run", "--rm", "--", "sh", "-c", script]);
        assert_eq!(ran.code, code, "{}", ran.err);
        assert_eq!(
            daemon.names(),
            Vec::<String>::new(),
            "{script}: gone when banger ends"
        );
    }
    let ran = daemon.run(&["vm", "run", "--rm", "--", "no-such-command"]);
    assert_eq!((ran.code, daemon.names().len()), (127, 0));
    insta::assert_snapshot!(ran.screen());
}

#[test]
fn rm_deletes_the_vm_on_every_signal_that_ends_banger() {
    let script = "trap 'exit 5' INT TERM HUP; echo ready; while :; do sleep 0.01; done";
    for (signal, code) in [
        (Signal::SIGINT, 5),
        (Signal::SIGTERM, 5),
        (Signal::SIGHUP, 128 + 1),
    ] {
        let daemon = FakeDaemon::with(Vec::new());
        let mut client = daemon.start(&["vm", "run", "--rm", "--", "sh", "-c", script]);
        client.read_out_until("ready\n");
        client.signal(signal);
        assert_eq!(client.finish().code, code, "{signal}");
        assert_eq!(daemon.names(), Vec::<String>::new(), "{signal}");
    }
}

#[test]
fn rm_leaves_the_daemon_to_delete_the_vm_of_a_client_that_is_killed() {
    let daemon = FakeDaemon::with(Vec::new());
    let mut client = daemon.start(&["vm", "run", "--rm", "--", "sh", "-c", "echo ready; sleep 1000"]);
    client.read_out_until("ready\n");
    assert_eq!(daemon.names().len(), 1);
    client.signal(Signal::SIGKILL);
    client.ended_by(Signal::SIGKILL);
    daemon.wait_until_empty();
}

#[test]
fn rm_says_so_when_the_vm_cannot_be_deleted() {
    let daemon = FakeDaemon::with(Vec::new());
    daemon.refuse("delete");
    insta::assert_snapshot!(daemon.run(&["vm", "run", "--rm", "--", "true"]).screen());
    assert_eq!(
        daemon
            .run(&["vm", "run", "--rm", "--name", "b", "--", "sh", "-c", "exit 4"])
            .code,
        4
    );
}

#[test]
fn a_signal_while_it_starts_cancels_and_waits_until_nothing_is_left() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let daemon = FakeDaemon::with(Vec::new());
        daemon.hang("create");
        let mut client = daemon.start(&["vm", "run", "--", "true"]);
        client.read_err_until("quick-otter · ");
        client.signal(signal);
        let finished = client.finish();
        assert_eq!(finished.code, 128 + signal as i32, "{}", finished.err);
        assert!(daemon.calls().contains(&"cancel create-quick-otter".to_owned()));
        assert_eq!(daemon.names(), Vec::<String>::new());
        assert!(
            finished
                .err
                .contains("banger: cancelled: what was begun is undone"),
            "{}",
            finished.err
        );
    }
}

#[test]
fn a_client_that_is_killed_while_it_starts_leaves_it_to_the_daemon() {
    let daemon = FakeDaemon::with(Vec::new());
    daemon.hang("create");
    let mut client = daemon.start(&["vm", "run", "--", "true"]);
    client.read_err_until("quick-otter · ");
    client.signal(Signal::SIGKILL);
    client.ended_by(Signal::SIGKILL);
    daemon.wait_for_call("left create quick-otter");
    daemon.wait_until_empty();
}

#[test]
fn a_start_that_fails_is_one_line_with_the_daemons_hint() {
    let daemon = FakeDaemon::with(Vec::new());
    insta::assert_snapshot!(
        daemon
            .run(&["vm", "run", "--name", "broken", "--", "true"])
            .screen()
    );
}
