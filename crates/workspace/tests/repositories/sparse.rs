//! A workspace of which only a part is checked out: what is made outside of that part is work, too.

use std::fs;

use workspace::{Base, Choice, Mode, Prepared, Unsaved, WorkspaceError, unsaved};

use crate::support::{Local, Scene};

/// A repository with files inside and outside of `src`.
fn scene() -> Scene {
    let scene = Scene::committed();
    for name in ["a", "b", "c"] {
        scene.write(&format!("out/{name}"), "as it was\n");
    }
    scene.commit("out");
    scene
}

/// The same, of which the host has but `src` checked out.
fn sparse() -> Scene {
    let scene = scene();
    scene.git(&["sparse-checkout", "set", "src"]);
    scene
}

fn look(scene: &Scene) -> Unsaved {
    let path = scene.inside().display().to_string();
    unsaved(&mut Local::default(), &path, Some(&scene.find())).unwrap()
}

fn files(found: &Unsaved) -> Vec<(&str, &str)> {
    let files = found.files.iter();
    files.map(|file| (file.what, file.path.as_str())).collect()
}

fn prepare(scene: &Scene, before: &Prepared, force: bool) -> Result<Prepared, WorkspaceError> {
    scene.prepare_as(&Choice::default(), Some(before), force)
}

/// The files that a prepare names.
fn in_the_way(scene: &Scene, before: &Prepared) -> Vec<String> {
    match prepare(scene, before, false) {
        Err(WorkspaceError::GuestWork { files }) => files,
        Err(error) => panic!("{error}"),
        Ok(_) => Vec::new(),
    }
}

#[test]
fn work_outside_a_sparse_definition_is_seen_kept_and_brought_back() {
    let scene = sparse();
    let first = scene.prepare();
    assert!(!scene.inside().join("out").exists());
    assert!(look(&scene).is_empty(), "what is not checked out was not deleted");
    scene.write_inside("out/b", "precious\n");
    scene.write_inside("out/new", "precious\n");
    assert_eq!(files(&look(&scene)), [("changed", "out/b"), ("new", "out/new")]);
    let patch = scene.export(&Base::Prepared);
    // The host goes on, also with a file that is sent, and where the definition is another.
    for change in [
        &|| scene.write("src/main.c", "edited\n"),
        &|| scene.git(&["commit", "-qam", "and committed"]).clear(),
        &|| scene.git(&["sparse-checkout", "disable"]).clear(),
    ] as [&dyn Fn(); 3]
    {
        change();
        assert_eq!(in_the_way(&scene, &first), ["out/b", "out/new"]);
        assert_eq!(scene.read_inside("out/b"), "precious\n");
    }
    scene.apply(&patch).unwrap();
    assert!(look(&scene).is_empty());
    fs::remove_file(scene.top().join("out/new")).unwrap();
    scene.git(&["checkout", "-q", "out/b"]);
    prepare(&scene, &first, true).unwrap();
    scene.assert_same();
    for path in ["out/b", "out/new"] {
        let kept = format!("refs/banger/replaced:{path}");
        assert_eq!(scene.git_inside(&["show", &kept]), "precious\n");
    }
}

#[test]
fn a_guest_that_checks_out_less_by_itself_loses_nothing_by_an_edit_of_the_hosts() {
    let scene = scene();
    let first = scene.prepare();
    scene.git_inside(&["sparse-checkout", "set", "src"]);
    assert!(look(&scene).is_empty());
    scene.write_inside("out/b", "precious\n");
    assert_eq!(files(&look(&scene)), [("changed", "out/b")]);
    scene.write("out/b", "by the host\n");
    assert_eq!(in_the_way(&scene, &first), ["out/b"]);
    // Also where such a workspace was prepared once more.
    fs::remove_dir_all(scene.inside().join("out")).unwrap();
    let second = prepare(&scene, &first, false).unwrap();
    scene.write_inside("out/a", "precious\n");
    for text in ["once\n", "and once more\n"] {
        scene.write("out/a", text);
        assert_eq!(in_the_way(&scene, &second), ["out/a"]);
    }
    scene.git(&["commit", "-qam", "committed"]);
    assert_eq!(in_the_way(&scene, &second), ["out/a"]);
    assert_eq!(scene.read_inside("out/a"), "precious\n");
}

#[test]
fn a_file_that_git_was_told_to_leave_alone_and_that_came_back_is_work() {
    for flag in ["--skip-worktree", "--assume-unchanged"] {
        let scene = scene();
        let first = scene.prepare();
        scene.git_inside(&["update-index", flag, "README"]);
        fs::remove_file(scene.inside().join("README")).unwrap();
        scene.write("src/main.c", "edited\n");
        scene.git(&["add", "src/main.c"]);
        let second = prepare(&scene, &first, false).unwrap();
        scene.write_inside("README", "precious\n");
        scene.write("README", "by the host\n");
        assert_eq!(in_the_way(&scene, &second), ["README"], "{flag}");
        assert_eq!(scene.read_inside("README"), "precious\n");
    }
}

#[test]
fn files_written_into_a_workspace_without_files_are_work() {
    let scene = scene();
    scene.git(&["remote", "add", "origin", "https://example.com/x.git"]);
    scene.git(&["update-ref", "refs/remotes/origin/main", "HEAD"]);
    let choice = Choice {
        mode: Mode::Metadata,
        ..Choice::default()
    };
    let first = scene.prepare_as(&choice, None, false).unwrap();
    assert!(look(&scene).is_empty());
    scene.write_inside("README", "precious\n");
    scene.write_inside("out/new", "precious\n");
    assert_eq!(files(&look(&scene)), [("changed", "README"), ("new", "out/new")]);
    scene.write("README", "by the host\n");
    scene.commit("on the host");
    let refused = scene.prepare_as(&choice, Some(&first), false).unwrap_err();
    assert!(
        matches!(&refused, WorkspaceError::GuestWork { files } if files == &["README", "out/new"]),
        "{refused}"
    );
    scene.prepare_as(&choice, Some(&first), true).unwrap();
    assert!(look(&scene).files.is_empty(), "{:?}", look(&scene));
}

#[test]
fn a_sparse_workspace_with_a_linked_worktree_is_prepared_again() {
    let scene = sparse();
    let first = scene.prepare();
    scene.git_inside(&["worktree", "add", "-q", "--detach", "../beside"]);
    scene.write("src/main.c", "by the host\n");
    scene.commit("on the host");
    prepare(&scene, &first, false).unwrap();
    scene.assert_same();
}

#[test]
fn a_sparse_index_gives_the_patch_that_a_whole_one_does() {
    let scene = scene();
    scene.prepare();
    scene.git_inside(&["sparse-checkout", "set", "--cone", "--sparse-index", "src"]);
    for (path, text) in [
        ("src/new", "new\n"),
        ("src/main.c", "by the guest\n"),
        ("out/b", "precious\n"),
        ("out/new", "new\n"),
    ] {
        scene.write_inside(path, text);
    }
    let patch = scene.export(&Base::Prepared);
    let text = String::from_utf8(patch.clone()).unwrap();
    assert_eq!(text.matches("diff --git").count(), 4, "{text}");
    scene.apply(&patch).unwrap();
    assert_eq!(
        (scene.read("src/new"), scene.read("out/b")),
        ("new\n".to_owned(), "precious\n".to_owned())
    );
    let mut found = files(&look(&scene)).len();
    assert_eq!(found, 0);
    scene.write_inside("out/c", "more\n");
    found = files(&look(&scene)).len();
    assert_eq!(found, 1);
}

#[test]
fn an_ignored_file_in_the_place_of_what_is_not_checked_out_is_in_the_way() {
    for (name, force) in [("out.o", false), ("out.o", true)] {
        let scene = Scene::committed();
        scene.write("out.o/a", "tracked\n");
        scene.git(&["add", "-f", "out.o"]);
        scene.commit("ignored and tracked");
        scene.git(&["sparse-checkout", "set", "src"]);
        let first = scene.prepare();
        scene.write_inside(name, "precious\n");
        scene.git(&["sparse-checkout", "set", "src", "out.o"]);
        if force {
            prepare(&scene, &first, true).unwrap();
            assert_eq!(
                scene.git_inside(&["show", "refs/banger/replaced:out.o"]),
                "precious\n"
            );
            assert_eq!(scene.read_inside("out.o/a"), "tracked\n");
        } else {
            assert_eq!(in_the_way(&scene, &first), ["out.o", "out.o/a"]);
            assert_eq!(scene.read_inside(name), "precious\n");
        }
    }
}
