//! The plain form of a kernel: `vmlinux`, perhaps `initrd.img`, perhaps `modules/…`, and nothing else. Bundles hold it,
//! and clients send it.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Write as _};
use std::path::Path;

use tarball::{Entry, Kind, shown};

use super::error::KernelError;
use super::modules::name_of;
use super::package::{Part, Place};

/// The kernel, an ELF file or a bzImage.
pub const VMLINUX: &str = "vmlinux";
/// An initrd of the kernel's own.
pub const INITRD: &str = "initrd.img";
/// The folder that holds what `/lib/modules/VERSION` does.
pub const MODULES: &str = "modules";
/// The lists of modules that belong to a kernel; the others are made here.
pub const LISTS: [&str; 3] = ["modules.order", "modules.builtin", "modules.builtin.modinfo"];

const BUFFER: usize = 256 << 10;

/// What has come so far.
#[derive(Debug, Default)]
pub(crate) struct Members(HashSet<Vec<u8>>);

impl Members {
    /// What a member is; nothing for a folder. Whatever does not belong there is refused.
    pub(crate) fn classify<'p, 'n>(
        &mut self,
        entry: &Entry,
        names: &'p [&'n [u8]],
    ) -> Result<Option<Place<'p, 'n>>, KernelError> {
        let unexpected = || KernelError::Unexpected {
            path: shown(&entry.path),
        };
        let place = match (&entry.kind, names) {
            (Kind::Directory, [] | [b"modules", ..]) => return Ok(None),
            (Kind::File { .. }, [b"vmlinux"]) => (Part::Image, None, &names[..0]),
            (Kind::File { .. }, [b"initrd.img"]) => (Part::Initrd, None, &names[..0]),
            (Kind::File { .. }, [b"modules", list])
                if LISTS.iter().any(|known| known.as_bytes() == *list) =>
            {
                (Part::List, None, &names[1..])
            }
            (Kind::File { .. }, [b"modules", .., file]) if name_of(file).is_some() => {
                (Part::Module, None, &names[1..])
            }
            _ => return Err(unexpected()),
        };
        if !self.0.insert(names.join(&b'/')) {
            return Err(KernelError::Twice {
                path: shown(&entry.path),
            });
        }
        Ok(Some(place))
    }
}

/// Writes the initrd as it comes: it may be larger than what is good to hold in memory.
pub(crate) fn write_initrd(
    folder: &Path,
    mut data: impl Read,
    failed: impl Fn(std::io::Error) -> KernelError,
) -> Result<u64, KernelError> {
    let path = folder.join(INITRD);
    let mut file = File::create_new(&path).map_err(KernelError::write(&path))?;
    let mut buffer = vec![0; BUFFER];
    let mut bytes = 0;
    loop {
        let read = data.read(&mut buffer).map_err(&failed)?;
        if read == 0 {
            break;
        }
        file.write_all(&buffer[..read])
            .map_err(KernelError::write(&path))?;
        bytes += read as u64;
    }
    file.sync_all().map_err(KernelError::write(&path))?;
    Ok(bytes)
}
