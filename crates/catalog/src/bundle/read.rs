//! Reads a bundle: once, from its first byte to its last.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt as _;

use sha2::{Digest as _, Sha256};
use tarball::{Archive, Kind, shown};

use super::checked::Checked;
use super::manifest::{LARGEST_MANIFEST, MANIFEST, Manifest, RootFs, RootFsKind};
use super::{BundleError, BundleRef, hex};
use progress::Cancel;

const RECORD: usize = 512;
const BUFFER: usize = 256 << 10;
/// Zeros behind the archive's end.
const MOST_PADDING: u64 = 1 << 20;
/// log2 of the window that a decoder may ask for: 128 MiB.
const WINDOW_LOG: u32 = 27;
/// Where file systems say what they are: an EROFS at the begin of its superblock (Linux, `fs/erofs/erofs_fs.h`), an ext4
/// at byte 56 of it (`s_magic` in `fs/ext4/ext4.h`).
const EROFS_MAGIC: (u64, &[u8]) = (1024, &0xe0f5_e1e2_u32.to_le_bytes());
const EXT4_MAGIC: (u64, &[u8]) = (1024 + 56, &0xef53_u16.to_le_bytes());

type Decoder<R> = zstd::Decoder<'static, BufReader<Checked<R>>>;

/// A bundle whose manifest has been read.
pub struct Bundle<R: Read> {
    manifest: Manifest,
    members: Decoder<R>,
    checked: Checked<R>,
    sha256: String,
}

impl<R: Read> std::fmt::Debug for Bundle<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bundle")
            .field("manifest", &self.manifest)
            .finish_non_exhaustive()
    }
}

impl<R: Read> Bundle<R> {
    /// Reads the manifest of a bundle that is to be `expected`. `progress` is told how many bytes have come.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn open(
        source: R,
        expected: &BundleRef,
        cancel: &Cancel,
        progress: impl FnMut(u64) + Send + 'static,
    ) -> Result<Self, BundleError> {
        let checked = Checked::new(source, expected.size, cancel, Box::new(progress));
        let opened = open(&checked);
        match opened {
            Ok((manifest, members)) => Ok(Self {
                manifest,
                members,
                checked,
                sha256: expected.sha256.clone(),
            }),
            Err(felt) => Err(checked.cause(&expected.sha256).unwrap_or(felt)),
        }
    }

    /// What it says it is.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The members behind the manifest, as a tar stream. Whoever has read them calls [`Self::finish`], or asks
    /// for the [`Self::cause`] where that failed.
    pub fn members(&mut self) -> impl Read + '_ {
        &mut self.members
    }

    /// What made a reader of the members fail, where that is the bundle's own fault.
    #[must_use]
    pub fn cause(&self) -> Option<BundleError> {
        self.checked.cause(&self.sha256)
    }

    fn explain(&self, felt: BundleError) -> BundleError {
        self.cause().unwrap_or(felt)
    }

    /// Reads the bundle to its end and holds it against its hash. What was made of it may be used only after this.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn finish(mut self) -> Result<(), BundleError> {
        let padding = io::copy(&mut self.members.by_ref().take(MOST_PADDING + 1), &mut io::sink());
        match padding {
            Ok(bytes) if bytes <= MOST_PADDING => self.checked.finish(&self.sha256),
            Ok(_) => Err(self.explain(BundleError::Unexpected {
                member: "what comes after the archive".to_owned(),
            })),
            Err(error) => Err(self.explain(BundleError::Decompress(error))),
        }
    }

    /// Writes the root file system of an image into `out`, which is empty, and finishes.
    ///
    /// # Errors
    /// [`BundleError`]; what has been written may not be used then.
    pub fn write_rootfs(mut self, rootfs: &RootFs, out: &mut File) -> Result<(), BundleError> {
        match write_rootfs(&mut self.members, rootfs, out) {
            Ok(()) => self.finish(),
            Err(error @ BundleError::Write(_)) => Err(error),
            Err(felt) => Err(self.explain(felt)),
        }
    }
}

fn open<R: Read>(checked: &Checked<R>) -> Result<(Manifest, Decoder<R>), BundleError> {
    let source = BufReader::with_capacity(BUFFER, checked.clone());
    let mut members = zstd::Decoder::with_buffer(source).map_err(BundleError::Decompress)?;
    members
        .window_log_max(WINDOW_LOG)
        .map_err(BundleError::Decompress)?;
    let json = read_manifest(&mut members)?;
    Ok((Manifest::parse(&json)?, members))
}

/// The first member. Read without a reader of archives, which would read ahead.
fn read_manifest(members: &mut impl Read) -> Result<Vec<u8>, BundleError> {
    let mut header = tar::Header::new_gnu();
    members
        .read_exact(header.as_mut_bytes())
        .map_err(BundleError::Decompress)?;
    let sum = header.as_bytes().iter().enumerate();
    // The checksum counts its own field as spaces.
    let sum: u32 = sum
        .map(|(at, byte)| u32::from(if (148..156).contains(&at) { b' ' } else { *byte }))
        .sum();
    let size = header.entry_size().unwrap_or(u64::MAX);
    let is_manifest = header.cksum().is_ok_and(|told| told == sum)
        && header.entry_type().is_file()
        && *header.path_bytes() == *MANIFEST.as_bytes()
        && size <= LARGEST_MANIFEST;
    if !is_manifest {
        return Err(BundleError::NoManifest);
    }
    let mut json = Vec::new();
    let padded = size.next_multiple_of(RECORD as u64);
    members
        .take(padded)
        .read_to_end(&mut json)
        .map_err(BundleError::Decompress)?;
    if json.len() as u64 != padded {
        return Err(BundleError::NoManifest);
    }
    json.truncate(usize::try_from(size).unwrap_or(0));
    Ok(json)
}

fn write_rootfs(members: &mut impl Read, rootfs: &RootFs, out: &mut File) -> Result<(), BundleError> {
    let mut archive = Archive::new(members).with_end_marker();
    let unexpected = |path: &[u8]| BundleError::Unexpected { member: shown(path) };
    let missing = BundleError::Missing {
        member: rootfs.kind.member(),
    };
    let member = archive.next().map_err(BundleError::Archive)?.ok_or(missing)?;
    let Kind::File { size } = member.entry.kind else {
        return Err(unexpected(&member.entry.path));
    };
    if member.entry.path != rootfs.kind.member().as_bytes() || member.map.is_some() {
        return Err(unexpected(&member.entry.path));
    }
    let mismatch = |what, expected: String, found: String| BundleError::Mismatch {
        what,
        expected,
        found,
    };
    if size != rootfs.bytes {
        return Err(mismatch(
            "root file system's size",
            rootfs.bytes.to_string(),
            size.to_string(),
        ));
    }
    let mut hash = Sha256::new();
    let mut content = archive.content(None);
    let mut buffer = vec![0; BUFFER];
    let (mut position, mut ends_with_hole) = (0, false);
    loop {
        let read = content.read(&mut buffer).map_err(BundleError::Decompress)?;
        if read == 0 {
            break;
        }
        let piece = &buffer[..read];
        hash.update(piece);
        // Most of a disk may be holes, which take no space as long as nobody writes there.
        ends_with_hole = piece.iter().all(|byte| *byte == 0);
        if !ends_with_hole {
            out.write_all_at(piece, position).map_err(BundleError::Write)?;
        }
        position += read as u64;
    }
    if ends_with_hole {
        out.set_len(position).map_err(BundleError::Write)?;
    }
    if let Some(member) = archive.next().map_err(BundleError::Archive)? {
        return Err(unexpected(&member.entry.path));
    }
    let found = hex(&hash.finalize());
    if found != rootfs.sha256 {
        return Err(mismatch("root file system", rootfs.sha256.clone(), found));
    }
    let ((place, magic), due) = match rootfs.kind {
        RootFsKind::Erofs => (EROFS_MAGIC, "an EROFS"),
        RootFsKind::Ext4 => (EXT4_MAGIC, "an ext4"),
    };
    let mut there = vec![0; magic.len()];
    match out.read_exact_at(&mut there, place) {
        Ok(()) if there == magic => Ok(()),
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(BundleError::Write(error)),
        _ => Err(mismatch(
            "root file system",
            due.to_owned(),
            "something else".to_owned(),
        )),
    }
}
