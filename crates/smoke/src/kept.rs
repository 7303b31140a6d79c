//! The kernel and the image that all scenarios share, made once by `banger` itself.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::home::{Home, binaries};

/// Gives a state folder what the shared one has.
pub(crate) fn link_into(state: &Path) {
    let shared = keep();
    for folder in ["images", "kernels"] {
        copy_tree(&shared.join(folder), &state.join(folder));
    }
    copy_database(&shared, state);
}

/// The shared state folder, made where it is missing or was made by another `bangerd`.
///
/// # Panics
/// If it cannot be made.
#[must_use]
pub fn keep() -> PathBuf {
    let maker = binaries().join("bangerd").metadata().unwrap().len();
    let root = std::env::var_os("BANGER_SMOKE_KEPT").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../build/smoke"),
        PathBuf::from,
    );
    fs::create_dir_all(&root).unwrap();
    let lock = File::create(root.join("lock")).unwrap();
    lock.lock().unwrap();
    let state = root.join(format!("made-by-{maker}"));
    if !state.exists() {
        eprintln!("fetching the kernel and building the image that the scenarios share");
        let home = Home::bare();
        home.succeeds(&["vm", "create", "--no-start", "--name", "first"]);
        home.succeeds(&["vm", "delete", "first"]);
        home.succeeds(&["daemon", "stop"]);
        let half = root.join("half");
        let _ = fs::remove_dir_all(&half);
        for folder in ["images", "kernels"] {
            copy_tree(&home.state().join(folder), &half.join(folder));
        }
        copy_database(&home.state(), &half);
        fs::rename(&half, &state).unwrap();
    }
    state
}

/// The database and what is not yet in its main file. Nobody has it open.
fn copy_database(from: &Path, to: &Path) {
    for name in ["banger.db", "banger.db-wal"] {
        if from.join(name).exists() {
            fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
}

/// Files of images and kernels are never changed: a link does where there can be one, and the file is this user's.
fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let own = fs::metadata(to).unwrap().uid();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &to);
        } else if entry.metadata().unwrap().uid() != own || fs::hard_link(entry.path(), &to).is_err() {
            fs::copy(entry.path(), &to).unwrap();
        }
    }
}
