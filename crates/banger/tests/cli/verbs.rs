//! `vm restart`, `kill`, `set`, `prune`, `stats` and `ping`; `-q`, `--timings`, `--wait`; following logs.

use api::VmState;

use crate::support::{FakeDaemon, Terminal, vm};

fn daemon() -> FakeDaemon {
    FakeDaemon::with(vec![
        vm("web", 'a', VmState::Running),
        vm("db", 'b', VmState::Stopped),
        vm("later", 'c', VmState::Created),
        vm("failed", 'd', VmState::Error),
        vm("busy", 'e', VmState::Starting),
    ])
}

#[test]
fn several_are_restarted_and_their_names_printed() {
    let daemon = daemon();
    let done = daemon.run(&["vm", "restart", "-q", "web", "db"]);
    assert_eq!(
        (done.code, done.out.as_str(), done.err.as_str()),
        (0, "web\ndb\n", "")
    );
    assert_eq!(daemon.vm("db").unwrap().state, VmState::Running);
}

#[test]
fn kill_sends_the_signal_that_was_asked_for() {
    let daemon = daemon();
    assert_eq!(daemon.run(&["vm", "kill", "web"]).code, 0);
    assert_eq!(daemon.run(&["vm", "kill", "--signal", "sigterm", "web"]).code, 0);
    let calls = daemon.calls();
    let kills: Vec<_> = calls.iter().filter(|call| call.starts_with("kill by")).collect();
    assert_eq!(kills, ["kill by SIGKILL", "kill by SIGTERM"]);
    insta::assert_snapshot!(daemon.run(&["vm", "kill", "--signal", "HUP", "web"]).screen());
}

#[test]
fn prune_deletes_what_is_off_and_nothing_else() {
    let daemon = daemon();
    let done = daemon.run(&["vm", "prune", "-f", "-q"]);
    assert_eq!(
        (done.code, done.out.as_str(), done.err.as_str()),
        (0, "db\nlater\nfailed\n", "")
    );
    assert_eq!(daemon.names(), ["web", "busy"]);
    let again = daemon.run(&["vm", "prune", "-f"]);
    insta::assert_snapshot!(again.screen());
}

#[test]
fn prune_asks_on_a_terminal_and_only_there() {
    let daemon = daemon();
    insta::assert_snapshot!(daemon.run(&["vm", "prune"]).screen());
    for (answer, code, left) in [("\n", 1, 5), ("no\n", 1, 5), ("y\n", 0, 2)] {
        let mut terminal = Terminal::open();
        let client = terminal.run(&daemon, &["vm", "prune"]);
        let question = terminal.read_until("[y/N] ");
        assert!(
            question.contains("db  stopped") && question.contains("3 VMs"),
            "{question}"
        );
        assert!(!question.contains("web"), "{question}");
        terminal.type_keys(answer.as_bytes());
        assert_eq!((client.wait(), daemon.names().len()), (code, left), "{answer:?}");
    }
}

#[test]
fn ping_tells_who_answers_in_the_order_given() {
    let daemon = daemon();
    insta::assert_snapshot!(daemon.run(&["vm", "ping", "db", "web", "nobody"]).screen());
    let quiet = daemon.run(&["vm", "ping", "-q", "web"]);
    assert_eq!((quiet.code, quiet.out.as_str(), quiet.err.as_str()), (0, "", ""));
    let json = daemon.run(&["vm", "ping", "--json", "web"]);
    let pongs: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(
        (&pongs[0]["name"], &pongs[0]["round_trip_us"]),
        (&"web".into(), &1_250.into())
    );
}

#[test]
fn quiet_leaves_nothing_but_the_result() {
    let daemon = daemon();
    for (arguments, out) in [
        (&["vm", "start", "-q", "db"][..], "db\n"),
        (&["vm", "stop", "-q", "db"], "db\n"),
        (&["vm", "delete", "-q", "db"], "db\n"),
        (&["vm", "create", "-q", "--name", "new"], "new\n"),
        (&["vm", "run", "-q", "--", "echo", "hi"], "hi\n"),
        (&["vm", "run", "-q", "-d", "--name", "other"], "other\n"),
    ] {
        let done = daemon.run(arguments);
        assert_eq!(
            (done.code, done.out.as_str(), done.err.as_str()),
            (0, out, ""),
            "{arguments:?}"
        );
    }
}

#[test]
fn timings_tell_the_milliseconds_of_each_stage() {
    let daemon = daemon();
    let timed = |arguments: &[&str]| -> Vec<String> {
        let done = daemon.run(arguments);
        assert_eq!(done.code, 0, "{}", done.err);
        let lines = done.err.lines().filter(|line| line.starts_with("  timing"));
        lines
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    };
    let one = timed(&["vm", "start", "-q", "--timings", "db"]);
    assert_eq!(
        one[..2],
        ["timing start.agent 2700 ms", "timing start 2900 ms"],
        "{one:?}"
    );
    assert!(one[2].starts_with("timing total ") && one.len() == 3, "{one:?}");
    let several = timed(&["vm", "start", "--timings", "db", "later"]);
    assert!(
        several.contains(&"timing later start.agent 2700 ms".to_owned()),
        "{several:?}"
    );
    let run = timed(&["vm", "run", "--timings", "--rm", "--", "true"]);
    assert!(run.contains(&"timing image 94000 ms".to_owned()), "{run:?}");
}

#[test]
fn set_asks_for_what_was_given_and_for_something() {
    let daemon = daemon();
    let done = daemon.run(&[
        "vm",
        "set",
        "db",
        "web",
        "--disk-size",
        "20G",
        "--vcpu",
        "3",
        "-q",
    ]);
    assert_eq!(
        (done.code, done.out.as_str(), done.err.as_str()),
        (0, "db\nweb\n", "")
    );
    let change = r#"change {"vcpu":3,"memory_mib":null,"disk_size":21474836480}"#;
    let calls = daemon.calls();
    assert_eq!(
        calls.iter().filter(|call| *call == change).count(),
        2,
        "{calls:?}"
    );
    insta::assert_snapshot!(daemon.run(&["vm", "set", "db"]).screen());
}

#[test]
fn logs_are_followed_and_the_vmms_are_had_if_asked_for() {
    let daemon = daemon();
    assert_eq!(daemon.run(&["vm", "logs", "-f", "web"]).code, 0);
    assert_eq!(daemon.run(&["vm", "logs", "--vmm", "web"]).code, 0);
    let calls = daemon.calls();
    assert_eq!(calls[0], "logs source=console&follow=true");
    assert_eq!(calls[1], "logs source=vmm&follow=false");
}

#[test]
fn stats_are_of_what_runs_or_of_what_is_named() {
    let daemon = daemon();
    insta::assert_snapshot!(daemon.run(&["vm", "stats"]).screen());
    insta::assert_snapshot!(daemon.run(&["vm", "stats", "db", "web", "nobody"]).screen());
    let json = daemon.run(&["vm", "stats", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(report["vms"][0]["name"], "web");
    assert_eq!(report["vms"][0]["cpu_percent"], 0.0);
    assert_eq!(report["total"]["rss"], 700 << 20);
    assert!(report["total"].get("id").is_none());
}

#[test]
fn stats_go_on_when_they_are_watched() {
    let daemon = daemon();
    let mut client = daemon.start(&["vm", "stats", "--watch"]);
    for _ in 0..2 {
        client.read_out_until("web ");
    }
    client.close_out();
    assert_eq!(client.wait(), 128 + 13, "until nobody reads it");
}

#[test]
fn a_start_waits_for_the_guests_services_if_asked_to() {
    let daemon = daemon();
    insta::assert_snapshot!(daemon.run(&["vm", "start", "--wait", "boot", "db"]).screen());
    let degraded = daemon.run(&["vm", "restart", "--wait", "boot", "web"]);
    assert_eq!((degraded.code, degraded.out.as_str()), (0, "web\n"));
    let warning =
        "banger: warning: `web` has booted and is degraded: banger vm exec web -- systemctl --failed";
    assert!(
        degraded.err.lines().any(|line| line == warning),
        "{}",
        degraded.err
    );
    let run = daemon.run(&["vm", "run", "-q", "--wait", "boot", "--", "echo", "up"]);
    assert_eq!((run.code, run.out.as_str(), run.err.as_str()), (0, "up\n", ""));
    insta::assert_snapshot!(daemon.run(&["vm", "start", "--wait", "later", "db"]).screen());
}
