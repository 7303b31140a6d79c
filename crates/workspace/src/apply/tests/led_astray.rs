//! A stage whose owner swaps it for a link while root applies a patch in that user's repository.

use std::os::unix::fs::{MetadataExt, symlink};

use super::*;

/// Nobody of this system.
const OWNER: u32 = 61_000;

/// Whether this is a copy of the program that works on the owner's behalf; if not, one is run.
fn on_behalf(test: &str) -> bool {
    if std::env::var_os("SUDO_UID").is_some_and(|user| *user == *OWNER.to_string()) {
        return true;
    }
    let mut copy = Command::new(std::env::current_exe().unwrap());
    copy.args(["--exact", test]).env("SUDO_UID", OWNER.to_string());
    let output = copy.output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    false
}

#[test]
fn a_stage_that_is_swapped_for_a_link_before_any_change_leads_root_nowhere() {
    let test =
        "apply::tests::led_astray::a_stage_that_is_swapped_for_a_link_before_any_change_leads_root_nowhere";
    if !on_behalf(test) {
        return;
    }
    let own = rustix::process::getuid();
    let root = own.is_root();
    let owner = if root { OWNER } else { own.as_raw() };
    for change in 0..changes() {
        let scene = Scene::new();
        fs::set_permissions(scene.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
        // What root alone can get at, in the form of a stage.
        let vault = scene.0.path().join("vault");
        let files = [("new/README", "root's\n"), ("new/folder", "root's\n")];
        lay(&vault, &files);
        fs::create_dir(vault.join("old")).unwrap();
        fs::set_permissions(&vault, fs::Permissions::from_mode(0o700)).unwrap();
        if root {
            let mut chown = Command::new("chown");
            chown.args(["-R", &format!("{OWNER}:{OWNER}")]).arg(scene.top());
            assert!(chown.status().unwrap().success());
        }
        let mut left = Some(change);
        let outcome = apply_at(scene.0.path(), &mut || {
            if left == Some(0) {
                let mut entries = fs::read_dir(scene.top().join(".git")).unwrap();
                let stage = entries.find_map(|entry| {
                    let entry = entry.unwrap();
                    let ours = entry.file_name().to_string_lossy().starts_with(".banger-apply-");
                    ours.then(|| entry.path())
                });
                let stage = stage.unwrap();
                assert_eq!(stage.metadata().unwrap().uid(), owner, "whose the stage is");
                fs::rename(&stage, scene.top().join(".git/aside")).unwrap();
                symlink(&vault, &stage).unwrap();
            }
            left = left.and_then(|left| left.checked_sub(1));
            Ok(())
        });
        assert_eq!(left, None, "{change}: it did not come that far: {outcome:?}");
        if root {
            // With all that it needs moved already, it may have come to its end.
            assert!(
                outcome.is_err() || change + 1 == changes(),
                "{change}: {outcome:?}"
            );
            assert_eq!(fs::read_dir(vault.join("old")).unwrap().count(), 0, "{change}");
            for (path, text) in files {
                assert_eq!(fs::read_to_string(vault.join(path)).unwrap(), text, "{change}");
                assert_eq!(vault.join(path).metadata().unwrap().uid(), 0, "{change}");
            }
        }
    }
}
