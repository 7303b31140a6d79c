//! The writable layer of a VM: a sparse ext4 file, copied from an empty one that was formatted once for its size.
//!
//! Formatting happens before there is a guest, copying looks at no file system: nothing of the host ever opens one
//! that a guest has written. The folders that `/init` needs are made by `/init`.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::sparse_copy;
use durable::publish;

/// Part of a template's name, to be counted up when [`FEATURES`] or [`OPTIONS`] change.
const GENERATION: u32 = 1;
const BLOCK: u64 = 4096;
/// Below this there is no room for a journal.
const SMALLEST: u64 = 16 << 20;
/// Half of what the host's own ext4 takes as one file.
pub const LARGEST: u64 = model::DiskSize::LARGEST;
/// How often its first size a layer can grow to with the descriptors kept free for it (beyond that the kernel changes
/// to another layout, `meta_bg`). mke2fs's own 1024 would put 4 MiB of them into each copy.
const GROWTH: u64 = 64;
/// A journal fills up and stays in the host's file; more than this brings a sandbox nothing.
const LARGEST_JOURNAL: u64 = 64 << 20;

/// All features by name, so that the host's `mke2fs.conf` has no say: what every kernel from 4.0 on mounts for
/// writing. `resize_inode` and `flex_bg` let the agent grow it while it is mounted.
const FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,\
                        large_file,huge_file,dir_nlink,extra_isize,metadata_csum";

/// The file is new, so all of it reads as zeros, and mke2fs need write none. It sees this by itself for the inode
/// tables when it is allowed to discard, and then marks them as zeroed: the guest's kernel has nothing to zero in the
/// background (`nodiscard` with `lazy_itable_init` would leave it to that, which fills the host's file and takes time
/// from the boot). For the journal it has to be told. A first mount then reads the superblock, the descriptors and an
/// empty journal's header.
const OPTIONS: &str = "discard,lazy_journal_init=1,root_owner=0:0,resize=";

/// Why there is no layer.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// A size that no layer can have.
    #[error("a disk of {size} bytes is not possible; {SMALLEST} to {LARGEST} are, in steps of {BLOCK}")]
    BadSize {
        /// The size in bytes.
        size: u64,
    },
    /// mke2fs is not installed.
    #[error("cannot find the program mke2fs (package e2fsprogs)")]
    Mke2fsMissing,
    /// mke2fs failed.
    #[error("mke2fs failed for a disk of {size} bytes ({status}): {message}")]
    Mke2fsFailed {
        /// The size in bytes.
        size: u64,
        /// How it ended.
        status: std::process::ExitStatus,
        /// The end of what it said.
        message: String,
    },
    /// The template could not be made.
    #[error("cannot make an empty disk of {size} bytes")]
    Template {
        /// The size in bytes.
        size: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The copy could not be made; nothing is left of it.
    #[error("cannot copy the disk {from} to {to}")]
    Copy {
        /// The template.
        from: PathBuf,
        /// The layer.
        to: PathBuf,
        /// Why; [`io::ErrorKind::AlreadyExists`] where the layer is there.
        #[source]
        source: io::Error,
    },
}

/// The empty disk of `size` bytes in `folder`, formatted now if it is not there. Two callers at once do no harm.
///
/// # Errors
/// [`LayerError`]; nothing is left in the folder.
pub fn make_template(folder: &Path, size: u64) -> Result<PathBuf, LayerError> {
    if !(SMALLEST..=LARGEST).contains(&size) || !size.is_multiple_of(BLOCK) {
        return Err(LayerError::BadSize { size });
    }
    let path = folder.join(format!("empty-{GENERATION}-{size}.ext4"));
    match fs::metadata(&path) {
        Ok(found) if found.is_file() && found.len() == size => return Ok(path),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(LayerError::Template { size, source }),
    }
    publish(&path, 0o400, |new, name| {
        new.set_len(size)?;
        format(name, size)
    })
    .map_err(|failure| match failure {
        Failure::Io(source) => LayerError::Template { size, source },
        Failure::Layer(error) => error,
    })?;
    Ok(path)
}

/// Copies a template, or a root disk, to `to`, which must not be there, with mode 0600: shared blocks where the host's
/// file system has them, else the parts that hold data. Of a template that takes a few milliseconds. The copy has
/// `size` bytes if that is more, and is on disk when this returns.
///
/// # Errors
/// [`LayerError::Copy`]; nothing is left of the copy.
pub fn copy(template: &Path, to: &Path, size: u64) -> Result<(), LayerError> {
    let fail = |source| LayerError::Copy {
        from: template.to_owned(),
        to: to.to_owned(),
        source,
    };
    let from = File::open(template).map_err(fail)?;
    let new = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .map_err(fail)?;
    let copied = sparse_copy::clone_or_copy(&from, &new).and_then(|()| {
        if new.metadata()?.len() < size {
            new.set_len(size)?;
        }
        new.sync_all()
    });
    copied.map_err(|source| {
        // The first failure counts.
        let _ = fs::remove_file(to);
        fail(source)
    })
}

/// Bytes of the host's disk that a file takes; what it shares with others counts for each.
///
/// # Errors
/// What the system says.
pub fn allocated(path: &Path) -> io::Result<u64> {
    Ok(fs::metadata(path)?.blocks() * 512)
}

enum Failure {
    Io(io::Error),
    Layer(LayerError),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn format(file: &Path, size: u64) -> Result<(), Failure> {
    let most_blocks = (size / BLOCK * GROWTH).min(u64::from(u32::MAX));
    let mut command = Command::new("mke2fs");
    command
        .env_clear()
        .env("PATH", search_path())
        .env("LC_ALL", "C")
        // The features are all given above; an administrator's defaults must not change them.
        .env("MKE2FS_CONFIG", "/dev/null")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .args([
            "-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-i", "16384", "-m", "0",
        ])
        .args(["-O", FEATURES, "-E"])
        .arg(format!("{OPTIONS}{most_blocks}"));
    if size / 32 > LARGEST_JOURNAL {
        command.arg("-J").arg(format!("size={}", LARGEST_JOURNAL >> 20));
    }
    let output = command
        .arg("--")
        .arg(file)
        .output()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Failure::Layer(LayerError::Mke2fsMissing),
            _ => Failure::Io(error),
        })?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    Err(Failure::Layer(LayerError::Mke2fsFailed {
        size,
        status: output.status,
        message: last.unwrap_or("it said nothing").escape_debug().to_string(),
    }))
}

/// A plain user's PATH lacks the folders where mke2fs is.
fn search_path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    if !path.is_empty() {
        path.push(":");
    }
    path.push("/usr/sbin:/sbin:/usr/bin:/bin");
    path
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt as _, PermissionsExt as _};

    use super::*;

    const SIZE: u64 = 1 << 30;

    fn names(folder: &Path) -> Vec<OsString> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    }

    /// Runs a program of e2fsprogs on an empty disk, which no guest has written.
    fn look(program: &str, arguments: &[&str], disk: &Path) -> String {
        let mut command = Command::new(program);
        let command = command.env("PATH", search_path()).args(arguments).arg(disk);
        let output = command.output().expect("e2fsprogs is installed");
        assert!(output.status.success(), "{program}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn an_empty_disk_is_sound_and_leaves_a_guest_nothing_to_initialise() {
        let folder = tempfile::tempdir().unwrap();
        for size in [SMALLEST, SIZE, 8 << 30, 300 << 30] {
            let disk = make_template(folder.path(), size).unwrap();
            assert_eq!(fs::metadata(&disk).unwrap().len(), size);
            assert!(
                allocated(&disk).unwrap() <= 16 << 20,
                "{size}: {:?}",
                allocated(&disk)
            );
            look("e2fsck", &["-f", "-n"], &disk);
            let groups = look("dumpe2fs", &[], &disk);
            let flags: Vec<_> = groups.lines().filter(|line| line.contains("(Blocks ")).collect();
            assert!(!flags.is_empty());
            assert!(
                flags.iter().all(|line| line.contains("ITABLE_ZEROED")),
                "{flags:#?}"
            );
        }
    }

    #[test]
    fn a_template_is_made_once_for_its_size() {
        let folder = tempfile::tempdir().unwrap();
        let first = make_template(folder.path(), SIZE).unwrap();
        let inode = fs::metadata(&first).unwrap().ino();
        assert_eq!(make_template(folder.path(), SIZE).unwrap(), first);
        assert_eq!(fs::metadata(&first).unwrap().ino(), inode);
        assert_ne!(make_template(folder.path(), SIZE * 2).unwrap(), first);
    }

    #[test]
    fn many_that_need_one_template_at_once_get_it() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            let makers: Vec<_> = (0..6)
                .map(|number| {
                    let folder = folder.path();
                    scope.spawn(move || {
                        let template = make_template(folder, SIZE).unwrap();
                        let layer = folder.join(format!("layer-{number}"));
                        copy(&template, &layer, SIZE).unwrap();
                        look("e2fsck", &["-f", "-n"], &layer);
                    })
                })
                .collect();
            for maker in makers {
                maker.join().unwrap();
            }
        });
        assert_eq!(names(folder.path()).len(), 7);
    }

    #[test]
    fn a_template_that_cannot_be_made_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for size in [0, 4096, SMALLEST - 4096, SIZE + 1, LARGEST + 4096, u64::MAX] {
            let error = make_template(folder.path(), size).unwrap_err();
            assert!(matches!(error, LayerError::BadSize { .. }), "{error}");
        }
        let missing = folder.path().join("missing");
        make_template(&missing, SIZE).unwrap_err();
        let failed = format(&folder.path().join("no-such-disk"), 0);
        assert!(matches!(
            failed,
            Err(Failure::Layer(LayerError::Mke2fsFailed { .. }))
        ));
        assert_eq!(names(folder.path()), Vec::<OsString>::new());
    }

    #[test]
    fn a_layer_is_copied_without_reading_a_file_system() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        // No tool would take this for a file system, and the copy does not ask.
        let file = File::create(&from).unwrap();
        file.set_len(SIZE).unwrap();
        file.write_all_at(&[0xff; 8192], 0).unwrap();
        file.write_all_at(b"garbage", SIZE / 2 + 5).unwrap();
        file.sync_all().unwrap();

        copy(&from, &to, 0).unwrap();
        let metadata = fs::metadata(&to).unwrap();
        assert_eq!(
            (metadata.len(), metadata.permissions().mode() & 0o7777),
            (SIZE, 0o600)
        );
        let larger = folder.path().join("larger");
        copy(&from, &larger, 2 * SIZE).unwrap();
        assert_eq!(fs::metadata(&larger).unwrap().len(), 2 * SIZE);
        assert!(allocated(&larger).unwrap() < 1 << 20);
        assert!(allocated(&to).unwrap() < 1 << 20);
        let copied = File::open(&to).unwrap();
        let mut bytes = [0; 8192];
        copied.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(bytes, [0xff; 8192]);
        let mut bytes = [1; 9];
        copied.read_exact_at(&mut bytes, SIZE / 2 + 4).unwrap();
        assert_eq!(&bytes, b"\0garbage\0");
    }

    #[test]
    fn a_copy_never_touches_what_is_there_and_leaves_nothing_when_it_fails() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        copy(&from, &to, 0).unwrap_err();
        assert!(!to.exists());
        fs::create_dir(&from).unwrap();
        copy(&from, &to, 0).unwrap_err();
        assert!(!to.exists(), "a folder cannot be copied");
        fs::remove_dir(&from).unwrap();
        fs::write(&from, "new").unwrap();
        fs::write(&to, "old").unwrap();
        let error = copy(&from, &to, 0).unwrap_err();
        let LayerError::Copy { source, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(source.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&to).unwrap(), b"old");
    }
}
