//! `banger daemon`: against the fake daemon, and with the real one, which `start` says where to find.

use crate::support::{FakeDaemon, Home};

fn status(json: &str) -> serde_json::Value {
    serde_json::from_str(json).unwrap()
}

#[test]
fn status_and_socket_tell_of_a_daemon_and_start_none() {
    let mut daemon = FakeDaemon::with_box();
    let version = env!("CARGO_PKG_VERSION");
    let line = format!("bangerd {version} at /run/bangerd.sock, pid 77\n");
    assert_eq!(daemon.run(&["daemon", "status"]).out, line);
    let found = status(&daemon.run(&["daemon", "status", "--json"]).out);
    assert_eq!(
        (
            &found["pid"],
            &found["version"],
            &found["socket"],
            &found["running"]
        ),
        (
            &77.into(),
            &version.into(),
            &"/run/bangerd.sock".into(),
            &true.into()
        )
    );
    let socket = format!("{}\n", daemon.socket().display());
    assert_eq!(daemon.run(&["daemon", "socket"]).out, socket);
    assert_eq!(daemon.run(&["daemon", "start"]).out, line);
    daemon.die();
    let gone = daemon.run(&["daemon", "status"]);
    assert_eq!((gone.code, gone.out.as_str()), (1, "bangerd is not running\n"));
    let gone = daemon.run(&["daemon", "status", "--json"]);
    let found = status(&gone.out);
    assert_eq!((gone.code, &found["running"]), (1, &false.into()));
    assert!(found["pid"].is_null() && found["socket"].is_string(), "{found}");
    assert_eq!(daemon.run(&["daemon", "socket"]).out, socket);
    let stopped = daemon.run(&["daemon", "stop"]);
    assert_eq!(
        (stopped.code, stopped.err.as_str()),
        (0, "bangerd is not running\n")
    );
}

#[test]
fn a_process_that_is_not_the_one_that_answers_is_never_signalled() {
    // The fake daemon lives in this process and says that it is another one.
    let daemon = FakeDaemon::with_box();
    let stopped = daemon.run(&["daemon", "stop"]);
    assert_eq!(stopped.code, 1);
    assert!(
        stopped.err.starts_with("banger: cannot end the daemon: "),
        "{}",
        stopped.err
    );
    assert_eq!(daemon.run(&["daemon", "status"]).code, 0, "it goes on");
}

#[test]
fn stop_returns_when_the_daemon_is_gone_and_start_when_it_answers() {
    let home = Home::new();
    let (code, _, err) = home.run(&["daemon", "stop"]);
    assert_eq!((code, err.as_str()), (Some(0), "bangerd is not running\n"));
    let (code, socket, _) = home.run(&["daemon", "socket"]);
    assert_eq!(code, Some(0));
    let (code, started, err) = home.run(&["daemon", "start"]);
    assert_eq!(code, Some(0), "{err}");
    let pid = home.daemons()[0];
    assert_eq!(
        started,
        format!(
            "bangerd {} at {}, pid {pid}\n",
            env!("CARGO_PKG_VERSION"),
            socket.trim()
        )
    );
    assert_eq!(home.run(&["daemon", "start"]).1, started, "it is there already");
    let found = status(&home.run(&["daemon", "status", "--json"]).1);
    assert_eq!(found["pid"], pid.as_raw());
    let (code, _, err) = home.run(&["daemon", "stop"]);
    assert_eq!((code, err.as_str()), (Some(0), "bangerd has ended; VMs go on\n"));
    assert_eq!(home.daemons(), [], "it is gone when stop returns");
}
