//! Walks the file tree of a kernel, in a distribution's package or in our own plain form: the kernel image, the modules,
//! and the lists that come with them.

use std::io::{self, Read};
use std::path::Path;

use tarball::{Archive, Member, SparseMap, shown};

use super::decompress::{DecompressError, Format};
use super::error::KernelError;
use super::members::{self, Members};
use super::modinfo::ModInfo;
use super::modules::{Lists, Module, name_of};
use super::spool::Spool;
use crate::erofs::{Builder, Entry, ErofsError, Kind, components};

/// Members of the archive; a full distribution kernel has 6,000.
const MOST_MEMBERS: usize = 200_000;
const MOST_MODULES: usize = 20_000;
/// One that is not packed has 50 to 90 MiB, unless it is full of what debuggers want.
pub(crate) const LARGEST_IMAGE: u64 = 256 << 20;
/// An initrd of a kernel's own.
pub const LARGEST_INITRD: u64 = 1 << 30;
/// A module, compressed or not.
const LARGEST_MODULE: u64 = 64 << 20;
const LARGEST_LIST: u64 = 16 << 20;
/// Longest version; `uname` has room for 64 with a zero behind it.
pub(crate) const LONGEST_VERSION: usize = 64;

/// Where things lie in the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// As a distribution's package has them, among whatever else it holds.
    Package,
    /// As [`members`] says, and nothing else.
    Members,
}

/// What the walk has found. The modules' files have gone to the image and the spool.
#[derive(Debug)]
pub(crate) struct Package {
    /// The kernel's release, where paths tell it.
    pub(crate) version: Option<String>,
    /// Bytes of the kernel's own initrd, which lies in the folder.
    pub(crate) initrd: u64,
    /// Path and bytes of the kernel image.
    pub(crate) image: (String, Vec<u8>),
    pub(crate) modules: Vec<Module>,
    pub(crate) lists: Lists,
    pub(crate) spool: Spool,
}

/// What a member of the archive is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Image,
    Initrd,
    Module,
    List,
}

impl Part {
    fn limit(self) -> u64 {
        match self {
            Self::Image => LARGEST_IMAGE,
            Self::Initrd => LARGEST_INITRD,
            Self::Module => LARGEST_MODULE,
            Self::List => LARGEST_LIST,
        }
    }
}

/// The walk.
#[derive(Debug)]
struct Walk<'f> {
    folder: &'f Path,
    /// In the plain form, what has come so far.
    members: Option<Members>,
    version: Option<String>,
    initrd: u64,
    image: Option<(String, Vec<u8>)>,
    modules: Vec<Module>,
    lists: Lists,
    spool: Spool,
}

impl Package {
    /// Reads an archive to its end. The modules go to `image` as they come, in the form that they have.
    pub(crate) fn read(
        tar: impl Read,
        layout: Layout,
        folder: &Path,
        image: &mut Builder<'_>,
    ) -> Result<Self, KernelError> {
        let mut archive = Archive::new(tar).with_end_marker();
        let mut walk = Walk {
            folder,
            members: (layout == Layout::Members).then(Members::default),
            version: None,
            initrd: 0,
            image: None,
            modules: Vec::new(),
            lists: Lists::default(),
            spool: Spool::new(folder)?,
        };
        let mut members = 0;
        while let Some(member) = archive
            .next()
            .map_err(|error| KernelError::Archive(error.into()))?
        {
            members += 1;
            if members > MOST_MEMBERS {
                return Err(KernelError::TooManyFiles { limit: MOST_MEMBERS });
            }
            walk.visit(member, &mut archive, image)?;
        }
        archive.drain();
        let missing = |what| move || KernelError::Missing { what };
        let path = match layout {
            Layout::Package => "kernel, /boot/vmlinuz-VERSION",
            Layout::Members => "kernel, vmlinux",
        };
        Ok(Self {
            image: walk.image.ok_or_else(missing(path))?,
            version: walk.version,
            initrd: walk.initrd,
            modules: walk.modules,
            lists: walk.lists,
            spool: walk.spool,
        })
    }
}

impl Walk<'_> {
    fn visit<R: Read>(
        &mut self,
        member: Member,
        archive: &mut Archive<R>,
        image: &mut Builder<'_>,
    ) -> Result<(), KernelError> {
        let names = components(&member.entry.path).map_err(KernelError::Archive)?;
        let place = match &mut self.members {
            Some(members) => members.classify(&member.entry, &names)?,
            None => classify(&names),
        };
        // Links, devices and the like have no place in a kernel.
        let (Some((part, version, names)), Kind::File { size }) = (place, member.entry.kind) else {
            return Ok(());
        };
        let path = shown(&member.entry.path);
        if let Some(version) = version {
            self.check_version(version, &path)?;
        }
        if !names.iter().all(|name| is_name(name)) {
            return Err(KernelError::BadName { path });
        }
        if size > part.limit() {
            return Err(KernelError::FileTooLarge {
                path,
                bytes: size,
                limit: part.limit(),
            });
        }
        if part == Part::Initrd {
            let data = archive.content(member.map).take(size);
            self.initrd = members::write_initrd(self.folder, data, |error| read_failed(&path, error))?;
            return Ok(());
        }
        let data = read(member.map, size, archive, &path)?;
        let inner = names.join(&b'/');
        match part {
            Part::Image => self.image = Some((path, data)),
            Part::Initrd => {}
            Part::Module => {
                if self.modules.len() == MOST_MODULES {
                    return Err(KernelError::TooManyFiles { limit: MOST_MODULES });
                }
                add(image, &inner, &data)?;
                self.modules.push(module(inner, &path, &data, &mut self.spool)?);
            }
            Part::List => {
                add(image, &inner, &data)?;
                match inner.as_slice() {
                    b"modules.order" => self.lists.order = data,
                    b"modules.builtin" => self.lists.builtin = data,
                    _ => self.lists.builtin_modinfo = data,
                }
            }
        }
        Ok(())
    }

    /// All parts have to be of one version.
    fn check_version(&mut self, version: &[u8], path: &str) -> Result<(), KernelError> {
        let bad = || KernelError::BadName {
            path: path.to_owned(),
        };
        let text = str::from_utf8(version).map_err(|_| bad())?;
        if !is_name(version) || version.len() > LONGEST_VERSION || !version[0].is_ascii_alphanumeric() {
            return Err(bad());
        }
        match &self.version {
            Some(known) if known == text => Ok(()),
            Some(known) => Err(KernelError::Versions {
                one: known.clone(),
                other: text.to_owned(),
            }),
            None => {
                self.version = Some(text.to_owned());
                Ok(())
            }
        }
    }
}

/// A part, the version in its path if that has one, and the path below the modules' folder.
pub(crate) type Place<'p, 'n> = (Part, Option<&'n [u8]>, &'p [&'n [u8]]);

/// What lies at a path.
fn classify<'p, 'n>(names: &'p [&'n [u8]]) -> Option<Place<'p, 'n>> {
    // Where /lib is a link to /usr/lib, a package may hold either.
    let names = match names {
        [b"usr", rest @ ..] => rest,
        all => all,
    };
    match names {
        [b"boot", file] => Some((Part::Image, Some(file.strip_prefix(b"vmlinuz-")?), &[])),
        [b"lib", b"modules", version, list @ ..]
            if matches!(
                list,
                [b"modules.order" | b"modules.builtin" | b"modules.builtin.modinfo"]
            ) =>
        {
            Some((Part::List, Some(version), list))
        }
        [b"lib", b"modules", version, path @ ..] => {
            name_of(path.last()?)?;
            Some((Part::Module, Some(version), path))
        }
        _ => None,
    }
}

/// What occurs in versions and in names of modules, and needs no quoting in the lists of modules.
pub(crate) fn is_name(name: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._+-~,@=".contains(byte);
    !name.is_empty() && name.iter().all(plain)
}

fn read<R: Read>(
    map: Option<SparseMap>,
    size: u64,
    archive: &mut Archive<R>,
    path: &str,
) -> Result<Vec<u8>, KernelError> {
    // Nothing is allocated before it has come: a header may claim anything.
    let mut data = Vec::new();
    match archive.content(map).take(size).read_to_end(&mut data) {
        Ok(_) => Ok(data),
        Err(error) => Err(read_failed(path, error)),
    }
}

fn read_failed(path: &str, source: io::Error) -> KernelError {
    let entry = path.to_owned();
    KernelError::Archive(match source.kind() {
        io::ErrorKind::UnexpectedEof => ErofsError::Truncated { entry },
        _ => ErofsError::Read { entry, source },
    })
}

/// Puts a file into the modules' image; who built the package and when does not count there.
pub(crate) fn add(image: &mut Builder<'_>, path: &[u8], data: &[u8]) -> Result<(), KernelError> {
    image
        .add(&Entry::file(path, data.len() as u64), data)
        .map_err(KernelError::Archive)
}

fn module(inner: Vec<u8>, path: &str, data: &[u8], spool: &mut Spool) -> Result<Module, KernelError> {
    let plain = decompressed(path, data)?;
    let info = ModInfo::parse(plain.as_deref().unwrap_or(data)).map_err(|_| KernelError::BadModule {
        path: path.to_owned(),
        fault: "it is no module for a 64-bit kernel",
    })?;
    Ok(Module {
        name: name_of(&inner).expect("classify takes only what has a module's name"),
        path: inner,
        info,
        spooled: spool.push(data)?,
    })
}

/// A module's own bytes, where the file is compressed.
pub(crate) fn decompressed(path: &str, data: &[u8]) -> Result<Option<Vec<u8>>, KernelError> {
    if path.ends_with(".ko") {
        return Ok(None);
    }
    let unpacked = match Format::of(data) {
        Some(format) => format.decompress(data, LARGEST_MODULE as usize),
        None => Err(DecompressError::Unknown),
    };
    unpacked.map(Some).map_err(|source| KernelError::Decompress {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_kernel_its_modules_and_their_lists_are_taken() {
        type Found = Option<(Part, &'static str, &'static str)>;
        let table: [(&str, Found); 14] = [
            ("./boot/vmlinuz-6.1.0-1", Some((Part::Image, "6.1.0-1", ""))),
            ("boot/config-6.1.0-1", None),
            ("boot/grub/vmlinuz-6.1", None),
            (
                "lib/modules/6.1/kernel/fs/a.ko",
                Some((Part::Module, "6.1", "kernel/fs/a.ko")),
            ),
            (
                "usr/lib/modules/6.1/kernel/fs/a.ko.xz",
                Some((Part::Module, "6.1", "kernel/fs/a.ko.xz")),
            ),
            (
                "/lib/modules/6.1/extra/b.ko.zst",
                Some((Part::Module, "6.1", "extra/b.ko.zst")),
            ),
            (
                "lib/modules/6.1/modules.order",
                Some((Part::List, "6.1", "modules.order")),
            ),
            (
                "lib/modules/6.1/modules.builtin",
                Some((Part::List, "6.1", "modules.builtin")),
            ),
            ("lib/modules/6.1/modules.dep", None),
            ("lib/modules/6.1/kernel/modules.order", None),
            ("lib/modules/6.1/build", None),
            ("lib/modules/6.1/.ko", None),
            ("usr/share/doc/a.ko", None),
            ("usr/usr/lib/modules/6.1/a.ko", None),
        ];
        for (path, expected) in table {
            let names = components(path.as_bytes()).unwrap();
            let found = classify(&names).map(|(part, version, path)| {
                (
                    part,
                    str::from_utf8(version.unwrap()).unwrap(),
                    String::from_utf8(path.join(&b'/')).unwrap(),
                )
            });
            let expected = expected.map(|(part, version, path)| (part, version, path.to_owned()));
            assert_eq!(found, expected, "{path}");
        }
    }
}
