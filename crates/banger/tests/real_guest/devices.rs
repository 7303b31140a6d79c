//! What of a guest's devices its users may open.

use crate::Home;

/// `is-system-running --wait` fails as long as the bus is not there.
const BOOTED: &str =
    "until [ -S /run/dbus/system_bus_socket ]; do sleep 0.2; done; systemctl is-system-running --wait";
const LOOK: &str = "stat -c '%n %a %U:%G' /dev/net/tun /dev/kvm";

/// Needs a guest whose processor offers virtualisation, as QEMU's emulated one does.
#[test]
fn taps_are_open_to_a_guests_users_and_kvm_to_its_group_before_and_after_systemd() {
    let home = Home::new();
    home.succeeds(&["vm", "run", "-d", "--name", "a", "--network", "none"]);
    let within = |script: &str| home.succeeds(&["vm", "exec", "a", "--", "sh", "-c", script]);
    assert_eq!(
        within("stat -c '%n %a %U:%G' /dev/net/tun"),
        "/dev/net/tun 666 root:root\n"
    );
    assert_eq!(within(BOOTED), "running\n");
    // An image without that group has none to give it to: the module's own node, for root, is all there will be.
    assert_eq!(
        within("stat -c '%n %a %U:%G' /dev/net/tun; [ -e /dev/kvm ] || echo none"),
        "/dev/net/tun 666 root:root\nnone\n"
    );

    within("groupadd --system kvm && useradd --create-home --groups kvm ada");
    home.succeeds(&["vm", "restart", "a"]);
    let opened = "/dev/net/tun 666 root:root\n/dev/kvm 660 root:kvm\n";
    assert_eq!(within(LOOK), opened);
    assert_eq!(within(BOOTED), "running\n");
    assert_eq!(within(LOOK), opened);

    let kind = within("grep -qw svm /proc/cpuinfo && echo kvm_amd || echo kvm_intel");
    within(&format!("modprobe {}", kind.trim()));
    assert_eq!(within(LOOK), opened, "the module leaves the node as it is");
    let open = "for device in net/tun kvm; do : <> /dev/$device; done && echo open";
    assert_eq!(
        home.succeeds(&["vm", "exec", "a", "--user", "ada", "--", "sh", "-c", open]),
        "open\n"
    );
    home.succeeds(&["vm", "delete", "a"]);
}
