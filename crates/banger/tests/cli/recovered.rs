//! What a killed `vm workspace apply` left.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::support::Workshop;

#[test]
fn files_of_an_apply_that_was_killed_are_put_back_by_the_next_verb() {
    let scene = Workshop::new();
    scene.prepare();
    for verb in ["status", "prepare", "apply", "pull"] {
        // README taken away, and the program gone.
        let stage = scene.top.join(".git/.banger-apply-x");
        let private = fs::Permissions::from_mode(0o700);
        for part in ["new", "old"] {
            fs::create_dir_all(stage.join(part)).unwrap();
        }
        fs::set_permissions(&stage, private).unwrap();
        let number = "1f".repeat(16);
        fs::write(stage.join("number"), &number).unwrap();
        let text = format!(
            "banger apply 3\0stage {number} {}\0file 1 - README\0end\0",
            stage.display()
        );
        let notes = scene.daemon.folder().join(".local/state/banger/applies");
        fs::create_dir_all(&notes).unwrap();
        fs::write(notes.join("apply-x"), text).unwrap();
        fs::rename(scene.top.join("README"), stage.join("old/0")).unwrap();
        let ran = match verb {
            "status" => scene.daemon.run(&["vm", "workspace", "status", "box"]),
            "prepare" => scene.workspace(verb, &[scene.top.to_str().unwrap(), "-q"]),
            _ => scene.workspace(verb, &["-q"]),
        };
        let told = format!(
            "banger: warning: an apply to {} was killed in the middle: 1 file is as before it\n",
            scene.top.display()
        );
        assert_eq!(
            (ran.code, ran.err.lines().next()),
            (0, Some(told.trim_end())),
            "{verb}"
        );
        assert_eq!(scene.git(&["status", "--porcelain"]), "", "{verb}");
        assert!(!stage.exists());
    }
}
