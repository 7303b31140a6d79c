//! What a user finds inside a Debian of the catalog's.

use std::process::Command;

use crate::Home;

/// `is-system-running --wait` fails as long as the bus is not there.
const BOOTED: &str = "until [ -S /run/dbus/system_bus_socket ]; do sleep 0.2; done; systemctl is-system-running --wait; \
                      systemctl --failed --no-legend --plain";

#[test]
fn the_small_image_boots_cleanly_has_git_reaches_its_mirror_and_gets_a_new_agent_for_a_dead_one() {
    let home = Home::new();
    home.succeeds(&["vm", "run", "-d", "--name", "a"]);
    assert_eq!(
        home.succeeds(&["vm", "exec", "a", "--", "sh", "-c", BOOTED]),
        "running\n"
    );
    let killed = home.run(&[
        "vm",
        "exec",
        "a",
        "--",
        "sh",
        "-c",
        "kill -9 $(cat /proc/[0-9]*/stat | \
                 sed -n 's/^\\([0-9]*\\) (banger-agent).*/\\1/p'); sleep 60",
    ]);
    assert_ne!(killed.code, Some(0), "its agent is gone: {}", killed.err);
    let said = home.succeeds(&["vm", "exec", "a", "--", "dmesg"]);
    assert!(
        said.contains("banger: the agent ended (signal 9) and is started again"),
        "{said}"
    );
    let clone = "git init -q /tmp/from && cd /tmp/from && echo hi > file && git add file && \
                 git -c user.name=a -c user.email=a@b commit -qm first && git clone -q /tmp/from /tmp/to && \
                 cat /tmp/to/file";
    assert_eq!(
        home.succeeds(&["vm", "exec", "a", "--", "sh", "-c", clone]),
        "hi\n"
    );
    home.succeeds(&["vm", "exec", "a", "--", "apt-get", "-q", "update"]);
    home.succeeds(&["vm", "exec", "a", "--", "modprobe", "nf_tables"]);
    let host = home.run(&["vm", "exec", "a", "--", "sh", "-c", &reach_host()]);
    assert_eq!(host.out, "", "this host answered: {}", host.err);
    home.succeeds(&["vm", "delete", "a"]);
}

/// Tries the gateway, which some user networks map to the host's loopback, and the host's own addresses. Says which of
/// them answers.
fn reach_host() -> String {
    let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || while listener.accept().is_ok() {});
    let own = nix::ifaddrs::getifaddrs()
        .unwrap()
        .filter_map(|interface| Some(interface.address?.as_sockaddr_in()?.ip().to_string()));
    let own: Vec<_> = own.filter(|address| !address.starts_with("127.")).collect();
    format!(
        "gateway=$(ip route | sed -n 's/^default via \\([0-9.]*\\).*/\\1/p'); test -n \"$gateway\" || echo none; \
         for to in $gateway {}; do timeout 5 bash -c \"</dev/tcp/$to/{port}\" && echo $to; done; true",
        own.join(" ")
    )
}

#[test]
fn an_image_without_an_init_runs_commands_and_stops() {
    // The same image, its init out of the way: what a container image looks like.
    let home = Home::new();
    home.succeeds(&["vm", "run", "-d", "--name", "a", "--network", "none"]);
    home.succeeds(&[
        "vm",
        "exec",
        "a",
        "--",
        "rm",
        "/sbin/init",
        "/usr/lib/systemd/systemd",
    ]);
    home.succeeds(&["vm", "stop", "a"]);
    home.succeeds(&["vm", "start", "a"]);
    let first = home.succeeds(&[
        "vm",
        "exec",
        "a",
        "--",
        "sh",
        "-c",
        "tr '\\0' ' ' < /proc/1/cmdline",
    ]);
    assert!(!first.contains("systemd"), "{first}");
    home.succeeds(&["vm", "stop", "a"]);
    home.succeeds(&["vm", "delete", "a"]);
}

#[test]
fn the_demo_of_the_readme_prints_what_a_guest_says() {
    let home = Home::new();
    let printed = home.succeeds(&["vm", "run", "--rm", "--", "cat", "/proc/version"]);
    let host = String::from_utf8(Command::new("uname").arg("-r").output().unwrap().stdout).unwrap();
    assert!(
        printed.starts_with("Linux version ") && !printed.contains(host.trim()),
        "{printed}"
    );
}

#[test]
fn a_guest_out_of_memory_loses_the_command_and_not_the_agent() {
    let home = Home::new();
    home.succeeds(&[
        "vm",
        "run",
        "-d",
        "--name",
        "a",
        "--network",
        "none",
        "--memory",
        "384M",
    ]);
    let before = home.succeeds(&["vm", "exec", "a", "--", "cat", "/proc/sys/kernel/random/boot_id"]);
    let greedy = home.run(&["vm", "exec", "a", "--", "tail", "/dev/zero"]);
    assert_eq!(greedy.code, Some(137), "{}", greedy.err);
    let after = home.succeeds(&["vm", "exec", "a", "--", "cat", "/proc/sys/kernel/random/boot_id"]);
    assert_eq!(after, before);
    home.succeeds(&["vm", "delete", "a"]);
}
