//! The kernel and the image that all tests share, made once.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::home::{Home, binaries};

/// Gives a state folder what the shared one has.
pub fn link_into(state: &Path) {
    let shared = shared();
    fs::create_dir_all(state).unwrap();
    for folder in ["images", "kernels"] {
        link_tree(&shared.join(folder), &state.join(folder));
    }
    copy_database(&shared, state);
}

/// The shared state folder, made by `banger` itself where it is missing or from other recipes; or the one that
/// `BANGER_TEST_KEPT` names.
fn shared() -> PathBuf {
    if let Some(state) = std::env::var_os("BANGER_TEST_KEPT") {
        return state.into();
    }
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("kept-{}", recipes_digest()));
    fs::create_dir_all(&root).unwrap();
    let lock = File::create(root.join("lock")).unwrap();
    lock.lock().unwrap();
    let state = root.join("state/banger");
    let complete = root.join("complete");
    if !complete.exists() {
        let _ = fs::remove_dir_all(root.join("state"));
        make(&state);
        File::create(&complete).unwrap();
    }
    state
}

fn make(state: &Path) {
    println!("fetching the kernel and building the image that the tests share");
    let home = Home::bare(tempfile::tempdir().unwrap());
    home.succeeds(&["vm", "create", "--no-start", "--name", "first"]);
    home.succeeds(&["vm", "delete", "first"]);
    home.end_daemon(nix::sys::signal::Signal::SIGTERM);
    let made = home.state();
    fs::create_dir_all(state).unwrap();
    for folder in ["images", "kernels"] {
        copy_tree(&made.join(folder), &state.join(folder));
    }
    copy_database(&made, state);
}

/// The database and what is not yet in its main file. Nobody has it open.
fn copy_database(from: &Path, to: &Path) {
    for name in ["banger.db", "banger.db-wal"] {
        if from.join(name).exists() {
            fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
}

fn recipes_digest() -> String {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../catalog/data");
    let mut texts: Vec<(PathBuf, String)> = Vec::new();
    let mut folders = vec![data];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path => texts.push((path.clone(), fs::read_to_string(path).unwrap())),
            }
        }
    }
    texts.sort();
    // FNV-1a: stable from one build to the next, and nothing hangs on it but a rebuild.
    let digest = texts
        .iter()
        .flat_map(|(_, text)| text.bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |digest, byte| {
            (digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
    // What writes the image belongs to it too.
    let writer = binaries().join("bangerd").metadata().unwrap().len();
    format!("{digest:016x}-{writer}")
}

/// Files of images and kernels are never changed: a link does where there can be one, and the file is this user's. Root's
/// VMM has given up the right to open others.
fn link_tree(from: &Path, to: &Path) {
    walk(from, to, &|from, to| {
        let is_own = fs::metadata(from).unwrap().uid() == nix::unistd::geteuid().as_raw();
        if !is_own || fs::hard_link(from, to).is_err() {
            fs::copy(from, to).unwrap();
        }
    });
}

fn copy_tree(from: &Path, to: &Path) {
    walk(from, to, &|from, to| {
        fs::copy(from, to).unwrap();
    });
}

fn walk(from: &Path, to: &Path, file: &dyn Fn(&Path, &Path)) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            walk(&entry.path(), &to, file);
        } else {
            file(&entry.path(), &to);
        }
    }
}
