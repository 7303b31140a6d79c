//! Commands in guests.

use crate::home::wait_for;
use crate::{Home, Scenario};

pub(super) const ONE_COMMAND: Scenario = Scenario {
    name: "one-command",
    shows: "vm run --rm with a shape, an environment and stdin: streams, code, nothing kept",
    uses: &["vm run --rm -i --name --image --vcpu --memory --disk-size --network --env --env-file --timings"],
    fast: true,
    alone_with: &[],
    run: one_command,
};

pub(super) const KEPT_RUNNING: Scenario = Scenario {
    name: "kept-running",
    shows: "vm run -d, then commands in it: users, folders, variables, codes; show, ps, logs, ping",
    uses: &[
        "vm run -d -q",
        "vm exec --workdir --env --env-file --user -i",
        "vm show --json",
        "vm logs",
        "vm ping --json -q",
        "vm delete -q",
    ],
    fast: false,
    alone_with: &[],
    run: kept_running,
};

fn one_command(home: &Home) {
    let file = home.file("smoke.env", "# from a file\nGREETING=hello\n");
    let script =
        "read name; echo \"$GREETING $name$MARK from $(hostname)\"; nproc; echo to stderr >&2; exit 42";
    let arguments = [
        "vm",
        "run",
        "--rm",
        "-i",
        "--timings",
        "--name",
        "smoke-one",
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
        "--env",
        "MARK=!",
        "--env-file",
        &file,
        "--",
        "sh",
        "-c",
        script,
    ];
    let ran = home.run_with_stdin(&arguments, b"you\n");
    assert_eq!(ran.code, Some(42), "{}", ran.err);
    assert_eq!(ran.out, "hello you! from smoke-one\n1\n");
    assert!(ran.err.contains("\nto stderr\n"), "{}", ran.err);
    assert!(ran.err.contains(" ms"), "the timings: {}", ran.err);
}

fn kept_running(home: &Home) {
    let ran = home.run(&["vm", "run", "-d", "-q", "--name", "box"]);
    assert_eq!(
        (ran.code, ran.out.as_str(), ran.err.as_str()),
        (Some(0), "box\n", ""),
        "nothing but the result"
    );
    let file = home.file("smoke.env", "A=file\nB=file\n");
    let asked = [
        "vm",
        "exec",
        "--workdir",
        "/tmp",
        "--user",
        "nobody",
        "--env",
        "B=flag",
        "--env-file",
        &file,
        "box",
        "--",
        "sh",
        "-c",
        "echo $A $B $PWD $(id -un)",
    ];
    assert_eq!(home.succeeds(&asked), "file flag /tmp nobody\n");
    let copied = home.run_with_stdin(&["vm", "exec", "-i", "box", "--", "cat"], b"as it is\n");
    assert_eq!(
        (copied.code, copied.out.as_str()),
        (Some(0), "as it is\n"),
        "{}",
        copied.err
    );
    assert_eq!(
        home.run(&["vm", "exec", "box", "--", "no-such-command"]).code,
        Some(127)
    );
    let shown: serde_json::Value =
        serde_json::from_str(&home.succeeds(&["vm", "show", "box", "--json"])).unwrap();
    assert_eq!(
        (&shown["name"], &shown["state"]),
        (&"box".into(), &"running".into())
    );
    assert!(home.succeeds(&["ps"]).contains("box"));
    home.succeeds(&[
        "vm",
        "exec",
        "box",
        "--",
        "sh",
        "-c",
        "echo on the console > /dev/ttyS0",
    ]);
    wait_for("the console's line in the log", || {
        home.succeeds(&["vm", "logs", "box"]).contains("on the console")
    });
    assert!(
        home.succeeds(&["vm", "ping", "box", "--json"])
            .contains("round_trip_us")
    );
    assert_eq!(home.succeeds(&["vm", "ping", "-q", "box"]), "");
    // A daemon that ends leaves its VMs, with what runs in them.
    home.succeeds(&["daemon", "stop"]);
    assert_eq!(
        home.succeeds(&["vm", "exec", "box", "--", "echo", "still", "here"]),
        "still here\n"
    );
    home.succeeds(&["vm", "delete", "-q", "box"]);
}
