//! What VMs have, what they use of it, and what they say.

use serde_json::Value;

use crate::home::read_until;
use crate::{Home, Scenario};

pub(super) const SHAPE: Scenario = Scenario {
    name: "shape",
    shows: "vm set off and running, --wait for all services, vm stats once and watched, logs as they come",
    uses: &[
        "vm run -d --wait",
        "vm create --no-start --wait",
        "vm start --wait",
        "vm restart --wait",
        "vm set -q --vcpu --memory --disk-size",
        "vm stats --json --watch",
        "vm logs -f --vmm",
    ],
    fast: false,
    alone_with: &[],
    run: shape,
};

fn shape(home: &Home) {
    let inside = |script: &str| home.succeeds(&["vm", "exec", "box", "--", "sh", "-c", script]);
    let created = [
        "vm",
        "create",
        "--no-start",
        "--wait",
        "boot",
        "--network",
        "none",
    ];
    home.succeeds(&[&created[..], &["--disk-size", "1G", "--name", "box"]].concat());
    home.succeeds(&["vm", "set", "-q", "box", "--vcpu", "2", "--memory", "600M"]);
    home.succeeds(&["vm", "start", "--wait", "boot", "box"]);
    assert_eq!(inside("systemctl is-system-running; nproc"), "running\n2\n");
    let before: u64 = inside("df --output=size / | tail -n 1").trim().parse().unwrap();
    let refused = home.run(&["vm", "set", "-q", "box", "--memory", "1G"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("vm stop box"), "{}", refused.err);
    home.succeeds(&["vm", "set", "-q", "box", "--disk-size", "3G"]);
    let after: u64 = inside("df --output=size / | tail -n 1").trim().parse().unwrap();
    assert!(after > before * 2, "{before} KiB became {after} KiB");

    let stats: Value = serde_json::from_str(&home.succeeds(&["vm", "stats", "--json"])).unwrap();
    assert_eq!(stats["vms"][0]["name"], "box", "{stats}");
    assert!(home.succeeds(&["vm", "stats", "box"]).contains("box"));
    let mut watch = home.start(&["vm", "stats", "--watch"]);
    for _ in 0..2 {
        read_until(watch.out(), "box");
    }
    drop(watch);

    let mut log = home.start(&["vm", "logs", "-f", "box"]);
    inside("echo said later > /dev/ttyS0");
    read_until(log.out(), "said later");
    drop(log);
    // A VMM in good health says nothing.
    home.succeeds(&["vm", "logs", "--vmm", "box"]);
    home.succeeds(&["vm", "restart", "--wait", "boot", "box"]);
    assert_eq!(inside("systemctl is-system-running; cat /dev/null"), "running\n");
    home.succeeds(&["vm", "delete", "box"]);
    let ran = ["vm", "run", "-d", "--network", "none", "--name", "box"];
    home.succeeds(&[&ran[..], &["--wait", "boot"]].concat());
    assert_eq!(inside("systemctl is-system-running"), "running\n");
    home.succeeds(&["vm", "delete", "box"]);
}
