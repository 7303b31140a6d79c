//! Members of a tar stream: reading their headers and records, without trust.

use std::io::{self, BufRead};

use crate::attributes::{Attributes, is_carried};
use crate::error::{ArchiveError, shown};
use crate::header::{RECORD, checksum, kind, number};
use crate::pax;
use crate::sparse::SparseMap;

/// Long names, records and sparse maps of one member may take this much, and what is behind the last one.
const EXTENSION: u64 = 1 << 20;

/// Warnings that are kept; of further ones only how many there were.
pub(crate) const WARNINGS: usize = 20;

/// One member without its data.
#[derive(Debug)]
pub(crate) struct Member {
    /// As the stream has it.
    pub(crate) path: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) attributes: Attributes,
}

/// What a member is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Its data follows: of that many bytes, or of the parts of a map.
    File {
        size: u64,
        map: Option<SparseMap>,
    },
    Directory,
    Symlink {
        target: Vec<u8>,
    },
    HardLink {
        target: Vec<u8>,
    },
    /// By its letter.
    Special {
        kind: u8,
        device: (u32, u32),
    },
}

/// A stream of members.
#[derive(Debug)]
pub(crate) struct Members<R> {
    source: R,
    /// Unread data of the member at hand.
    left: u64,
    /// Zeros behind it.
    padding: u64,
    /// Path of the member at hand.
    last: Vec<u8>,
    /// What the packer left out, and how much more than is kept.
    warnings: Vec<String>,
    more_warnings: u64,
}

/// What extension headers say about the member that follows.
#[derive(Debug, Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    modified: Option<(i64, u32)>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    sparse_version: Option<(Option<u64>, Option<u64>)>,
    sparse_size: Option<u64>,
    sparse_list: Option<Vec<u8>>,
}

impl<R: BufRead> Members<R> {
    pub(crate) fn new(source: R) -> Self {
        Self {
            source,
            left: 0,
            padding: 0,
            last: Vec::new(),
            warnings: Vec::new(),
            more_warnings: 0,
        }
    }

    /// What the packer warned of since the last call, and how much more than is kept. Asked for before each member and
    /// at the end: the last thing of a tree may be what was left out.
    pub(crate) fn warnings(&mut self) -> (Vec<String>, u64) {
        (
            std::mem::take(&mut self.warnings),
            std::mem::take(&mut self.more_warnings),
        )
    }

    /// The next member. What was not read of the one before is skipped.
    pub(crate) fn next(&mut self) -> Result<Option<Member>, ArchiveError> {
        let mut extensions = Extensions::default();
        // Headers upon headers before one member are held to the bound of one.
        let mut room = EXTENSION;
        loop {
            self.skip()?;
            let mut record = [0; RECORD];
            if !self.header(&mut record)? || record.iter().all(|byte| *byte == 0) {
                return Ok(None);
            }
            let stated = number(&record[148..156]);
            if stated.and_then(|sum| u64::try_from(sum).ok()) != Some(checksum(&record)) {
                return Err(self.bad("a header's checksum does not hold"));
            }
            let size = self.field(&record[124..136])?;
            match record[156] {
                letter
                @ (kind::PAX | kind::GLOBAL_PAX | kind::LONG_NAME | kind::LONG_LINK | kind::VOLUME) => {
                    room = room
                        .checked_sub(size.max(RECORD as u64))
                        .ok_or_else(|| self.bad("an extension header is too large"))?;
                    let data = self.extension(size)?;
                    match letter {
                        kind::PAX => self.take_records(&data, &mut extensions)?,
                        kind::GLOBAL_PAX => self.hear(&data)?,
                        kind::LONG_NAME => extensions.path = Some(until_zero(&data).to_vec()),
                        kind::LONG_LINK => extensions.link = Some(until_zero(&data).to_vec()),
                        // A volume's label; nothing of the file system.
                        _ => {}
                    }
                }
                letter => return self.member(&record, letter, size, extensions).map(Some),
            }
        }
    }

    fn member(
        &mut self,
        record: &[u8; RECORD],
        letter: u8,
        size: u64,
        extensions: Extensions,
    ) -> Result<Member, ArchiveError> {
        let path = extensions.path.unwrap_or_else(|| name(record));
        self.last.clone_from(&path);
        let owner = |stated: Option<u64>, field: &[u8]| {
            let value = stated.or_else(|| number(field).and_then(|value| value.try_into().ok()));
            value.and_then(|value| u32::try_from(value).ok())
        };
        let uid = owner(extensions.uid, &record[108..116]).ok_or_else(|| self.bad("bad owner"))?;
        let gid = owner(extensions.gid, &record[116..124]).ok_or_else(|| self.bad("bad group"))?;
        let modified = match extensions.modified {
            Some(time) => time,
            None => (number(&record[136..148]).ok_or_else(|| self.bad("bad time"))?, 0),
        };
        let attributes = Attributes {
            mode: self.field(&record[100..108])? as u32 & 0o7777,
            uid,
            gid,
            modified,
            xattrs: extensions.xattrs,
        };
        let target = || {
            let target = extensions
                .link
                .unwrap_or_else(|| until_zero(&record[157..257]).to_vec());
            (!target.is_empty() && !target.contains(&0)).then_some(target)
        };
        let kind = match letter {
            kind::FILE | 0 if path.ends_with(b"/") => Kind::Directory,
            kind::FILE | kind::CONTINUOUS | 0 => {
                let size = extensions.size.unwrap_or(size);
                self.expect(size)?;
                let map = match (extensions.sparse_version, extensions.sparse_size) {
                    (Some((Some(1), Some(0))), Some(real)) => {
                        let map = SparseMap::from_data(real, &mut self.data());
                        let map = map.map_err(|source| self.broken(source))?;
                        Some(map.map_err(|_| self.bad("bad sparse map"))?.0)
                    }
                    (None, None) => None,
                    (_, Some(real)) => {
                        let list = extensions
                            .sparse_list
                            .ok_or_else(|| self.bad("unknown sparse format"))?;
                        Some(SparseMap::from_list(real, &list).map_err(|_| self.bad("bad sparse map"))?)
                    }
                    _ => return Err(self.bad("unknown sparse format")),
                };
                Kind::File {
                    size: map.as_ref().map_or(size, |map| map.size),
                    map,
                }
            }
            kind::OLD_SPARSE => {
                let map = self.old_map(record)?;
                self.expect(extensions.size.unwrap_or(size))?;
                Kind::File {
                    size: map.size,
                    map: Some(map),
                }
            }
            kind::HARD_LINK => Kind::HardLink {
                target: target().ok_or_else(|| self.bad("bad link target"))?,
            },
            kind::SYMLINK => Kind::Symlink {
                target: target().ok_or_else(|| self.bad("bad link target"))?,
            },
            kind::DIRECTORY => Kind::Directory,
            kind::FIFO | kind::CHARACTER_DEVICE | kind::BLOCK_DEVICE => {
                let part = |field| self.field(field).map(|part| part as u32);
                Kind::Special {
                    kind: letter,
                    device: (part(&record[329..337])?, part(&record[337..345])?),
                }
            }
            _ => return Err(self.bad("a member is of an unknown kind")),
        };
        if let Kind::File { map: Some(map), .. } = &kind
            && map.stored() != self.left
        {
            return Err(self.bad("bad sparse map"));
        }
        Ok(Member {
            path,
            kind,
            attributes,
        })
    }

    fn take_records(&self, data: &[u8], extensions: &mut Extensions) -> Result<(), ArchiveError> {
        for record in pax::records(data) {
            let (key, value) = record.map_err(|_| self.bad("bad PAX record"))?;
            let number = || pax::decimal(value).ok_or_else(|| self.bad("bad number in a PAX record"));
            match key {
                b"path" if extensions.sparse_version.is_none() => extensions.path = Some(value.to_vec()),
                b"GNU.sparse.name" => extensions.path = Some(value.to_vec()),
                b"linkpath" => extensions.link = Some(value.to_vec()),
                b"size" => extensions.size = Some(number()?),
                b"uid" => extensions.uid = Some(number()?),
                b"gid" => extensions.gid = Some(number()?),
                b"mtime" => {
                    extensions.modified = Some(pax::time(value).ok_or_else(|| self.bad("bad time"))?);
                }
                b"GNU.sparse.major" => extensions.sparse_version.get_or_insert_default().0 = Some(number()?),
                b"GNU.sparse.minor" => extensions.sparse_version.get_or_insert_default().1 = Some(number()?),
                b"GNU.sparse.realsize" | b"GNU.sparse.size" => extensions.sparse_size = Some(number()?),
                b"GNU.sparse.map" => extensions.sparse_list = Some(value.to_vec()),
                _ => {
                    if let Some(name) = key.strip_prefix(pax::XATTR.as_bytes())
                        && is_carried(name)
                    {
                        extensions.xattrs.push((name.to_vec(), value.to_vec()));
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes what the packer says between its members.
    fn hear(&mut self, data: &[u8]) -> Result<(), ArchiveError> {
        for record in pax::records(data) {
            let (key, value) = record.map_err(|_| self.bad("bad PAX record"))?;
            if key == pax::FAILURE.as_bytes() {
                return Err(ArchiveError::Told(shown(value)));
            }
            if key == pax::WARNING.as_bytes() {
                match self.warnings.len() < WARNINGS {
                    true => self.warnings.push(shown(value)),
                    false => self.more_warnings += 1,
                }
            }
        }
        Ok(())
    }

    /// The map of a sparse file in GNU's old format; it goes on in records after the header.
    fn old_map(&mut self, record: &[u8; RECORD]) -> Result<SparseMap, ArchiveError> {
        let mut map = SparseMap::new(self.field(&record[483..495])?);
        self.parts(&mut map, &record[386..482])?;
        let mut more = record[482] != 0;
        let mut read = 0;
        while more {
            let mut next = [0; RECORD];
            read += RECORD as u64;
            if read > EXTENSION || !self.header(&mut next)? {
                return Err(self.bad("bad sparse map"));
            }
            self.parts(&mut map, &next[..504])?;
            more = next[504] != 0;
        }
        Ok(map)
    }

    fn parts(&self, map: &mut SparseMap, fields: &[u8]) -> Result<(), ArchiveError> {
        let (parts, _) = fields.as_chunks::<24>();
        for part in parts.iter().filter(|part| part[0] != 0) {
            let (offset, length) = (self.field(&part[..12])?, self.field(&part[12..])?);
            map.push(offset, length).map_err(|_| self.bad("bad sparse map"))?;
        }
        Ok(())
    }

    /// Reads a record; `false` at the end of the stream.
    fn header(&mut self, record: &mut [u8; RECORD]) -> Result<bool, ArchiveError> {
        let mut filled = 0;
        while filled < RECORD {
            match self.source.read(&mut record[filled..]) {
                Ok(0) if filled == 0 => return Ok(false),
                Ok(0) => return Err(self.broken(io::ErrorKind::UnexpectedEof.into())),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.broken(error)),
            }
        }
        Ok(true)
    }

    fn extension(&mut self, size: u64) -> Result<Vec<u8>, ArchiveError> {
        self.expect(size)?;
        let mut data = vec![0; size as usize];
        let read = io::Read::read_exact(&mut self.data(), &mut data);
        read.map_err(|source| self.broken(source))?;
        Ok(data)
    }

    fn expect(&mut self, size: u64) -> Result<(), ArchiveError> {
        let whole = size
            .checked_next_multiple_of(RECORD as u64)
            .ok_or_else(|| self.bad("bad size"))?;
        self.left = size;
        self.padding = whole - size;
        Ok(())
    }

    /// The unread data of the member at hand.
    pub(crate) fn data(&mut self) -> Data<'_, R> {
        Data {
            source: &mut self.source,
            left: &mut self.left,
        }
    }

    fn skip(&mut self) -> Result<(), ArchiveError> {
        let mut left = self.left.saturating_add(std::mem::take(&mut self.padding));
        self.left = 0;
        while left > 0 {
            let available = match self.source.fill_buf() {
                Ok([]) => return Err(self.broken(io::ErrorKind::UnexpectedEof.into())),
                Ok(bytes) => bytes.len() as u64,
                Err(error) => return Err(self.broken(error)),
            };
            let count = available.min(left);
            self.source.consume(count as usize);
            left -= count;
        }
        Ok(())
    }

    /// Reads what is behind the archive, so that a stream that fails there is seen to. Some packers fill it up to the
    /// blocks of their tapes; more is refused.
    pub(crate) fn drain(&mut self) -> Result<(), ArchiveError> {
        let mut room = EXTENSION;
        loop {
            let count = match self.source.fill_buf() {
                Ok([]) => return Ok(()),
                Ok(bytes) => bytes.len(),
                Err(error) => return Err(self.broken(error)),
            };
            self.source.consume(count);
            room = room
                .checked_sub(count as u64)
                .ok_or_else(|| self.bad("it goes on behind its end"))?;
        }
    }

    fn field(&self, field: &[u8]) -> Result<u64, ArchiveError> {
        let value = number(field).and_then(|value| u64::try_from(value).ok());
        value.ok_or_else(|| self.bad("bad number in a header"))
    }

    fn bad(&self, what: &'static str) -> ArchiveError {
        ArchiveError::Malformed {
            after: shown(&self.last),
            what,
        }
    }

    /// The stream failed.
    pub(crate) fn broken(&self, source: io::Error) -> ArchiveError {
        ArchiveError::Stream {
            after: shown(&self.last),
            source,
        }
    }
}

/// The unread data of a member, without copying it.
#[derive(Debug)]
pub(crate) struct Data<'a, R> {
    source: &'a mut R,
    left: &'a mut u64,
}

impl<R: BufRead> BufRead for Data<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if *self.left == 0 {
            return Ok(&[]);
        }
        let bytes = self.source.fill_buf()?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let room = usize::try_from(*self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        Ok(&bytes[..room])
    }

    fn consume(&mut self, count: usize) {
        self.source.consume(count);
        *self.left -= count as u64;
    }
}

impl<R: BufRead> io::Read for Data<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

fn until_zero(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// The name in a header; POSIX archives may have the beginning of it in a field of its own.
fn name(record: &[u8; RECORD]) -> Vec<u8> {
    let name = until_zero(&record[..100]);
    let prefix = until_zero(&record[345..500]);
    if &record[257..263] == b"ustar\0" && !prefix.is_empty() {
        [prefix, b"/", name].concat()
    } else {
        name.to_vec()
    }
}
