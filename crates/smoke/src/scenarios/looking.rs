//! What needs no guest.

use serde_json::Value;

use crate::{Home, Scenario};

pub(super) const LOOKING: Scenario = Scenario {
    name: "looking",
    shows: "versions, doctor, the daemon by hand, listings without a VM, completion; no guest",
    uses: &[
        "--version",
        "version --json",
        "doctor --json",
        "daemon start",
        "daemon status --json --socket",
        "daemon socket",
        "daemon stop",
        "completion",
        "ps -a -q --json",
        "vm list -q --json",
        "df --json",
    ],
    fast: true,
    alone_with: &[],
    run: looking,
};

pub(super) const REFUSED: Scenario = Scenario {
    name: "refused",
    shows: "mistakes get a line, a hint and a code, and leave nothing; no guest",
    uses: &["vm run", "vm stop", "vm create"],
    fast: true,
    alone_with: &[],
    run: refused,
};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn looking(home: &Home) {
    assert!(home.succeeds(&["--version"]).starts_with("banger "));
    assert_eq!(home.run(&["daemon", "status"]).code, Some(1), "none runs");
    assert!(
        json(&home.succeeds(&["version", "--json"]))["daemon"].is_null(),
        "none was started"
    );
    home.succeeds(&["daemon", "start"]);
    let status = json(&home.succeeds(&["daemon", "status", "--json"]));
    assert_eq!(
        json(&home.succeeds(&["version", "--json"]))["daemon"]["pid"],
        status["pid"]
    );
    let socket = home.succeeds(&["daemon", "socket"]);
    assert_eq!(status["socket"], socket.trim());
    home.succeeds(&["daemon", "status", "--socket", socket.trim()]);
    for listing in [&["ps", "-a"][..], &["vm", "list"]] {
        assert_eq!(home.succeeds(&[listing, &["--json"]].concat()), "[]\n");
        assert_eq!(home.succeeds(&[listing, &["-q"]].concat()), "");
    }
    assert!(home.succeeds(&["completion", "bash"]).contains("complete "));
    assert!(
        json(&home.succeeds(&["df", "--json"])).is_object(),
        "what lies where"
    );
    // Whether all is well is this host's matter.
    let report = json(&home.run(&["doctor", "--json"]).out);
    assert!(report["checks"].as_array().unwrap().len() > 5, "{report}");
    home.succeeds(&["daemon", "stop"]);
    assert_eq!(home.run(&["daemon", "status"]).code, Some(1), "it is gone");
}

fn refused(home: &Home) {
    for (arguments, code, why) in [
        (&["vm", "rnu"][..], 2, "did you mean `run`?"),
        (&["vm", "run", "--memroy", "1G"], 2, "did you mean `--memory`?"),
        (&["vm", "run", "--memory", "many"], 2, "--memory"),
        (&["vm", "create", "--name", "Bad"], 2, "Bad"),
        (&["vm", "create", "--image", "no-such-image"], 1, "no-such-image"),
        (&["vm", "stop", "nobody"], 1, "no VM is called `nobody`"),
    ] {
        let finished = home.run(arguments);
        assert_eq!(finished.code, Some(code), "{arguments:?}: {}", finished.err);
        assert!(finished.err.contains(why), "{arguments:?}: {}", finished.err);
    }
}
