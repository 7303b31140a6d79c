//! VMs from their making to their end.

use crate::{Home, Scenario};

pub(super) const LIFE: Scenario = Scenario {
    name: "life",
    shows: "create, start, stop, restart, kill, delete: a disk keeps what was written, a restart is a new boot",
    uses: &[
        "vm create --no-start --name --image --vcpu --memory --disk-size --network --publish --env --env-file",
        "vm start -q",
        "vm stop -q --timings",
        "vm restart -q --timings",
        "vm kill -q --signal",
        "vm delete",
    ],
    fast: false,
    alone_with: &[],
    run: life,
};

pub(super) const SEVERAL: Scenario = Scenario {
    name: "several",
    shows: "several VMs at once, and prune: what is off goes, what runs stays",
    uses: &["vm create -q --timings", "vm start --timings", "vm prune -f -q"],
    fast: false,
    alone_with: &[],
    run: several,
};

fn boot_id(home: &Home) -> String {
    home.succeeds(&[
        "vm",
        "exec",
        "box",
        "--",
        "cat",
        "/proc/sys/kernel/random/boot_id",
    ])
}

fn life(home: &Home) {
    let file = home.file("smoke.env", "FROM=file\n");
    let create = [
        "vm",
        "create",
        "--no-start",
        "--name",
        "box",
        "--image",
        "debian-minimal",
        "--vcpu",
        "1",
        "--memory",
        "512M",
        "--disk-size",
        "2G",
        "--network",
        "none",
        "--publish",
        "0:80",
        "--env",
        "MARK=1",
        "--env-file",
        &file,
    ];
    assert_eq!(home.succeeds(&create), "box\n");
    home.succeeds(&["vm", "start", "-q", "box"]);
    let first = boot_id(home);
    assert_eq!(
        home.succeeds(&["vm", "exec", "box", "--", "sh", "-c", "echo $FROM $MARK"]),
        "file 1\n"
    );
    home.succeeds(&["vm", "exec", "box", "--", "sh", "-c", "echo kept > /root/kept"]);
    let stopped = home.run(&["vm", "stop", "-q", "--timings", "box"]);
    assert_eq!(stopped.code, Some(0), "{}", stopped.err);
    assert!(stopped.err.contains(" ms"), "the timings: {}", stopped.err);
    let restarted = home.run(&["vm", "restart", "-q", "--timings", "box"]);
    assert_eq!(restarted.code, Some(0), "{}", restarted.err);
    let second = boot_id(home);
    assert_ne!(first, second);
    assert_eq!(
        home.succeeds(&["vm", "exec", "box", "--", "cat", "/root/kept"]),
        "kept\n"
    );
    home.succeeds(&["vm", "kill", "-q", "--signal", "KILL", "box"]);
    assert_eq!(home.succeeds(&["ps", "-q"]), "", "it is off");
    assert!(home.succeeds(&["vm", "show", "box"]).contains("stopped"));
    home.succeeds(&["vm", "delete", "box"]);
}

fn several(home: &Home) {
    for name in ["one", "two"] {
        let arguments = [
            "vm",
            "create",
            "-q",
            "--timings",
            "--no-start",
            "--network",
            "none",
            "--memory",
            "512M",
            "--name",
            name,
        ];
        home.succeeds(&arguments);
    }
    assert_eq!(home.succeeds(&["vm", "start", "--timings", "one"]), "one\n");
    let pruned = home.succeeds(&["vm", "prune", "-f", "-q"]);
    assert!(!pruned.contains("one"), "{pruned}");
    assert_eq!(
        home.succeeds(&["ps", "-a", "-q"]).lines().count(),
        1,
        "the one that runs"
    );
    home.succeeds(&["vm", "delete", "one"]);
}
