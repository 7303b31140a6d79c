//! Clients that leave early.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Home;
use crate::home::{read_until, wait_for};

fn nothing_is_left(home: &Home) {
    wait_for("the VM's end", || home.succeeds(&["vm", "list", "-q"]).is_empty());
    wait_for("the end of its processes", || {
        !home
            .processes()
            .iter()
            .any(|(_, line)| line.contains("qemu") || line.contains("passt"))
    });
    wait_for("the end of its folder", || home.vm_folders().is_empty());
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
    // The spec line: the VM exists and is about to boot.
    read_until(client.stderr.as_mut().unwrap(), "qemu");
    wait_for("the machine", || {
        home.processes()
            .iter()
            .any(|(_, line)| line.contains("qemu-system"))
    });
    client.kill().unwrap();
    client.wait().unwrap();
    nothing_is_left(&home);
}

#[test]
fn ctrl_c_during_a_start_leaves_nothing() {
    let home = Home::new();
    let mut client = home.spawn(&mut home.command(&["vm", "run", "--name", "a", "--", "true"]));
    read_until(client.stderr.as_mut().unwrap(), "qemu");
    wait_for("the machine", || {
        home.processes()
            .iter()
            .any(|(_, line)| line.contains("qemu-system"))
    });
    kill(Pid::from_raw(i32::try_from(client.id()).unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(client.wait().unwrap().code(), Some(128 + Signal::SIGINT as i32));
    nothing_is_left(&home);
}
