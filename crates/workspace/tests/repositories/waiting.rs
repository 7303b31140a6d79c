//! Repositories that would keep a command waiting, or take all of its memory: pipes in every place where git or banger
//! reads, patterns that take long to match, files without end.

use std::fs;

use testkit::make_fifo;
use workspace::{Choice, Mode, Repository, Selection, WorkspaceError};

use crate::support::{Scene, git};

#[test]
fn what_is_no_file_is_refused_and_nobody_waits_for_it() {
    for place in [
        "HEAD",
        "config",
        "index",
        "packed-refs",
        "info/sparse-checkout",
        "refs/heads/pipe",
        "objects/pack/a.idx",
    ] {
        let scene = Scene::committed();
        scene.git(&["config", "core.sparseCheckout", "true"]);
        let path = scene.top().join(".git").join(place);
        let _ = fs::remove_file(&path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        make_fifo(&path);
        let error = Repository::find(&scene.top()).unwrap_err();
        assert!(matches!(error, WorkspaceError::NoFile { .. }), "{place}: {error}");
    }
}

#[test]
fn a_pipe_that_git_would_wait_at_is_refused_wherever_it_is_in_the_tree() {
    for place in [".gitignore", ".gitattributes", "new/.gitignore", "new/.git/HEAD"] {
        let scene = Scene::committed();
        let path = scene.top().join(place);
        let _ = fs::remove_file(&path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if let Some(inner) = path.parent().filter(|inner| inner.ends_with(".git")) {
            for folder in ["objects", "refs"] {
                fs::create_dir(inner.join(folder)).unwrap();
            }
        }
        make_fifo(&path);
        // Written again, it is read again, and with it the rules for its line ends.
        scene.write("README", &scene.read("README"));
        let repository = Repository::find(&scene.top()).unwrap();
        let error = Selection::of(&repository, &Choice::default()).unwrap_err();
        assert!(
            matches!(&error, WorkspaceError::NoFile { path: named, .. } if *named == path),
            "{place}: {error}"
        );
    }
}

#[test]
fn a_pipe_behind_the_git_file_of_an_inner_repository_is_refused() {
    let scene = Scene::committed();
    scene.write("inner/.git", "gitdir: ../further\n");
    scene.write("inner/file", "text\n");
    for folder in ["objects", "refs"] {
        fs::create_dir_all(scene.top().join("further").join(folder)).unwrap();
    }
    let path = scene.top().join("further/HEAD");
    make_fifo(&path);
    let repository = Repository::find(&scene.top()).unwrap();
    let error = Selection::of(&repository, &Choice::default()).unwrap_err();
    assert!(
        matches!(&error, WorkspaceError::NoFile { path: named, .. } if *named == path),
        "{error}"
    );
}

#[test]
fn a_pipe_in_a_repositorys_folder_beside_the_tree_is_refused() {
    let scene = Scene::committed();
    scene.write("inner/file", "text\n");
    let inner = scene.top().join("inner");
    git(&inner, &["init", "-q"]);
    git(&inner, &["add", "file"]);
    git(
        &inner,
        &[
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@b",
            "commit",
            "-qm",
            "inner",
        ],
    );
    scene.commit("with an inner one");
    let (beside, module) = (scene.path("beside"), scene.path("beside/modules/inner"));
    fs::rename(scene.top().join(".git"), &beside).unwrap();
    scene.write(".git", "gitdir: ../beside\n");
    fs::create_dir(beside.join("modules")).unwrap();
    fs::rename(inner.join(".git"), &module).unwrap();
    scene.write("inner/.git", "gitdir: ../../beside/modules/inner\n");
    let choice = Choice {
        mode: Mode::Full,
        ..Choice::default()
    };
    let select = || Selection::of(&Repository::find(&scene.top()).unwrap(), &choice);
    select().unwrap();
    fs::remove_file(module.join("HEAD")).unwrap();
    make_fifo(module.join("HEAD"));
    let error = select().unwrap_err();
    assert!(
        matches!(&error, WorkspaceError::NoFile { path: named, .. } if *named == module.join("HEAD")),
        "{error}"
    );
}

#[test]
fn a_pipe_that_git_passes_over_is_no_trouble() {
    let scene = Scene::committed();
    make_fifo(scene.top().join("pipe"));
    let repository = Repository::find(&scene.top()).unwrap();
    Selection::of(&repository, &Choice::default()).unwrap();
}

#[test]
fn conditions_of_includes_take_no_more_time_than_they_may() {
    let scene = Scene::committed();
    let condition = |pattern: &str| format!("[includeIf \"onbranch:{pattern}\"]\n\tpath = none\n");
    let plain = scene.read(".git/config");
    scene.write(
        ".git/config",
        &(plain.clone() + &condition(&("**/".repeat(500_000) + "b"))),
    );
    Repository::find(&scene.top()).unwrap();
    scene.write(
        ".git/config",
        &(plain + &condition(&"*a".repeat(3_000)).repeat(1_300)),
    );
    scene.write(".git/HEAD", &format!("ref: refs/heads/{}\n", "a".repeat(4_000)));
    let error = Repository::find(&scene.top()).unwrap_err();
    assert!(error.to_string().contains("conditions of includes"), "{error}");
}

#[test]
fn a_file_without_end_is_refused_in_bounded_memory() {
    for (place, size) in [
        ("config", 9 << 20),
        ("HEAD", 5000),
        ("info/exclude", 101 << 20),
        ("info/sparse-checkout", 101 << 20),
    ] {
        let scene = Scene::committed();
        let path = scene.top().join(".git").join(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // No room is taken.
        fs::File::create(&path).unwrap().set_len(size).unwrap();
        let error = Repository::find(&scene.top()).unwrap_err();
        assert!(error.to_string().contains("is larger than"), "{place}: {error}");
    }
}
