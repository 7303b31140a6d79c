//! A daemon that ends, and what it leaves.

use std::io::{self, Read};
use std::net::{Ipv4Addr, TcpStream};

use nix::sys::signal::Signal;

use crate::Home;
use crate::home::{is_vmm, wait_for};

const BOOT_ID: [&str; 6] = ["vm", "exec", "a", "--", "cat", "/proc/sys/kernel/random/boot_id"];

/// Answers each connection with a line.
const SERVER: &str = "use IO::Socket::INET; \
     my $s = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1:8080') or die; \
     fork and exit; open STDOUT, '>/dev/null'; open STDERR, '>/dev/null'; \
     while (my $c = $s->accept) { print $c \"from the guest\\n\"; close $c }";

fn answer(port: u16) -> io::Result<String> {
    let mut answer = String::new();
    TcpStream::connect((Ipv4Addr::LOCALHOST, port))?.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn a_killed_daemon_leaves_its_vms_running() {
    let home = Home::new();
    home.succeeds(&["vm", "run", "-d", "--name", "a", "--publish", "0:8080"]);
    home.succeeds(&["vm", "exec", "a", "--", "perl", "-e", SERVER]);
    let shown = home.succeeds(&["vm", "show", "a", "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let port = u16::try_from(shown["publish"][0]["host"].as_u64().unwrap()).unwrap();
    assert_eq!(answer(port).unwrap(), "from the guest\n");
    let before = home.succeeds(&BOOT_ID);
    let first = home.daemon();
    home.end_daemon(Signal::SIGKILL);
    assert_eq!(home.succeeds(&BOOT_ID), before);
    assert_ne!(home.daemon(), first);
    wait_for("the published port", || {
        answer(port).is_ok_and(|answer| answer == "from the guest\n")
    });
    home.succeeds(&["vm", "stop", "a"]);
    home.succeeds(&["vm", "delete", "a"]);
}

#[test]
fn after_everything_is_deleted_nothing_is_left() {
    let home = Home::new();
    home.succeeds(&["vm", "run", "-d", "--name", "a"]);
    assert!(
        home.processes().iter().any(|(_, line)| is_vmm(line)),
        "{:?}",
        home.processes()
    );
    home.succeeds(&["vm", "delete", "a"]);
    home.end_daemon(Signal::SIGTERM);
    wait_for("the end of all processes", || home.processes().is_empty());
    assert!(home.vm_folders().is_empty());
    assert!(!home.state().join("bangerd.json").exists());
    let sockets = std::fs::read_to_string("/proc/net/unix").unwrap();
    let folder = home.state().display().to_string();
    assert!(!sockets.lines().any(|line| line.contains(&folder)), "{sockets}");
}

#[test]
fn stop_loses_no_write() {
    let home = Home::new();
    home.succeeds(&["vm", "run", "-d", "--name", "a", "--network", "none"]);
    let write = "for n in $(seq 200); do echo $n > /root/file-$n; done; head -c 20000000 /dev/urandom > /root/big; \
                 sha256sum /root/big";
    let sum = home.succeeds(&["vm", "exec", "a", "--", "sh", "-c", write]);
    home.succeeds(&["vm", "stop", "a"]);
    home.succeeds(&["vm", "start", "a"]);
    let read = "cat /root/file-* | wc -l; cat /root/file-200; sha256sum /root/big";
    assert_eq!(
        home.succeeds(&["vm", "exec", "a", "--", "sh", "-c", read]),
        format!("200\n200\n{sum}")
    );
    home.succeeds(&["vm", "delete", "a"]);
}
