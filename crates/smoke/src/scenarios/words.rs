//! Words that people bring from other tools.

use crate::{Home, Scenario};

pub(super) const WORDS: Scenario = Scenario {
    name: "words",
    shows: "run, exec, cp and the other short forms; a command without --; --start for a VM that is off",
    uses: &[
        "run",
        "exec",
        "shell",
        "ssh",
        "cp",
        "ls",
        "logs",
        "stats",
        "start",
        "stop",
        "restart",
        "rm",
        "vm exec --start",
        "vm shell --start",
        "vm ssh --start",
        "vm cp --start",
    ],
    fast: false,
    alone_with: &[],
    run: words,
};

fn words(home: &Home) {
    let ran = home.succeeds(&[
        "run",
        "--name",
        "box",
        "--network",
        "none",
        "-m",
        "512",
        "-e",
        "A=1",
        "-w",
        "/tmp",
        "--",
        "sh",
        "-c",
        "echo $A; pwd",
    ]);
    assert_eq!(ran, "1\n/tmp\n");
    assert_eq!(
        home.succeeds(&["exec", "box", "-u", "nobody", "id", "-un"]),
        "nobody\n"
    );
    let note = home.file("note", "a note\n");
    home.succeeds(&["cp", "-q", &note, "box:/root/note"]);
    assert_eq!(home.succeeds(&["ssh", "box", "cat", "note"]), "a note\n");
    let shown = home.in_terminal(&["shell", "box"], &[("# ", "cat note; exit\n")]);
    assert!(shown.contains("a note"), "{shown}");
    assert!(home.succeeds(&["ls"]).contains("box"));
    assert!(home.succeeds(&["stats", "box"]).contains("box"));
    assert_ne!(home.succeeds(&["logs", "box"]), "");
    home.succeeds(&["restart", "-q", "box"]);

    home.succeeds(&["stop", "-q", "box"]);
    assert_eq!(
        home.succeeds(&["vm", "exec", "--start", "box", "cat", "note"]),
        "a note\n"
    );
    home.succeeds(&["stop", "-q", "box"]);
    home.succeeds(&["vm", "cp", "-q", "--start", "box:/root/note", "back"]);
    home.succeeds(&["stop", "-q", "box"]);
    assert_eq!(
        home.succeeds(&["vm", "ssh", "--start", "box", "cat", "note"]),
        "a note\n"
    );
    home.succeeds(&["stop", "-q", "box"]);
    let shown = home.in_terminal(&["vm", "shell", "--start", "box"], &[("# ", "cat note; exit\n")]);
    assert!(shown.contains("a note"), "{shown}");
    home.succeeds(&["stop", "-q", "box"]);
    home.succeeds(&["start", "-q", "box"]);
    home.succeeds(&["rm", "box"]);
    assert_eq!(home.succeeds(&["ls", "-q"]), "");
}
