//! Starting the real daemon where there is none. Needs `bangerd` beside `banger`: `make build`, or
//! `cargo build -p bangerd`.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Home, wait_for};

fn pid_in(version: &str) -> i32 {
    let version: serde_json::Value = serde_json::from_str(version).unwrap();
    version["daemon"]["pid"]
        .as_i64()
        .unwrap_or_else(|| panic!("no daemon: {version}")) as i32
}

#[test]
fn two_clients_at_once_start_one_daemon() {
    let home = Home::new();
    let clients: Vec<_> = (0..6)
        .map(|_| home.command(&["ps", "--json"]).spawn().unwrap())
        .collect();
    for client in clients {
        let output = client.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(output.stdout, b"[]\n");
    }
    let pid = pid_in(&home.run(&["version", "--json"]).1);
    assert_eq!(home.daemons(), [Pid::from_raw(pid)]);
}

#[test]
fn a_daemon_outlives_its_client_and_a_dead_one_is_replaced() {
    let home = Home::new();
    assert_eq!(home.run(&["ps"]).0, Some(0));
    let first = pid_in(&home.run(&["version", "--json"]).1);
    assert_eq!(pid_in(&home.run(&["version", "--json"]).1), first);
    kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
    wait_for("the daemon's end", || home.daemons().is_empty());
    assert_eq!(home.run(&["ps"]).0, Some(0));
    assert_ne!(pid_in(&home.run(&["version", "--json"]).1), first);
}

#[test]
fn a_daemon_that_cannot_start_says_why_in_its_own_words() {
    let home = Home::new();
    home.configure("log_levl = \"info\"\n");
    let (code, out, err) = home.run(&["ps"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.starts_with("banger: cannot start the daemon: "), "{err}");
    assert!(err.contains("config.toml:1") && err.contains("log_levl"), "{err}");
    assert_eq!(home.daemons(), []);
}
