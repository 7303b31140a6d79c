//! One layer's blob in an open file, and how its archive comes out of it.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::digest::{Digest, Hashing};
use crate::error::{OciError, Stop};
use crate::meter::Meter;
use progress::Cancel;

/// How a layer's archive is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    Plain,
    /// gzip, of one or more members.
    Gzip,
    /// zstd, of one or more frames.
    Zstd,
}

impl Compression {
    /// What the first bytes of a blob look like.
    #[must_use]
    pub fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // A frame, or a skippable one before it (RFC 8878, 3.1).
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::Plain,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "uncompressed",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// A layer, ready to be read as often as needed. The file stays open, so that what is removed meanwhile stays readable.
#[derive(Clone, Debug)]
pub struct Layer {
    name: String,
    file: Arc<File>,
    offset: u64,
    bytes: u64,
    compression: Compression,
    diff_id: Option<Digest>,
}

impl Layer {
    /// A layer that is a whole file. `name` appears in errors; `diff_id` is the digest of the unpacked archive, where
    /// it is known, and is then checked.
    ///
    /// # Errors
    /// [`OciError::File`] if the file cannot be read.
    pub fn new(
        name: &str,
        file: File,
        compression: Compression,
        diff_id: Option<Digest>,
    ) -> Result<Self, OciError> {
        let bytes = file.metadata().map_err(OciError::file(name, "read"))?.len();
        Ok(Self::part(name, Arc::new(file), (0, bytes), compression, diff_id))
    }

    /// A layer that is a part of a file.
    pub(crate) fn part(
        name: &str,
        file: Arc<File>,
        (offset, bytes): (u64, u64),
        compression: Compression,
        diff_id: Option<Digest>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            file,
            offset,
            bytes,
            compression,
            diff_id,
        }
    }

    /// The name that errors call it by: a digest, or a path in an archive.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes of the blob as it is stored.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn compression(&self) -> Compression {
        self.compression
    }

    /// Digest of the unpacked archive, where the image tells it.
    #[must_use]
    pub fn diff_id(&self) -> Option<Digest> {
        self.diff_id
    }

    /// The archive from its start, held to its digest at its end and to a bound that all who share `read` share.
    pub(crate) fn open(
        &self,
        cancel: &Cancel,
        read: Arc<AtomicU64>,
        limit: u64,
        meter: &Meter,
    ) -> Result<Checked, OciError> {
        Ok(Checked {
            source: Some(Hashing::new(Bounded {
                source: self.unpack(meter)?,
                cancel: cancel.clone(),
                read,
                limit,
            })),
            expected: self.diff_id,
        })
    }

    fn unpack(&self, meter: &Meter) -> Result<Box<dyn Read + Send>, OciError> {
        let mut start = [0; 4];
        let mut head = self.raw();
        let failed = |source| OciError::file(&self.name, "read")(source);
        let mut length = 0;
        while length < start.len() {
            match head.read(&mut start[length..]).map_err(failed)? {
                0 => break,
                read => length += read,
            }
        }
        if Compression::of(&start[..length]) != self.compression {
            return Err(OciError::Mislabelled {
                layer: self.name.clone(),
                labelled: self.compression.name(),
            });
        }
        decode(meter.counted(self.raw()), self.compression).map_err(failed)
    }

    fn raw(&self) -> Part {
        Part {
            file: Arc::clone(&self.file),
            position: self.offset,
            end: self.offset.saturating_add(self.bytes),
        }
    }
}

/// Unpacks a compressed stream.
pub(crate) fn decode<'s>(
    source: impl Read + Send + 's,
    compression: Compression,
) -> io::Result<Box<dyn Read + Send + 's>> {
    let source = BufReader::with_capacity(128 * 1024, source);
    Ok(match compression {
        Compression::Plain => Box::new(source),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(source)),
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(source)?;
            // 128 MiB: what `zstd --long` writes, and the most that a stranger may make us hold.
            decoder.window_log_max(27)?;
            Box::new(decoder)
        }
    })
}

/// Reads a part of a file without moving its position, which others share.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) file: Arc<File>,
    pub(crate) position: u64,
    pub(crate) end: u64,
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.end.saturating_sub(self.position);
        let room = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let read = self.file.read_at(&mut buffer[..room], self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

/// Fails when cancelled, or when more is read than all readers that share `read` may read together.
pub(crate) struct Bounded<R> {
    pub(crate) source: R,
    pub(crate) cancel: Cancel,
    pub(crate) read: Arc<AtomicU64>,
    pub(crate) limit: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(Stop::Cancelled.error());
        }
        let read = self.source.read(buffer)?;
        if self.read.fetch_add(read as u64, Ordering::Relaxed) + read as u64 > self.limit {
            return Err(Stop::TooMuch(self.limit).error());
        }
        Ok(read)
    }
}

/// A layer's archive. Its end is reached only if its digest is right.
pub(crate) struct Checked {
    source: Option<Hashing<Bounded<Box<dyn Read + Send>>>>,
    expected: Option<Digest>,
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(source) = &mut self.source else {
            return Ok(0);
        };
        let read = source.read(buffer)?;
        if read > 0 || buffer.is_empty() {
            return Ok(read);
        }
        let Some(source) = self.source.take().filter(|source| source.bytes > 0) else {
            // No archive is that short: a download that was cut off at its first byte is.
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let found = source.digest();
        match self.expected {
            Some(expected) if expected != found => Err(Stop::WrongContent { expected, found }.error()),
            _ => Ok(0),
        }
    }
}

/// Holds a blob in a file to its digest and size.
pub(crate) fn verify(
    file: &Arc<File>,
    digest: Digest,
    size: u64,
    cancel: &Cancel,
    failed: impl FnOnce(io::Error) -> OciError,
) -> Result<(), OciError> {
    let found = match file.metadata() {
        Ok(data) => data.len(),
        Err(error) => return Err(failed(error)),
    };
    if found != size {
        return Err(OciError::WrongSize {
            digest,
            expected: size,
            found,
        });
    }
    let source = Part {
        file: Arc::clone(file),
        position: 0,
        end: size,
    };
    let mut source = Hashing::new(Bounded {
        source,
        cancel: cancel.clone(),
        read: Arc::default(),
        limit: size,
    });
    source.drain().map_err(|error| match cancel.is_cancelled() {
        true => OciError::Cancelled,
        false => failed(error),
    })?;
    let found = source.digest();
    if found != digest {
        return Err(OciError::WrongDigest {
            what: "blob".to_owned(),
            expected: digest,
            found,
        });
    }
    Ok(())
}
