//! Root in the repository of another user, who can change any of it meanwhile: what root does there, that user could have
//! done, and what is led astray reaches nothing of root's. A plain user, who has no other user's repository, runs the same
//! in one of its own.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{getgid, getuid};
use workspace::{
    Base, Choice, Destination, Repository, Selection, WorkspaceError, apply, prepare, pull, to_branch,
};

use crate::support::{Local, Scene, parsed};

/// Who owns the repository: nobody of this system.
const OWNER: u32 = 61_000;
const SECRET: &str = "-----BEGIN PRIVATE KEY-----\n";

/// Whether this is a test on the owner's behalf. If not, it is run again as one, with a folder for temporary files that is
/// its own.
fn on_behalf(test: &str) -> bool {
    if std::env::var_os("SUDO_UID").is_some_and(|user| *user == *OWNER.to_string()) {
        return true;
    }
    let place = tempfile::tempdir().unwrap();
    open_to_all(place.path());
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env("SUDO_UID", OWNER.to_string())
        .env("TMPDIR", place.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    let left: Vec<_> = fs::read_dir(place.path()).unwrap().collect();
    assert!(left.is_empty(), "left behind: {left:?}");
    false
}

fn open_to_all(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
}

/// User and group of the repository.
fn owner() -> (u32, u32) {
    match getuid().is_root() {
        true => (OWNER, OWNER),
        false => (getuid().as_raw(), getgid().as_raw()),
    }
}

fn give(path: &Path) {
    let (user, group) = owner();
    let mut chown = Command::new("chown");
    chown.args(["-Rh", &format!("{user}:{group}")]).arg(path);
    assert!(chown.status().unwrap().success());
}

/// The owner's repository, changed since its commit, and a guest that has it with a commit and an edit of its own.
struct Another {
    scene: Scene,
    base: String,
    patch: Vec<u8>,
}

impl Another {
    fn new() -> Self {
        let scene = Scene::committed();
        open_to_all(&scene.path("."));
        scene.write("notes", "the owner's\n");
        scene.git(&["add", "-N", "notes"]);
        scene.prepare();
        let base = scene.git(&["rev-parse", "HEAD"]).trim().to_owned();
        scene.write_inside("README", "one\nTWO\nthree\n");
        scene.git_inside(&["commit", "-qam", "by the guest"]);
        scene.write_inside("new/er", "new\n");
        fs::remove_file(scene.inside().join("src/old.c")).unwrap();
        let patch = scene.export(&Base::Prepared);
        fs::write(scene.path("patch"), &patch).unwrap();
        fs::set_permissions(scene.path("patch"), fs::Permissions::from_mode(0o600)).unwrap();
        give(&scene.top());
        Self { scene, base, patch }
    }

    fn prepare(&self, repository: &Repository, selection: &Selection) -> Result<(), WorkspaceError> {
        let path = self.scene.inside().display().to_string();
        let destination = Destination {
            path: &path,
            before: None,
            force: true,
            user: None,
        };
        prepare(repository, selection, &mut Local::default(), destination).map(drop)
    }

    fn apply(&self, repository: &Repository, three_way: bool) -> Result<(), WorkspaceError> {
        let how = workspace::Apply {
            three_way,
            ..Default::default()
        };
        let patch = parsed(&self.patch)?;
        apply(repository, &patch, &self.scene.path("patch"), how).map(drop)
    }

    fn branch(&self, repository: &Repository) -> Result<(), WorkspaceError> {
        let patch = parsed(&self.patch)?;
        let file = self.scene.path("patch");
        let base = Some(self.base.as_str());
        to_branch(repository, &patch, &file, base, "try/patch", "tried").map(drop)
    }

    fn pull<'a>(&self, repository: &'a Repository) -> Result<workspace::Pulled<'a>, WorkspaceError> {
        let path = self.scene.inside().display().to_string();
        let pulled = pull(repository, &mut Local::default(), &path, Some(&self.base))?;
        Ok(pulled.expect("the guest has a commit"))
    }
}

/// All below a folder: path, owner, rights, content.
fn state(top: &Path) -> Vec<(PathBuf, u32, u32, Vec<u8>)> {
    let mut found = Vec::new();
    let mut paths = vec![top.to_owned()];
    while let Some(path) = paths.pop() {
        let known = path.symlink_metadata().unwrap();
        let mut content = Vec::new();
        if known.is_dir() {
            paths.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if known.is_file() {
            content = fs::read(&path).unwrap();
        }
        found.push((path, known.uid(), known.mode(), content));
    }
    found.sort();
    found
}

#[test]
fn what_root_makes_in_another_users_repository_is_that_users() {
    if !on_behalf("owners::what_root_makes_in_another_users_repository_is_that_users") {
        return;
    }
    for three_way in [false, true] {
        let another = Another::new();
        let scene = &another.scene;
        let repository = scene.find();
        another.branch(&repository).unwrap();
        another.pull(&repository).unwrap().keep_as("try/pull").unwrap();
        another.apply(&repository, three_way).unwrap();
        let selection = Selection::of(&repository, &Choice::default()).unwrap();
        another.prepare(&repository, &selection).unwrap();
        assert_eq!(scene.read("README"), "one\nTWO\nthree\n");
        assert_eq!(scene.read("new/er"), "new\n");
        assert_eq!(scene.read_inside("README"), scene.read("README"));
        assert_eq!(scene.read_inside("notes"), "the owner's\n");
        let subjects = |branch| scene.git(&["log", "--format=%s", branch]);
        assert_eq!(subjects("try/patch"), "tried\nfirst\n");
        assert_eq!(subjects("try/pull"), "by the guest\nfirst\n");
        for (path, user, ..) in state(&scene.top()) {
            assert_eq!(user, owner().0, "{}", path.display());
            let group = path.symlink_metadata().unwrap().gid();
            assert_eq!(group, owner().1, "{}", path.display());
        }
        // This thread is itself again.
        let own = scene.path("own");
        fs::write(&own, "").unwrap();
        assert_eq!(own.metadata().unwrap().uid(), getuid().as_raw());
        drop(repository);
        let left = fs::read_dir(std::env::temp_dir()).unwrap();
        let left = left.map(|entry| entry.unwrap().path());
        let left: Vec<_> = left.filter(|path| !scene.top().starts_with(path)).collect();
        assert_eq!(left, Vec::<PathBuf>::new());
    }
}

/// What is done in a repository of which a part is led astray first.
type Work = fn(&Another, &Repository, &mut dyn FnMut()) -> Result<(), WorkspaceError>;

const APPLY: Work = |another, repository, lead_astray| {
    lead_astray();
    another.apply(repository, false)
};
const APPLY_THREE_WAY: Work = |another, repository, lead_astray| {
    lead_astray();
    another.apply(repository, true)
};
const BRANCH: Work = |another, repository, lead_astray| {
    lead_astray();
    another.branch(repository)
};
const PULL: Work = |another, repository, lead_astray| {
    lead_astray();
    another.pull(repository).map(drop)
};
const KEEP: Work = |another, repository, lead_astray| {
    let pulled = another.pull(repository).unwrap();
    lead_astray();
    pulled.keep_as("try/pull")
};
const SELECT: Work = |_, repository, lead_astray| {
    lead_astray();
    Selection::of(repository, &Choice::default()).map(drop)
};
const PREPARE: Work = |another, repository, lead_astray| {
    let selection = Selection::of(repository, &Choice::default()).unwrap();
    lead_astray();
    another.prepare(repository, &selection)
};
const READ: Work = |_, repository, lead_astray| {
    lead_astray();
    repository.read("notes", None, 1 << 20).map(drop)
};

#[test]
fn a_part_of_a_repository_that_its_owner_swaps_for_a_link_leads_root_nowhere() {
    if !on_behalf("owners::a_part_of_a_repository_that_its_owner_swaps_for_a_link_leads_root_nowhere") {
        return;
    }
    for (what, part, work) in [
        ("apply", "", APPLY),
        ("apply", ".git", APPLY),
        ("apply with a merge", ".git/objects", APPLY_THREE_WAY),
        ("branch", ".git/objects", BRANCH),
        ("branch", ".git/refs", BRANCH),
        ("branch", ".git/logs", BRANCH),
        ("pull", ".git/objects", PULL),
        ("keep", ".git/objects", KEEP),
        ("keep", ".git/refs", KEEP),
        ("select", "", SELECT),
        ("select", ".git", SELECT),
        ("prepare", "", PREPARE),
        ("read", "", READ),
    ] {
        let another = Another::new();
        let scene = &another.scene;
        // What root alone can get at: the same, with a secret.
        let vault = scene.path("vault");
        fs::create_dir(&vault).unwrap();
        fs::set_permissions(&vault, fs::Permissions::from_mode(0o700)).unwrap();
        let mut copy = Command::new("cp");
        copy.arg("-r").arg(scene.top()).arg(&vault);
        assert!(copy.status().unwrap().success());
        fs::write(vault.join("host/notes"), SECRET).unwrap();
        let before = state(&vault);

        let repository = scene.find();
        let top = scene.top();
        let place: PathBuf = top.components().chain(Path::new(part).components()).collect();
        let outcome = work(&another, &repository, &mut || {
            fs::rename(&place, scene.path("aside")).unwrap();
            symlink(vault.join("host").join(part), &place).unwrap();
        });
        if getuid().is_root() {
            let outcome = outcome.expect_err(what).to_string();
            assert!(!outcome.contains("PRIVATE KEY"), "{what}, {part}: {outcome}");
            assert_eq!(state(&vault), before, "{what}, {part}");
            for (path, _, _, content) in state(&scene.inside()) {
                let holds = String::from_utf8_lossy(&content).contains("PRIVATE KEY");
                assert!(!holds, "{what}, {part}: {}", path.display());
            }
        }
    }
}

#[test]
fn a_file_in_another_users_repository_that_only_root_can_read_does_not_go() {
    if !on_behalf("owners::a_file_in_another_users_repository_that_only_root_can_read_does_not_go") {
        return;
    }
    let another = Another::new();
    let scene = &another.scene;
    fs::write(scene.path("secret"), SECRET).unwrap();
    fs::set_permissions(scene.path("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    let repository = scene.find();
    let selection = Selection::of(&repository, &Choice::default()).unwrap();
    assert!(selection.edited.contains(&b"notes".to_vec()));
    fs::remove_file(scene.top().join("notes")).unwrap();
    fs::hard_link(scene.path("secret"), scene.top().join("notes")).unwrap();
    let outcome = another.prepare(&repository, &selection);
    if getuid().is_root() {
        let error = outcome.unwrap_err();
        assert!(matches!(error, WorkspaceError::Host { .. }), "{error}");
        let holds = |(_, _, _, content): &(PathBuf, u32, u32, Vec<u8>)| content == SECRET.as_bytes();
        assert!(!state(&scene.inside()).iter().any(holds));
    }
}

#[test]
fn a_repository_that_its_owner_cannot_get_to_is_told() {
    if !on_behalf("owners::a_repository_that_its_owner_cannot_get_to_is_told") {
        return;
    }
    let another = Another::new();
    fs::set_permissions(another.scene.path("."), fs::Permissions::from_mode(0o700)).unwrap();
    let found = Repository::find(&another.scene.top());
    if getuid().is_root() {
        let error = found.unwrap_err();
        assert!(
            matches!(error, WorkspaceError::OutOfReach { user: OWNER, .. }),
            "{error}"
        );
    } else {
        found.unwrap();
    }
}

#[test]
fn a_folder_for_temporary_files_that_another_user_can_change_is_refused_for_that_users_repository() {
    let test = "owners::a_folder_for_temporary_files_that_another_user_can_change_is_refused_for_that_users_repository";
    if !on_behalf(test) {
        return;
    }
    let another = Another::new();
    give(&std::env::temp_dir());
    let found = Repository::find(&another.scene.top());
    if getuid().is_root() {
        let error = found.unwrap_err();
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        assert!(cause.unwrap_or_default().contains("TMPDIR"), "{error:?}");
    } else {
        found.unwrap();
    }
}
