//! What is asked to end, which is for the rest of the process: a test of its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;
use std::process::Command;

use workspace::patch::{Onto, parse};
use workspace::{Apply, Repository, Terms, WorkspaceError, apply, break_off, is_changing};

const PATCH: &str = "diff --git a/new b/new\nnew file mode 100644\n\
    index 0000000000000000000000000000000000000000..587be6b4c3f93f93c489c0111bba5596147a26cb\n--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+x\n";

fn git(top: &Path, arguments: &[&str]) {
    let status = Command::new("git")
        .args(["-c", "user.name=x", "-c", "user.email=x@example.org"])
        .args(arguments)
        .current_dir(top)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .status();
    assert!(status.unwrap().success(), "{arguments:?}");
}

#[test]
fn what_is_asked_to_end_judges_and_changes_nothing_any_more() {
    let place = tempfile::tempdir().unwrap();
    let top = place.path().join("repository");
    fs::create_dir(&top).unwrap();
    git(&top, &["init", "-q"]);
    git(&top, &["commit", "-q", "--allow-empty", "-m", "x"]);
    let terms = Terms {
        records: Some(place.path().join("records")),
        ..Terms::default()
    };
    let repository = Repository::find_on(&top, terms).unwrap();
    let patch = parse(PATCH.as_bytes()).unwrap();
    assert_eq!(patch.risks(&repository, Onto::Files).unwrap(), []);
    let file = place.path().join("patch");
    fs::write(&file, PATCH).unwrap();
    let check = Apply {
        check: true,
        ..Apply::default()
    };
    apply(&repository, &patch, &file, check).unwrap();
    break_off();
    assert!(matches!(parse(PATCH.as_bytes()), Err(WorkspaceError::BrokenOff)));
    let judged = patch.risks(&repository, Onto::Files);
    assert!(matches!(judged, Err(WorkspaceError::BrokenOff)));
    let applied = apply(&repository, &patch, &file, Apply::default());
    assert!(matches!(applied, Err(WorkspaceError::BrokenOff)));
    assert!(!is_changing() && !top.join("new").exists());
    let beside: Vec<_> = fs::read_dir(&top).unwrap().collect();
    assert_eq!(beside.len(), 1, "{beside:?}");
}
