//! A second prepare: only what changed goes, and what was made in the guest stays.

use std::os::unix::fs::symlink;

use workspace::{Base, Choice, Mode, Prepared, WorkspaceError, pull, to_branch};

use crate::support::{Local, Scene, git, parsed};

fn again(scene: &Scene, before: &Prepared) -> Prepared {
    scene.prepare_as(&Choice::default(), Some(before), false).unwrap()
}

#[test]
fn a_second_prepare_brings_new_commits_edits_and_deletions() {
    let scene = Scene::committed();
    scene.write("README", "edited\n");
    let first = scene.prepare();
    scene.git(&["checkout", "-q", "README"]);
    scene.write("src/new.c", "new\n");
    scene.git(&["rm", "-q", "src/old.c"]);
    scene.commit("second");
    scene.write("src/main.c", "edited\n");
    scene.write("staged", "s\n");
    scene.git(&["add", "staged"]);
    let second = again(&scene, &first);
    scene.assert_same();
    assert_eq!(scene.read_inside("README"), "one\ntwo\nthree\n");
    assert!(!scene.inside().join("src/old.c").exists());
    // Back to where it was, on another branch.
    scene.git(&["reset", "-q", "--hard", "HEAD~1"]);
    scene.git(&["checkout", "-q", "-b", "other"]);
    again(&scene, &second);
    scene.assert_same();
}

#[test]
fn a_second_prepare_sends_only_what_changed() {
    let scene = Scene::committed();
    for number in 0..20 {
        scene.write(&format!("large/{number}"), &"x".repeat(100_000));
    }
    let choice = Choice {
        untracked: true,
        ..Choice::default()
    };
    let first = scene.prepare_as(&choice, None, false).unwrap();
    scene.write("large/7", "less");
    std::fs::remove_file(scene.top().join("large/8")).unwrap();
    let mut guest = Local::default();
    let second = scene
        .prepare_into(&mut guest, &choice, Some(&first), false)
        .unwrap();
    assert!(guest.unpacked < 30_000, "{} bytes of files", guest.unpacked);
    assert_eq!(guest.read, 0);
    assert_eq!(scene.read_inside("large/7"), "less");
    assert!(!scene.inside().join("large/8").exists());
    assert_eq!(scene.read_inside("large/9").len(), 100_000);
    scene.assert_same();
    scene.commit("all of it");
    scene.prepare_as(&choice, Some(&second), false).unwrap();
    scene.assert_same();
}

#[test]
fn a_prepare_works_after_the_host_lost_the_commit_that_was_sent() {
    for mode in [Mode::Shallow, Mode::Full] {
        let scene = Scene::committed();
        let choice = Choice {
            mode,
            ..Choice::default()
        };
        let prepare = |before, force| scene.prepare_as(&choice, before, force).unwrap();
        let first = prepare(None, false);
        let prune = || {
            scene.git(&["reflog", "expire", "--expire=now", "--all"]);
            scene.git(&["gc", "-q", "--prune=now"]);
        };
        scene.git(&["commit", "-q", "--amend", "-m", "other words"]);
        prune();
        let second = prepare(Some(&first), false);
        assert_eq!(scene.git_inside(&["log", "-1", "--format=%s"]), "other words\n");
        scene.write("README", "other\n");
        scene.git(&["commit", "-q", "-a", "--amend", "-m", "other content"]);
        prune();
        let third = prepare(Some(&second), true);
        assert_eq!(scene.read_inside("README"), "other\n");
        // Another repository at the same path.
        std::fs::remove_dir_all(scene.top().join(".git")).unwrap();
        scene.git(&["init", "-q", "-b", "main"]);
        scene.git(&["config", "user.name", "Ada"]);
        scene.git(&["config", "user.email", "ada@example.com"]);
        scene.git(&["add", "."]);
        scene.commit("made again");
        prepare(Some(&third), false);
        assert_eq!(scene.git_inside(&["log", "-1", "--format=%s"]), "made again\n");
        scene.git_inside(&["fsck", "--strict"]);
    }
}

#[test]
fn a_prepare_works_whatever_repository_came_to_the_hosts_path() {
    let fresh = |scene: &Scene, arguments: &[&str]| {
        std::fs::remove_dir_all(scene.top().join(".git")).unwrap();
        scene.git(&[&["init", "-q", "-b", "main"], arguments].concat());
        scene.git(&["config", "user.name", "Ada"]);
        scene.git(&["config", "user.email", "ada@example.com"]);
    };
    type Change<'a> = &'a dyn Fn(&Scene);
    let changes: [(&str, bool, Change<'_>); 5] = [
        ("without a commit", false, &|scene| fresh(scene, &[])),
        ("with another history", false, &|scene| {
            fresh(scene, &[]);
            scene.commit("made anew");
        }),
        ("on a branch without a commit", false, &|scene| {
            scene.git(&["checkout", "-q", "--orphan", "other"]);
        }),
        ("a clone of the last commit alone", false, &|scene| {
            scene.write("README", "newer\n");
            scene.commit("second");
            let (top, whole) = (scene.top(), scene.path("whole"));
            std::fs::rename(&top, &whole).unwrap();
            let from = format!("file://{}", whole.display());
            git(&scene.path(""), &["clone", "-q", "--depth", "1", &from, "host"]);
        }),
        // Nothing of what the guest has can stay.
        ("with other names of objects", true, &|scene| {
            fresh(scene, &["--object-format=sha256"]);
            scene.commit("made anew");
        }),
    ];
    for (what, force, change) in changes {
        let scene = Scene::committed();
        let first = scene.prepare();
        change(&scene);
        let second = scene.prepare_as(&Choice::default(), Some(&first), force);
        second.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(
            scene.git(&["status", "--porcelain", "-uno"]),
            scene.git_inside(&["status", "--porcelain", "-uno"]),
            "{what}"
        );
        for arguments in [&["ls-files", "-s"][..], &["symbolic-ref", "HEAD"]] {
            assert_eq!(scene.git(arguments), scene.git_inside(arguments), "{what}");
        }
        scene.git_inside(&["fsck", "--strict"]);
    }
}

#[test]
fn a_history_that_is_asked_for_later_comes_whole() {
    for newer in [false, true] {
        let scene = Scene::committed();
        for text in ["two\n", "three\n"] {
            scene.write("README", text);
            scene.commit(text);
        }
        let first = scene.prepare();
        let log = &["log", "--format=%H"];
        assert_eq!(scene.git_inside(log).lines().count(), 1);
        if newer {
            scene.write("README", "four\n");
            scene.commit("four");
        }
        let full = Choice {
            mode: Mode::Full,
            ..Choice::default()
        };
        scene.prepare_as(&full, Some(&first), false).unwrap();
        assert_eq!(scene.git(log), scene.git_inside(log), "newer: {newer}");
        scene.git_inside(&["fsck", "--strict"]);
    }
}

#[test]
fn work_that_is_based_on_a_commit_that_the_host_lost_is_said_to_be() {
    let scene = Scene::committed();
    let first = scene.prepare();
    scene.write_inside("src/main.c", "by the guest\n");
    scene.git_inside(&["commit", "-qam", "in the guest"]);
    scene.git(&["commit", "-q", "--amend", "-m", "other words"]);
    scene.git(&["reflog", "expire", "--expire=now", "--all"]);
    scene.git(&["gc", "-q", "--prune=now"]);
    let (repository, path) = (scene.find(), scene.inside().display().to_string());
    let base = first.commit.as_deref();
    let pulled = pull(&repository, &mut Local::default(), &path, base).unwrap_err();
    assert!(matches!(pulled, WorkspaceError::BaseGone { .. }), "{pulled}");
    let patch = scene.export(&Base::Commit);
    let file = scene.path("patch");
    std::fs::write(&file, &patch).unwrap();
    let branch = to_branch(
        &repository,
        &parsed(&patch).unwrap(),
        &file,
        base,
        "there",
        "work",
    )
    .unwrap_err();
    assert!(matches!(branch, WorkspaceError::BaseGone { .. }), "{branch}");
    // The files are there all the same.
    scene.apply(&scene.export(&Base::Prepared)).unwrap();
    assert_eq!(scene.read("src/main.c"), "by the guest\n");
}

#[test]
fn work_made_in_the_guest_is_named_and_kept() {
    let scene = Scene::committed();
    scene.write("README", "edited\n");
    let first = scene.prepare();
    scene.write_inside("src/main.c", "by the guest\n");
    scene.write_inside("made here", "new\n");
    scene.write_inside("main.o", "ignored\n");
    scene.write("src/main.c", "by the host\n");
    let refused = scene
        .prepare_as(&Choice::default(), Some(&first), false)
        .unwrap_err();
    let WorkspaceError::GuestWork { files } = &refused else {
        panic!("{refused}")
    };
    assert_eq!(files, &["made here", "src/main.c"]);
    assert_eq!(scene.read_inside("src/main.c"), "by the guest\n");
    assert!(
        refused
            .to_string()
            .ends_with("overwritten: `made here`, `src/main.c`")
    );

    scene.prepare_as(&Choice::default(), Some(&first), true).unwrap();
    scene.assert_same();
    assert!(!scene.inside().join("made here").exists());
    assert_eq!(
        scene.git_inside(&["show", "refs/banger/replaced:src/main.c"]),
        "by the guest\n"
    );
    // Ignored files are nobody's work: what was built stays.
    assert_eq!(scene.read_inside("main.o"), "ignored\n");
}

#[test]
fn commits_made_in_the_guest_are_work_too() {
    let scene = Scene::committed();
    scene.write("README", "edited\n");
    let first = scene.prepare();
    scene.write_inside("src/main.c", "by the guest\n");
    scene.git_inside(&["commit", "-qam", "in the guest"]);
    let refused = scene
        .prepare_as(&Choice::default(), Some(&first), false)
        .unwrap_err();
    assert!(
        matches!(&refused, WorkspaceError::GuestWork { files } if files[0].starts_with("commits since")),
        "{refused}"
    );
    scene.prepare_as(&Choice::default(), Some(&first), true).unwrap();
    scene.assert_same();
    assert_eq!(
        scene.git_inside(&["log", "-1", "--format=%s", "refs/banger/replaced~1"]),
        "in the guest\n"
    );
}

#[test]
fn commits_whose_files_the_host_has_give_way_and_are_kept() {
    let scene = Scene::committed();
    let first = scene.prepare();
    for (text, message) in [("one\n", "first there"), ("two\n", "second there")] {
        scene.write_inside("src/main.c", text);
        scene.git_inside(&["commit", "-qam", message]);
    }
    scene.apply(&scene.export(&Base::Prepared)).unwrap();
    let second = scene.prepare_as(&Choice::default(), Some(&first), false).unwrap();
    assert!(second.replaced);
    scene.assert_same();
    // As they are: a host that has them knows them.
    let kept = ["log", "--format=%s", "refs/banger/replaced"];
    assert_eq!(scene.git_inside(&kept), "second there\nfirst there\nfirst\n");
    // What was replaced before is not forgotten for what is replaced now.
    scene.write_inside("src/main.c", "three\n");
    scene.git_inside(&["commit", "-qam", "third there"]);
    scene.prepare_as(&Choice::default(), Some(&second), true).unwrap();
    let all = scene.git_inside(&["log", "--format=%s", "refs/banger/replaced"]);
    assert!(
        all.contains("third there") && all.contains("first there"),
        "{all}"
    );
}

#[test]
fn commits_that_the_host_has_taken_over_leave_no_trace() {
    let scene = Scene::committed();
    let first = scene.prepare();
    scene.write_inside("src/main.c", "by the guest\n");
    scene.git_inside(&["commit", "-qam", "there"]);
    let base = first.commit.clone();
    let repository = scene.find();
    let path = scene.inside().display().to_string();
    let pulled = pull(&repository, &mut Local::default(), &path, base.as_deref()).unwrap();
    pulled.unwrap().keep_as("there").unwrap();
    scene.git(&["merge", "-q", "--ff-only", "there"]);
    let second = scene.prepare_as(&Choice::default(), Some(&first), false).unwrap();
    assert!(!second.replaced);
    scene.assert_same();
    assert_eq!(scene.git_inside(&["for-each-ref", "refs/banger/replaced"]), "");
}

#[test]
fn what_is_no_workspace_is_not_replaced_unless_told_to() {
    let scene = Scene::committed();
    std::fs::create_dir(scene.inside()).unwrap();
    scene.write_inside("precious", "mine");
    let refused = scene.prepare_as(&Choice::default(), None, false).unwrap_err();
    assert!(matches!(refused, WorkspaceError::Occupied { .. }), "{refused}");
    assert_eq!(scene.read_inside("precious"), "mine");
    let first = scene.prepare_as(&Choice::default(), None, true).unwrap();
    scene.assert_same();
    let aside = scene.inside().with_extension("banger-replaced-1");
    assert_eq!(std::fs::read_to_string(aside.join("precious")).unwrap(), "mine");
    // Gone, it is put there anew; what has come into its place since stays.
    std::fs::remove_dir_all(scene.inside()).unwrap();
    let second = scene.prepare_as(&Choice::default(), Some(&first), false).unwrap();
    scene.assert_same();
    std::fs::remove_dir_all(scene.inside()).unwrap();
    scene.write_inside("precious", "mine");
    scene.write("README", "edited\n");
    let refused = scene
        .prepare_as(&Choice::default(), Some(&second), false)
        .unwrap_err();
    assert!(matches!(refused, WorkspaceError::Occupied { .. }), "{refused}");
    assert_eq!(scene.read_inside("precious"), "mine");
}

#[test]
fn what_git_ignored_in_the_guest_is_not_overwritten_by_what_the_host_tracks_now() {
    let scene = Scene::committed();
    let first = scene.prepare();
    // A file under the name, a folder, a file and a link above it; one that is the same; one that is left alone.
    scene.write_inside("one.o", "there\n");
    scene.write_inside("two.o/file", "there\n");
    scene.write_inside("three.o", "there\n");
    symlink("/proc/nonexistent", scene.inside().join("four.o")).unwrap();
    scene.write_inside("same.o", "same\n");
    scene.write_inside("other.o", "there\n");
    for path in ["one.o", "two.o", "three.o/below/file", "four.o/file"] {
        scene.write(path, "here\n");
    }
    scene.write("same.o", "same\n");
    scene.git(&["add", "-f", "one.o", "two.o", "three.o", "four.o", "same.o"]);
    for _ in 0..2 {
        let refused = scene
            .prepare_as(&Choice::default(), Some(&first), false)
            .unwrap_err();
        let WorkspaceError::GuestWork { files } = &refused else {
            panic!("{refused}")
        };
        for path in ["one.o", "two.o/file", "three.o", "four.o"] {
            assert!(files.iter().any(|file| file == path), "{path}: {refused}");
        }
        assert!(
            !files.iter().any(|file| file == "same.o" || file == "other.o"),
            "{refused}"
        );
        assert_eq!(scene.read_inside("one.o"), "there\n");
        scene.git(&["commit", "-qm", "tracked now"]);
        scene.write("README", "more\n");
        scene.git(&["add", "README"]);
    }
    scene.prepare_as(&Choice::default(), Some(&first), true).unwrap();
    assert_eq!(scene.read_inside("one.o"), "here\n");
    assert_eq!(scene.read_inside("other.o"), "there\n");
    for path in ["one.o", "two.o/file", "three.o"] {
        let kept = format!("refs/banger/replaced:{path}");
        assert_eq!(scene.git_inside(&["show", &kept]), "there\n");
    }
}

#[test]
fn a_repository_inside_the_workspace_is_not_replaced_without_a_word() {
    for (path, text) in [("sub", "a file now"), ("sub/README", "a folder now")] {
        for committed in [false, true] {
            let scene = Scene::committed();
            let first = scene.prepare();
            scene.git_inside(&["clone", "-q", ".", "sub"]);
            // It stays where the host has nothing there.
            let first = again(&scene, &first);
            assert!(scene.inside().join("sub/.git").is_dir());
            scene.write(path, text);
            scene.git(&["add", path]);
            if committed {
                scene.git(&["commit", "-qm", "tracked"]);
            }
            let refused = scene
                .prepare_as(&Choice::default(), Some(&first), false)
                .unwrap_err();
            assert!(
                matches!(&refused, WorkspaceError::GuestWork { files } if files == &["sub"]),
                "{refused}"
            );
            assert!(scene.inside().join("sub/.git").is_dir());
            scene.prepare_as(&Choice::default(), Some(&first), true).unwrap();
            assert_eq!(scene.read_inside(path), text);
            assert!(!scene.inside().join("sub/.git").exists());
            // And is kept as it was.
            let replaced = scene.git_inside(&["rev-parse", "refs/banger/replaced"]);
            let kept = format!(".git/banger/replaced/{}/sub", replaced.trim());
            git(&scene.inside().join(kept), &["status"]);
        }
    }
}

#[test]
fn work_that_was_brought_back_is_in_nobodys_way() {
    let scene = Scene::committed();
    scene.write("README", "edited\n");
    let first = scene.prepare();
    scene.write_inside("src/main.c", "by the guest\n");
    scene.write_inside("made here", "new\n");
    scene.write_inside("README", "edited there\n");
    scene.apply(&scene.export(&Base::Prepared)).unwrap();
    scene.git(&["add", "made here"]);
    let second = again(&scene, &first);
    scene.assert_same();
    assert_eq!(scene.export(&Base::Prepared), b"");
    scene.write_inside("made here", "newer\n");
    let refused = scene
        .prepare_as(&Choice::default(), Some(&second), false)
        .unwrap_err();
    assert!(
        matches!(&refused, WorkspaceError::GuestWork { files } if files == &["made here"]),
        "{refused}"
    );
}

#[test]
fn a_repository_that_is_no_workspace_any_more_is_put_aside_by_force() {
    for spoil in [
        &["update-ref", "-d", "refs/banger/prepared"][..],
        &["init", "-q", "anew"],
    ] {
        let scene = Scene::committed();
        let first = scene.prepare();
        scene.write_inside("precious", "mine");
        scene.git_inside(&["commit", "-qm", "there", "--allow-empty"]);
        scene.git_inside(spoil);
        // As where the note of it is lost.
        let before = (spoil[0] == "update-ref").then_some(&first);
        let refused = scene.prepare_as(&Choice::default(), before, false).unwrap_err();
        assert!(matches!(refused, WorkspaceError::Occupied { .. }), "{refused}");
        scene.prepare_as(&Choice::default(), before, true).unwrap();
        let aside = scene.inside().with_extension("banger-replaced-1");
        assert_eq!(std::fs::read_to_string(aside.join("precious")).unwrap(), "mine");
        assert_eq!(git(&aside, &["log", "-1", "--format=%s"]), "there\n");
    }
}
