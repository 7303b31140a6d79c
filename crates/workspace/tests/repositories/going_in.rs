//! What of a repository is in the guest afterwards.

use std::fs;
use std::os::unix::fs::symlink;

use workspace::{Base, Choice, Head, Mode, Repository, Selection, WorkspaceError};

use crate::support::{Local, Scene, git, tree};

#[test]
fn status_and_diff_are_the_same_inside_as_outside() {
    let scene = Scene::committed();
    scene.write("staged", "new\n");
    scene.write("README", "one\nTWO\nthree\n");
    scene.git(&["add", "staged", "README"]);
    scene.write("README", "one\nTWO\nthree\nfour\n");
    scene.write("twice", "first\n");
    scene.git(&["add", "twice"]);
    fs::remove_file(scene.top().join("twice")).unwrap();
    fs::remove_file(scene.top().join("src/old.c")).unwrap();
    scene.write("later", "later\n");
    scene.git(&["add", "-N", "later"]);
    symlink("nowhere/at all", scene.top().join("link")).unwrap();
    scene.git(&["add", "link"]);
    scene.write("odd \n\t\"name\" -rf", "odd\n");
    scene.git(&["add", "odd \n\t\"name\" -rf"]);
    scene.write("odd \n\t\"name\" -rf", "odder\n");
    scene.prepare();
    scene.assert_same();
    assert_eq!(scene.git_inside(&["log", "--oneline"]).lines().count(), 1);
}

#[test]
fn ignored_files_never_go_and_untracked_ones_only_when_asked_for() {
    let scene = Scene::committed();
    scene.write("secret", "key");
    scene.write("main.o", "object");
    scene.write("notes", "mine");
    scene.write("folder/more", "mine");
    let selection = scene.select(&Choice::default());
    assert_eq!(selection.left_behind, 2);
    scene.prepare();
    for name in ["secret", "main.o", "notes", "folder"] {
        assert!(!scene.inside().join(name).exists(), "{name}");
    }
    let other = Scene::committed();
    other.write("secret", "key");
    other.write("notes", "mine");
    let choice = Choice {
        untracked: true,
        ..Choice::default()
    };
    assert_eq!(other.select(&choice).left_behind, 0);
    other.prepare_as(&choice, None, false).unwrap();
    assert_eq!(other.read_inside("notes"), "mine");
    assert!(!other.inside().join("secret").exists());
    other.assert_same();
}

#[test]
fn the_list_of_what_would_go_is_exactly_what_goes() {
    let scene = Scene::committed();
    scene.write("notes", "mine");
    scene.write("new", "new");
    scene.git(&["add", "new"]);
    fs::remove_file(scene.top().join("src/old.c")).unwrap();
    let choice = Choice {
        untracked: true,
        ..Choice::default()
    };
    let listed = scene.select(&choice).files;
    scene.prepare_as(&choice, None, false).unwrap();
    let there = tree(&scene.inside(), false);
    let there: Vec<Vec<u8>> = there
        .iter()
        .map(|(path, _)| path.to_str().unwrap().into())
        .collect();
    assert_eq!(listed, there);
}

#[test]
fn a_detached_head_an_unborn_branch_and_a_conflict_are_the_same_inside() {
    let detached = Scene::committed();
    detached.git(&["checkout", "-q", "--detach"]);
    detached.prepare();
    detached.assert_same();

    let unborn = Scene::new();
    unborn.write("first", "1");
    unborn.git(&["add", "first"]);
    unborn.write("first", "2");
    unborn.prepare();
    assert_eq!(
        unborn.git(&["status", "--porcelain"]),
        unborn.git_inside(&["status", "--porcelain"])
    );
    assert_eq!(unborn.git_inside(&["symbolic-ref", "HEAD"]), "refs/heads/main\n");
    let empty = Scene::new();
    empty.prepare();
    assert_eq!(empty.git_inside(&["status", "--porcelain"]), "");

    let conflict = Scene::committed();
    conflict.git(&["checkout", "-q", "-b", "other"]);
    conflict.write("README", "theirs\n");
    conflict.commit("theirs");
    conflict.git(&["checkout", "-q", "main"]);
    conflict.write("README", "ours\n");
    conflict.commit("ours");
    let merge = std::process::Command::new("git")
        .args(["merge", "-q", "other"])
        .current_dir(conflict.top())
        .output();
    assert!(!merge.unwrap().status.success());
    conflict.prepare();
    conflict.assert_same();
}

#[test]
fn linked_and_sparse_working_trees_are_the_same_inside() {
    let scene = Scene::committed();
    let linked = scene.path("linked");
    scene.git(&["worktree", "add", "-q", "-b", "side", linked.to_str().unwrap()]);
    fs::write(linked.join("README"), "side\n").unwrap();
    let repository = Repository::find(&linked.join("src")).unwrap();
    assert_eq!(repository.head, Head::Branch("side".into()));
    let selection = Selection::of(&repository, &Choice::default()).unwrap();
    assert_eq!(selection.edited, [b"README"]);

    scene.git(&["sparse-checkout", "set", "--no-cone", "/README"]);
    assert!(!scene.top().join("src/main.c").exists());
    assert_eq!(scene.select(&Choice::default()).files, [b"README"]);
    scene.prepare();
    scene.assert_same();
    assert!(!scene.inside().join("src/main.c").exists());
}

#[test]
fn history_goes_along_only_where_asked_for_and_the_branch_can_be_another() {
    let scene = Scene::committed();
    scene.write("README", "second\n");
    scene.commit("second");
    scene.write("README", "edited\n");
    let choice = Choice {
        mode: Mode::Full,
        branch: Some("work/x".into()),
        ..Choice::default()
    };
    scene.prepare_as(&choice, None, false).unwrap();
    assert_eq!(scene.git_inside(&["log", "--format=%s"]), "second\nfirst\n");
    assert_eq!(scene.git_inside(&["symbolic-ref", "HEAD"]), "refs/heads/work/x\n");
    assert_eq!(scene.git(&["diff"]), scene.git_inside(&["diff"]));

    let older = Scene::committed();
    older.write("README", "second\n");
    older.commit("second");
    let choice = Choice {
        from: Some("HEAD~1".into()),
        ..Choice::default()
    };
    older.prepare_as(&choice, None, false).unwrap();
    assert_eq!(older.read_inside("README"), "one\ntwo\nthree\n");
    assert_eq!(
        older.git_inside(&["rev-parse", "HEAD"]),
        older.git(&["rev-parse", "HEAD~1"])
    );
    assert_eq!(older.git_inside(&["status", "--porcelain"]), "");
}

#[test]
fn the_guest_knows_who_the_user_is_and_no_credentials() {
    let scene = Scene::committed();
    scene.git(&["remote", "add", "origin", "https://me:token@example.com/a.git"]);
    scene.git(&["remote", "add", "local", "/home/somebody/a"]);
    scene.git(&["config", "alias.x", "!true"]);
    scene.prepare();
    assert_eq!(scene.git_inside(&["config", "user.name"]), "Ada\n");
    assert_eq!(scene.git_inside(&["config", "user.email"]), "ada@example.com\n");
    assert_eq!(
        scene.git_inside(&["remote", "-v"]).lines().next().unwrap(),
        "origin\thttps://example.com/a.git (fetch)"
    );
    let settings = scene.read_inside(".git/config");
    for absent in ["token", "somebody", "alias"] {
        assert!(!settings.contains(absent), "{settings}");
    }
}

#[test]
fn what_is_no_repository_is_told_in_words() {
    let folder = tempfile::TempDir::new().unwrap();
    let none = Repository::find(folder.path());
    assert!(
        matches!(none, Err(WorkspaceError::NotARepository { .. })),
        "{none:?}"
    );
    let missing = Repository::find(&folder.path().join("none"));
    assert!(
        matches!(missing, Err(WorkspaceError::Missing { .. })),
        "{missing:?}"
    );
    git(folder.path(), &["init", "-q", "--bare", "bare.git"]);
    let bare = Repository::find(&folder.path().join("bare.git"));
    assert!(matches!(bare, Err(WorkspaceError::Bare { .. })), "{bare:?}");

    let scene = Scene::committed();
    let choice = |from: Option<&str>, branch: Option<&str>| Choice {
        from: from.map(str::to_owned),
        branch: branch.map(str::to_owned),
        ..Choice::default()
    };
    for (choice, message) in [
        (choice(Some("nothing"), None), "`nothing` names no commit"),
        (choice(Some("--all"), None), "`--all` names no commit"),
        (choice(None, Some("-x")), "`-x` is no name for a branch"),
        (choice(None, Some("a..b")), "`a..b` is no name for a branch"),
    ] {
        assert_eq!(
            Selection::of(&scene.find(), &choice).unwrap_err().to_string(),
            message
        );
    }
}

#[test]
fn a_broken_repository_is_not_taken_for_the_one_around_it() {
    let scene = Scene::committed();
    let fetched = scene.top().join("fetched");
    for (place, target) in [
        ("refs", Some("nowhere")),
        ("objects", Some("refs/none")),
        ("refs", None),
    ] {
        fs::create_dir_all(fetched.join("docs")).unwrap();
        git(&fetched, &["init", "-q"]);
        let broken = fetched.join(".git").join(place);
        fs::remove_dir_all(&broken).unwrap();
        if let Some(target) = target {
            symlink(target, &broken).unwrap();
        }
        for folder in ["", "docs"] {
            let found = Repository::find(&fetched.join(folder));
            assert!(
                matches!(&found, Err(WorkspaceError::Broken { lacks, .. }) if *lacks == place),
                "{place} -> {target:?}: {found:?}"
            );
        }
        fs::remove_dir_all(&fetched).unwrap();
    }
    // A folder of that name that is no repository says nothing, as git has it.
    fs::create_dir_all(fetched.join(".git")).unwrap();
    assert_eq!(Repository::find(&fetched).unwrap().top, scene.top());
}

#[test]
fn submodules_are_refused_by_their_name() {
    let scene = Scene::committed();
    let part = Scene::committed();
    let url = part.top().display().to_string();
    scene.git(&[
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "add",
        "-q",
        &url,
        "lib/part",
    ]);
    scene.commit("with a part");
    let refused = Selection::of(&scene.find(), &Choice::default()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the repository has 1 submodules, `lib/part` first"
    );
}

#[test]
fn files_of_git_lfs_go_as_pointers_and_are_counted() {
    let scene = Scene::committed();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n";
    scene.write("a.bin", pointer);
    scene.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n");
    scene.commit("large");
    assert_eq!(scene.select(&Choice::default()).pointers, 1);
    scene.prepare();
    assert_eq!(scene.read_inside("a.bin"), pointer);
    scene.assert_same();
}

#[test]
fn metadata_goes_without_files_which_the_guest_can_fetch_and_work_made_there_comes_back() {
    let scene = Scene::committed();
    scene.write(".gitattributes", "*.bin binary\n");
    scene.write("sub/.gitignore", "*.tmp\n");
    scene.commit("second");
    scene.write("README", "not committed\n");
    scene.git(&["checkout", "-q", "-b", "topic"]);
    let choice = Choice {
        mode: Mode::Metadata,
        ..Choice::default()
    };
    let nowhere = scene.prepare_as(&choice, None, false).unwrap_err();
    assert!(matches!(nowhere, WorkspaceError::NoRemote), "{nowhere}");
    scene.git(&["remote", "add", "backup", "https://token@example.com/backup.git"]);
    scene.git(&["remote", "add", "origin", "https://example.com/origin.git"]);
    assert_eq!(scene.select(&choice).files, Vec::<Vec<u8>>::new());
    let first = scene.prepare_as(&choice, None, false).unwrap();

    // All that git knows of it, and no file.
    assert_eq!(
        scene.git(&["rev-parse", "HEAD"]),
        scene.git_inside(&["rev-parse", "HEAD"])
    );
    assert_eq!(
        scene.git_inside(&["rev-parse", "--abbrev-ref", "HEAD"]),
        "topic\n"
    );
    assert_eq!(scene.git_inside(&["log", "--format=%s %an"]), "second Ada\n");
    let listed = &["ls-tree", "-r", "HEAD"];
    assert_eq!(scene.git(listed), scene.git_inside(listed));
    assert_eq!(scene.git_inside(&["status", "--porcelain"]), "");
    assert_eq!(
        scene.git_inside(&["config", "extensions.partialClone"]),
        "origin\n"
    );
    assert_eq!(
        scene.git_inside(&["config", "remote.backup.url"]),
        "https://example.com/backup.git\n"
    );
    assert_eq!(tree(&scene.inside(), false), []);
    git(&scene.inside(), &["fsck"]);
    let blob = scene.git(&["rev-parse", "HEAD:src/main.c"]);
    let packed = scene.git_inside(&["cat-file", "--batch-check", "--batch-all-objects"]);
    assert!(!packed.contains(blob.trim()), "{packed}");

    // The guest gets the files from where they can be had: here, the host.
    let top = scene.top().display().to_string();
    scene.git(&["config", "uploadpack.allowFilter", "true"]);
    scene.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
    scene.git_inside(&["config", "remote.origin.url", &format!("file://{top}")]);
    scene.git_inside(&["sparse-checkout", "disable"]);
    assert_eq!(scene.read_inside("README"), "one\ntwo\nthree\n");
    scene.write_inside("README", "by the guest\n");
    scene.write_inside("new", "made there\n");
    let patch = scene.export(&Base::Prepared);
    let text = String::from_utf8(patch.clone()).unwrap();
    assert!(
        text.contains("by the guest") && text.contains("made there"),
        "{text}"
    );

    // Work is work; without it, a further prepare follows the host.
    scene.git(&["stash", "-q"]);
    scene.write("README", "third\n");
    scene.git(&["commit", "-qam", "third"]);
    let refused = scene.prepare_as(&choice, Some(&first), false).unwrap_err();
    assert!(matches!(refused, WorkspaceError::GuestWork { .. }), "{refused}");
    scene.git_inside(&["reset", "-q", "--hard"]);
    scene.git_inside(&["clean", "-qfd"]);
    scene.prepare_as(&choice, Some(&first), false).unwrap();
    assert_eq!(
        scene.git(&["rev-parse", "HEAD"]),
        scene.git_inside(&["rev-parse", "HEAD"])
    );
    assert_eq!(scene.git_inside(&["status", "--porcelain"]), "");
}

#[test]
fn an_index_in_two_files_goes_as_one() {
    let scene = Scene::committed();
    scene.git(&["update-index", "--split-index"]);
    scene.write("README", "staged\n");
    scene.write("new", "staged\n");
    scene.git(&["add", "README", "new"]);
    scene.write("README", "edited\n");
    let parts = fs::read_dir(scene.top().join(".git")).unwrap();
    let is_shared = |name: std::ffi::OsString| name.as_encoded_bytes().starts_with(b"sharedindex.");
    assert!(parts.map(|part| part.unwrap().file_name()).any(is_shared));
    scene.prepare();
    scene.assert_same();
}

#[test]
fn other_users_of_the_guest_may_look_into_a_workspace_of_roots() {
    let scene = Scene::committed();
    let system = scene.path("gitconfig");
    let mut guest = Local {
        system: Some(system.clone()),
        ..Local::default()
    };
    let choice = Choice::default();
    let first = scene.prepare_into(&mut guest, &choice, None, false).unwrap();
    let said = git(
        &scene.path("."),
        &["config", "--file", "gitconfig", "--get-all", "safe.directory"],
    );
    assert_eq!(said.trim_end(), scene.inside().display().to_string());
    // Once is enough.
    fs::remove_dir_all(scene.inside()).unwrap();
    scene
        .prepare_into(&mut guest, &choice, Some(&first), false)
        .unwrap();
    assert_eq!(
        fs::read_to_string(&system).unwrap().matches("directory").count(),
        1
    );
}
