//! Starting the real daemon where there is none. Needs `bangerd` beside `banger`: `make build`, or
//! `cargo build -p bangerd`.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
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

fn socket_of(home: &Home) -> PathBuf {
    let file = std::fs::read(home.path().join(".local/state/banger/bangerd.json")).unwrap();
    let file: serde_json::Value = serde_json::from_slice(&file).unwrap();
    file["socket"].as_str().unwrap().into()
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
    // One that found another there may still be ending.
    wait_for("the end of all daemons but one", || {
        home.daemons() == [Pid::from_raw(pid)]
    });
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
    let database = home.path().join(".local/state/banger/banger.db");
    std::fs::create_dir_all(database.parent().unwrap()).unwrap();
    std::fs::write(&database, vec![0xa5; 20_000]).unwrap();
    let (code, out, err) = home.run(&["ps"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.starts_with("banger: cannot start the daemon: "), "{err}");
    assert!(err.contains("banger.db"), "{err}");
    assert_eq!(home.daemons(), []);
}

#[test]
fn a_mistake_in_the_configuration_keeps_only_what_goes_by_it_from_working() {
    let home = Home::new();
    for (text, told) in [
        (
            "\nidle_timeuot = \"5m\"\n",
            "config.toml:2: unknown key `idle_timeuot`",
        ),
        ("vmm = \"qmeu\"\n", "config.toml:1: `vmm`: "),
        ("[network\n", "config.toml:1: "),
        (
            "[guest]\nca_certificates = [\"/no/such.pem\"]\n",
            "certificate file /no/such.pem",
        ),
    ] {
        home.configure(text);
        assert_eq!(
            home.run(&["ps"]),
            (Some(0), home.run(&["ps"]).1, String::new()),
            "{text}"
        );
        for arguments in [
            &["vm", "stop", "nobody"][..],
            &["vm", "exec", "nobody", "true"],
            &["vm", "delete", "nobody"],
        ] {
            let (code, _, err) = home.run(arguments);
            assert_eq!(code, Some(1), "{text}");
            assert!(
                err.starts_with("banger: no VM is called `nobody`"),
                "{text}: {err}"
            );
        }
        let (_, report, _) = home.run(&["doctor"]);
        let line = report
            .lines()
            .find(|line| line.contains("configuration"))
            .unwrap_or_default();
        assert!(line.contains("FAIL") && line.contains(told), "{text}: {report}");
        if told.contains("unknown key") {
            assert!(report.contains("did you mean `idle_timeout`?"), "{report}");
        }
        for arguments in [
            &["vm", "create", "--name", "box"][..],
            &["image", "pull", "debian-minimal"],
            &["kernel", "pull", "debian-cloud"],
        ] {
            let (code, out, err) = home.run(arguments);
            assert_eq!((code, out.as_str()), (Some(1), ""), "{text}: {err}");
            assert!(err.contains(told), "{text}: {arguments:?}: {err}");
        }
        // Mended, it counts from the next daemon on. One that a command keeps says so, any other makes way.
        let pid = pid_in(&home.run(&["version", "--json"]).1);
        let kept = UnixStream::connect(socket_of(&home)).unwrap();
        // Answered after that one was taken up.
        assert_eq!(home.run(&["ps"]).0, Some(0));
        home.configure("idle_timeout = \"5m\"\n");
        let (code, _, err) = home.run(&["kernel", "pull", "debian-cloud"]);
        assert_eq!(code, Some(1), "{text}");
        assert!(
            err.contains("hint: ") && err.contains("`banger daemon stop`"),
            "{text}: {err}"
        );
        assert_eq!(pid_in(&home.run(&["version", "--json"]).1), pid, "{text}");
        drop(kept);
        // A client that is given the socket could start no other.
        let socket = socket_of(&home);
        let (code, out, err) = home.run(&["ps", "--socket", socket.to_str().unwrap()]);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{text}: {out}");
        assert_eq!(pid_in(&home.run(&["version", "--json"]).1), pid, "{text}");
        assert!(!home.run(&["doctor"]).1.contains("configuration"), "{text}");
        assert_ne!(pid_in(&home.run(&["version", "--json"]).1), pid, "{text}");
        assert_eq!(home.run(&["daemon", "stop"]).0, Some(0));
    }
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
