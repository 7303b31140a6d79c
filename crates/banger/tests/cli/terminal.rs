//! Shells on a real terminal.

use nix::sys::signal::Signal;

use crate::support::{Client, FakeDaemon, Terminal};

/// A shell in `box`, up to the point where the terminal is the guest's.
fn shell(daemon: &FakeDaemon) -> (Terminal, Client, String) {
    let mut terminal = Terminal::open();
    let before = terminal.modes();
    let client = terminal.run(daemon, &["vm", "shell", "box"]);
    terminal.read_until("shell 24x80\r\n");
    assert_ne!(terminal.modes(), before, "raw while the shell runs");
    (terminal, client, before)
}

#[test]
fn the_terminal_is_restored_when_the_vm_dies() {
    let daemon = FakeDaemon::with_box();
    let (mut terminal, client, before) = shell(&daemon);
    daemon.kill_machine("box");
    let screen = terminal.read_until("signal 9\r\n");
    assert_eq!(
        screen,
        "banger: the command is lost: `box` has stopped: its QEMU was ended by signal 9\r\n"
    );
    assert_eq!(client.wait(), 1);
    assert_eq!(terminal.modes(), before);
}

#[test]
fn the_screen_of_a_program_that_died_with_its_vm_is_left() {
    let daemon = FakeDaemon::with_box();
    let (mut terminal, client, _) = shell(&daemon);
    terminal.type_keys(b"vim");
    terminal.read_until("\x1b[?1049h\x1b[?25lvim\r\n");
    daemon.kill_machine("box");
    assert_eq!(terminal.read_until("banger: "), "\x1b[?25h\x1b[?1049lbanger: ");
    assert_eq!(client.wait(), 1);
}

#[test]
fn the_terminal_is_restored_when_the_daemon_dies() {
    let mut daemon = FakeDaemon::with_box();
    let (mut terminal, client, before) = shell(&daemon);
    daemon.die();
    terminal.read_until("banger: the command is lost: the daemon has ended\r\n");
    assert_eq!(client.wait(), 1);
    assert_eq!(terminal.modes(), before);
}

#[test]
fn the_terminal_is_restored_after_the_shell() {
    let daemon = FakeDaemon::with_box();
    let (mut terminal, client, before) = shell(&daemon);
    terminal.type_keys(b"exit\r");
    assert_eq!(
        client.wait(),
        0,
        "how a shell's last command ended is nobody's business"
    );
    assert_eq!(terminal.modes(), before);
}

#[test]
fn the_terminal_is_restored_on_signals() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT] {
        let daemon = FakeDaemon::with_box();
        let (terminal, client, before) = shell(&daemon);
        client.signal(signal);
        assert_eq!(client.wait(), 128 + signal as i32);
        assert_eq!(terminal.modes(), before, "{signal}");
        daemon.wait_for_call("exec ended");
    }
}

#[test]
fn keys_go_to_the_guest_as_they_are_ctrl_c_too() {
    let daemon = FakeDaemon::with_box();
    let (mut terminal, client, _) = shell(&daemon);
    for (keys, said) in [
        (&b"\x03"[..], "keys [3]\r\n"),
        (b"\x1a", "keys [26]\r\n"),
        (b"\r", "keys [13]\r\n"),
    ] {
        terminal.type_keys(keys);
        assert_eq!(terminal.read_until(said), said);
    }
    terminal.type_keys(b"exit\r");
    assert_eq!(client.wait(), 0);
}

#[test]
fn a_new_size_reaches_the_guest() {
    let daemon = FakeDaemon::with_box();
    let (mut terminal, client, _) = shell(&daemon);
    terminal.resize(50, 132);
    assert_eq!(terminal.read_until("\r\n"), "size 50x132\r\n");
    terminal.type_keys(b"exit\r");
    assert_eq!(client.wait(), 0);
}

#[test]
fn leaving_the_shell_keeps_the_vm_and_says_how_to_end_it() {
    let daemon = FakeDaemon::with(Vec::new());
    let mut terminal = Terminal::open();
    let client = terminal.run(&daemon, &["vm", "run"]);
    let start = terminal.read_until("shell 24x80\r\n");
    assert!(
        start.starts_with("quick-otter · debian-minimal · 2 vcpu · 2 GiB · 8 GiB disk · qemu/tcg (no KVM: "),
        "{start}"
    );
    assert!(
        start.contains("  start   booting"),
        "the stage stays as a line: {start:?}"
    );
    terminal.type_keys(b"exit\r");
    let end = "quick-otter keeps running: banger vm stop quick-otter, banger vm delete quick-otter\r\n";
    assert_eq!(terminal.read_until("delete quick-otter\r\n"), end);
    assert_eq!(client.wait(), 0);
    assert_eq!(daemon.names(), ["quick-otter"]);
}

#[test]
fn rm_deletes_the_vm_after_its_shell() {
    let daemon = FakeDaemon::with(Vec::new());
    let mut terminal = Terminal::open();
    let client = terminal.run(&daemon, &["vm", "run", "--rm"]);
    terminal.read_until("shell 24x80\r\n");
    terminal.type_keys(b"exit\r");
    assert_eq!(client.wait(), 0);
    assert_eq!(daemon.names(), Vec::<String>::new());
}

#[test]
fn a_command_with_a_terminal_exits_with_its_own_code() {
    let daemon = FakeDaemon::with_box();
    let mut terminal = Terminal::open();
    let client = terminal.run(&daemon, &["vm", "exec", "-t", "box", "--", "htop"]);
    terminal.read_until("shell 24x80\r\n");
    terminal.type_keys(b"exit\r");
    assert_eq!(client.wait(), 7);
}

#[test]
fn ctrl_c_reaches_a_command_that_has_no_terminal_of_its_own() {
    let daemon = FakeDaemon::with_box();
    let mut terminal = Terminal::open();
    let script = "trap 'exit 9' INT; echo ready; while :; do sleep 0.01; done";
    let client = terminal.run(&daemon, &["vm", "exec", "box", "--", "sh", "-c", script]);
    terminal.read_until("ready\r\n");
    terminal.type_keys(b"\x03");
    assert_eq!(client.wait(), 9);
}

#[test]
fn doctor_has_colours_on_a_terminal_unless_they_are_not_wanted() {
    let daemon = FakeDaemon::with_box();
    let mut terminal = Terminal::open();
    let client = terminal.run(&daemon, &["doctor"]);
    // The last check's last word.
    let all = "work too\r\n";
    assert!(terminal.read_until(all).contains("\x1b[31mFAIL\x1b[0m passt"));
    assert_eq!(client.wait(), 1);
    let client = terminal.run_with(&daemon, &["doctor"], &[("NO_COLOR", "1")]);
    assert!(!terminal.read_until(all).contains('\x1b'));
    assert_eq!(client.wait(), 1);
}
