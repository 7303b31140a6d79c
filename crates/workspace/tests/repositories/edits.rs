//! Prepares after edits alone: the short way must come to what the long one comes to.

use workspace::{Choice, Prepared};

use crate::support::{Local, Scene, git, tree};

/// With untracked files.
fn choice() -> Choice {
    Choice {
        untracked: true,
        ..Choice::default()
    }
}

/// Prepares again; whether the short way was gone to its end, as the only command.
fn again(scene: &Scene, before: &mut Prepared) -> bool {
    let mut guest = Local::default();
    *before = scene
        .prepare_into(&mut guest, &choice(), Some(before), false)
        .unwrap();
    scene.assert_same();
    assert_eq!(tree(&scene.top(), false), tree(&scene.inside(), false));
    matches!(&guest.ran[..], [(script, 0)] if script.contains("git checkout-index"))
}

#[test]
fn edits_deletions_and_their_undoing_go_the_short_way() {
    let scene = Scene::committed();
    let mut before = scene.prepare_as(&choice(), None, false).unwrap();
    let steps: &[&dyn Fn()] = &[
        &|| scene.write("README", "edited\n"),
        &|| scene.write("README", "edited once more\n"),
        &|| scene.write("new file", "untracked\n"),
        &|| std::fs::remove_file(scene.top().join("src/old.c")).unwrap(),
        // As it was committed, once deleted and once edited.
        &|| drop(scene.git(&["checkout", "-q", "src/old.c", "README"])),
        &|| std::fs::remove_file(scene.top().join("new file")).unwrap(),
        // A file, a folder, a link and a file again.
        &|| {
            std::fs::remove_file(scene.top().join("README")).unwrap();
            scene.write("README/inside", "a folder\n");
            scene.write("README/more", "a folder\n");
        },
        &|| scene.write("README/inside", "changed\n"),
        &|| {
            std::fs::remove_dir_all(scene.top().join("README")).unwrap();
            std::os::unix::fs::symlink("src/main.c", scene.top().join("README")).unwrap();
        },
        &|| {
            std::fs::remove_file(scene.top().join("README")).unwrap();
            scene.write("README", "a file\n");
        },
        &|| {
            let longest = "n".repeat(255);
            for name in [
                "-rf",
                "a\nb",
                "\u{1b}[31m",
                "\u{e9}",
                ":(top)x",
                "\"q\"",
                " ",
                &longest,
            ] {
                scene.write(name, name);
            }
        },
        &|| {
            for name in ["-rf", "a\nb", " "] {
                std::fs::remove_file(scene.top().join(name)).unwrap();
            }
        },
        &|| {},
    ];
    for (number, step) in steps.iter().enumerate() {
        step();
        assert!(again(&scene, &mut before), "step {number}");
    }
}

#[test]
fn what_was_staged_or_committed_goes_the_long_way_and_the_next_edit_the_short_one() {
    let scene = Scene::committed();
    let mut before = scene.prepare_as(&choice(), None, false).unwrap();
    for step in [
        &["add", "README"][..],
        &["commit", "-qm", "second"],
        &["rm", "-q", "--cached", "src/old.c"],
        &["checkout", "-q", "--detach"],
        &["checkout", "-q", "-b", "other"],
        &["update-index", "--chmod=+x", "src/main.c"],
    ] {
        scene.write("README", &format!("before {step:?}\n"));
        scene.git(step);
        assert!(!again(&scene, &mut before), "{step:?}");
        scene.write("README", &format!("after {step:?}\n"));
        assert!(again(&scene, &mut before), "{step:?}");
    }
}

#[test]
fn what_the_guest_did_to_its_index_head_or_notes_is_no_way_to_lead_an_edit_astray() {
    let scene = Scene::committed();
    scene.write("README", "edited\n");
    let mut before = scene.prepare_as(&choice(), None, false).unwrap();
    let inside = scene.inside();
    let steps: &[&dyn Fn()] = &[
        &|| drop(scene.git_inside(&["add", "README"])),
        &|| drop(scene.git_inside(&["rm", "-q", "--cached", "src/old.c"])),
        &|| drop(scene.git_inside(&["checkout", "-q", "--detach"])),
        &|| drop(scene.git_inside(&["checkout", "-q", "-b", "elsewhere"])),
        &|| drop(scene.git_inside(&["update-ref", "-d", "refs/banger/index"])),
        &|| drop(scene.git_inside(&["update-ref", "refs/banger/index", "HEAD"])),
        &|| std::fs::remove_dir_all(inside.join(".git/banger")).unwrap(),
        &|| std::fs::write(inside.join(".git/index.lock"), "").unwrap(),
        &|| std::fs::write(inside.join(".git/banger/settled"), "no index").unwrap(),
        &|| std::fs::write(inside.join(".git/index"), "no index").unwrap(),
    ];
    for (number, step) in steps.iter().enumerate() {
        scene.write("src/main.c", &format!("{number}\n"));
        step();
        let outcome = {
            let mut guest = Local::default();
            scene.prepare_into(&mut guest, &choice(), Some(&before), false)
        };
        match outcome {
            Ok(prepared) => before = prepared,
            // A broken index says so; told to, it is made anew.
            Err(error) if number == 9 => {
                assert!(error.to_string().contains("index"), "{error}");
                std::fs::remove_file(inside.join(".git/index")).unwrap();
                before = scene.prepare_as(&choice(), Some(&before), true).unwrap();
            }
            Err(error) => panic!("step {number}: {error}"),
        }
        scene.assert_same();
        assert_eq!(tree(&scene.top(), false), tree(&inside, false), "step {number}");
    }
}

#[test]
fn an_edit_made_in_the_guest_to_a_file_edited_on_the_host_is_work() {
    let scene = Scene::committed();
    scene.write("README", "by the host\n");
    let before = scene.prepare();
    scene.write_inside("README", "by the guest\n");
    scene.write("src/main.c", "something else\n");
    let refused = scene
        .prepare_as(&Choice::default(), Some(&before), false)
        .unwrap_err();
    assert!(refused.to_string().contains("README"), "{refused}");
    assert_eq!(scene.read_inside("README"), "by the guest\n");
    // Deleted there is changed there.
    std::fs::remove_file(scene.inside().join("README")).unwrap();
    let refused = scene
        .prepare_as(&Choice::default(), Some(&before), false)
        .unwrap_err();
    assert!(refused.to_string().contains("README"), "{refused}");
    scene.prepare_as(&Choice::default(), Some(&before), true).unwrap();
    scene.assert_same();
}

#[test]
fn objects_that_the_host_packed_are_whole_in_the_guest_in_either_format() {
    for format in ["sha1", "sha256"] {
        let scene = Scene::new();
        std::fs::remove_dir_all(scene.top().join(".git")).unwrap();
        scene.git(&["init", "-q", "-b", "main", "--object-format", format]);
        scene.git(&["config", "user.name", "Ada"]);
        scene.git(&["config", "user.email", "ada@example.com"]);
        scene.write("empty", "");
        scene.write("large", &"0123456789abcdef\n".repeat(100_000));
        for number in 0..300 {
            scene.write(&format!("many/{}/{number}", number % 7), &format!("{number}\n"));
        }
        scene.commit("first");
        // As deltas, which do not go.
        scene.write(
            "large",
            &("begins anew\n".to_owned() + &"0123456789abcdef\n".repeat(100_000)),
        );
        scene.commit("second");
        scene.git(&["repack", "-adfq"]);
        let first = scene.prepare();
        scene.assert_same();
        git(&scene.inside(), &["fsck", "--strict", "--full"]);
        git(&scene.inside(), &["verify-pack", "--", &only_pack(&scene)]);
        scene.write("many/1/1", "changed\n");
        scene.commit("third");
        scene.prepare_as(&Choice::default(), Some(&first), false).unwrap();
        scene.assert_same();
        git(&scene.inside(), &["fsck", "--strict", "--full"]);
    }
}

/// The index of the one pack that the guest has.
fn only_pack(scene: &Scene) -> String {
    let packs = std::fs::read_dir(scene.inside().join(".git/objects/pack")).unwrap();
    let packs = packs.map(|entry| entry.unwrap().path().display().to_string());
    let indexes: Vec<String> = packs.filter(|path| path.ends_with(".idx")).collect();
    assert_eq!(indexes.len(), 1, "{indexes:?}");
    indexes[0].clone()
}

#[test]
fn an_object_that_is_damaged_on_the_host_is_told_and_leaves_nothing_in_the_guest() {
    let scene = Scene::new();
    scene.write("large", &"0123456789abcdef\n".repeat(10_000));
    scene.commit("first");
    let blob = scene.git(&["rev-parse", "HEAD:large"]);
    let (folder, file) = blob.trim().split_at(2);
    let object = scene.top().join(format!(".git/objects/{folder}/{file}"));
    let mut bytes = std::fs::read(&object).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::remove_file(&object).unwrap();
    std::fs::write(&object, bytes).unwrap();
    let refused = scene.prepare_as(&Choice::default(), None, false).unwrap_err();
    assert!(refused.to_string().contains("pack the objects"), "{refused}");
    assert!(!scene.inside().exists());
    assert!(!scene.path("guest/repo.banger-incoming").exists());
}

#[test]
fn an_edit_that_brings_back_what_the_guest_is_to_leave_alone_goes_the_long_way() {
    let scene = Scene::committed();
    scene.write("README", "edited\n");
    scene.write("one", "untracked\n");
    scene.write("two", "untracked\n");
    let first = scene.prepare_as(&choice(), None, false).unwrap();
    scene.git_inside(&["update-index", "--skip-worktree", "README"]);
    scene.git(&["checkout", "-q", "README"]);
    std::fs::remove_file(scene.top().join("one")).unwrap();
    scene.write("two", "changed\n");
    scene.prepare_as(&choice(), Some(&first), false).unwrap();
    assert!(!scene.inside().join("one").exists());
    assert_eq!(scene.read_inside("two"), "changed\n");
    assert_eq!(scene.read_inside("README"), scene.read("README"));
}
