//! Takes a distribution's kernel package apart into what a VM boots from.
//!
//! ```text
//!   package (tar) ─► vmlinuz ─► vmlinux          the kernel, unpacked: the VMM starts it without a decompressor
//!                 └► modules ─► modules.erofs    all of them with the indices of modprobe, for /lib/modules/VERSION
//!                            └► boot-modules/    00-name.ko …: what a guest loads, in this order, to find its disks
//! ```
//!
//! The same from the plain form that bundles and clients have, `vmlinux`, `initrd.img` and `modules/…`. All of it comes
//! from elsewhere: everything in it is bounded and checked.

mod beneath;
mod boot;
mod bzimage;
mod decompress;
mod depmod;
mod elf;
mod error;
mod folder;
mod index;
mod members;
#[cfg(test)]
mod members_tests;
mod modinfo;
mod modules;
mod package;
mod release;
mod spool;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::{Read, Write as _};
use std::path::Path;

pub use decompress::DecompressError;
pub use error::KernelError;
pub use folder::{FolderError, KernelFolder};
pub use members::{INITRD, MODULES, VMLINUX};
pub use package::LARGEST_INITRD;

use crate::erofs::{Builder, Options};
use modules::Modules;
use package::{Layout, Package, add, decompressed};

/// Bytes that are read of a package; a full distribution kernel has 0.5 GiB.
const MOST_BYTES: u64 = 8 << 30;
/// Bytes of all modules.
const MOST_MODULE_BYTES: u64 = 4 << 30;
/// Files and folders in the modules' image.
const MOST_ENTRIES: u32 = 100_000;

/// A kernel that has been taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedKernel {
    /// The kernel's release, as `uname -r` says it. Of letters, digits and `._+-~,@=`, starting with a letter or digit.
    pub version: String,
    /// Bytes of all files that were written.
    pub bytes: u64,
}

/// Reads the file tree of a kernel package as a tar stream (what `dpkg-deb --fsys-tarfile` gives of a `linux-image`
/// package) and writes `vmlinux`, `modules.erofs` and `boot-modules/` into `folder`, which exists and has none of them.
/// They are synced; giving the folder its name when all is there, and removing it when this fails, is the caller's.
///
/// # Errors
/// [`KernelError`].
pub fn import(tar: impl Read, folder: &Path) -> Result<ImportedKernel, KernelError> {
    import_as(tar, Layout::Package, folder)
}

/// The same of an archive in the plain form: `vmlinux`, an ELF file or a bzImage; `initrd.img`, which stays as it is;
/// and in `modules/` what `/lib/modules/VERSION` holds, where the kernel has modules. Anything else is refused. The
/// version is what the kernel says of itself.
///
/// # Errors
/// [`KernelError`].
pub fn import_members(tar: impl Read, folder: &Path) -> Result<ImportedKernel, KernelError> {
    import_as(tar, Layout::Members, folder)
}

fn import_as(tar: impl Read, layout: Layout, folder: &Path) -> Result<ImportedKernel, KernelError> {
    let path = folder.join("modules.erofs");
    let mut image = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .map_err(KernelError::write(&path))?;
    let options = Options {
        entries: MOST_ENTRIES,
        bytes: MOST_MODULE_BYTES,
        ..Options::default()
    };
    let mut builder = Builder::new(&mut image, options).map_err(KernelError::Archive)?;
    let package = Package::read(tar.take(MOST_BYTES), layout, folder, &mut builder)?;
    let (image_path, vmlinuz) = package.image;
    let vmlinux = bzimage::unpack(&vmlinuz, &image_path)?;
    drop(vmlinuz);
    let version = match package.version {
        Some(version) => version,
        None => release::of(&vmlinux)?,
    };
    let modules = Modules::new(package.modules, &package.lists)?;
    modules.check_version(&version)?;
    for (name, content) in depmod::files(&modules)? {
        add(&mut builder, name.as_bytes(), &content)?;
    }
    let mut bytes = builder.finish().map_err(KernelError::Archive)?.bytes;
    image.sync_all().map_err(KernelError::write(&path))?;

    bytes += package.initrd;
    bytes += write(&folder.join(VMLINUX), &vmlinux)?;

    let boot = folder.join("boot-modules");
    fs::create_dir(&boot).map_err(KernelError::write(&boot))?;
    // A kernel that comes alone has all built in that it needs, or its user has a reason.
    let alone = layout == Layout::Members && modules.is_empty();
    let order = if alone { Vec::new() } else { boot::order(&modules)? };
    for (number, id) in order.into_iter().enumerate() {
        let module = &modules.all[id];
        let data = package.spool.get(&module.spooled)?;
        // Paths and names of modules are ASCII: the package's walk takes no other.
        let (path, name) = (
            String::from_utf8_lossy(&module.path),
            String::from_utf8_lossy(&module.name),
        );
        let data = decompressed(&path, &data)?.unwrap_or(data);
        bytes += write(&boot.join(format!("{number:02}-{name}.ko")), &data)?;
    }
    for folder in [&boot, folder] {
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(KernelError::write(folder))?;
    }
    Ok(ImportedKernel { version, bytes })
}

fn write(path: &Path, data: &[u8]) -> Result<u64, KernelError> {
    File::create_new(path)
        .and_then(|mut file| {
            file.write_all(data)?;
            file.sync_all()
        })
        .map_err(KernelError::write(path))?;
    Ok(data.len() as u64)
}
