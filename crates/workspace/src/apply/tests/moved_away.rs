//! Files that cannot be taken back: their folder moved away meanwhile, or they changed.

use std::os::unix::fs::symlink;

use super::*;

const NEW_FILES: &str = "\
diff --git a/src/a b/src/a
new file mode 100644
index 0000000000000000000000000000000000000000..78981922613b2afb6025042ff6bd878ac1994e85
--- /dev/null
+++ b/src/a
@@ -0,0 +1 @@
+a
diff --git a/src/b b/src/b
new file mode 100644
index 0000000000000000000000000000000000000000..61780798228d17af2d34fce4cfbdf35556832472
--- /dev/null
+++ b/src/b
@@ -0,0 +1 @@
+b
";

/// A tree with a folder `src`, a patch that makes two files in it, and what it was before.
fn scene() -> (Scene, BTreeMap<PathBuf, String>) {
    let scene = Scene::new();
    lay(&scene.top(), &[("src/own", "own\n")]);
    fs::write(scene.patch(), NEW_FILES).unwrap();
    let before = scene.state();
    (scene, before)
}

/// Applies the patch and does something once the first file is there.
fn meddled(scene: &Scene, mut with: impl FnMut() -> Result<(), WorkspaceError>) -> WorkspaceError {
    let first = scene.top().join("src/a");
    let outcome = apply_at(scene.0.path(), &mut || {
        if first.exists() { with() } else { Ok(()) }
    });
    outcome.unwrap_err()
}

#[test]
fn files_behind_a_folder_that_became_a_link_are_named_and_taken_back_later() {
    for back in [true, false] {
        let (scene, before) = scene();
        let (src, aside, elsewhere) = (
            scene.top().join("src"),
            scene.top().join("src.real"),
            scene.0.path().join("elsewhere"),
        );
        fs::create_dir(&elsewhere).unwrap();
        let failed = meddled(&scene, || {
            fs::rename(&src, &aside).unwrap();
            symlink(&elsewhere, &src).unwrap();
            Ok(())
        });
        let WorkspaceError::NotTakenBack { files, kept } = &failed else {
            panic!("{failed}")
        };
        assert_eq!(files, &["src/a"]);
        assert!(kept.is_dir());
        assert!(!failed.to_string().contains("nothing"), "{failed}");
        assert!(aside.join("a").exists());
        if back {
            fs::remove_file(&src).unwrap();
            fs::rename(&aside, &src).unwrap();
        }
        let recovered = recover(&found(&scene.top())).unwrap().unwrap();
        if back {
            assert_eq!((recovered.left, recovered.kept), (vec![], None));
            assert_eq!(scene.state(), before);
        } else {
            assert_eq!(recovered.left, ["src/a"]);
        }
        assert_eq!(recover(&found(&scene.top())).unwrap(), None);
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    }
}

#[test]
fn files_whose_folder_was_moved_away_are_named_and_taken_back_later() {
    let (scene, before) = scene();
    let (src, aside) = (scene.top().join("src"), scene.top().join("src.real"));
    let failed = meddled(&scene, || {
        fs::rename(&src, &aside).unwrap();
        Err(WorkspaceError::Answer("enough"))
    });
    let WorkspaceError::NotTakenBack { files, .. } = &failed else {
        panic!("{failed}")
    };
    assert_eq!(files, &["src/a"]);
    fs::rename(&aside, &src).unwrap();
    let recovered = recover(&found(&scene.top())).unwrap().unwrap();
    assert_eq!((recovered.left, recovered.kept), (vec![], None));
    assert_eq!(scene.state(), before);
}

#[test]
fn a_new_file_that_changed_before_it_was_taken_back_stays_and_is_named() {
    let (scene, _) = scene();
    let first = scene.top().join("src/a");
    let failed = meddled(&scene, || {
        fs::write(&first, "by the user, since\n").unwrap();
        Err(WorkspaceError::Answer("enough"))
    });
    let WorkspaceError::NotPutBack { files, .. } = &failed else {
        panic!("{failed}")
    };
    assert_eq!(files, &["src/a"]);
    assert_eq!(fs::read_to_string(&first).unwrap(), "by the user, since\n");
    assert!(!scene.top().join("src/b").exists());
}
