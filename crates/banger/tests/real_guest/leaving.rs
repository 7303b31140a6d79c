//! Clients that leave early.

use std::process::Child;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Home;
use crate::home::{is_vmm, read_until, wait_for};

fn nothing_is_left(home: &Home) {
    wait_for("the VM's end", || home.succeeds(&["vm", "list", "-q"]).is_empty());
    wait_for("the end of its processes", || {
        !home
            .processes()
            .iter()
            .any(|(_, line)| is_vmm(line) || line.contains("passt"))
    });
    wait_for("the end of its folder", || home.vm_folders().is_empty());
}

/// Waits until the VM of a client exists and is about to boot.
fn let_boot(home: &Home, client: &mut Child) {
    // The spec line ends with the VMM: `qemu/tcg`, `firecracker/1.12.1`.
    read_until(client.stderr.as_mut().unwrap(), "/");
    wait_for("the machine", || {
        home.processes().iter().any(|(_, line)| is_vmm(line))
    });
}

#[test]
fn rm_deletes_the_vm_when_the_client_is_killed() {
    let home = Home::new();
    let mut client =
        home.spawn(&mut home.command(&["vm", "run", "--rm", "--", "sh", "-c", "echo here; sleep 4321"]));
    read_until(client.stdout.as_mut().unwrap(), "here\n");
    client.kill().unwrap();
    client.wait().unwrap();
    nothing_is_left(&home);
}

#[test]
fn a_client_killed_during_a_start_leaves_nothing() {
    let home = Home::new();
    let mut client = home.spawn(&mut home.command(&["vm", "run", "--name", "a", "--", "true"]));
    let_boot(&home, &mut client);
    client.kill().unwrap();
    client.wait().unwrap();
    nothing_is_left(&home);
}

#[test]
fn ctrl_c_during_a_start_leaves_nothing() {
    let home = Home::new();
    let mut client = home.spawn(&mut home.command(&["vm", "run", "--name", "a", "--", "true"]));
    let_boot(&home, &mut client);
    kill(Pid::from_raw(i32::try_from(client.id()).unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(client.wait().unwrap().code(), Some(128 + Signal::SIGINT as i32));
    nothing_is_left(&home);
}
