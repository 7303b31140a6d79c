//! `banger ps`, `vm list` and `vm show`, `doctor` and `version`.

use api::VmState;

use crate::support::{FakeDaemon, vm};

fn daemon() -> FakeDaemon {
    let mut broken = vm("broken", 'd', VmState::Error);
    broken.reason = Some("QEMU ended at once: no such machine".into());
    FakeDaemon::with(vec![
        vm("quick-otter", 'a', VmState::Running),
        vm("old", 'b', VmState::Stopped),
        vm("new", 'c', VmState::Starting),
        broken,
    ])
}

/// What differs each time it is looked at.
fn without_times(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let time = ["created ", "started ", "\"created_at\": ", "\"started_at\": \""];
        match time.iter().find(|name| line.trim_start().starts_with(*name)) {
            Some(name) => format!("{}{name}<time>", &line[..line.len() - line.trim_start().len()]),
            None => line.to_owned(),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn tables_are_columns_with_a_head() {
    let daemon = daemon();
    insta::assert_snapshot!("ps", daemon.run(&["ps"]).screen());
    insta::assert_snapshot!("ps_all", daemon.run(&["ps", "-a"]).screen());
    assert_eq!(daemon.run(&["vm", "list"]).out, daemon.run(&["ps", "--all"]).out);
    assert_eq!(daemon.run(&["vm", "ls"]).out, daemon.run(&["vm", "list"]).out);
    insta::assert_snapshot!("no_vms", FakeDaemon::with(Vec::new()).run(&["ps"]).screen());
}

#[test]
fn a_guest_that_booted_again_or_crashed_under_a_vm_is_told_of() {
    let now = jiff::Timestamp::now();
    let ago = |minutes: i64| now - jiff::SignedDuration::from_secs(minutes * 60 + 5);
    let mut again = vm("again", 'a', VmState::Running);
    again.rebooted = Some(api::Reboots {
        times: 1,
        at: ago(1),
        reason: "panic: out of memory".into(),
    });
    let mut crashed = vm("crashed", 'b', VmState::Stopped);
    crashed.reason = Some("the guest's kernel panicked: oops".into());
    crashed.crashed_at = Some(ago(120));
    let daemon = FakeDaemon::with(vec![again, crashed]);
    let listed = daemon.run(&["ps"]);
    assert!(
        listed
            .out
            .contains("running (rebooted 1 min ago: panic: out of memory)"),
        "{}",
        listed.out
    );
    assert!(!listed.out.contains("crashed"), "{}", listed.out);
    let warning = "banger: warning: `crashed` has been off for 2 h: the guest's kernel panicked: oops\n";
    assert_eq!(listed.err, warning);
    for quiet in ["-q", "--json"] {
        assert_eq!(daemon.run(&["ps", quiet]).err, "");
    }
    let all = daemon.run(&["ps", "-a"]);
    assert!(all.out.contains("stopped (crashed 2 h ago)"), "{}", all.out);
    let shown = daemon.run(&["vm", "show", "again"]).out;
    assert!(
        shown.contains("running (rebooted 1 min ago: panic: out of memory)"),
        "{shown}"
    );
    let shown = daemon.run(&["vm", "show", "crashed"]).out;
    assert!(
        shown.contains("stopped (crashed 2 h ago)") && shown.contains("panicked: oops"),
        "{shown}"
    );
}

#[test]
fn quiet_is_ids_alone() {
    let daemon = daemon();
    assert_eq!(
        daemon.run(&["ps", "-q"]).out,
        format!("{}\n{}\n", "a".repeat(32), "c".repeat(32))
    );
    assert_eq!(daemon.run(&["vm", "list", "-q"]).out.lines().count(), 4);
}

#[test]
fn json_is_the_same_objects_as_the_api_has() {
    let daemon = daemon();
    let listed: Vec<api::Vm> = serde_json::from_str(&daemon.run(&["ps", "-a", "--json"]).out).unwrap();
    assert_eq!(
        listed.iter().map(|vm| vm.name.clone()).collect::<Vec<_>>(),
        daemon.names()
    );
    let shown: api::Vm = serde_json::from_str(&daemon.run(&["vm", "show", "old", "--json"]).out).unwrap();
    assert_eq!(Some(shown), daemon.vm("old"));
    assert_eq!(FakeDaemon::with(Vec::new()).run(&["ps", "--json"]).out, "[]\n");
    insta::assert_snapshot!(without_times(
        &daemon.run(&["vm", "show", "quick-otter", "--json"]).out
    ));
}

#[test]
fn show_tells_everything() {
    let daemon = daemon();
    insta::assert_snapshot!(
        "show",
        without_times(&daemon.run(&["vm", "show", "quick-otter"]).screen())
    );
    insta::assert_snapshot!(
        "show_error",
        without_times(&daemon.run(&["vm", "show", "broken"]).screen())
    );
}

#[test]
fn df_shows_what_lies_where_and_what_could_go() {
    let daemon = daemon();
    insta::assert_snapshot!("df", daemon.run(&["df"]).screen());
    let space: api::Space = serde_json::from_str(&daemon.run(&["df", "--json"]).out).unwrap();
    assert_eq!(space.items.len(), 7);
}

#[test]
fn what_a_daemon_says_cannot_steer_the_terminal() {
    let mut evil = vm("evil\x1b[2J\nname", 'e', VmState::Running);
    evil.image = "\u{202e}image".into();
    evil.reason = Some("a\rb".into());
    let daemon = FakeDaemon::with(vec![evil]);
    let screens = [
        daemon.run(&["ps"]).screen(),
        daemon.run(&["vm", "show", &"e".repeat(32)]).screen(),
        daemon.run(&["ps", "--json"]).screen(),
        daemon.run(&["vm", "stop", "evil"]).screen(),
        daemon.run(&["vm", "stop", "eeee"]).screen(),
    ];
    insta::assert_snapshot!(without_times(&screens.join("\n")));
}

#[test]
fn an_unknown_reference_is_refused_with_a_suggestion() {
    let daemon = daemon();
    let screens = [
        daemon.run(&["vm", "stop", "quick-oter"]),
        daemon.run(&["vm", "delete", "something-else"]),
        daemon.run(&["vm", "show", "nobody"]),
        daemon.run(&["vm", "logs", "nobody"]),
        daemon.run(&["vm", "exec", "nobody", "--", "true"]),
    ];
    insta::assert_snapshot!(screens.map(|screen| screen.screen()).join("\n"));
    assert!(
        daemon.calls().iter().all(|call| call == "list"),
        "{:?}",
        daemon.calls()
    );
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let daemon = daemon();
    for arguments in [
        &["ps"][..],
        &["vm", "show", "old"],
        &["doctor"],
        &["--help"],
        &["vm", "logs", "old"],
    ] {
        let mut client = daemon.start(arguments);
        client.close_out();
        let finished = client.finish();
        assert_eq!(finished.err, "", "{arguments:?}");
    }
}

#[test]
fn doctor_tells_what_is_missing_and_exits_1() {
    let daemon = daemon();
    let examined = daemon.run(&["doctor"]);
    insta::assert_snapshot!(
        "doctor",
        examined.screen().replace(env!("CARGO_PKG_VERSION"), "<version>")
    );
    let report: api::Report = serde_json::from_str(&daemon.run(&["doctor", "--json"]).out).unwrap();
    assert_eq!(report.checks.len(), 5);
}

#[test]
fn doctor_works_without_a_daemon() {
    let mut daemon = daemon();
    daemon.die();
    let examined = daemon.run(&["doctor"]);
    let screen = examined
        .screen()
        .replace(daemon.folder().to_str().unwrap(), "<folder>");
    insta::assert_snapshot!(screen);
}

#[test]
fn version_tells_of_both_and_starts_no_daemon() {
    let mut daemon = daemon();
    let version = env!("CARGO_PKG_VERSION");
    let both = format!("banger {version}\nbangerd {version} at /run/bangerd.sock, pid 77\n");
    assert_eq!(daemon.run(&["version"]).out, both);
    let json: serde_json::Value = serde_json::from_str(&daemon.run(&["version", "--json"]).out).unwrap();
    assert_eq!(
        (&json["version"], &json["daemon"]["pid"]),
        (&version.into(), &77.into())
    );
    daemon.die();
    assert_eq!(
        daemon.run(&["version"]).out,
        format!("banger {version}\nbangerd is not running\n")
    );
    let json: serde_json::Value = serde_json::from_str(&daemon.run(&["version", "--json"]).out).unwrap();
    assert!(json["daemon"].is_null());
}

#[test]
fn a_daemon_of_another_version_is_said() {
    let daemon = daemon();
    daemon.pretend_version("9.9.9");
    let listed = daemon.run(&["ps", "-q"]);
    assert_eq!(listed.code, 0);
    insta::assert_snapshot!(listed.err.replace(env!("CARGO_PKG_VERSION"), "<version>"));
}

#[test]
fn an_unreachable_daemon_is_one_line() {
    let mut daemon = daemon();
    daemon.die();
    let listed = daemon.run(&["ps"]);
    insta::assert_snapshot!(
        listed
            .screen()
            .replace(daemon.folder().to_str().unwrap(), "<folder>")
    );
}
