//! Writes bundles. Equal content gives equal bytes.

use std::io::{self, Read, Write};

use sha2::{Digest as _, Sha256};

use super::manifest::{BundleImage, BundleKernel, MANIFEST, Manifest};
use super::{BundleError, hex};

/// Good for what is downloaded more often than made; takes seconds for an image of half a gigabyte.
const LEVEL: i32 = 6;

/// What has been written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// sha256 of the bundle, 64 hexadecimal digits.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
}

/// The name under which a bundle is published: it changes with its content, so that no cache serves an old one.
#[must_use]
pub fn file_name(name: &str, arch: &str, sha256: &str) -> String {
    format!("{name}-{arch}-{}.tar.zst", sha256.get(..12).unwrap_or(sha256))
}

/// Writes an image; `rootfs` gives exactly what the manifest says of it.
///
/// # Errors
/// [`BundleError::Write`]; [`BundleError::Mismatch`] where `rootfs` gives something else.
pub fn write_image(
    manifest: BundleImage,
    rootfs: impl Read,
    out: impl Write,
) -> Result<Written, BundleError> {
    let told = manifest.rootfs.clone();
    write(&Manifest::Image(manifest), out, |tar| {
        let mut source = Hashed {
            inner: rootfs.take(told.bytes),
            hash: Sha256::new(),
            bytes: 0,
        };
        let mut header = header(told.bytes);
        tar.append_data(&mut header, told.kind.member(), &mut source)
            .map_err(BundleError::Write)?;
        let found = hex(&source.hash.finalize());
        if found != told.sha256 || source.bytes != told.bytes {
            return Err(BundleError::Mismatch {
                what: "root file system",
                expected: told.sha256.clone(),
                found,
            });
        }
        Ok(())
    })
}

/// Writes a kernel; `add` adds its members.
///
/// # Errors
/// [`BundleError::Write`], or what `add` fails with.
pub fn write_kernel<W: Write, E: From<BundleError>>(
    manifest: BundleKernel,
    out: W,
    add: impl FnOnce(&mut tar::Builder<zstd::Encoder<'static, Hashed<W>>>) -> Result<(), E>,
) -> Result<Written, E> {
    write(&Manifest::Kernel(manifest), out, add)
}

fn write<W: Write, E: From<BundleError>>(
    manifest: &Manifest,
    out: W,
    add: impl FnOnce(&mut tar::Builder<zstd::Encoder<'static, Hashed<W>>>) -> Result<(), E>,
) -> Result<Written, E> {
    let failed = |error| E::from(BundleError::Write(error));
    let out = Hashed {
        inner: out,
        hash: Sha256::new(),
        bytes: 0,
    };
    let encoder = zstd::Encoder::new(out, LEVEL).map_err(failed)?;
    let mut tar = tar::Builder::new(encoder);
    let mut json = serde_json::to_vec_pretty(manifest).map_err(|error| failed(error.into()))?;
    json.push(b'\n');
    tar.append_data(&mut header(json.len() as u64), MANIFEST, json.as_slice())
        .map_err(failed)?;
    add(&mut tar)?;
    let mut out = tar.into_inner().and_then(zstd::Encoder::finish).map_err(failed)?;
    out.inner.flush().map_err(failed)?;
    Ok(Written {
        sha256: hex(&out.hash.finalize()),
        bytes: out.bytes,
    })
}

/// Whose a file is and when it was made says nothing here.
fn header(size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    header
}

/// Counts and hashes what passes.
pub struct Hashed<T> {
    inner: T,
    hash: Sha256,
    bytes: u64,
}

impl<T> std::fmt::Debug for Hashed<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hashed").field("bytes", &self.bytes).finish()
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for &mut Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        self.bytes += read as u64;
        Ok(read)
    }
}
