//! Archives written by hand, wrong ones among them.

use tar::{EntryType, Header};

/// An archive that grows.
#[derive(Clone, Default)]
pub struct Tar {
    bytes: Vec<u8>,
    records: Vec<u8>,
}

/// Attributes of an entry.
#[derive(Clone, Copy)]
pub struct Meta {
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub mtime: u64,
}

impl Default for Meta {
    fn default() -> Self {
        Self {
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: 1_600_000_000,
        }
    }
}

impl Tar {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn file(self, path: &str, data: &str) -> Self {
        self.entry(EntryType::Regular, path, "", data.as_bytes(), Meta::default())
    }

    pub fn dir(self, path: &str) -> Self {
        let meta = Meta {
            mode: 0o755,
            ..Meta::default()
        };
        self.entry(EntryType::Directory, path, "", b"", meta)
    }

    pub fn symlink(self, path: &str, target: &str) -> Self {
        let meta = Meta {
            mode: 0o777,
            ..Meta::default()
        };
        self.entry(EntryType::Symlink, path, target, b"", meta)
    }

    pub fn link(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Link, path, target, b"", Meta::default())
    }

    /// A PAX record for the next entry.
    pub fn record(mut self, key: &str, value: &[u8]) -> Self {
        let content = key.len() + value.len() + 3;
        let mut length = content + 1;
        while length != content + length.to_string().len() {
            length = content + length.to_string().len();
        }
        self.records.extend(format!("{length} {key}=").as_bytes());
        self.records.extend(value);
        self.records.push(b'\n');
        self
    }

    pub fn device(self, kind: EntryType, path: &str, major: u32, minor: u32) -> Self {
        let mut header = header(kind, 0, Meta::default());
        header.set_device_major(major).unwrap();
        header.set_device_minor(minor).unwrap();
        self.named(header, path, "", b"")
    }

    pub fn entry(self, kind: EntryType, path: &str, target: &str, data: &[u8], meta: Meta) -> Self {
        let header = header(kind, data.len() as u64, meta);
        self.named(header, path, target, data)
    }

    fn named(mut self, mut header: Header, path: &str, target: &str, data: &[u8]) -> Self {
        if path.len() > 100 {
            self = self.record("path", path.as_bytes());
        }
        if target.len() > 100 {
            self = self.record("linkpath", target.as_bytes());
        }
        let records = std::mem::take(&mut self.records);
        if !records.is_empty() {
            let extension = self::header(EntryType::XHeader, records.len() as u64, Meta::default());
            self = self.raw(extension, &records);
        }
        let old = header.as_old_mut();
        let short = |name: &str| name.as_bytes()[..name.len().min(100)].to_vec();
        old.name[..path.len().min(100)].copy_from_slice(&short(path));
        old.linkname[..target.len().min(100)].copy_from_slice(&short(target));
        self.raw(header, data)
    }

    /// A header as it is, but for its checksum, and data.
    pub fn raw(mut self, mut header: Header, data: &[u8]) -> Self {
        header.set_cksum();
        self.bytes.extend(header.as_bytes());
        self.bytes.extend(data);
        let padding = self.bytes.len().next_multiple_of(512);
        self.bytes.resize(padding, 0);
        self
    }

    /// The archive without an end.
    pub fn open_end(&self) -> Vec<u8> {
        self.bytes.clone()
    }

    pub fn finish(self) -> Vec<u8> {
        let mut bytes = self.bytes;
        bytes.extend([0; 1024]);
        bytes
    }
}

pub fn header(kind: EntryType, size: u64, meta: Meta) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(meta.mode);
    header.set_uid(meta.uid);
    header.set_gid(meta.gid);
    header.set_mtime(meta.mtime);
    header
}
