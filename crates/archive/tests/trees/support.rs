//! Packing into memory, unpacking from it, and tar streams made by hand.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use archive::{ArchiveError, Keep, PackOptions, Pieces, Placement, Source, Summary, Target, unpack};
use bytes::Bytes;

/// What a tree packs to.
pub fn pack(path: impl AsRef<Path>, options: PackOptions) -> Vec<u8> {
    let mut stream = Vec::new();
    let source = Source::open(path.as_ref(), false).unwrap();
    source
        .pack(options, &mut |piece| {
            stream.extend_from_slice(&piece);
            Ok(())
        })
        .unwrap();
    stream
}

/// Unpacks a stream that comes in small pieces.
pub fn unpack_bytes(
    stream: &[u8],
    path: impl AsRef<Path>,
    placement: Placement,
    keep: Keep,
) -> Result<Summary, ArchiveError> {
    let mut pieces: Vec<Bytes> = stream.chunks(700).rev().map(Bytes::copy_from_slice).collect();
    unpack(
        Pieces::new(|| Ok(pieces.pop())),
        &Target::new(path.as_ref(), placement),
        keep,
    )
}

/// Unpacks a stream that breaks off after `length` bytes.
pub fn unpack_broken(stream: &[u8], length: usize, path: &Path) -> Result<Summary, ArchiveError> {
    let mut first = Some(Bytes::copy_from_slice(&stream[..length]));
    let pieces = Pieces::new(|| match first.take() {
        Some(piece) => Ok(Some(piece)),
        None => Err(io::ErrorKind::ConnectionReset.into()),
    });
    unpack(pieces, &Target::new(path, Placement::Copy), Keep::default())
}

/// A member made by hand; it is this user's.
pub fn member(kind: u8, name: &str, link: &str, data: &[u8]) -> Vec<u8> {
    let mut record = vec![0; 512];
    record[..name.len()].copy_from_slice(name.as_bytes());
    record[100..107].copy_from_slice(b"0006755");
    // Nobody but root may give files to others.
    let own = std::fs::metadata("/proc/self").unwrap();
    record[108..115].copy_from_slice(format!("{:07o}", own.uid()).as_bytes());
    record[116..123].copy_from_slice(format!("{:07o}", own.gid()).as_bytes());
    record[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
    record[156] = kind;
    record[157..157 + link.len()].copy_from_slice(link.as_bytes());
    record[257..263].copy_from_slice(b"ustar\0");
    record[148..156].fill(b' ');
    let sum: u32 = record.iter().map(|byte| u32::from(*byte)).sum();
    record[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    record.extend_from_slice(data);
    record.resize(record.len().next_multiple_of(512), 0);
    record
}

/// A member with PAX records before it.
pub fn with_records(records: &[(&str, &str)], then: Vec<u8>) -> Vec<u8> {
    let mut data = String::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while length != rest + length.to_string().len() {
            length = rest + length.to_string().len();
        }
        data.push_str(&format!("{length} {key}={value}\n"));
    }
    [member(b'x', "PaxHeaders/x", "", data.as_bytes()), then].concat()
}

/// Names in a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
