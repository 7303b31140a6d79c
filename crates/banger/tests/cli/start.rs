//! Starting the real daemon where there is none. Needs `bangerd` beside `banger`: `make build`, or
//! `cargo build -p bangerd`.

use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

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

#[test]
fn a_daemon_takes_nothing_over_from_the_command_that_starts_it() {
    let home = Home::new();
    let pipe = home.path().join("pipe");
    testkit::make_fifo(&pipe);
    let (sender, read) = mpsc::channel();
    let reader = pipe.clone();
    std::thread::spawn(move || sender.send(std::fs::read(reader).unwrap()));
    // As under nohup, with a descriptor that a build tool gives its commands.
    let script = "trap '' HUP INT TERM USR1; umask 000; exec 7> \"$1\"; shift; echo begun >&7; exec \"$@\"";
    let inner = home.command(&["ps"]);
    let mut command = Command::new("sh");
    command.args(["-ec", script, "sh"]).arg(&pipe);
    command
        .arg(inner.get_program())
        .args(inner.get_args())
        .env_clear();
    for (name, value) in inner.get_envs() {
        command.env(name, value.unwrap());
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = read.recv_timeout(Duration::from_secs(60));
    assert_eq!(text.expect("the pipe has an end"), b"begun\n");

    let daemons = home.daemons();
    assert_eq!(daemons.len(), 1, "it lives");
    let proc = format!("/proc/{}", daemons[0]);
    let status = std::fs::read_to_string(format!("{proc}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{status}")).trim().to_owned()
    };
    assert_eq!(field("Umask:"), "0022");
    assert_eq!(field("SigBlk:"), "0000000000000000");
    // Broken pipes are errors to every program of Rust's.
    assert_eq!(field("SigIgn:"), "0000000000001000");
    assert_eq!(
        std::fs::read_link(format!("{proc}/cwd")).unwrap(),
        std::path::Path::new("/")
    );
}
