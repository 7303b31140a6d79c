//! Commands that run before the image's init has booted: they work, and what they write stays.

use crate::Home;

#[test]
fn an_exec_right_after_ready_works() {
    let home = Home::new();
    home.succeeds(&["vm", "run", "-d", "--name", "a"]);
    // At once, while the image's init is still at work.
    within(
        &home,
        "for folder in root run tmp var/tmp; do echo early > /$folder/early; done",
    );
    assert_eq!(within(&home, "cat /etc/hostname"), "a\n");
    assert_eq!(within(&home, WAIT_UNTIL_RUNNING), "running\n");
    let read = "cat /root/early /run/early /tmp/early /var/tmp/early";
    assert_eq!(within(&home, read), "early\nearly\nearly\nearly\n");

    // The next boot empties /tmp as the image's systemd would, but nothing that is written from then on.
    home.succeeds(&["vm", "restart", "a"]);
    assert_eq!(within(&home, "ls /tmp/early || echo new > /tmp/early"), "");
    assert_eq!(within(&home, WAIT_UNTIL_RUNNING), "running\n");
    assert_eq!(
        within(&home, "cat /tmp/early /var/tmp/early; ls -d /tmp/.X11-unix"),
        "new\nearly\n/tmp/.X11-unix\n"
    );

    // An image that wants a tmpfs there has it from the first command on.
    within(&home, "systemctl enable -q /usr/share/systemd/tmp.mount");
    home.succeeds(&["vm", "restart", "a"]);
    within(&home, "echo newest > /tmp/early");
    assert_eq!(within(&home, WAIT_UNTIL_RUNNING), "running\n");
    assert_eq!(
        within(&home, "cat /tmp/early; findmnt -no FSTYPE /tmp"),
        "newest\ntmpfs\n"
    );
    home.succeeds(&["vm", "delete", "a"]);
}

/// What a shell in the VM prints.
fn within(home: &Home, script: &str) -> String {
    home.succeeds(&["vm", "exec", "a", "--", "sh", "-c", script])
}

/// `is-system-running --wait` fails as long as the bus is not there.
const WAIT_UNTIL_RUNNING: &str =
    "until [ -S /run/dbus/system_bus_socket ]; do sleep 0.2; done; systemctl is-system-running --wait";
