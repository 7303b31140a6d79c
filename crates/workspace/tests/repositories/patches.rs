//! Patches that no git of ours made.

use std::os::unix::fs::symlink;

use proptest::prelude::*;
use workspace::WorkspaceError;

use crate::support::{Scene, parsed, tree};

const OLD: &str = "1111111111111111111111111111111111111111";
const NEW: &str = "2222222222222222222222222222222222222222";
const NONE: &str = "0000000000000000000000000000000000000000";

/// A patch that makes a file of one line.
pub fn makes(path: &str, mode: &str, line: &str) -> String {
    let end = if mode == "120000" {
        "\\ No newline at end of file\n"
    } else {
        ""
    };
    format!(
        "diff --git a/{path} b/{path}\nnew file mode {mode}\nindex {NONE}..{NEW}\n--- /dev/null\n+++ b/{path}\n\
         @@ -0,0 +1 @@\n+{line}\n{end}"
    )
}

#[test]
fn paths_out_of_the_tree_or_into_the_repository_are_refused() {
    let scene = Scene::committed();
    let before = tree(&scene.path(""), true);
    for path in [
        "../outside",
        "a/../../outside",
        "/tmp/outside",
        ".git/hooks/post-checkout",
        ".git/config",
        "sub/.git/config",
        ".GIT/config",
        ".git./config",
        "git~1/config",
        ".g\u{200c}it/config",
        "./a",
        "a//b",
    ] {
        let refused = scene.apply(makes(path, "100755", "evil").as_bytes()).unwrap_err();
        assert!(
            matches!(refused, WorkspaceError::Patch { .. }),
            "{path}: {refused}"
        );
    }
    let quoted = "\"a/.git/hooks/x\" \"b/.git/hooks/x\"";
    let patch = makes("x", "100644", "evil").replace("a/x b/x", quoted);
    assert!(parsed(patch.as_bytes()).is_err());
    let _ = std::fs::remove_file(scene.path("patch"));
    assert_eq!(tree(&scene.path(""), true), before);
}

#[test]
fn what_is_not_of_our_grammar_is_refused_with_its_line() {
    let good = makes("new", "100644", "x");
    assert_eq!(parsed(good.as_bytes()).unwrap().changes.len(), 1);
    let again = format!("{good}{good}");
    for (line, patch) in [
        (1, "rubbish\n".to_owned()),
        (1, good.replace("diff --git ", "diff --cc ")),
        (1, good.replace("b/new\nnew", "b/other\nnew")),
        (1, good.replace("a/new b/new", "new new")),
        (2, good.replace("100644", "160000")),
        (2, good.replace("100644", "100666")),
        (2, good.replace("100644", "040000")),
        (3, good.replace(NONE, OLD)),
        (3, good.replace(NEW, "2222")),
        (2, good.replace("new file mode 100644", "rename from x")),
        (2, good.replace("new file mode 100644", "copy from x")),
        (2, good.replace("new file mode 100644", "similarity index 90%")),
        (5, good.replace("--- /dev/null", "--- a/new")),
        (5, good.replace("+++ b/new", "+++ b/../new")),
        (5, good.replace("+++ b/new", "+++ /etc/passwd")),
        (6, good.replace("@@ -0,0 +1 @@", "@@ -0,0 +0,0 @@")),
        (
            6,
            good.replace("@@ -0,0 +1 @@", "@@ -0,0 +18446744073709551616 @@"),
        ),
        (8, good.replace("+1 @@", "+1,2 @@") + "x\n"),
        (7, good.trim_end().to_owned()),
        (8, format!("{good}-extra\n")),
        (14, again),
        (5, good.replace("--- /dev/null\n", "GIT binary patch\n")),
        (
            6,
            "diff --git a/b b/b\n".to_owned()
                + &good[good.find("new file").unwrap()..good.find("---").unwrap()]
                + "GIT binary patch\nliteral 5\nnot base 85 at all, is it?\n\nliteral 0\nHcmV?d00001\n\n",
        ),
    ] {
        match parsed(patch.as_bytes()) {
            Err(WorkspaceError::Patch { line: found, why }) => assert_eq!(found, line, "{why}\n{patch}"),
            other => panic!("{other:?}\n{patch}"),
        }
    }
    let below = format!(
        "{}{}",
        makes("a", "120000", "/etc"),
        makes("a/passwd", "100644", "evil")
    );
    assert!(
        parsed(below.as_bytes())
            .unwrap_err()
            .to_string()
            .contains("`a/passwd` lies below a file")
    );
}

#[test]
fn nothing_is_written_through_a_link_that_the_host_has() {
    let scene = Scene::committed();
    let other = scene.path("private");
    std::fs::create_dir(&other).unwrap();
    symlink(&other, scene.top().join("way")).unwrap();
    let refused = scene
        .apply(makes("way/evil", "100644", "evil").as_bytes())
        .unwrap_err();
    assert!(
        refused
            .to_string()
            .starts_with("`way/evil` lies behind a symbolic link"),
        "{refused}"
    );
    assert!(!other.join("evil").exists());
}

#[test]
fn a_patch_of_many_files_is_read_in_bounded_time() {
    let patch: String = (0..20_000)
        .map(|number| makes(&format!("d/{number}"), "100644", "x"))
        .collect();
    assert_eq!(parsed(patch.as_bytes()).unwrap().changes.len(), 20_000);
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes: Vec<u8>) {
        let _ = parsed(&bytes);
    }

    /// What is left of a good patch after some bytes changed is refused, or is still a patch of paths in the tree.
    #[test]
    fn a_changed_patch_never_names_a_path_outside(at in 0_usize..300, byte: u8, cut in 0_usize..300) {
        let mut patch = format!("{}{}", makes("a/b", "100644", "x"), makes("c", "120000", "y")).into_bytes();
        let length = patch.len();
        patch[at % length] = byte;
        patch.drain(cut % length..(cut + 3).min(length).max(cut % length));
        if let Ok(patch) = parsed(&patch) {
            for change in patch.changes {
                let names = change.path.split(|byte| *byte == b'/');
                for name in names {
                    prop_assert!(!name.is_empty() && name != b".." && name != b".git");
                }
            }
        }
    }
}
