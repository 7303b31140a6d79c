//! Bundles as files: what `image export` and `internal make-bundle` write.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use catalog::bundle::{
    BundleError, BundleImage, BundleKernel, BundleRef, Description, RootFs, RootFsKind, SCHEMA_VERSION,
    Written, file_name, write_image, write_kernel,
};
use rootfs::erofs;
use rootfs::kernel::{FolderError, KernelFolder};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::output::{begin, replaceable};
use crate::cli::MakeBundleArgs;
use crate::failure::Failure;

/// A bundle that is being written: it has a name once it is whole.
#[derive(Debug)]
pub struct Draft {
    file: NamedTempFile,
    /// The name that was asked for; one of the bundle's own if that is a folder.
    target: PathBuf,
}

impl Draft {
    /// Begins to write to `target`, a file or a folder.
    ///
    /// # Errors
    /// Nothing can be written there.
    pub fn new(target: &Path) -> Result<Self, Failure> {
        replaceable(target)?;
        let folder = match target.parent() {
            _ if target.is_dir() => target,
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let file = begin(folder, ".banger-bundle-").map_err(|error| cannot("write into", folder, &error))?;
        Ok(Self {
            file,
            target: target.to_owned(),
        })
    }

    /// What is written to.
    pub fn out(&mut self) -> &mut File {
        self.file.as_file_mut()
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// It cannot be synced or renamed.
    pub fn publish(self, name: &str, arch: &str, written: &Written) -> Result<PathBuf, Failure> {
        let target = if self.target.is_dir() {
            self.target.join(file_name(name, arch, &written.sha256))
        } else {
            self.target
        };
        let synced = self.file.as_file().sync_all();
        synced.map_err(|error| cannot("write", &target, &error))?;
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        let opened = self.file.as_file().set_permissions(readable);
        opened.map_err(|error| cannot("write", &target, &error))?;
        self.file
            .persist(&target)
            .map_err(|error| cannot("write", &target, &error.error))?;
        Ok(target)
    }
}

fn cannot(action: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("cannot {action} {}: {error}", path.display()))
}

/// The bundle as a catalog names it: beside itself.
pub fn reference(path: &Path, written: &Written) -> BundleRef {
    BundleRef {
        url: path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        sha256: written.sha256.clone(),
        size: written.bytes,
    }
}

/// `banger internal make-bundle`: gives the entry of a catalog.
///
/// # Errors
/// What it is to be made of cannot be read, or the bundle cannot be written.
pub fn make(args: &MakeBundleArgs) -> Result<Value, Failure> {
    let about = Description {
        name: args.name.to_string(),
        distro: args.distro.clone(),
        arch: args.arch.clone(),
        description: args.description.clone(),
    };
    let mut draft = Draft::new(&args.out)?;
    let written = match (&args.rootfs_tar, &args.kernel_from, &args.kernel) {
        (Some(tar), _, Some(kernel)) => make_image(tar, about, kernel.to_string(), draft.out()),
        (_, Some(folder), _) => make_kernel(folder, about, draft.out()),
        _ => {
            return Err(Failure::usage(
                "an image needs the kernel that boots it: --kernel KERNEL",
            ));
        }
    };
    let written = written.map_err(Failure::new)?;
    let path = draft.publish(args.name.as_str(), &args.arch, &written)?;
    let mut entry = json!({
        "name": args.name.as_str(),
        "distro": args.distro,
        "arch": args.arch,
        "description": args.description,
        "bundle": reference(&path, &written),
    });
    if let Some(kernel) = &args.kernel {
        entry["kernel"] = kernel.as_str().into();
    }
    Ok(entry)
}

fn make_image(tar: &Path, about: Description, kernel: String, out: &mut File) -> Result<Written, String> {
    let told = |error: io::Error| format!("cannot read {}: {error}", tar.display());
    let mut source: Box<dyn Read> = if tar == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(tar).map_err(told)?)
    };
    let mut rootfs = tempfile::tempfile().map_err(|error| format!("cannot make a file: {error}"))?;
    let written = erofs::write_tar(&mut source, &mut rootfs, &erofs::Options::default())
        .map_err(|error| one_line(&error))?;
    io::Seek::rewind(&mut rootfs).map_err(told)?;
    let manifest = BundleImage {
        schema_version: SCHEMA_VERSION,
        about,
        kernel,
        rootfs: RootFs {
            kind: RootFsKind::Erofs,
            bytes: written.bytes,
            sha256: written.digest,
            entries: written.entries,
        },
        config: None,
    };
    write_image(manifest, rootfs, out).map_err(|error| one_line(&error))
}

fn make_kernel(folder: &Path, about: Description, out: &mut File) -> Result<Written, String> {
    #[derive(Debug, thiserror::Error)]
    enum MakeError {
        #[error(transparent)]
        Folder(#[from] FolderError),
        #[error(transparent)]
        Bundle(#[from] BundleError),
    }
    let folder = KernelFolder::open(folder).map_err(|error| one_line(&error))?;
    let manifest = BundleKernel {
        schema_version: SCHEMA_VERSION,
        about,
    };
    let written = write_kernel(manifest, out, |tar| Ok::<_, MakeError>(folder.pack_into(tar)?));
    written.map_err(|error| one_line(&error))
}

/// A failure and its cause in one line.
pub fn one_line(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// Counts and hashes what comes from the daemon.
#[derive(Debug, Default)]
pub struct Received {
    hash: sha2::Sha256,
    bytes: u64,
}

impl Received {
    /// Writes a piece.
    ///
    /// # Errors
    /// `out` fails.
    pub fn write(&mut self, piece: &[u8], out: &mut File) -> io::Result<()> {
        sha2::Digest::update(&mut self.hash, piece);
        self.bytes += piece.len() as u64;
        out.write_all(piece)
    }

    /// What has come.
    pub fn written(self) -> Written {
        let digest = sha2::Digest::finalize(self.hash);
        Written {
            sha256: format!("{digest:x}"),
            bytes: self.bytes,
        }
    }
}
