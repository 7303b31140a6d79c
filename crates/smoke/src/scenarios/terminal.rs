//! Terminals.

use crate::{Home, Scenario};

pub(super) const TERMINAL: Scenario = Scenario {
    name: "terminal",
    shows: "a shell, a command with a terminal, and vm run with both, as another user too",
    uses: &[
        "vm run -t --user --workdir",
        "vm exec -i -t",
        "vm shell --user",
        "vm delete",
    ],
    fast: false,
    alone_with: &[],
    run: terminal,
};

fn terminal(home: &Home) {
    let run = [
        "vm",
        "run",
        "--name",
        "box",
        "--network",
        "none",
        "-t",
        "--user",
        "nobody",
        "--workdir",
        "/usr/lib",
        "--",
        "sh",
        "-c",
        "tty; id -un; pwd",
    ];
    let shown = home.in_terminal(&run, &[]);
    assert!(shown.contains("/dev/pts/") && shown.contains("nobody"), "{shown}");
    assert!(shown.contains("/usr/lib"), "{shown}");
    assert!(shown.contains("box keeps running"), "{shown}");
    let shown = home.in_terminal(
        &["vm", "exec", "-it", "box", "--", "bash"],
        &[("# ", "echo 6*7=$((6*7)); exit\n")],
    );
    assert!(shown.contains("6*7=42"), "{shown}");
    let shown = home.in_terminal(&["vm", "shell", "box"], &[("# ", "echo I am $(id -un); exit\n")]);
    assert!(shown.contains("I am root"), "{shown}");
    home.succeeds(&[
        "vm",
        "exec",
        "box",
        "--",
        "useradd",
        "--create-home",
        "--shell",
        "/bin/bash",
        "dev",
    ]);
    let shell = ["vm", "shell", "--user", "dev", "box"];
    let shown = home.in_terminal(&shell, &[("$ ", "echo I am $(id -un); exit\n")]);
    assert!(shown.contains("I am dev"), "{shown}");
    home.succeeds(&["vm", "delete", "box"]);
}
