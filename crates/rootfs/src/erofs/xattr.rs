//! Extended attributes: each distinct one is kept once, and stored once where several inodes have it.

use std::collections::{BTreeMap, HashMap};

use tarball::{Xattr, shown};

use super::error::ErofsError;
use super::format::BLOCK_BYTES;
use super::overlay;

/// An index into the table.
pub(crate) type XattrId = u32;

/// Bytes of `erofs_xattr_ibody_header`.
const HEADER: usize = 12;
/// An inode's attributes may take this much; what the format can count, and what Linux lists at most.
const PER_INODE: usize = 64 * 1024 * 3;
/// All distinct attributes of an image: they stay in memory.
const TOTAL: usize = 64 * 1024 * 1024;
/// Attributes of all inodes, each counted as often as one has it: so many numbers stay in memory.
const USES: usize = 1 << 22;
/// Bytes that a distinct attribute takes beside those of its name and value: its record in the table and in the list that
/// the table becomes, each at its emptiest, and two allocations.
const ATTRIBUTE_COST: usize = 4 * (size_of::<Stored>() + 8) + 2 * 16;
/// Shared attributes are counted in a byte.
const SHARED_MOST: usize = 255;

/// Name prefixes with their number in the format. POSIX ACLs are whole names.
const PREFIXES: [(&[u8], u8); 5] = [
    (b"user.", 1),
    (b"system.posix_acl_access", 2),
    (b"system.posix_acl_default", 3),
    (b"trusted.", 4),
    (b"security.", 6),
];

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Stored {
    prefix: u8,
    name: Box<[u8]>,
    value: Box<[u8]>,
}

impl Stored {
    fn bytes(&self) -> usize {
        stored_bytes(&self.name, &self.value)
    }

    /// `erofs_xattr_entry`, name, value, padding.
    fn encode(&self, out: &mut Vec<u8>) {
        let end = out.len() + self.bytes();
        out.push(self.name.len() as u8);
        out.push(self.prefix);
        out.extend((self.value.len() as u16).to_le_bytes());
        out.extend(&*self.name);
        out.extend(&*self.value);
        out.resize(end, 0);
    }
}

/// Bytes of `erofs_xattr_entry` with what follows it.
fn stored_bytes(name: &[u8], value: &[u8]) -> usize {
    (4 + name.len() + value.len()).next_multiple_of(4)
}

/// Every distinct attribute of the image.
#[derive(Debug, Default)]
pub(crate) struct XattrTable {
    ids: HashMap<Stored, XattrId>,
    bytes: usize,
    uses: usize,
}

impl XattrTable {
    /// Takes an entry's attributes. Gives their ids, and the most bytes that they will need with the inode.
    pub(crate) fn intern(
        &mut self,
        entry: &[u8],
        xattrs: &[Xattr],
    ) -> Result<(Box<[XattrId]>, usize), ErofsError> {
        let fail = |xattr: &Xattr, fault| ErofsError::BadXattr {
            entry: shown(entry),
            name: shown(&xattr.name),
            fault,
        };
        // By prefix and name, which is the order they are stored in; the last of a name counts.
        let mut stored: BTreeMap<(u8, &[u8]), &[u8]> = BTreeMap::new();
        let mut bytes = HEADER;
        for xattr in xattrs {
            if overlay::acts_by(&xattr.name) {
                continue;
            }
            let Some((prefix, name)) = split(&xattr.name) else {
                tracing::warn!(entry = shown(entry), xattr = %shown(&xattr.name), "left out: no Linux name space has it");
                continue;
            };
            if name.len() > 255 {
                return Err(fail(xattr, "with a name of more than 255 bytes"));
            }
            if xattr.value.len() > usize::from(u16::MAX) {
                return Err(fail(xattr, "with a value of more than 65535 bytes"));
            }
            bytes += stored_bytes(name, &xattr.value);
            if let Some(old) = stored.insert((prefix, name), &xattr.value) {
                bytes -= stored_bytes(name, old);
            }
            if bytes > PER_INODE {
                return Err(fail(
                    xattr,
                    "which is one too many: they take more than an inode can hold",
                ));
            }
        }
        self.uses += stored.len();
        if self.uses > USES {
            return Err(fail(
                &xattrs[0],
                "which is one too many: there are more than 4194304",
            ));
        }
        let mut ids = Vec::with_capacity(stored.len());
        for ((prefix, name), value) in stored {
            let attribute = Stored {
                prefix,
                name: name.into(),
                value: value.into(),
            };
            let next = self.ids.len() as XattrId;
            let size = attribute.bytes();
            let id = *self.ids.entry(attribute).or_insert(next);
            if id == next {
                self.bytes += size;
                if self.bytes > TOTAL {
                    return Err(fail(
                        &xattrs[0],
                        "which is one too many: all of them take more than 64 MiB",
                    ));
                }
            }
            ids.push(id);
        }
        let bytes = if ids.is_empty() { 0 } else { bytes };
        Ok((ids.into(), bytes))
    }

    /// Bytes that it takes, and that placing will take. Each attribute is there once by itself, and encoded with those
    /// that are shared.
    pub(crate) fn cost(&self) -> usize {
        self.ids.len() * ATTRIBUTE_COST + 2 * self.bytes
    }

    /// Decides what is shared: whatever more than one of `users` has.
    pub(crate) fn place<'a>(self, users: impl Iterator<Item = &'a [XattrId]>) -> PlacedXattrs {
        let mut count = vec![0_u32; self.ids.len()];
        for id in users.flatten() {
            count[*id as usize] += 1;
        }
        let mut attributes: Vec<_> = self
            .ids
            .into_iter()
            .map(|(attribute, id)| (id, attribute))
            .collect();
        attributes.sort_unstable_by_key(|(id, _)| *id);
        let mut shared = Vec::new();
        let mut places = Vec::with_capacity(attributes.len());
        for ((_, attribute), users) in attributes.into_iter().zip(count) {
            let at = (users > 1).then(|| {
                let at = (shared.len() / 4) as u32;
                attribute.encode(&mut shared);
                at
            });
            places.push((attribute, at));
        }
        PlacedXattrs { places, shared }
    }
}

/// Attributes with the place of those that are shared.
#[derive(Debug)]
pub(crate) struct PlacedXattrs {
    places: Vec<(Stored, Option<u32>)>,
    /// The shared area.
    pub(crate) shared: Vec<u8>,
}

impl PlacedXattrs {
    /// Blocks of the shared area.
    pub(crate) fn shared_blocks(&self) -> u64 {
        (self.shared.len() as u64).div_ceil(BLOCK_BYTES)
    }

    /// Bytes that follow the inode.
    pub(crate) fn bytes(&self, ids: &[XattrId]) -> usize {
        if ids.is_empty() {
            return 0;
        }
        let (shared, inline) = self.split(ids);
        HEADER + 4 * shared.len() + inline.iter().map(|attribute| attribute.bytes()).sum::<usize>()
    }

    /// Those bytes.
    pub(crate) fn encode(&self, ids: &[XattrId], out: &mut Vec<u8>) {
        if ids.is_empty() {
            return;
        }
        let (shared, inline) = self.split(ids);
        out.extend([0, 0, 0, 0, shared.len() as u8, 0, 0, 0, 0, 0, 0, 0]);
        out.extend(shared.iter().flat_map(|at| at.to_le_bytes()));
        for attribute in inline {
            attribute.encode(out);
        }
    }

    fn split(&self, ids: &[XattrId]) -> (Vec<u32>, Vec<&Stored>) {
        let mut shared = Vec::new();
        let mut inline = Vec::new();
        for id in ids {
            match &self.places[*id as usize] {
                (_, Some(at)) if shared.len() < SHARED_MOST => shared.push(*at),
                (attribute, _) => inline.push(attribute),
            }
        }
        (shared, inline)
    }
}

/// The format's number of a name's prefix and what is left of the name.
fn split(name: &[u8]) -> Option<(u8, &[u8])> {
    PREFIXES.iter().find_map(|(prefix, number)| {
        let rest = name.strip_prefix(*prefix)?;
        let whole = !prefix.ends_with(b".");
        (rest.is_empty() == whole && !rest.contains(&0)).then_some((*number, rest))
    })
}
