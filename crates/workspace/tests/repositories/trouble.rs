//! What goes wrong in the middle.

use workspace::{Base, Choice, Destination, Selection, WorkspaceError, prepare, recover};

use crate::support::{Break, Local, Scene, tree};

#[test]
fn a_guest_that_goes_away_in_mid_prepare_leaves_the_workspace_as_it_was() {
    let scene = Scene::committed();
    for number in 0..50 {
        scene.write(&format!("large/{number}"), &format!("{number}").repeat(20_000));
    }
    let choice = Choice {
        untracked: true,
        ..Choice::default()
    };
    for breaks in [Break::Input(100), Break::Unpack(100_000)] {
        let mut guest = Local {
            breaks,
            ..Local::default()
        };
        scene.prepare_into(&mut guest, &choice, None, false).unwrap_err();
        assert!(!scene.inside().exists());
    }
    let first = scene.prepare_as(&choice, None, false).unwrap();
    let state = |scene: &Scene| {
        (
            tree(&scene.inside(), false),
            scene.git_inside(&["rev-parse", "HEAD", "refs/banger/prepared"]),
        )
    };
    let before = state(&scene);
    scene.write("large/new", &"new".repeat(100_000));
    scene.write("README", "second\n");
    scene.commit("second");
    scene.write("large/new", &"newer".repeat(100_000));
    for breaks in [Break::Input(100), Break::Unpack(100_000)] {
        let mut guest = Local {
            breaks,
            ..Local::default()
        };
        scene
            .prepare_into(&mut guest, &choice, Some(&first), false)
            .unwrap_err();
        assert_eq!(state(&scene), before);
    }
    scene.prepare_as(&choice, Some(&first), false).unwrap();
    scene.assert_same();
    let left = std::fs::read_dir(scene.inside().join(".git")).unwrap();
    let left = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(
        left.filter(|name| name.starts_with("banger-"))
            .collect::<Vec<_>>(),
        Vec::<String>::new()
    );
}

#[test]
fn a_file_that_vanishes_while_it_is_read_is_named() {
    let scene = Scene::committed();
    scene.write("README", "edited\n");
    let repository = scene.find();
    let selection = Selection::of(&repository, &Choice::default()).unwrap();
    std::fs::remove_file(scene.top().join("README")).unwrap();
    let path = scene.inside().display().to_string();
    let destination = Destination {
        path: &path,
        before: None,
        force: false,
        user: None,
    };
    let moved = prepare(&repository, &selection, &mut Local::default(), destination).unwrap_err();
    assert_eq!(
        moved.to_string(),
        "`README` changed while the repository was read"
    );
    assert!(!scene.inside().exists());
}

#[test]
fn a_locked_index_of_the_host_is_no_obstacle_and_stays() {
    let scene = Scene::committed();
    scene.write("README", "edited\n");
    let lock = scene.top().join(".git/index.lock");
    std::fs::write(&lock, "").unwrap();
    scene.prepare();
    scene.write_inside("src/main.c", "guest\n");
    scene.apply(&scene.export(&Base::Prepared)).unwrap();
    assert_eq!(scene.read("src/main.c"), "guest\n");
    assert!(lock.exists());
}

#[test]
fn a_tree_that_cannot_take_all_of_a_patch_is_as_before() {
    let scene = Scene::committed();
    scene.write("z/last", "last\n");
    scene.commit("last");
    scene.prepare();
    scene.write_inside("README", "guest\n");
    std::fs::remove_dir_all(scene.inside().join("src")).unwrap();
    scene.write_inside("new/deep", "new\n");
    scene.write_inside("z/last", "guest\n");
    let patch = scene.export(&Base::Prepared);
    // Comes to be after the last file before it is in its place: a folder where a file is to go.
    std::fs::create_dir(scene.top().join("new")).unwrap();
    std::fs::create_dir(scene.top().join("new/deep")).unwrap();
    let before = tree(&scene.top(), true);
    let refused = scene.apply(&patch).unwrap_err();
    assert!(refused.to_string().contains("new/deep"), "{refused}");
    assert_eq!(tree(&scene.top(), true), before);
    assert!(scene.top().join("src").is_dir());
}

#[test]
fn a_prepare_whose_host_went_away_at_its_very_end_is_in_nobodys_way() {
    let scene = Scene::committed();
    let first = scene.prepare();
    scene.write("README", "second\n");
    scene.commit("second");
    // Done there, and never noted here.
    scene.prepare_as(&Choice::default(), Some(&first), false).unwrap();
    scene.write("README", "third\n");
    scene.prepare_as(&Choice::default(), Some(&first), false).unwrap();
    scene.assert_same();
}

#[test]
fn a_patch_that_the_host_has_no_room_for_changes_nothing() {
    let test = "trouble::a_patch_that_the_host_has_no_room_for_changes_nothing";
    let Some(disk) = testkit::with_a_little_disk(test, 1024) else {
        return;
    };
    let scene = Scene::committed_with("host", &disk);
    scene.prepare();
    scene.write_inside("README", "guest\n");
    scene.write_inside("large", &"large\n".repeat(500_000));
    let patch = scene.export(&Base::Prepared);
    let before = tree(&scene.top(), true);
    let full = scene.apply(&patch).unwrap_err();
    assert!(matches!(full, WorkspaceError::NoRoom { .. }), "{full}");
    assert_eq!(tree(&scene.top(), true), before);
    assert_eq!(recover(&scene.find()).unwrap(), None);
}

#[test]
fn a_guest_without_room_keeps_the_workspace_that_it_has() {
    let test = "trouble::a_guest_without_room_keeps_the_workspace_that_it_has";
    let Some(disk) = testkit::with_a_little_disk(test, 1024) else {
        return;
    };
    let scene = Scene::committed_with("guest", &disk);
    let first = scene.prepare();
    let before = tree(&scene.inside(), false);
    // Too much as a file of the working tree; then as an object.
    scene.write("README", "second\n");
    scene.write("src/main.c", &"large\n".repeat(500_000));
    let choice = Choice::default();
    scene.prepare_as(&choice, Some(&first), false).unwrap_err();
    assert_eq!(tree(&scene.inside(), false), before);
    let mut noise = 1_u64;
    let noise: String = std::iter::repeat_with(|| {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        format!("{noise:x}\n")
    })
    .take(150_000)
    .collect();
    scene.write("src/main.c", &noise);
    scene.commit("large");
    let full = scene.prepare_as(&choice, Some(&first), false).unwrap_err();
    assert!(full.to_string().contains("No space left on device"), "{full}");
    assert_eq!(tree(&scene.inside(), false), before);
    // Room again, and it goes through.
    scene.git(&["rm", "-qf", "src/main.c"]);
    scene.git(&["commit", "-q", "--amend", "-m", "small"]);
    scene.prepare_as(&choice, Some(&first), false).unwrap();
    scene.assert_same();
}

#[test]
fn a_guest_without_git_is_told_as_that() {
    let scene = Scene::committed();
    let programs = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/bin/sh", programs.path().join("sh")).unwrap();
    let mut guest = Local {
        programs: Some(programs.path().to_owned()),
        ..Local::default()
    };
    let error = scene
        .prepare_into(&mut guest, &Choice::default(), None, false)
        .unwrap_err();
    assert!(matches!(error, WorkspaceError::NoGitInGuest), "{error:?}");
    assert!(!scene.inside().exists());
}
