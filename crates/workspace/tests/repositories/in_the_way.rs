//! What git does not look into in the guest, and lies where the host's repository now has a file: it is named, nothing is
//! followed out of the workspace, and what gives way by force is kept.

use std::fs;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use workspace::{Base, Choice, Prepared, WorkspaceError, unsaved};

use crate::support::{Local, Scene, git, tree};

/// With untracked files.
fn choice() -> Choice {
    Choice {
        untracked: true,
        ..Choice::default()
    }
}

/// The files that a prepare names.
fn named(scene: &Scene, before: &Prepared) -> Vec<String> {
    match scene.prepare_as(&choice(), Some(before), false) {
        Err(WorkspaceError::GuestWork { files }) => files,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("nothing is in the way"),
    }
}

fn force(scene: &Scene, before: &Prepared) {
    scene.prepare_as(&choice(), Some(before), true).unwrap();
    assert_eq!(tree(&scene.top(), false), tree(&scene.inside(), false));
}

/// What was kept apart of what git cannot keep.
fn kept(scene: &Scene) -> PathBuf {
    let replaced = scene.git_inside(&["rev-parse", "refs/banger/replaced"]);
    scene.inside().join(".git/banger/replaced").join(replaced.trim())
}

/// A folder beside the guest's workspace, with a repository in it that holds work.
fn elsewhere(scene: &Scene) -> PathBuf {
    let folder = scene.path("guest/elsewhere");
    fs::create_dir_all(&folder).unwrap();
    git(&folder, &["init", "-q", "inner"]);
    for place in ["inner/work", "local", "d/local"] {
        fs::create_dir_all(folder.join(place).parent().unwrap()).unwrap();
        fs::write(folder.join(place), "precious\n").unwrap();
    }
    folder
}

fn assert_untouched(elsewhere: &Path) {
    for place in ["inner/work", "local", "d/local"] {
        let text = fs::read_to_string(elsewhere.join(place)).unwrap();
        assert_eq!(text, "precious\n", "{place}");
    }
    assert!(elsewhere.join("inner/.git").is_dir());
}

#[test]
fn a_repository_below_a_folder_that_the_host_replaces_is_named_and_kept() {
    type Replace<'a> = &'a dyn Fn(&Scene, &str);
    let file: Replace<'_> = &|scene, path| {
        let _ = fs::remove_dir_all(scene.top().join(path));
        scene.write(path, "a file now\n");
    };
    let link: Replace<'_> = &|scene, path| symlink("README", scene.top().join(path)).unwrap();
    for (inner, place, replace) in [
        ("tools/inner", "tools", file),
        ("tools/inner", "tools", link),
        ("tools/deep/inner", "tools", file),
        ("tools/deep/inner", "tools/deep", file),
        ("tools/deep/inner", "tools/deep/inner/x/y", file),
        // One that is ignored, and one in a folder that is tracked.
        ("some.o/inner", "some.o", file),
        ("src/inner", "src", file),
        ("src/some.o", "src", file),
        // No name is an option.
        ("-rf/inner", "-rf", file),
    ] {
        for how in ["untracked", "staged", "committed"] {
            if how != "committed" && place != "tools" {
                continue;
            }
            let scene = Scene::committed();
            let first = scene.prepare_as(&choice(), None, false).unwrap();
            scene.git_inside(&["clone", "-q", ".", "-l", "--", &format!("./{inner}")]);
            scene.write_inside(&format!("{inner}/work"), "precious\n");
            replace(&scene, place);
            if how != "untracked" {
                scene.git(&["add", "-Af", "."]);
            }
            if how == "committed" {
                scene.git(&["commit", "-qm", "in its place"]);
            }
            let top = if inner.len() < place.len() { inner } else { place };
            assert_eq!(named(&scene, &first), [top], "{place} {how}");
            let work = format!("{inner}/work");
            assert_eq!(scene.read_inside(&work), "precious\n");
            force(&scene, &first);
            assert!(!scene.inside().join(&work).exists());
            assert_eq!(fs::read_to_string(kept(&scene).join(work)).unwrap(), "precious\n");
            git(&kept(&scene).join(inner), &["log", "-1"]);
        }
    }
}

#[test]
fn a_link_in_the_way_is_replaced_and_what_it_leads_to_stays() {
    for (target, path) in [
        ("../elsewhere", "way/inner/main.c"),
        ("../elsewhere", "way/local"),
        ("../elsewhere", "way/d/local"),
        ("..", "way/repo/x"),
        ("../elsewhere", "way"),
        (".", "way/.gitignore"),
        ("..", "way/elsewhere/inner/main.c"),
    ] {
        for how in ["seen", "ignored", "sparse"] {
            if how == "sparse" && path != "way/local" {
                continue;
            }
            let scene = Scene::committed();
            let first = scene.prepare_as(&choice(), None, false).unwrap();
            let elsewhere = elsewhere(&scene);
            symlink(target, scene.inside().join("way")).unwrap();
            if how != "seen" {
                fs::create_dir_all(scene.inside().join(".git/info")).unwrap();
                fs::write(scene.inside().join(".git/info/exclude"), "/way\n").unwrap();
            }
            if how == "sparse" {
                scene.git_inside(&["sparse-checkout", "set", "src"]);
            }
            scene.write(path, "by the host\n");
            scene.git(&["add", "-f", path]);
            scene.git(&["commit", "-qm", "in its place"]);
            assert_eq!(named(&scene, &first)[0], "way", "{target} {path} {how}");
            scene.prepare_as(&choice(), Some(&first), true).unwrap();
            assert_untouched(&elsewhere);
            assert!(scene.inside().join(".git/HEAD").exists(), "{target} {path}");
            assert!(!scene.inside().join("way").is_symlink());
            if how != "sparse" {
                scene.assert_same();
                assert_eq!(scene.read_inside(path), "by the host\n");
            }
            let link = scene.git_inside(&["show", "refs/banger/replaced:way"]);
            assert_eq!(link, target);
        }
    }
}

#[test]
fn files_that_the_host_sends_come_over_no_link_and_onto_nothing_that_git_ignores() {
    let exclude = |scene: &Scene, text: &str| {
        fs::create_dir_all(scene.inside().join(".git/info")).unwrap();
        fs::write(scene.inside().join(".git/info/exclude"), text).unwrap();
    };
    // A tracked file that is back on the host, an untracked one, and one that is there again.
    for path in ["way/local", "way/d/local", "way/new"] {
        for sent in ["tracked", "untracked"] {
            let scene = Scene::committed();
            if sent == "tracked" {
                scene.write(path, "by the host\n");
                scene.commit("with it");
                fs::remove_file(scene.top().join(path)).unwrap();
            }
            let first = scene.prepare_as(&choice(), None, false).unwrap();
            exclude(&scene, "/way\n");
            let elsewhere = elsewhere(&scene);
            symlink(&elsewhere, scene.inside().join("way")).unwrap();
            for text in ["by the host\n", "edited\n"] {
                scene.write(path, text);
                let files = named(&scene, &first);
                assert!(files.contains(&"way".to_owned()), "{path} {sent}: {files:?}");
                assert_untouched(&elsewhere);
            }
            force(&scene, &first);
            assert_eq!(scene.read_inside(path), "edited\n");
            assert_untouched(&elsewhere);
            assert!(!elsewhere.join("new").exists());
        }
    }
    // What is ignored, as a file, a folder and a repository.
    let scene = Scene::committed();
    let first = scene.prepare_as(&choice(), None, false).unwrap();
    exclude(&scene, "/way*\n");
    scene.write_inside("way1", "precious\n");
    scene.write_inside("way2/file", "precious\n");
    scene.git_inside(&["init", "-q", "way3"]);
    scene.write_inside("way3/work", "precious\n");
    for path in ["way1", "way2", "way3"] {
        scene.write(path, "by the host\n");
    }
    assert_eq!(named(&scene, &first), ["way1", "way2/file", "way3"]);
    force(&scene, &first);
    for path in ["way1", "way2/file"] {
        let there = format!("refs/banger/replaced:{path}");
        assert_eq!(scene.git_inside(&["show", &there]), "precious\n");
    }
    assert!(kept(&scene).join("way3/work").exists());
    // And what was built is in the way of nothing else.
    let scene = Scene::committed();
    let first = scene.prepare_as(&choice(), None, false).unwrap();
    scene.write_inside("main.o", "built\n");
    scene.write("new", "by the host\n");
    let mut guest = Local::default();
    scene
        .prepare_into(&mut guest, &choice(), Some(&first), false)
        .unwrap();
    assert_eq!(guest.ran.len(), 1);
    assert_eq!(scene.read_inside("main.o"), "built\n");
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_a_deletion_and_is_kept() {
    let scene = Scene::committed();
    let first = scene.prepare();
    let pipe = scene.inside().join("README");
    fs::remove_file(&pipe).unwrap();
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    scene.git_inside(&["init", "-q", "empty"]);
    scene.write_inside("new", "new\n");
    let path = scene.inside().display().to_string();
    let found = unsaved(&mut Local::default(), &path, Some(&scene.find())).unwrap();
    let files: Vec<_> = found.files.iter().map(|file| (file.what, &*file.path)).collect();
    assert_eq!(files, [("deleted", "README"), ("new", "new"), ("new", "empty")]);
    let patch = scene.export(&Base::Prepared);
    let patch = String::from_utf8(patch).unwrap();
    assert!(
        patch.contains("deleted file mode") && patch.contains("+new"),
        "{patch}"
    );
    for place in ["src/main.c", "README"] {
        scene.write(place, "by the host\n");
        assert!(named(&scene, &first).contains(&"README".to_owned()));
    }
    scene.commit("on the host");
    assert_eq!(named(&scene, &first), ["README", "new"]);
    assert!(pipe.symlink_metadata().unwrap().file_type().is_fifo());
    fs::remove_dir_all(scene.inside().join("empty")).unwrap();
    force(&scene, &first);
    let kept = kept(&scene).join("README");
    assert!(kept.symlink_metadata().unwrap().file_type().is_fifo());
}
