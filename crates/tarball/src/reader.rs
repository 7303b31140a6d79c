//! Reads a tar archive as a stream of members.
//!
//! The header's layout is the `tar` crate's; the walk from member to member is ours, since that crate cuts PAX records
//! at newlines (capabilities and ACLs are binary), does not bound extension headers and takes a short read for the end.

use std::io::{self, BufReader, Read};

use tar::{EntryType, GnuExtSparseHeader, GnuSparseHeader, Header};

use crate::entry::{Entry, Kind, Timestamp, shown};
use crate::error::{ArchiveError, Fault};
use crate::number::number;
use crate::pax::Records;
use crate::sparse::{Expand, SparseMap};

const RECORD: usize = 512;
/// Long names, PAX records and sparse maps of one member may take this much.
const EXTENSION: u64 = 1 << 20;
/// Records for all members are few: a comment, in practice.
const GLOBAL: u64 = 16 << 10;
const BUFFER: usize = 256 * 1024;

/// One member: an entry, and how its data is stored.
#[derive(Debug)]
pub struct Member {
    /// What it is.
    pub entry: Entry,
    /// Which parts of a sparse file the archive holds.
    pub map: Option<SparseMap>,
}

/// An archive that is being read.
#[derive(Debug)]
pub struct Archive<R> {
    source: BufReader<R>,
    /// Whether an archive without its end marker is at fault.
    end_marker: bool,
    /// Unread data of the member at hand.
    left: u64,
    /// Zeros behind it.
    padding: u64,
    /// Records that hold for all members to come.
    global: Records,
    /// The member at hand, for messages.
    last: String,
}

/// What extension headers say about the member that follows.
#[derive(Debug, Default)]
struct Extensions {
    records: Records,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

/// The data of the member at hand.
#[derive(Debug)]
pub struct Data<'a, R> {
    source: &'a mut BufReader<R>,
    left: &'a mut u64,
}

impl<R: Read> Read for Data<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(*self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let read = self.source.read(&mut buffer[..room])?;
        if read == 0 && room > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        *self.left -= read as u64;
        Ok(read)
    }
}

/// The data of the member at hand as its file holds it, holes filled.
#[derive(Debug)]
pub enum Content<'a, R> {
    /// Of a file that is stored whole.
    Whole(Data<'a, R>),
    /// Of one with holes.
    Sparse(Expand<Data<'a, R>>),
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Whole(data) => data.read(buffer),
            Self::Sparse(data) => data.read(buffer),
        }
    }
}

impl<R: Read> Archive<R> {
    /// Reads `source`, which may end without an end marker, as some tools leave it.
    pub fn new(source: R) -> Self {
        Self {
            source: BufReader::with_capacity(BUFFER, source),
            end_marker: false,
            left: 0,
            padding: 0,
            global: Records::default(),
            last: "(start)".to_owned(),
        }
    }

    /// Takes an archive without an end marker for one that was cut short.
    #[must_use]
    pub fn with_end_marker(self) -> Self {
        Self {
            end_marker: true,
            ..self
        }
    }

    /// The data of the member at hand; `map` is the one that came with it.
    pub fn content(&mut self, map: Option<SparseMap>) -> Content<'_, R> {
        match map {
            Some(map) => Content::Sparse(map.expand(self.data())),
            None => Content::Whole(self.data()),
        }
    }

    /// The source, and what was read ahead of it: before any of its data is read, that of the member at hand is next.
    #[must_use]
    pub fn source(&self) -> &BufReader<R> {
        &self.source
    }

    /// Reads the padding after the end marker, so that whoever writes the archive into a pipe can finish.
    pub fn drain(&mut self) {
        // The archive is complete: an error here takes nothing from it.
        let _ = io::copy(&mut self.source.by_ref().take(EXTENSION), &mut io::sink());
    }

    /// Reads what is behind the archive, so that a source that checks itself at its end does so.
    ///
    /// # Errors
    /// The source failed.
    pub fn finish(mut self) -> Result<(), ArchiveError> {
        let read = io::copy(&mut self.source, &mut io::sink());
        self.last = "(end)".to_owned();
        read.map(drop).map_err(|source| self.read_error(source))
    }

    fn data(&mut self) -> Data<'_, R> {
        Data {
            source: &mut self.source,
            left: &mut self.left,
        }
    }

    /// The next member. What was not read of the one before is skipped.
    ///
    /// # Errors
    /// What is wrong with the archive; there is no going on.
    #[expect(
        clippy::should_implement_trait,
        reason = "the data of a member is read between two calls"
    )]
    pub fn next(&mut self) -> Result<Option<Member>, ArchiveError> {
        let mut extensions = Extensions::default();
        // Headers upon headers before one member are held to the bound of one.
        let mut room = EXTENSION;
        loop {
            self.skip()?;
            let Some(header) = self.header()? else {
                return match self.end_marker {
                    true => Err(self.fault(Fault::NoEnd)),
                    false => Ok(None),
                };
            };
            if header.as_bytes().iter().all(|byte| *byte == 0) {
                return Ok(None);
            }
            self.check(&header)?;
            let size = self.field(number(&header.as_old().size), "size")?;
            if is_extension(&header) {
                let taken = (EXTENSION - room).saturating_add(size.max(1));
                room = EXTENSION
                    .checked_sub(taken)
                    .ok_or_else(|| self.fault(Fault::ExtensionTooLarge(taken)))?;
            }
            match header.entry_type() {
                EntryType::XHeader => {
                    let data = self.extension(size)?;
                    extensions
                        .records
                        .extend(&data)
                        .map_err(|_| self.bad("PAX record"))?;
                }
                EntryType::XGlobalHeader => {
                    // It is applied to each member that follows, so it is held small.
                    if size > GLOBAL {
                        return Err(self.fault(Fault::ExtensionTooLarge(size)));
                    }
                    let data = self.extension(size)?;
                    let mut records = Records::default();
                    records.extend(&data).map_err(|_| self.bad("global PAX record"))?;
                    self.global = records;
                }
                EntryType::GNULongName => extensions.name = Some(until_zero(self.extension(size)?)),
                EntryType::GNULongLink => extensions.link = Some(until_zero(self.extension(size)?)),
                // A volume's label; nothing of the file system.
                other if other.as_byte() == b'V' => self.expect(size),
                _ => return self.member(&header, size, extensions).map(Some),
            }
        }
    }

    /// Makes an entry of a header and what extension headers said.
    fn member(&mut self, header: &Header, size: u64, extensions: Extensions) -> Result<Member, ArchiveError> {
        let records = match self.global.is_empty() {
            true => extensions.records,
            false => {
                let mut records = self.global.clone();
                records.append(extensions.records);
                records
            }
        };
        let path = records
            .get("GNU.sparse.name")
            .or_else(|| records.get("path"))
            .map(<[u8]>::to_vec);
        let path = path
            .or(extensions.name)
            .unwrap_or_else(|| header.path_bytes().into_owned());
        self.last = shown(&path);

        let old = header.as_old();
        let (uid, gid, mtime) = (number(&old.uid), number(&old.gid), number(&old.mtime));
        let record = |key, name| records.number(key).map_err(|_| self.bad(name));
        let uid = record("uid", "owner")?.map_or_else(|| self.field(uid, "owner"), Ok)?;
        let gid = record("gid", "group")?.map_or_else(|| self.field(gid, "group"), Ok)?;
        let size = record("size", "size")?.unwrap_or(size);
        let modified = match records.time("mtime").map_err(|_| self.bad("time"))? {
            Some(time) => time,
            None => Timestamp {
                seconds: mtime.ok_or_else(|| self.bad("time"))?,
                nanoseconds: 0,
            },
        };
        let target = || {
            let long = records.get("linkpath").map(<[u8]>::to_vec).or(extensions.link);
            long.or_else(|| header.link_name_bytes().map(|name| name.into_owned()))
                .unwrap_or_default()
        };
        let mut map = None;
        let kind = match header.entry_type() {
            EntryType::Regular if path.ends_with(b"/") => Kind::Directory,
            EntryType::Regular | EntryType::Continuous => {
                self.expect(size);
                map = self.pax_map(&records)?;
                Kind::File {
                    size: map.as_ref().map_or(size, |map| map.size),
                }
            }
            EntryType::GNUSparse => {
                let found = self.gnu_map(header)?;
                self.expect(size);
                let size = found.size;
                map = Some(found);
                Kind::File { size }
            }
            EntryType::Link => Kind::HardLink { target: target() },
            EntryType::Symlink => Kind::Symlink { target: target() },
            EntryType::Directory => Kind::Directory,
            EntryType::Fifo => Kind::Fifo,
            EntryType::Char => {
                let (major, minor) = self.device(header)?;
                Kind::CharacterDevice { major, minor }
            }
            EntryType::Block => {
                let (major, minor) = self.device(header)?;
                Kind::BlockDevice { major, minor }
            }
            other => {
                let kind = shown(&[other.as_byte()]);
                return Err(self.fault(Fault::Kind(kind)));
            }
        };
        if map.as_ref().is_some_and(|map| map.stored() != self.left) {
            return Err(self.bad("sparse map"));
        }
        let entry = Entry {
            kind,
            mode: self.field(number(&old.mode), "mode")? as u32 & 0o7777,
            uid: u32::try_from(uid).map_err(|_| self.bad("owner"))?,
            gid: u32::try_from(gid).map_err(|_| self.bad("group"))?,
            modified,
            xattrs: records.xattrs(),
            path,
        };
        Ok(Member { entry, map })
    }

    /// The map of a sparse file in one of the PAX formats.
    fn pax_map(&mut self, records: &Records) -> Result<Option<SparseMap>, ArchiveError> {
        let number = |key| records.number(key).map_err(|_| self.bad("sparse map"));
        match (number("GNU.sparse.major")?, number("GNU.sparse.minor")?) {
            (None | Some(0), _) => SparseMap::from_records(records).map_err(|_| self.bad("sparse map")),
            (Some(1), Some(0)) => {
                let size = number("GNU.sparse.realsize")?.ok_or_else(|| self.bad("sparse map"))?;
                let read = SparseMap::from_data(size, &mut self.data());
                let map = read.map_err(|source| self.read_error(source))?;
                map.map(|(map, _)| Some(map)).map_err(|_| self.bad("sparse map"))
            }
            _ => Err(self.bad("sparse map")),
        }
    }

    /// The map of a sparse file in GNU's old format; it goes on in records after the header.
    fn gnu_map(&mut self, header: &Header) -> Result<SparseMap, ArchiveError> {
        let gnu = header.as_gnu().ok_or_else(|| self.bad("sparse map"))?;
        let mut map = SparseMap::new(self.field(number(&gnu.realsize), "sparse map")?);
        self.pieces(&mut map, &gnu.sparse)?;
        let mut more = gnu.is_extended();
        let mut read = 0;
        while more {
            read += RECORD as u64;
            if read > EXTENSION {
                return Err(self.fault(Fault::ExtensionTooLarge(read)));
            }
            let mut next = GnuExtSparseHeader::new();
            let result = self.source.read_exact(next.as_mut_bytes());
            result.map_err(|source| self.read_error(source))?;
            self.pieces(&mut map, &next.sparse)?;
            more = next.is_extended();
        }
        Ok(map)
    }

    fn pieces(&self, map: &mut SparseMap, pieces: &[GnuSparseHeader]) -> Result<(), ArchiveError> {
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            let offset = self.field(number(&piece.offset), "sparse map")?;
            let length = self.field(number(&piece.numbytes), "sparse map")?;
            map.push(offset, length).map_err(|_| self.bad("sparse map"))?;
        }
        Ok(())
    }

    fn device(&self, header: &Header) -> Result<(u32, u32), ArchiveError> {
        let part =
            |found: io::Result<Option<u32>>| found.ok().flatten().ok_or_else(|| self.bad("device number"));
        Ok((part(header.device_major())?, part(header.device_minor())?))
    }

    /// The next header, or nothing at the end of the source.
    fn header(&mut self) -> Result<Option<Header>, ArchiveError> {
        let mut header = Header::new_old();
        let bytes = header.as_mut_bytes();
        let mut filled = 0;
        while filled < RECORD {
            match self.source.read(&mut bytes[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => {
                    return Err(self.fault(Fault::Truncated));
                }
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.read_error(error)),
            }
        }
        Ok(Some(header))
    }

    fn check(&self, header: &Header) -> Result<(), ArchiveError> {
        let bytes = header.as_bytes();
        let sum: i64 = bytes.iter().map(|byte| i64::from(*byte)).sum();
        let field = &bytes[148..156];
        let stated = number(field);
        let sum = sum - field.iter().map(|byte| i64::from(*byte)).sum::<i64>() + 8 * i64::from(b' ');
        match stated == Some(sum) {
            true => Ok(()),
            false => Err(self.fault(Fault::BrokenHeader)),
        }
    }

    /// Sets how much data the member at hand has.
    fn expect(&mut self, size: u64) {
        self.left = size;
        self.padding = size.wrapping_neg() % RECORD as u64;
    }

    /// Reads the data of an extension header.
    fn extension(&mut self, size: u64) -> Result<Vec<u8>, ArchiveError> {
        if size > EXTENSION {
            return Err(self.fault(Fault::ExtensionTooLarge(size)));
        }
        self.expect(size);
        let mut data = vec![0; size as usize];
        let read = self.data().read_exact(&mut data);
        read.map_err(|source| self.read_error(source))?;
        Ok(data)
    }

    /// Skips what is left of the member at hand.
    fn skip(&mut self) -> Result<(), ArchiveError> {
        let left = self.left.saturating_add(std::mem::take(&mut self.padding));
        self.left = 0;
        if left == 0 {
            return Ok(());
        }
        match io::copy(&mut self.source.by_ref().take(left), &mut io::sink()) {
            Ok(skipped) if skipped == left => Ok(()),
            Ok(_) => Err(self.fault(Fault::Truncated)),
            Err(source) => Err(self.read_error(source)),
        }
    }

    fn field(&self, value: Option<i64>, field: &'static str) -> Result<u64, ArchiveError> {
        value
            .and_then(|value| u64::try_from(value).ok())
            .ok_or_else(|| self.bad(field))
    }

    fn fault(&self, fault: Fault) -> ArchiveError {
        ArchiveError {
            entry: self.last.clone(),
            fault,
        }
    }

    fn bad(&self, field: &'static str) -> ArchiveError {
        self.fault(Fault::Field(field))
    }

    fn read_error(&self, source: io::Error) -> ArchiveError {
        match source.kind() {
            io::ErrorKind::UnexpectedEof => self.fault(Fault::Truncated),
            _ => self.fault(Fault::Read(source)),
        }
    }
}

fn until_zero(mut name: Vec<u8>) -> Vec<u8> {
    if let Some(end) = name.iter().position(|byte| *byte == 0) {
        name.truncate(end);
    }
    name
}

fn is_extension(header: &Header) -> bool {
    use EntryType::{GNULongLink, GNULongName, XHeader};
    matches!(header.entry_type(), XHeader | GNULongName | GNULongLink)
}
