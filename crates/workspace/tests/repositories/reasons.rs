//! Why a repository does not go: git's own reason, and not that there is none.

use std::fs;
use std::os::unix::fs::symlink;

use workspace::{Choice, Mode, Repository, Selection, WorkspaceError};

use crate::support::{Scene, git};

#[test]
fn a_repository_that_git_does_not_take_is_named_with_what_is_wrong() {
    type Change<'a> = &'a dyn Fn(&Scene);
    let changes: [(Change<'_>, &str); 9] = [
        (
            &|scene| fs::remove_dir_all(scene.top().join(".git/refs")).unwrap(),
            "`[top]/.git` is no whole git repository: it has no `refs`",
        ),
        (
            &|scene| fs::remove_file(scene.top().join(".git/HEAD")).unwrap(),
            "`[top]/.git` is no whole git repository: it has no `HEAD`",
        ),
        (
            &|scene| fs::write(scene.top().join(".git/HEAD"), "").unwrap(),
            "`[top]/.git/HEAD` names neither a ref nor a commit",
        ),
        (
            &|scene| fs::write(scene.top().join(".git/config"), "[core\n").unwrap(),
            "`[top]/.git/config`, line 1: this is no setting of git's",
        ),
        (
            &|scene| {
                scene.git(&["config", "core.repositoryformatversion", "9"]);
            },
            "the repository's format is not known: repositoryFormatVersion = 9",
        ),
        (
            &|scene| {
                fs::rename(scene.top().join(".git"), scene.path("apart")).unwrap();
                symlink("../apart", scene.top().join(".git")).unwrap();
            },
            "`[top]/.git` is a link to `[home]/apart`, which is not followed",
        ),
        (
            &|scene| {
                fs::rename(scene.top().join(".git"), scene.path("apart")).unwrap();
                fs::write(scene.top().join(".git"), "../apart\n").unwrap();
            },
            "`[top]/.git` does not begin with `gitdir: `",
        ),
        (
            &|scene| {
                fs::rename(scene.top().join(".git"), scene.path("apart")).unwrap();
                fs::write(scene.top().join(".git"), "gitdir: ../gone\n").unwrap();
            },
            "`[top]/.git` leads to `[top]/../gone`, where no git repository is",
        ),
        (
            &|scene| {
                fs::create_dir_all(scene.path("apart/objects")).unwrap();
                fs::write(scene.path("apart/HEAD"), "ref: refs/heads/main\n").unwrap();
                fs::remove_dir_all(scene.top().join(".git")).unwrap();
                fs::write(scene.top().join(".git"), "gitdir: ../apart\n").unwrap();
            },
            "`[home]/apart` is no whole git repository: it has no `refs`",
        ),
    ];
    for (change, message) in changes {
        let scene = Scene::committed();
        change(&scene);
        let refused = Repository::find(&scene.top()).unwrap_err().to_string();
        let home = scene.path("").canonicalize().unwrap();
        let refused = refused.replace(&home.join("host").display().to_string(), "[top]");
        assert_eq!(refused.replace(&home.display().to_string(), "[home]"), message);
    }
}

#[test]
fn a_linked_working_tree_whose_repository_was_moved_says_so() {
    let scene = Scene::committed();
    scene.git(&["worktree", "add", "-q", "../linked"]);
    Repository::find(&scene.path("linked")).unwrap();
    fs::rename(scene.top(), scene.path("moved")).unwrap();
    let refused = Repository::find(&scene.path("linked")).unwrap_err();
    assert!(matches!(refused, WorkspaceError::Dangling { .. }), "{refused}");
    git(&scene.path("moved"), &["worktree", "repair", "../linked"]);
    Repository::find(&scene.path("linked")).unwrap();
}

/// A scene with a submodule's entry at `tools/x`, whose folder is not there.
fn with_a_gitlink() -> Scene {
    let scene = Scene::committed();
    let commit = scene.git(&["rev-parse", "HEAD"]);
    let entry = format!("160000,{},tools/x", commit.trim());
    scene.git(&["update-index", "--add", "--cacheinfo", &entry]);
    scene.git(&["commit", "-qm", "a gitlink"]);
    scene
}

#[test]
fn a_submodule_that_nothing_declares_goes_as_an_empty_folder() {
    let choice = |mode, from: Option<&str>| Choice {
        mode,
        from: from.map(str::to_owned),
        ..Choice::default()
    };
    for choice in [
        choice(Mode::Shallow, None),
        choice(Mode::Full, None),
        choice(Mode::Shallow, Some("HEAD")),
    ] {
        for folder in [false, true] {
            let scene = with_a_gitlink();
            if folder {
                fs::create_dir_all(scene.top().join("tools/x")).unwrap();
            }
            let selection = scene.select(&choice);
            assert_eq!(selection.undeclared, [b"tools/x"]);
            assert!(!selection.files.contains(&b"tools/x".to_vec()));
            let first = scene.prepare_as(&choice, None, false).unwrap();
            assert_eq!(scene.git_inside(&["status", "--porcelain"]), "");
            assert!(scene.inside().join("tools/x").is_dir());
            // It is no work, neither here nor there.
            scene.write("README", "edited\n");
            if choice.from.is_none() {
                scene.prepare_as(&choice, Some(&first), false).unwrap();
                assert_eq!(scene.read_inside("README"), "edited\n");
            }
        }
    }
}

#[test]
fn a_submodule_that_is_declared_or_checked_out_is_still_named() {
    type Change<'a> = &'a dyn Fn(&Scene);
    let changes: [Change<'_>; 4] = [
        &|scene| {
            scene.write(
                ".gitmodules",
                "[submodule \"x\"]\n\tpath = tools/x\n\turl = ../x\n",
            );
        },
        // Declared by the commit, and taken away since.
        &|scene| {
            scene.write(".gitmodules", "[submodule \"x\"]\n\tpath = tools/x/\n");
            scene.git(&["add", ".gitmodules"]);
            scene.git(&["commit", "-qm", "declared"]);
            fs::remove_file(scene.top().join(".gitmodules")).unwrap();
        },
        &|scene| {
            let place = scene.top().join("tools/x");
            fs::create_dir_all(&place).unwrap();
            git(&place, &["init", "-q"]);
        },
        // Work in its place.
        &|scene| scene.write("tools/x", "a file\n"),
    ];
    for change in changes {
        let scene = with_a_gitlink();
        change(&scene);
        let refused = Selection::of(&scene.find(), &Choice::default()).unwrap_err();
        assert!(matches!(refused, WorkspaceError::Submodules { .. }), "{refused}");
    }
}

/// A partial clone of three commits, and what it was cloned from.
fn partial(arguments: &[&str]) -> Scene {
    let scene = Scene::new();
    for number in 1..=3 {
        scene.write("a/f", &format!("a{number}\n"));
        scene.write("b/f", &format!("b{number}\n"));
        scene.commit("more");
    }
    scene.git(&["config", "uploadpack.allowFilter", "true"]);
    scene.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
    fs::rename(scene.top(), scene.path("origin")).unwrap();
    let from = format!("file://{}", scene.path("origin").display());
    let clone = [&["clone", "-q"], arguments, &[&from, "host"]].concat();
    git(&scene.path(""), &clone);
    scene.git(&["config", "user.name", "Ada"]);
    scene.git(&["config", "user.email", "ada@example.com"]);
    // The guest has another way there.
    scene.git(&["remote", "add", "elsewhere", "https://example.com/a.git"]);
    scene
}

#[test]
fn what_a_partial_clone_lacks_is_counted_and_named_before_anything_goes() {
    let choice = |mode, from: Option<&str>| Choice {
        mode,
        from: from.map(str::to_owned),
        ..Choice::default()
    };
    let scene = partial(&["--filter=blob:none"]);
    fs::rename(scene.path("origin"), scene.path("gone")).unwrap();
    for (choice, message) in [
        (
            choice(Mode::Full, None),
            "lacks 4 of the objects that would go, `",
        ),
        (
            choice(Mode::Shallow, Some("HEAD~1")),
            "lacks 2 of the objects that would go, `a/f` first",
        ),
    ] {
        let refused = Selection::of(&scene.find(), &choice).unwrap_err();
        assert!(matches!(refused, WorkspaceError::Promised { .. }), "{refused}");
        assert!(refused.to_string().contains(message), "{refused}");
    }
    // What is checked out is all there.
    scene.prepare();
    scene.assert_same();
    // As the hint has it.
    fs::rename(scene.path("gone"), scene.path("origin")).unwrap();
    scene.git(&["fetch", "-q", "--refetch", "--no-filter", "origin"]);
    scene.select(&choice(Mode::Full, None));
}

#[test]
fn a_sparse_partial_clone_goes_as_sparse_as_it_is() {
    let scene = partial(&["--filter=blob:none", "--sparse"]);
    scene.git(&["sparse-checkout", "set", "a"]);
    fs::rename(scene.path("origin"), scene.path("gone")).unwrap();
    let first = scene.prepare();
    scene.assert_same();
    let tags = &["ls-files", "-t"];
    assert_eq!(scene.git(tags), scene.git_inside(tags));
    assert!(!scene.inside().join("b").exists());
    scene.git_inside(&["fsck"]);
    // Work made there comes back, and a further prepare works.
    scene.write_inside("a/f", "by the guest\n");
    scene.apply(&scene.export(&workspace::Base::Prepared)).unwrap();
    assert_eq!(scene.read("a/f"), "by the guest\n");
    scene.commit("taken over");
    scene.prepare_as(&Choice::default(), Some(&first), false).unwrap();
    scene.assert_same();
}

#[test]
fn a_pipe_in_the_place_of_a_tracked_file_is_named_as_one() {
    let scene = Scene::committed();
    let place = scene.top().join("README");
    fs::remove_file(&place).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&place).status().unwrap();
    assert!(made.success());
    let refused = Selection::of(&scene.find(), &Choice::default()).unwrap_err();
    assert!(
        refused
            .to_string()
            .ends_with("README` is a pipe, a socket or a device, in the place of a file that git tracks"),
        "{refused}"
    );
}
