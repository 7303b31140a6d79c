//! Submodules that are checked out in the guest: what is in them only is work, and no prepare touches it.

use std::fs;
use std::path::Path;

use workspace::{Choice, Prepared, Unsaved, beside_patch, unsaved};

use crate::support::{Local, Scene, git};

/// A workspace with a submodule, `lib`, that was cloned in the guest.
fn with_submodule() -> (Scene, Prepared) {
    let scene = Scene::committed();
    let library = scene.path("library");
    fs::create_dir_all(&library).unwrap();
    git(&library, &["init", "-q", "-b", "main"]);
    fs::write(library.join("file"), "one\n").unwrap();
    git(&library, &["add", "."]);
    identify(&library);
    git(&library, &["commit", "-qm", "library"]);
    // One that no branch of the remote has.
    git(&library, &["commit", "-qm", "tagged", "--allow-empty"]);
    git(&library, &["tag", "v1"]);
    git(&library, &["reset", "-q", "--hard", "HEAD~1"]);
    let id = git(&library, &["rev-parse", "HEAD"]);
    let entry = format!("160000,{},lib", id.trim());
    scene.git(&["update-index", "--add", "--cacheinfo", &entry]);
    fs::create_dir(scene.top().join("lib")).unwrap();
    scene.git(&["commit", "-qm", "with a library"]);
    let first = scene.prepare();
    let from = library.display().to_string();
    scene.git_inside(&["-c", "protocol.file.allow=always", "clone", "-q", &from, "lib"]);
    identify(&scene.inside().join("lib"));
    (scene, first)
}

fn identify(folder: &Path) {
    git(folder, &["config", "user.name", "Ada"]);
    git(folder, &["config", "user.email", "ada@example.com"]);
}

fn look(scene: &Scene) -> Unsaved {
    let path = scene.inside().display().to_string();
    unsaved(&mut Local::default(), &path, Some(&scene.find())).unwrap()
}

#[test]
fn work_in_a_submodule_is_in_the_guest_only() {
    let (scene, _) = with_submodule();
    assert!(look(&scene).is_empty(), "{:?}", look(&scene));
    let lib = scene.inside().join("lib");
    let path = scene.inside().display().to_string();
    let is_named = |what: &str| {
        let found = look(&scene);
        let left = beside_patch(&mut Local::default(), &path).unwrap().left;
        for found in [found, left] {
            let files: Vec<_> = found.files.iter().map(|file| (file.what, &*file.path)).collect();
            assert_eq!(files, [("changed", "lib")], "{what}");
        }
    };
    // Whatever the guest is told to make of it.
    scene.git_inside(&["config", "diff.ignoreSubmodules", "all"]);
    git(&lib, &["config", "status.showUntrackedFiles", "no"]);
    scene.write_inside("lib/file", "precious\n");
    is_named("a changed file");
    git(&lib, &["stash", "-q"]);
    is_named("a stash");
    git(&lib, &["stash", "drop", "-q"]);
    assert!(look(&scene).is_empty());
    scene.write_inside("lib/new", "precious\n");
    is_named("a new file");
    git(&lib, &["checkout", "-q", "-b", "side"]);
    git(&lib, &["add", "."]);
    git(&lib, &["commit", "-qm", "on the side"]);
    is_named("another commit");
    scene.write_inside("lib/new", "and changes\n");
    is_named("another commit and a change, once");
    git(&lib, &["checkout", "-qf", "main"]);
    is_named("another branch");
    git(&lib, &["branch", "-qD", "side"]);
    assert!(look(&scene).is_empty());
    // One that is a workspace of its own is looked at as that.
    scene.write_inside("lib/file", "precious\n");
    is_named("the first again");
    git(&lib, &["update-ref", "refs/banger/prepared", "HEAD"]);
    assert!(look(&scene).is_empty());
}

#[test]
fn no_prepare_touches_what_is_in_a_submodule() {
    let (scene, first) = with_submodule();
    for (key, value) in [
        ("submodule.recurse", "true"),
        ("submodule.lib.active", "true"),
        ("submodule.lib.url", "../library"),
    ] {
        scene.git_inside(&["config", key, value]);
    }
    scene.write_inside("lib/file", "precious\n");
    scene.write("README", "by the host\n");
    scene.commit("on the host");
    let second = scene.prepare_as(&Choice::default(), Some(&first), false).unwrap();
    assert_eq!(scene.read_inside("lib/file"), "precious\n");
    scene.git(&["update-index", "--force-remove", "lib"]);
    fs::remove_dir(scene.top().join("lib")).unwrap();
    scene.git(&["commit", "-qm", "without a library"]);
    scene.prepare_as(&Choice::default(), Some(&second), true).unwrap();
    assert_eq!(scene.read_inside("lib/file"), "precious\n");
}

#[test]
fn commits_of_a_repository_that_was_made_in_a_tracked_folder_are_in_the_guest_only() {
    let scene = Scene::committed();
    let first = scene.prepare();
    let inner = scene.inside().join("src");
    git(&inner, &["init", "-q"]);
    assert!(look(&scene).is_empty(), "it has no commit yet");
    identify(&inner);
    git(&inner, &["add", "."]);
    git(&inner, &["commit", "-qm", "precious"]);
    let path = scene.inside().display().to_string();
    let left = beside_patch(&mut Local::default(), &path).unwrap().left;
    for found in [look(&scene), left] {
        let files: Vec<_> = found.files.iter().map(|file| (file.what, &*file.path)).collect();
        assert_eq!(files, [("new", "src")]);
    }
    // A prepare changes the files, and leaves it.
    scene.write("src/main.c", "by the host\n");
    scene.commit("on the host");
    scene.prepare_as(&Choice::default(), Some(&first), false).unwrap();
    assert_eq!(scene.read_inside("src/main.c"), "by the host\n");
    git(&inner, &["log", "-1"]);
}

#[test]
fn files_in_the_folder_of_a_submodule_that_is_not_checked_out_are_work() {
    let gitlink = |scene: &Scene| {
        let id = scene.git(&["rev-parse", "HEAD"]);
        let entry = format!("160000,{},lib", id.trim());
        scene.git(&["update-index", "--add", "--cacheinfo", &entry]);
        fs::create_dir(scene.top().join("lib")).unwrap();
        scene.git(&["commit", "-qm", "with a library"]);
    };
    let look = |scene: &Scene| {
        let path = scene.inside().display().to_string();
        let found = unsaved(&mut Local::default(), &path, Some(&scene.find())).unwrap();
        let files = found.files.iter();
        files
            .map(|file| format!("{} {}", file.what, file.path))
            .collect::<Vec<_>>()
    };
    let changes: [&dyn Fn(&Scene); 2] = [
        &|scene| {
            fs::remove_dir(scene.top().join("lib")).unwrap();
            scene.git(&["rm", "-q", "--cached", "lib"]);
            scene.write("lib", "a file\n");
        },
        &|scene| {
            scene.git(&["rm", "-q", "--cached", "lib"]);
            scene.write("lib/f", "by the host\n");
        },
    ];
    for change in changes {
        let scene = Scene::committed();
        gitlink(&scene);
        let first = scene.prepare();
        assert_eq!(look(&scene), Vec::<String>::new());
        scene.write_inside("lib/f", "precious\n");
        assert_eq!(look(&scene), ["new lib/f"]);
        change(&scene);
        scene.commit("in its place");
        let refused = scene.prepare_as(&Choice::default(), Some(&first), false);
        assert!(refused.is_err());
        assert_eq!(scene.read_inside("lib/f"), "precious\n");
        scene.prepare_as(&Choice::default(), Some(&first), true).unwrap();
        assert_eq!(
            scene.git_inside(&["show", "refs/banger/replaced:lib/f"]),
            "precious\n"
        );
    }
}
