//! A program killed, or failing, before each single change of a tree.

mod led_astray;
mod moved_away;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use rustix::io::Errno;
use tempfile::TempDir;

use super::recover::recover_watched;
use super::*;
use crate::patch::parse;
use crate::repository::Terms;

/// Says to a copy of this test where it works, and before which change it dies.
const SCENE: &str = "BANGER_TEST_SCENE";
const CHANGE: &str = "BANGER_TEST_CHANGE";

/// The tree before, and after a patch that changes a file, makes one in new folders, puts a file in the place of a folder
/// and a folder in that of a file.
const BEFORE: [(&str, &str); 4] = [
    ("README", "one\n"),
    ("file", "file\n"),
    ("folder/deep/last", "last\n"),
    ("other", "other\n"),
];
const AFTER: [(&str, &str); 5] = [
    ("README", "ONE\n"),
    ("file/below", "below\n"),
    ("folder", "folder\n"),
    ("new/er/file", "new\n"),
    ("other", "other\n"),
];

/// What leads from one to the other, in git's words.
fn patch_of_git() -> &'static str {
    static PATCH: OnceLock<String> = OnceLock::new();
    PATCH.get_or_init(|| {
        let folder = TempDir::new().unwrap();
        let git = |words: &str| {
            let mut git = Command::new("git");
            git.current_dir(folder.path()).args(words.split(' '));
            String::from_utf8(git.output().unwrap().stdout).unwrap()
        };
        let tree = |files: &[(&str, &str)]| {
            git("init -q .");
            lay(folder.path(), files);
            git("add -A");
            let id = git("write-tree");
            for (path, _) in files {
                let first = path.split('/').next().unwrap();
                let path = folder.path().join(first);
                fs::remove_file(&path)
                    .or_else(|_| fs::remove_dir_all(&path))
                    .unwrap();
            }
            id
        };
        let (before, after) = (tree(&BEFORE), tree(&AFTER));
        let how = "diff-tree -p -r --full-index --no-renames";
        git(&format!("{how} {} {}", before.trim(), after.trim()))
    })
}

fn lay(top: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = top.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// The repository, for whose applies there are notes.
fn found(top: &Path) -> Repository {
    let terms = Terms {
        records: Some(top.with_file_name("records")),
        ..Terms::default()
    };
    Repository::find_on(top, terms).unwrap()
}

struct Scene(TempDir);

impl Scene {
    fn new() -> Self {
        let scene = Self(TempDir::new().unwrap());
        let top = scene.top();
        lay(&top, &BEFORE);
        fs::set_permissions(top.join("folder"), fs::Permissions::from_mode(0o2750)).unwrap();
        fs::write(scene.patch(), patch_of_git()).unwrap();
        let mut git = Command::new("git");
        assert!(git.args(["init", "-q"]).arg(&top).status().unwrap().success());
        scene
    }

    fn top(&self) -> PathBuf {
        self.0.path().join("host")
    }

    fn patch(&self) -> PathBuf {
        self.0.path().join("patch")
    }

    /// Applies the patch in a copy of this program that dies before a change. Whether it lived.
    fn killed_at(&self, change: usize, work: &str) -> bool {
        let mut copy = Command::new(std::env::current_exe().unwrap());
        copy.args(["--exact", work]).env(SCENE, self.0.path());
        // What a killed program leaves goes with the scene.
        copy.env("TMPDIR", self.0.path());
        let ended = copy.env(CHANGE, change.to_string()).output().unwrap();
        ended.status.success()
    }

    /// Files with content, folders with rights; what lies in the repository's own folder only as names.
    fn state(&self) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.top()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let metadata = path.symlink_metadata().unwrap();
                let text = if metadata.is_dir() {
                    format!("{:o}", metadata.permissions().mode())
                } else {
                    fs::read_to_string(&path).unwrap_or_default()
                };
                if metadata.is_dir() && folder.file_name() != Some(".git".as_ref()) {
                    folders.push(path.clone());
                }
                found.insert(path, text);
            }
        }
        found
    }
}

fn apply_at(folder: &Path, watch: Watch<'_>) -> Result<Applied, WorkspaceError> {
    let patch = folder.join("patch");
    let parsed = parse(fs::read(&patch).unwrap().as_slice()).unwrap();
    let repository = found(&folder.join("host"));
    apply_watched(&repository, &parsed, &patch, Apply::default(), watch)
}

/// In a copy of this program: where it works, and what kills it when its time has come.
fn doomed() -> Option<(PathBuf, impl FnMut() -> Result<(), WorkspaceError>)> {
    let scene = PathBuf::from(std::env::var_os(SCENE)?);
    let mut left: usize = std::env::var(CHANGE).unwrap().parse().unwrap();
    let watch = move || {
        if left == 0 {
            let own = rustix::process::getpid();
            rustix::process::kill_process(own, rustix::process::Signal::KILL).unwrap();
        }
        left -= 1;
        Ok(())
    };
    Some((scene, watch))
}

#[test]
fn a_tree_whose_apply_was_killed_before_any_change_is_put_back() {
    if let Some((scene, mut watch)) = doomed() {
        apply_at(&scene, &mut watch).unwrap();
        return;
    }
    let name = "apply::tests::a_tree_whose_apply_was_killed_before_any_change_is_put_back";
    let mut deaths = 0;
    loop {
        let scene = Scene::new();
        let before = scene.state();
        let lived = scene.killed_at(deaths, name);
        let recovered = recover(&found(&scene.top())).unwrap();
        if lived {
            assert_eq!(recovered, None);
            assert_eq!(
                fs::read_to_string(scene.top().join("folder")).unwrap(),
                "folder\n"
            );
            break;
        }
        let expected = Recovered {
            files: 6,
            ..Recovered::default()
        };
        assert_eq!(recovered, Some(expected), "killed before change {deaths}");
        assert_eq!(scene.state(), before, "killed before change {deaths}");
        deaths += 1;
    }
    // Three files taken, two folders removed, three made or met, four files put.
    assert!(deaths >= 12, "{deaths}");
}

#[test]
fn putting_back_can_be_killed_too_and_begun_anew() {
    if let Some((scene, mut watch)) = doomed() {
        let repository = found(&scene.join("host"));
        recover_watched(&repository, &mut watch).unwrap().unwrap();
        return;
    }
    let name = "apply::tests::putting_back_can_be_killed_too_and_begun_anew";
    let mut deaths = 0;
    loop {
        let scene = Scene::new();
        let before = scene.state();
        half_applied(&scene);
        let lived = scene.killed_at(deaths, name);
        recover(&found(&scene.top())).unwrap();
        assert_eq!(scene.state(), before, "killed before change {deaths}");
        if lived {
            break;
        }
        deaths += 1;
    }
    assert!(deaths >= 5, "{deaths}");
}

/// All changes but the last, and the program gone: what a kill leaves, without one.
fn half_applied(scene: &Scene) {
    let last = changes();
    let patch = scene.patch();
    let parsed = parse(patch_of_git().as_bytes()).unwrap();
    let repository = found(&scene.top());
    let mut stage = Stage::of(&repository, &parsed).unwrap();
    stage.apply(&repository, &parsed, &patch, false).unwrap();
    let outcomes = stage.outcomes(&parsed).unwrap();
    let plan = Plan::of(&stage, &outcomes).unwrap();
    let mut left = last - 1;
    swap::changes(&stage, &plan, &outcomes, &mut || {
        if left == 0 {
            return Err(WorkspaceError::Answer("enough"));
        }
        left -= 1;
        Ok(())
    })
    .unwrap_err();
    stage.leave();
}

/// How many changes the patch makes.
fn changes() -> usize {
    let mut count = 0;
    apply_at(Scene::new().0.path(), &mut || {
        count += 1;
        Ok(())
    })
    .unwrap();
    count
}

#[test]
fn a_tree_that_a_full_disk_interrupts_at_any_change_is_as_before() {
    for change in 0..changes() {
        let scene = Scene::new();
        let before = scene.state();
        let mut left = change;
        let failed = apply_at(scene.0.path(), &mut || {
            if left == 0 {
                return Err(WorkspaceError::host("write", "a file")(Errno::NOSPC.into()));
            }
            left -= 1;
            Ok(())
        });
        let failed = failed.unwrap_err();
        assert!(matches!(failed, WorkspaceError::Host { .. }), "{failed}");
        assert_eq!(scene.state(), before, "no room for change {change}");
    }
}

#[test]
fn an_apply_that_changed_all_files_is_one_whatever_becomes_of_its_note() {
    let last = changes();
    let scene = Scene::new();
    let records = scene.0.path().join("records");
    let aside = scene.0.path().join("aside");
    let mut change = 0;
    let applied = apply_at(scene.0.path(), &mut || {
        change += 1;
        if change == last {
            // Nothing can be written or removed where the notes are, from now on.
            fs::rename(&records, &aside).unwrap();
            fs::write(&records, "").unwrap();
        }
        Ok(())
    });
    let applied = applied.unwrap();
    assert!(applied.files == 6 && applied.note.is_some(), "{applied:?}");
    fs::remove_file(&records).unwrap();
    fs::rename(&aside, &records).unwrap();
    let after = scene.state();
    assert!(applied.note.unwrap().exists());
    assert_eq!(recover(&found(&scene.top())).unwrap(), None);
    assert_eq!(scene.state(), after, "nothing is put back");
    for (path, text) in AFTER {
        assert_eq!(fs::read_to_string(scene.top().join(path)).unwrap(), text);
    }
    assert_eq!(fs::read_dir(&records).unwrap().count(), 0);
}

#[test]
fn a_stage_whose_apply_was_done_goes_and_nothing_of_it_is_put_back() {
    let scene = Scene::new();
    half_applied(&scene);
    let after = scene.state();
    let stage = fs::read_dir(scene.top().join(".git")).unwrap();
    let stage = stage
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_string_lossy().contains(".banger-apply-"))
        .unwrap();
    record::finish(std::os::fd::AsFd::as_fd(&fs::File::open(&stage).unwrap())).unwrap();
    assert_eq!(recover(&found(&scene.top())).unwrap(), None);
    assert!(!stage.exists(), "what a kill left goes");
    let tree = |state: BTreeMap<PathBuf, String>| -> Vec<_> {
        let git = scene.top().join(".git");
        state
            .into_iter()
            .filter(|(path, _)| !path.starts_with(&git))
            .collect()
    };
    assert_eq!(tree(scene.state()), tree(after));
}

#[test]
fn what_was_changed_after_a_kill_stays_and_what_was_there_before_is_kept() {
    let scene = Scene::new();
    half_applied(&scene);
    fs::write(scene.top().join("README"), "by the user, since\n").unwrap();
    let recovered = recover(&found(&scene.top())).unwrap().unwrap();
    assert_eq!(recovered.left, ["README"]);
    assert_eq!(
        fs::read_to_string(scene.top().join("README")).unwrap(),
        "by the user, since\n"
    );
    assert_eq!(fs::read_to_string(scene.top().join("file")).unwrap(), "file\n");
    let kept = recovered.kept.unwrap();
    assert_eq!(fs::read_to_string(kept.join("old/0")).unwrap(), "one\n");
    assert_eq!(recover(&found(&scene.top())).unwrap(), None);
}

#[test]
fn an_apply_under_way_is_left_alone_and_a_second_one_is_told() {
    let scene = Scene::new();
    let repository = found(&scene.top());
    let parsed = parse(patch_of_git().as_bytes()).unwrap();
    let stage = Stage::of(&repository, &parsed).unwrap();
    assert_eq!(recover(&repository).unwrap(), None);
    assert!(stage.new_path(b"README").exists());
    let busy = apply_at(scene.0.path(), &mut || Ok(())).unwrap_err();
    assert!(matches!(busy, WorkspaceError::Busy { .. }), "{busy}");
    drop(stage);
    apply_at(scene.0.path(), &mut || Ok(())).unwrap();
}

#[test]
fn a_lock_that_another_user_can_take_blocks_no_apply() {
    let scene = Scene::new();
    // What any user can who can read it.
    let locks: Vec<_> = [".git", ""]
        .map(|folder| fs::File::open(scene.top().join(folder)).unwrap())
        .into();
    for lock in &locks {
        lock.try_lock().unwrap();
    }
    half_applied(&scene);
    assert!(recover(&found(&scene.top())).unwrap().is_some());
    apply_at(scene.0.path(), &mut || Ok(())).unwrap();
    // The user's own lock lies where nobody else can open it, and goes.
    let records = scene.top().with_file_name("records");
    assert_eq!(
        fs::metadata(&records).unwrap().permissions().mode() & 0o777,
        0o700
    );
    assert_eq!(fs::read_dir(&records).unwrap().count(), 0);
}

#[test]
fn a_folder_of_a_repositorys_that_looks_like_a_stage_is_not_believed() {
    let scene = Scene::new();
    let stage = scene.top().join(".git/.banger-apply-x");
    fs::create_dir_all(stage.join("old")).unwrap();
    fs::write(stage.join("plan"), "banger apply 1\0file 1 - evil\0end\0").unwrap();
    fs::write(stage.join("old/0"), "evil\n").unwrap();
    let repository = found(&scene.top());
    assert_eq!(recover(&repository).unwrap(), None);
    assert!(!scene.top().join("evil").exists());
    // One with the rights of ours, as earlier versions believed it.
    fs::set_permissions(&stage, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(recover(&repository).unwrap(), None);
    assert!(!scene.top().join("evil").exists());
    assert!(stage.join("old/0").exists());
}

#[test]
fn a_note_leads_to_the_folder_that_was_noted_and_to_no_other_in_its_place() {
    for replace in [true, false] {
        let scene = Scene::new();
        half_applied(&scene);
        let records = || fs::read_dir(scene.0.path().join("records")).unwrap().count();
        assert_eq!(records(), 1);
        let stage = fs::read_dir(scene.top().join(".git")).unwrap();
        let stage = stage
            .map(|entry| entry.unwrap().path())
            .find(|path| path.to_string_lossy().contains(".banger-apply-"))
            .unwrap();
        let aside = scene.0.path().join("aside");
        fs::rename(&stage, &aside).unwrap();
        if replace {
            fs::create_dir_all(stage.join("old")).unwrap();
            fs::write(stage.join("old/0"), "evil\n").unwrap();
        } else {
            std::os::unix::fs::symlink(&aside, &stage).unwrap();
        }
        let before = scene.state();
        let said = recover(&found(&scene.top())).unwrap().unwrap();
        assert_eq!((said.files, said.kept), (0, Some(stage.clone())), "it is said");
        assert_eq!(scene.state(), before);
        assert_eq!(fs::read_to_string(aside.join("old/0")).unwrap(), "one\n");
        // What it was about is gone.
        assert_eq!(records(), 0);
    }
}

#[test]
fn a_repository_that_was_moved_after_a_kill_is_put_back_where_it_is() {
    let scene = Scene::new();
    let before = scene.state();
    half_applied(&scene);
    assert_ne!(scene.state(), before);
    let moved = scene.0.path().join("moved");
    fs::rename(scene.top(), &moved).unwrap();
    let recovered = recover(&found(&moved)).unwrap().unwrap();
    assert!(recovered.files > 0 && recovered.left.is_empty(), "{recovered:?}");
    fs::rename(&moved, scene.top()).unwrap();
    assert_eq!(scene.state(), before);
    assert_eq!(fs::read_dir(scene.0.path().join("records")).unwrap().count(), 0);
}

#[test]
fn no_note_is_left_of_an_apply_that_came_to_its_end() {
    let scene = Scene::new();
    apply_at(scene.0.path(), &mut || Ok(())).unwrap();
    let failed = apply_at(scene.0.path(), &mut || Err(WorkspaceError::Answer("enough")));
    failed.unwrap_err();
    assert_eq!(fs::read_dir(scene.0.path().join("records")).unwrap().count(), 0);
}
