//! What git does not look into in the guest, and lies where the host's repository now has a file: it is named, nothing is
//! followed out of the workspace, and what gives way by force is kept.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use workspace::{Choice, Prepared, WorkspaceError};

use crate::support::{Scene, git};

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
    scene.assert_same();
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
        for how in ["staged", "committed"] {
            if how == "staged" && place != "tools" {
                continue;
            }
            let scene = Scene::committed();
            let first = scene.prepare_as(&choice(), None, false).unwrap();
            scene.git_inside(&["clone", "-q", ".", "-l", "--", &format!("./{inner}")]);
            scene.write_inside(&format!("{inner}/work"), "precious\n");
            replace(&scene, place);
            scene.git(&["add", "-Af", "."]);
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
