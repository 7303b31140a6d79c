//! Decompression of kernels and modules, bounded in output and in memory.

use std::io::{self, Read};

/// Window or dictionary that a decoder may ask for. Kernels are packed with up to 128 MiB.
const WINDOW_LOG: u32 = 27;
const MEMORY_KIB: u32 = 192 << 10;
/// Most that a block of the legacy LZ4 form unpacks to.
const LZ4_BLOCK: usize = 8 << 20;
const LZ4_MAGIC: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];

/// Why something could not be decompressed.
#[derive(Debug, thiserror::Error)]
pub enum DecompressError {
    /// The first bytes are those of no known format.
    #[error("it is compressed in a way that is not supported")]
    Unknown,
    /// More output than allowed.
    #[error("it unpacks to more than {limit} bytes")]
    TooLarge {
        /// The bound.
        limit: usize,
    },
    /// The decoder fails.
    #[error("its {format} data is broken")]
    Broken {
        /// The format.
        format: &'static str,
        /// What the decoder says.
        #[source]
        source: io::Error,
    },
}

/// Formats that kernels and modules come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Gzip,
    Xz,
    Lzma,
    Zstd,
    /// The older form of LZ4, without a frame; the kernel knows only this.
    Lz4Legacy,
}

impl Format {
    /// The format by its first bytes.
    pub(crate) fn of(data: &[u8]) -> Option<Self> {
        match data {
            [0x1f, 0x8b, 8, ..] => Some(Self::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            [0x5d, 0, 0, ..] => Some(Self::Lzma),
            data if data.starts_with(&LZ4_MAGIC) => Some(Self::Lz4Legacy),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Lzma => "lzma",
            Self::Zstd => "zstd",
            Self::Lz4Legacy => "lz4",
        }
    }

    /// The first stream in `data`, unpacked to at most `limit` bytes.
    pub(crate) fn decompress(self, data: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
        let broken = |source| DecompressError::Broken {
            format: self.name(),
            source,
        };
        match self {
            Self::Gzip => bounded(flate2::read::GzDecoder::new(data), limit, broken),
            Self::Xz => bounded(
                lzma_rust2::XzReader::new_mem_limit(data, false, MEMORY_KIB),
                limit,
                broken,
            ),
            Self::Lzma => {
                let reader = lzma_rust2::LzmaReader::new_mem_limit(data, MEMORY_KIB, None);
                bounded(reader.map_err(broken)?, limit, broken)
            }
            Self::Zstd => {
                let mut reader = zstd::stream::read::Decoder::with_buffer(data)
                    .map_err(broken)?
                    .single_frame();
                reader.window_log_max(WINDOW_LOG).map_err(broken)?;
                bounded(reader, limit, broken)
            }
            Self::Lz4Legacy => lz4_legacy(data, limit, broken),
        }
    }
}

fn bounded(
    reader: impl Read,
    limit: usize,
    broken: impl FnOnce(io::Error) -> DecompressError,
) -> Result<Vec<u8>, DecompressError> {
    let mut out = Vec::new();
    reader
        .take(limit as u64 + 1)
        .read_to_end(&mut out)
        .map_err(broken)?;
    match out.len() > limit {
        true => Err(DecompressError::TooLarge { limit }),
        false => Ok(out),
    }
}

/// The magic number, then blocks with their length before them (`lz4_Frame_format.md`, "Legacy frame").
fn lz4_legacy(
    data: &[u8],
    limit: usize,
    broken: impl Fn(io::Error) -> DecompressError,
) -> Result<Vec<u8>, DecompressError> {
    let mut out = Vec::new();
    let mut block = vec![0; LZ4_BLOCK];
    let mut rest = data.strip_prefix(&LZ4_MAGIC).unwrap_or(data);
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        if *length == LZ4_MAGIC {
            rest = after;
            continue;
        }
        let length = u32::from_le_bytes(*length) as usize;
        let Some((packed, after)) = after.split_at_checked(length) else {
            return Err(broken(io::ErrorKind::UnexpectedEof.into()));
        };
        let unpacked = lz4_flex::block::decompress_into(packed, &mut block)
            .map_err(|error| broken(io::Error::new(io::ErrorKind::InvalidData, error)))?;
        if out.len() + unpacked > limit {
            return Err(DecompressError::TooLarge { limit });
        }
        out.extend_from_slice(&block[..unpacked]);
        rest = after;
    }
    match rest {
        [] => Ok(out),
        _ => Err(broken(io::ErrorKind::UnexpectedEof.into())),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use proptest::prelude::*;

    use super::*;

    /// `data` as the format's own program packs it for kernels.
    pub(crate) fn packed(format: Format, data: &[u8]) -> Vec<u8> {
        let line = match format {
            Format::Gzip => "gzip -9 -n",
            Format::Xz => "xz --check=crc32 --x86 --lzma2=dict=1MiB",
            Format::Lzma => "xz --format=lzma -6",
            Format::Zstd => "zstd -q -19 -c",
            Format::Lz4Legacy => "lz4 -q -l -9 -c",
        };
        let mut words = line.split(' ');
        let program = words.next().unwrap();
        let mut child = Command::new(program)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program} is needed: {error}"));
        let mut input = child.stdin.take().unwrap();
        let data = data.to_vec();
        let writer = std::thread::spawn(move || input.write_all(&data));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        assert!(output.status.success());
        output.stdout
    }

    pub(crate) const FORMATS: [Format; 5] = [
        Format::Gzip,
        Format::Xz,
        Format::Lzma,
        Format::Zstd,
        Format::Lz4Legacy,
    ];

    /// Data of `length` bytes that compresses, but not to nothing.
    pub(crate) fn sample(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at / 7 * 31 % 251) as u8).collect()
    }

    #[test]
    fn every_format_is_told_by_its_first_bytes_and_unpacked() {
        // More than one block of LZ4.
        let data = sample(LZ4_BLOCK + 12345);
        for format in FORMATS {
            let packed = packed(format, &data);
            assert_eq!(Format::of(&packed), Some(format));
            assert!(
                format.decompress(&packed, data.len()).unwrap() == data,
                "{format:?}"
            );
        }
        assert_eq!(Format::of(b"\x7fELF"), None);
        assert_eq!(Format::of(b""), None);
    }

    #[test]
    fn output_beyond_the_bound_is_refused() {
        let data = sample(300_000);
        for format in FORMATS {
            let error = format
                .decompress(&packed(format, &data), data.len() - 1)
                .unwrap_err();
            assert!(
                matches!(error, DecompressError::TooLarge { .. }),
                "{format:?}: {error}"
            );
        }
    }

    #[test]
    fn a_truncated_stream_is_refused() {
        let data = sample(300_000);
        for format in FORMATS {
            let packed = packed(format, &data);
            for cut in [packed.len() - 1, packed.len() / 2, 20] {
                let result = format.decompress(&packed[..cut], 1 << 20);
                assert!(
                    matches!(result, Err(DecompressError::Broken { .. })),
                    "{format:?} {cut}"
                );
            }
        }
    }

    #[test]
    fn a_dictionary_beyond_the_memory_bound_is_refused_before_it_is_allocated() {
        let mut header = vec![0x5d, 0, 0, 0, 0x60];
        header.extend([0xff; 8]);
        header.extend([0; 32]);
        assert!(Format::Lzma.decompress(&header, 1 << 20).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_decoder_panic(
            format in prop::sample::select(FORMATS.to_vec()),
            mut bytes in prop::collection::vec(any::<u8>(), 0..400),
            flips in prop::collection::vec((0_usize..2000, any::<u8>()), 0..6),
            valid in any::<bool>(),
        ) {
            use std::sync::OnceLock;
            static VALID: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
            let all = VALID.get_or_init(|| FORMATS.iter().map(|format| packed(*format, &sample(5000))).collect());
            if valid {
                let index = FORMATS.iter().position(|other| *other == format).unwrap();
                bytes.clone_from(&all[index]);
                for (at, byte) in flips {
                    let at = at % bytes.len();
                    bytes[at] = byte;
                }
            }
            let _ = format.decompress(&bytes, 1 << 16);
        }
    }
}
