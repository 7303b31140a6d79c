//! `vm create`, `start`, `stop` and `delete`.

use api::VmState;
use nix::sys::signal::Signal;

use crate::support::{FakeDaemon, vm};

fn daemon() -> FakeDaemon {
    FakeDaemon::with(vec![
        vm("web", 'a', VmState::Stopped),
        vm("db", 'b', VmState::Stopped),
        vm("cache", 'c', VmState::Stopped),
        vm("broken", 'd', VmState::Stopped),
    ])
}

#[test]
fn several_are_worked_on_at_once_and_told_in_the_order_given() {
    let daemon = daemon();
    // The first that is named can only end after the others: one after another would wait for ever.
    daemon.end_in_order(&["cache", "db", "web"]);
    let started = daemon.run(&["vm", "start", "web", "db", "cache"]);
    assert_eq!(
        (started.code, started.out.as_str()),
        (0, "web\ndb\ncache\n"),
        "{}",
        started.err
    );
    assert!(
        ["web", "db", "cache"]
            .iter()
            .all(|name| daemon.vm(name).unwrap().state == VmState::Running)
    );
    assert_eq!(
        daemon.calls().iter().filter(|call| *call == "list").count(),
        1,
        "one listing resolves all"
    );
}

#[test]
fn the_valid_ones_are_done_even_where_others_fail() {
    let daemon = daemon();
    let started = daemon.run(&["vm", "start", "nobody", "web", "broken", "cache"]);
    insta::assert_snapshot!(started.screen());
    assert_eq!(daemon.vm("web").unwrap().state, VmState::Running);
    assert_eq!(daemon.vm("cache").unwrap().state, VmState::Running);
}

#[test]
fn a_vm_that_is_named_twice_is_meant_once() {
    let daemon = daemon();
    let id = "a".repeat(32);
    let deleted = daemon.run(&["vm", "delete", "web", &id, "aaaa", "db"]);
    assert_eq!(
        (deleted.code, deleted.out.as_str()),
        (0, "web\ndb\n"),
        "{}",
        deleted.err
    );
    assert_eq!(daemon.names(), ["cache", "broken"]);
}

#[test]
fn a_failure_has_the_daemons_words() {
    insta::assert_snapshot!(daemon().run(&["vm", "start", "broken"]).screen());
}

#[test]
fn create_prints_the_name_and_starts_unless_told_not_to() {
    let daemon = daemon();
    let made = daemon.run(&["vm", "create", "--name", "box", "--vcpu", "3", "--memory", "1G"]);
    insta::assert_snapshot!(made.screen());
    assert_eq!(
        daemon.vm("box").map(|vm| (vm.state, vm.vcpu)),
        Some((VmState::Running, 3))
    );
    let made = daemon.run(&["vm", "create", "--no-start"]);
    assert_eq!((made.code, made.out.as_str()), (0, "quick-otter\n"));
    assert_eq!(daemon.vm("quick-otter").unwrap().state, VmState::Created);
}

#[test]
fn a_taken_name_is_refused() {
    insta::assert_snapshot!(daemon().run(&["vm", "create", "--name", "web"]).screen());
}

#[test]
fn a_signal_cancels_a_start_and_waits_for_its_undo() {
    let daemon = daemon();
    daemon.hang("start");
    let mut client = daemon.start(&["vm", "start", "web"]);
    client.read_err_until("start is a test");
    client.signal(Signal::SIGINT);
    let finished = client.finish();
    assert!(
        daemon.calls().contains(&"cancel start-web".to_owned()),
        "{:?}",
        daemon.calls()
    );
    insta::assert_snapshot!(finished.screen());
}

#[test]
fn a_stop_goes_on_when_its_client_leaves() {
    let daemon = daemon();
    daemon.hang("stop");
    let client = daemon.start(&["vm", "stop", "web"]);
    daemon.wait_for_call("stop web");
    client.signal(Signal::SIGINT);
    client.ended_by(Signal::SIGINT);
    assert!(!daemon.calls().contains(&"cancel stop-web".to_owned()));
}
