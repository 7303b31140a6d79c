//! What is in the guest only, and whose a workspace is there.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use workspace::{
    Base, Choice, Destination, Ended, Guest, Parcel, Unsaved, WorkspaceError, beside_patch, prepare, pull,
    unsaved,
};

use crate::support::{Local, Scene, tree};

fn look(scene: &Scene) -> Unsaved {
    let path = scene.inside().display().to_string();
    let before = tree(&scene.inside(), true);
    let found = unsaved(&mut Local::default(), &path, Some(&scene.find())).unwrap();
    assert_eq!(tree(&scene.inside(), true), before, "looking changes nothing");
    found
}

fn files(found: &Unsaved) -> Vec<(&str, &str)> {
    let files = found.files.iter();
    files.map(|file| (file.what, file.path.as_str())).collect()
}

fn subjects(found: &Unsaved) -> Vec<&str> {
    found
        .commits
        .iter()
        .map(|commit| commit.subject.as_str())
        .collect()
}

#[test]
fn commits_and_files_that_are_in_the_guest_only_are_named() {
    let scene = Scene::committed();
    scene.write("README", "edited on the host\n");
    scene.prepare();
    assert!(look(&scene).is_empty());
    scene.write_inside("src/main.c", "by the guest\n");
    scene.git_inside(&["commit", "-qam", "two\u{1b}[31m"]);
    scene.write_inside("new\u{1b}[31m", "new\n");
    fs::remove_file(scene.inside().join("src/old.c")).unwrap();
    symlink("README", scene.inside().join("link")).unwrap();
    scene.write_inside("main.o", "ignored\n");
    let found = look(&scene);
    assert_eq!(subjects(&found), ["two\\u{1b}[31m"]);
    assert_eq!(
        files(&found),
        [
            ("new", "link"),
            ("new", "new\\u{1b}[31m"),
            ("changed", "src/main.c"),
            ("deleted", "src/old.c")
        ]
    );
    // Without a repository here, it is the same.
    let path = scene.inside().display().to_string();
    assert_eq!(unsaved(&mut Local::default(), &path, None).unwrap(), found);
}

#[test]
fn what_came_back_is_not_in_the_guest_only() {
    let scene = Scene::committed();
    let first = scene.prepare();
    scene.write_inside("src/main.c", "by the guest\n");
    scene.write_inside("new", "new\n");
    symlink("README", scene.inside().join("link")).unwrap();
    fs::remove_file(scene.inside().join("src/old.c")).unwrap();
    scene.apply(&scene.export(&Base::Prepared)).unwrap();
    assert!(look(&scene).is_empty());
    // And changed here since, it is what is there that is lost.
    scene.write("new", "newer\n");
    assert_eq!(files(&look(&scene)), [("new", "new")]);

    let scene = Scene::committed();
    let again = scene.prepare();
    scene.write_inside("src/main.c", "by the guest\n");
    scene.git_inside(&["commit", "-qam", "there"]);
    let (repository, path) = (scene.find(), scene.inside().display().to_string());
    let pulled = pull(&repository, &mut Local::default(), &path, again.commit.as_deref()).unwrap();
    pulled.unwrap().keep_as("there").unwrap();
    assert!(look(&scene).is_empty(), "{:?}", look(&scene));
    drop(first);
}

#[test]
fn commits_that_came_back_hide_no_repository_inside_and_no_changed_mode() {
    let scene = Scene::committed();
    let first = scene.prepare();
    scene.write_inside("src/main.c", "by the guest\n");
    scene.git_inside(&["commit", "-qam", "there"]);
    let (repository, path) = (scene.find(), scene.inside().display().to_string());
    let pulled = pull(&repository, &mut Local::default(), &path, first.commit.as_deref()).unwrap();
    pulled.unwrap().keep_as("there").unwrap();
    assert!(look(&scene).is_empty());
    // Both are at commits that the host has.
    scene.git_inside(&["worktree", "add", "-q", "-b", "feature", "tree"]);
    scene.write_inside("tree/work", "precious\n");
    scene.git_inside(&["clone", "-q", ".", "sub"]);
    scene.write_inside("sub/work", "precious\n");
    fs::set_permissions(scene.inside().join("README"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(
        files(&look(&scene)),
        [("changed", "README"), ("new", "sub"), ("new", "tree")]
    );
}

#[test]
fn a_name_that_differs_in_case_alone_is_work_whatever_the_guests_settings_say() {
    let scene = Scene::committed();
    scene.prepare();
    scene.git_inside(&["config", "core.ignoreCase", "true"]);
    scene.git_inside(&["config", "i18n.logOutputEncoding", "UTF-16"]);
    scene.write_inside("readme", "precious\n");
    scene.git_inside(&["commit", "-qm", "é", "--allow-empty"]);
    let found = look(&scene);
    assert_eq!(
        (files(&found), subjects(&found)),
        (vec![("new", "readme")], vec!["é"])
    );
    let patch = String::from_utf8(scene.export(&Base::Prepared)).unwrap();
    assert!(patch.contains("b/readme"), "{patch}");
}

#[test]
fn work_on_other_branches_and_in_the_stash_counts_and_what_a_remote_has_does_not() {
    let scene = Scene::committed();
    scene.prepare();
    scene.git_inside(&["checkout", "-q", "-b", "side"]);
    scene.write_inside("side", "x\n");
    scene.git_inside(&["add", "side"]);
    scene.git_inside(&["commit", "-qm", "on the side"]);
    scene.git_inside(&["checkout", "-q", "main"]);
    scene.write_inside("README", "stashed\n");
    scene.git_inside(&["stash", "-q"]);
    let found = look(&scene);
    assert_eq!(files(&found), []);
    assert!(subjects(&found).contains(&"on the side"), "{found:?}");
    assert!(found.commits.len() >= 2, "{found:?}");
    scene.git_inside(&["stash", "drop", "-q"]);
    // Pushed to a remote of the guest's.
    scene.git_inside(&["update-ref", "refs/remotes/origin/side", "side"]);
    assert!(look(&scene).is_empty());
}

#[test]
fn modes_and_repositories_inside_are_work_too_and_subjects_are_cut() {
    let scene = Scene::committed();
    scene.prepare();
    fs::set_permissions(scene.inside().join("README"), fs::Permissions::from_mode(0o755)).unwrap();
    scene.git_inside(&["clone", "-q", ".", "sub"]);
    scene.git_inside(&["commit", "-qm", &"x".repeat(10_000), "--allow-empty"]);
    let found = look(&scene);
    assert_eq!(files(&found), [("changed", "README"), ("new", "sub")]);
    assert_eq!(found.commits[0].subject.len(), 200);
}

#[test]
fn files_that_git_was_told_to_leave_alone_are_work_too() {
    for flag in ["--skip-worktree", "--assume-unchanged"] {
        let scene = Scene::committed();
        let first = scene.prepare();
        scene.git_inside(&["update-index", flag, "README"]);
        assert!(look(&scene).is_empty());
        scene.write_inside("README", "by the guest\n");
        assert_eq!(files(&look(&scene)), [("changed", "README")], "{flag}");
        scene.write("README", "by the host\n");
        let refused = scene
            .prepare_as(&Choice::default(), Some(&first), false)
            .unwrap_err();
        assert!(
            matches!(&refused, WorkspaceError::GuestWork { files } if files == &["README"]),
            "{refused}"
        );
        scene.git(&["checkout", "-q", "README"]);
        scene.apply(&scene.export(&Base::Prepared)).unwrap();
        assert_eq!(scene.read("README"), "by the guest\n");
    }
}

#[test]
fn what_no_patch_carries_is_what_is_beside_the_branch_and_in_other_repositories() {
    let scene = Scene::committed();
    scene.prepare();
    let path = scene.inside().display().to_string();
    let look = || beside_patch(&mut Local::default(), &path).unwrap();
    let beside = || look().left;
    scene.write_inside("new", "new\n");
    assert_eq!(look().commits, 0);
    scene.git_inside(&["add", "new"]);
    scene.git_inside(&["commit", "-qm", "on the branch"]);
    scene.write_inside("more", "more\n");
    assert!(beside().is_empty(), "{:?}", beside());
    assert_eq!(look().commits, 1, "the patch has its changes, not itself");
    scene.git_inside(&["branch", "same"]);
    assert!(beside().is_empty());
    scene.git_inside(&["checkout", "-qb", "side"]);
    scene.git_inside(&["commit", "-qm", "on the side", "--allow-empty"]);
    assert!(beside().is_empty());
    scene.git_inside(&["checkout", "-q", "same"]);
    scene.git_inside(&["clone", "-q", ".", "sub"]);
    assert_eq!(subjects(&beside()), ["on the side"]);
    assert_eq!(files(&beside()), [("new", "sub")]);
}

#[test]
fn repositories_without_a_commit_keep_nothing_else_from_coming_back() {
    let scene = Scene::committed();
    let first = scene.prepare();
    for name in ["inner", "odd [a]*\n", ":(top)x"] {
        scene.git_inside(&["init", "-q", name]);
        scene.write_inside(&format!("{name}/own"), "x\n");
    }
    scene.write_inside("odd a", "new\n");
    let found = look(&scene);
    assert_eq!(
        files(&found),
        [
            ("new", "odd a"),
            ("new", ":(top)x"),
            ("new", "inner"),
            ("new", "odd [a]*\\n")
        ]
    );
    let path = scene.inside().display().to_string();
    let left = beside_patch(&mut Local::default(), &path).unwrap().left;
    assert_eq!(files(&left), files(&found)[1..]);
    scene.apply(&scene.export(&Base::Prepared)).unwrap();
    assert_eq!(scene.read("odd a"), "new\n");
    assert!(!scene.path("host/inner").exists());
    // And a prepare leaves them where they are.
    scene.write("README", "by the host\n");
    scene.commit("what came back, and more");
    scene.prepare_as(&Choice::default(), Some(&first), false).unwrap();
    assert!(scene.inside().join("inner/own").exists());
    // What else git refuses is no less an error.
    if !rustix::process::geteuid().is_root() {
        scene.write_inside("closed", "x\n");
        fs::set_permissions(scene.inside().join("closed"), fs::Permissions::from_mode(0o0)).unwrap();
        unsaved(&mut Local::default(), &path, None).unwrap_err();
    }
}

#[test]
fn changes_in_linked_worktrees_are_in_the_guest_only() {
    let scene = Scene::committed();
    scene.prepare();
    scene.write_inside(".gitignore", "main.o\nignored\n");
    scene.git_inside(&["commit", "-qam", "ignore it"]);
    let beside = scene.inside().with_extension("tree");
    for place in [beside.to_str().unwrap(), "seen", "ignored/tree"] {
        scene.git_inside(&["worktree", "add", "-q", "--detach", place, "HEAD~1"]);
    }
    let ignored = scene.inside().join("ignored/tree");
    let changed = |found: &Unsaved| -> Vec<String> {
        let files = found.files.iter().filter(|file| file.what == "changed");
        let paths = files.map(|file| file.path.clone());
        let mut paths: Vec<_> = paths.filter(|path| path != ".gitignore").collect();
        paths.sort();
        paths
    };
    assert_eq!(changed(&look(&scene)), Vec::<String>::new());
    fs::write(beside.join("README"), "changed\n").unwrap();
    fs::write(ignored.join("new"), "new\n").unwrap();
    fs::write(scene.inside().join("seen/new"), "new\n").unwrap();
    let found = look(&scene);
    assert_eq!(
        changed(&found),
        [beside.display().to_string(), ignored.display().to_string()]
    );
    assert!(files(&found).contains(&("new", "seen")), "{found:?}");
    let path = scene.inside().display().to_string();
    let left = beside_patch(&mut Local::default(), &path).unwrap().left;
    assert_eq!(changed(&left), changed(&found));
}

#[test]
fn programs_that_run_in_a_workspace_are_seen_and_those_beside_it_are_not() {
    let scene = Scene::committed();
    scene.prepare();
    fs::create_dir(scene.inside().with_extension("beside")).unwrap();
    for (place, busy) in [
        ("", true),
        ("src", true),
        ("..", false),
        ("../repo.beside", false),
    ] {
        let mut program = std::process::Command::new("sleep");
        let mut program = program
            .arg("600")
            .current_dir(scene.inside().join(place))
            .spawn()
            .unwrap();
        let found = look(&scene);
        program.kill().unwrap();
        program.wait().unwrap();
        assert_eq!((found.busy, found.is_empty()), (busy, true), "{place}");
    }
    assert!(!look(&scene).busy);
}

/// A guest that says this, and ends so.
struct Saying(Vec<u8>, i32);

impl Guest for Saying {
    fn run(&mut self, _: &[String], _: Box<dyn Read + Send>, output: &mut dyn Write) -> io::Result<Ended> {
        output.write_all(&self.0)?;
        Ok(Ended {
            code: self.1,
            stderr: Vec::new(),
        })
    }

    fn unpack(&mut self, _: &str, _: Parcel) -> Result<(), WorkspaceError> {
        Ok(())
    }
}

#[test]
fn a_path_that_a_guest_says_floods_no_terminal() {
    let scene = Scene::committed();
    for (length, refused) in [
        (400, false),
        (401, false),
        (4096, false),
        (4097, true),
        (12 << 20, true),
    ] {
        let id = "a".repeat(40);
        let mut answer = format!("0 idle\0\0:100644 100644 {id} {id} M\0").into_bytes();
        answer.extend(std::iter::repeat_n(b'x', length));
        answer.push(0);
        let found = unsaved(&mut Saying(answer, 0), "/x", Some(&scene.find()));
        assert_eq!(found.is_err(), refused, "{length}");
        if let Ok(found) = found {
            assert!(found.files[0].path.chars().count() <= 401, "{length}");
        }
    }
    let before = scene.prepare();
    scene.write("README", "by the host\n");
    let named = vec![0x1b; 1 << 20];
    let refused = scene
        .prepare_into(&mut Saying(named, 93), &Choice::default(), Some(&before), false)
        .unwrap_err();
    assert!(refused.to_string().len() < 4000, "{}", refused.to_string().len());
}

#[test]
fn what_was_pulled_merged_and_prepared_anew_is_not_in_the_guest_only() {
    let scene = Scene::committed();
    let first = scene.prepare();
    scene.write_inside("src/main.c", "by the guest\n");
    scene.git_inside(&["commit", "-qam", "there"]);
    let (repository, path) = (scene.find(), scene.inside().display().to_string());
    let pulled = pull(&repository, &mut Local::default(), &path, first.commit.as_deref()).unwrap();
    pulled.unwrap().keep_as("there").unwrap();
    scene.git(&["merge", "-q", "there"]);
    scene.prepare_as(&Choice::default(), Some(&first), false).unwrap();
    assert!(look(&scene).is_empty(), "{:?}", look(&scene));
}

#[test]
fn a_workspace_without_a_commit_is_looked_at_too() {
    let scene = Scene::new();
    scene.prepare();
    assert!(look(&scene).is_empty());
    scene.write_inside("new", "new\n");
    assert_eq!(files(&look(&scene)), [("new", "new")]);
    scene.git_inside(&["add", "new"]);
    scene.git_inside(&["commit", "-qm", "the first"]);
    assert_eq!(look(&scene).commits.len(), 1);
}

#[test]
fn a_workspace_can_be_another_users() {
    let scene = Scene::committed();
    let guest = scene.path("guest");
    let mode = |path: &std::path::Path| path.metadata().unwrap().mode() & 0o7777;
    fs::set_permissions(&guest, fs::Permissions::from_mode(0o700)).unwrap();
    let path = scene.inside().display().to_string();
    let give = |user: &str, before| {
        let destination = Destination {
            path: &path,
            before,
            force: false,
            user: Some(user),
        };
        let selection = scene.select(&Choice::default());
        prepare(&scene.find(), &selection, &mut Local::default(), destination)
    };
    let refused = give("no-such-user", None).unwrap_err();
    assert!(matches!(refused, WorkspaceError::NoSuchUser { .. }), "{refused}");
    assert!(!scene.inside().exists());
    let root = rustix::process::geteuid().is_root();
    let user = match root {
        true => 12345,
        false => rustix::process::geteuid().as_raw(),
    };
    let first = give(&user.to_string(), None).unwrap();
    assert_eq!(mode(&guest), 0o711, "the user can get there");
    let all_theirs = || {
        for (name, _) in tree(&scene.inside(), true) {
            let owner = scene.inside().join(&name).symlink_metadata().unwrap().uid();
            assert_eq!(owner, user, "{}", name.display());
        }
    };
    all_theirs();
    scene.write("README", "second\n");
    scene.write("more", "more\n");
    scene.commit("second");
    give(&user.to_string(), Some(&first)).unwrap();
    all_theirs();
}
