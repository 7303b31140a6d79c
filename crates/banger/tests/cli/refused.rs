//! What the real daemon refuses, or cannot do. Needs `bangerd` beside `banger`, as `start` does.

use crate::support::{Home, wait_for};

#[test]
fn a_refused_command_leaves_no_row_process_or_file() {
    let home = Home::new();
    // Nothing listens at the port for discarded data, and if so it speaks no HTTP.
    home.configure("[recipe]\nmirror = \"http://127.0.0.1:9/debian\"\n");
    assert_eq!(home.run(&["ps"]).0, Some(0));
    let (files, daemons) = (home.files(), home.daemons());
    assert_eq!(daemons.len(), 1);
    for (arguments, code) in [
        (&["vm", "create", "--name", "Bad"][..], 2),
        (&["vm", "create", "--memory", "1"], 2),
        (&["vm", "create", "--image", "no-such-image"], 1),
        (
            &["vm", "run", "--image", "no-such-image", "--rm", "--", "true"],
            1,
        ),
        (&["vm", "run", "--image", "../../etc", "--", "true"], 1),
        (&["vm", "run", "--env", "=", "--", "true"], 2),
        (&["vm", "run", "--", "true"], 1),
        (&["vm", "run", "--rm", "--name", "box", "--", "true"], 1),
        (&["vm", "start", "nobody"], 1),
        (&["vm", "delete", "nobody"], 1),
        (&["vm", "exec", "nobody", "--", "true"], 1),
        (&["vm", "logs", ".."], 1),
    ] {
        let (found, out, err) = home.run(arguments);
        assert_eq!((found, out.as_str()), (Some(code), ""), "{arguments:?}: {err}");
        let failures = err.lines().filter(|line| line.starts_with("banger: ")).count();
        assert_eq!(failures, 1, "{arguments:?}: one line says why: {err}");
        assert_eq!(home.run(&["ps", "-a", "-q"]).1, "", "{arguments:?} left a VM");
    }
    wait_for("the end of what was begun", || home.processes() == daemons);
    let left: Vec<_> = home.files().difference(&files).cloned().collect();
    assert!(left.is_empty(), "left: {left:?}");
}
