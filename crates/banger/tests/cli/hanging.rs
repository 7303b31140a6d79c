//! A daemon that accepts and says nothing more.

use std::os::unix::net::UnixListener;
use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::Signal;

use crate::support::{Client, FakeDaemon};

#[test]
fn a_signal_is_heard_while_the_daemon_hangs() {
    let daemon = FakeDaemon::with_box();
    let socket = daemon.folder().join("silent.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    for arguments in [
        &["exec", "box", "true"][..],
        &["vm", "run", "--rm", "--", "true"],
        &["vm", "create"],
        &["cp", "box:/etc/hostname", "."],
        &["cp", "--start", "box:/etc/hostname", "."],
        &["ssh", "--start", "box", "true"],
        &["vm", "forward", "box", "0:80"],
        &["vm", "workspace", "status", "box"],
        &["kernel", "pull", "debian-cloud"],
        &["start", "box"],
        &["stop", "box"],
        &["ps"],
    ] {
        for signal in [Signal::SIGINT, Signal::SIGTERM] {
            let client = Client::of(daemon.command(arguments).env("BANGER_SOCKET", &socket));
            let (_connection, _) = listener.accept().unwrap();
            client.signal(signal);
            // One that is not heard ends with 1, once the daemon is given up.
            let status = client.status();
            let code = status
                .code()
                .unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
            assert_eq!(code, 128 + signal as i32, "{arguments:?}");
        }
    }
}
