//! What changed in the guest comes back: all of it or nothing, and nothing of the host's is lost.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use workspace::patch::RiskKind;
use workspace::{Apply, Base, Choice, LARGEST_PATCH, WorkspaceError, export};

use crate::support::{Local, Scene, git, make_executable, parsed, tree};

/// A guest in which much was done, some of it committed.
fn worked() -> Scene {
    let scene = Scene::committed();
    scene.write("README", "one\ntwo\nthree, edited by the host\n");
    scene.write("data", "\0\u{1}binary\0");
    scene.git(&["add", "data"]);
    scene.prepare();
    scene.write_inside("src/main.c", "int main(void);\n");
    scene.git_inside(&["commit", "-qam", "in the guest"]);
    scene.write_inside("README", "ONE\ntwo\nthree, edited by the host\n");
    scene.write_inside("new/deep/file", "no end of line at the end");
    scene.write_inside("data", "\0\u{2}other\0");
    scene.write_inside("odd \n\t\"ü\" -rf", "odd\n");
    scene.write_inside("main.o", "ignored");
    std::fs::remove_file(scene.inside().join("src/old.c")).unwrap();
    scene
}

#[test]
fn all_that_was_done_in_the_guest_comes_back() {
    let scene = worked();
    let patch = scene.export(&Base::Prepared);
    let parsed = parsed(&patch).unwrap();
    let names: Vec<String> = parsed.changes.iter().map(|change| change.shown()).collect();
    assert_eq!(
        names,
        [
            "README",
            "data",
            "new/deep/file",
            "odd \\n\\t\"ü\" -rf",
            "src/main.c",
            "src/old.c"
        ]
    );
    assert_eq!(parsed.changes[0].lines, Some((1, 1)));
    assert_eq!(scene.apply(&patch).unwrap().files, 6);
    let ignored = |(path, _): &(std::path::PathBuf, Vec<u8>)| path.to_str() != Some("main.o");
    let inside: Vec<_> = tree(&scene.inside(), false).into_iter().filter(ignored).collect();
    assert_eq!(tree(&scene.top(), false), inside);
    assert!(scene.git(&["diff", "--cached", "--name-only"]).contains("data"));
}

#[test]
fn the_patch_since_the_commit_applies_to_a_second_clone() {
    let scene = worked();
    let clone = scene.path("clone");
    git(&scene.path(""), &["clone", "-q", "host", "clone"]);
    let patch = scene.path("patch");
    std::fs::write(&patch, scene.export(&Base::Commit)).unwrap();
    git(&clone, &["apply", "--check", patch.to_str().unwrap()]);
    git(&clone, &["apply", patch.to_str().unwrap()]);
    assert_eq!(
        std::fs::read(clone.join("README")).unwrap(),
        std::fs::read(scene.inside().join("README")).unwrap()
    );
}

#[test]
fn an_export_changes_nothing_in_the_guest() {
    let scene = worked();
    scene.git_inside(&["add", "new"]);
    let index = scene.inside().join(".git/index");
    let before = (
        tree(&scene.inside(), true),
        index.metadata().unwrap().mtime_nsec(),
    );
    assert!(!scene.export(&Base::Prepared).is_empty());
    assert!(!scene.export(&Base::Commit).is_empty());
    assert_eq!(
        (
            tree(&scene.inside(), true),
            index.metadata().unwrap().mtime_nsec()
        ),
        before
    );
}

#[test]
fn a_base_that_is_not_there_is_told() {
    let scene = worked();
    let path = scene.inside().display().to_string();
    for (path, base, message) in [
        (
            path.as_str(),
            "nothing",
            "the guest's workspace has no commit `nothing`",
        ),
        (&path, "--all", "the guest's workspace has no commit `--all`"),
        (
            "/nowhere",
            "HEAD",
            "`/nowhere` in the guest is no workspace that was prepared from here",
        ),
    ] {
        let base = Base::Other(base.to_owned());
        let refused = export(&mut Local::default(), path, &base, LARGEST_PATCH, &mut Vec::new()).unwrap_err();
        assert_eq!(refused.to_string(), message);
    }
    let mut patch = Vec::new();
    export(
        &mut Local::default(),
        &path,
        &Base::Other("HEAD".into()),
        LARGEST_PATCH,
        &mut patch,
    )
    .unwrap();
    assert!(!String::from_utf8_lossy(&patch).contains("main(void)"));
}

#[test]
fn a_patch_that_does_not_fit_is_refused_whole_and_a_merge_can_be_tried() {
    let scene = worked();
    let patch = scene.export(&Base::Prepared);
    scene.write("README", "the host wrote something else\n");
    scene.write("src/main.c", "/* host */\nint main;\n");
    let before = tree(&scene.top(), true);
    for how in [
        Apply::default(),
        Apply {
            check: true,
            ..Apply::default()
        },
    ] {
        let refused = scene.apply_as(&patch, how).unwrap_err();
        assert!(
            matches!(&refused, WorkspaceError::Conflict { files } if files == &["README", "src/main.c"]),
            "{refused}"
        );
    }
    assert_eq!(tree(&scene.top(), true), before);
    let merged = scene
        .apply_as(
            &patch,
            Apply {
                three_way: true,
                ..Apply::default()
            },
        )
        .unwrap_err();
    assert!(matches!(&merged, WorkspaceError::Conflict { .. }), "{merged}");
    assert_eq!(tree(&scene.top(), true), before);

    // Far enough apart, and with an older version that the host has, a merge finds its way.
    let lines = |first: &str, last: &str| format!("{first}\na\nb\nc\nd\ne\nf\ng\n{last}\n");
    let scene = Scene::new();
    scene.write("text", &lines("1", "2"));
    scene.commit("first");
    scene.prepare();
    scene.write_inside("text", &lines("one", "2").replace('b', "B"));
    let patch = scene.export(&Base::Prepared);
    scene.write("text", &lines("1", "two").replace('d', "D"));
    assert!(scene.apply(&patch).is_err());
    scene
        .apply_as(
            &patch,
            Apply {
                three_way: true,
                ..Apply::default()
            },
        )
        .unwrap();
    assert_eq!(
        scene.read("text"),
        lines("one", "two").replace('b', "B").replace('d', "D")
    );
}

#[test]
fn a_check_changes_nothing_and_a_host_without_changes_takes_it() {
    let scene = worked();
    let patch = scene.export(&Base::Prepared);
    let before = tree(&scene.top(), true);
    assert_eq!(
        scene
            .apply_as(
                &patch,
                Apply {
                    check: true,
                    ..Apply::default()
                }
            )
            .unwrap()
            .files,
        6
    );
    assert_eq!(tree(&scene.top(), true), before);
    assert_eq!(scene.apply(b"").unwrap().files, 0);
}

#[test]
fn what_the_user_changed_elsewhere_stays_and_rights_are_kept() {
    let scene = worked();
    let patch = scene.export(&Base::Prepared);
    scene.write("unrelated", "mine\n");
    let main = scene.top().join("src/main.c");
    std::fs::set_permissions(&main, std::fs::Permissions::from_mode(0o600)).unwrap();
    scene.apply(&patch).unwrap();
    assert_eq!(scene.read("unrelated"), "mine\n");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&main), 0o600);
    // What is new is as open as any file of the user's.
    assert_eq!(
        mode(&scene.top().join("new/deep/file")),
        mode(&scene.top().join("unrelated"))
    );
    assert!(!scene.git(&["status", "--porcelain"]).contains("banger"));
}

#[test]
fn line_ends_stay_as_the_host_has_them() {
    let scene = Scene::new();
    scene.write(".gitattributes", "*.txt text eol=crlf\n");
    scene.write("a.txt", "one\r\ntwo\r\nthree\r\n");
    scene.commit("first");
    scene.prepare();
    assert_eq!(scene.read_inside("a.txt"), "one\r\ntwo\r\nthree\r\n");
    scene.write_inside("a.txt", "one\r\nTWO\r\nthree\r\n");
    scene.apply(&scene.export(&Base::Prepared)).unwrap();
    assert_eq!(scene.read("a.txt"), "one\r\nTWO\r\nthree\r\n");
}

#[test]
fn files_become_folders_links_and_executable_and_back() {
    let scene = Scene::committed();
    scene.prepare();
    std::fs::remove_file(scene.inside().join("README")).unwrap();
    scene.write_inside("README/inner", "now a folder\n");
    std::fs::remove_dir_all(scene.inside().join("src")).unwrap();
    scene.write_inside("src", "now a file\n");
    std::fs::remove_file(scene.inside().join(".gitignore")).unwrap();
    symlink("README/inner", scene.inside().join(".gitignore")).unwrap();
    let patch = scene.export(&Base::Prepared);
    let kinds: Vec<_> = scene.risks(&patch).into_iter().map(|risk| risk.kind).collect();
    // What the link leads to is what git would leave out.
    assert_eq!(kinds, [RiskKind::Mode, RiskKind::Hidden, RiskKind::Ignore]);
    scene.apply(&patch).unwrap();
    assert_eq!(tree(&scene.top(), false), tree(&scene.inside(), false));

    let scene = Scene::committed();
    scene.prepare();
    make_executable(&scene.inside().join("README"));
    scene.apply(&scene.export(&Base::Prepared)).unwrap();
    assert_eq!(
        scene
            .top()
            .join("README")
            .metadata()
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o755
    );
}

#[test]
fn a_workspace_of_untracked_files_exports_what_changed_in_them() {
    let scene = Scene::committed();
    scene.write("notes", "one\n");
    let choice = Choice {
        untracked: true,
        ..Choice::default()
    };
    scene.prepare_as(&choice, None, false).unwrap();
    assert_eq!(scene.export(&Base::Prepared), b"");
    scene.write_inside("notes", "two\n");
    scene.apply(&scene.export(&Base::Prepared)).unwrap();
    assert_eq!(scene.read("notes"), "two\n");
}
