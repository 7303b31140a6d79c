//! Lays out and writes everything but file data: shared attributes, directories, inodes, superblock.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use sha2::{Digest as _, Sha256};
use tarball::Folders;

use super::compressed;
use super::content::{BlockWriter, Content, StoreError};
use super::directory::{self, Name};
use super::error::ErofsError;
use super::format::{BLOCK, BLOCK_BYTES, DiskInode, INODE, Layout, SLOT, Superblock};
use super::overlay;
use super::pack::Packer;
use super::tree::{Body, Inode, InodeId, ROOT, Tree};
use super::xattr::{PlacedXattrs, XattrTable};

/// Where an inode's data and the inode itself go.
#[derive(Clone, Copy, Debug)]
struct Planned {
    id: InodeId,
    layout: Layout,
    size: u64,
    /// Offset in the metadata area.
    offset: u64,
}

/// Writes the image's end and then its superblock; gives length, number of inodes, and how many names are left out.
pub(crate) fn write(
    out: &File,
    mut writer: BlockWriter<'_>,
    mut tree: Tree,
    xattrs: XattrTable,
) -> Result<(u64, u64, u64), ErofsError> {
    let inodes = &tree.inodes;
    let left_out = tree
        .names
        .retain(|id| !overlay::is_whiteout(&inodes[id as usize]));
    let folders = std::mem::take(&mut tree.names).into_folders(tree.inodes.len());
    let order = order(&mut tree.inodes, &folders);
    let xattrs = xattrs.place(order.iter().map(|id| &*tree.inodes[*id as usize].xattrs));

    let xattr_block = next_block(&writer)?;
    let directory_block = xattr_block + xattrs.shared_blocks();
    let mut plan = Vec::with_capacity(order.len());
    let mut packer = Packer::new();
    let mut metadata_block = directory_block;
    for id in order {
        let inode = &tree.inodes[id as usize];
        let planned = place(id, inode, &folders, &xattrs, &mut packer, &mut metadata_block)?;
        plan.push(planned);
    }
    let blocks = metadata_block + packer.blocks();
    let in_32_bits = |block: u64| u32::try_from(block).map_err(|_| full());

    let mut offsets = vec![0; tree.inodes.len()];
    for planned in &plan {
        offsets[planned.id as usize] = planned.offset;
    }
    let numbers = Numbers {
        tree: &tree,
        folders: &folders,
        offsets: &offsets,
    };
    let mut hash = Sha256::new();
    writer
        .write(&xattrs.shared)
        .and_then(|()| writer.pad())
        .map_err(ErofsError::Write)?;
    let mut bytes = Vec::with_capacity(BLOCK);
    for planned in &plan {
        let Body::Directory { parent } = &tree.inodes[planned.id as usize].body else {
            continue;
        };
        let names = sorted(planned.id, *parent, &folders);
        let whole = whole_directory_blocks(planned);
        for block in directory::blocks(&names).take(whole) {
            bytes.clear();
            directory::encode(block, |id| numbers.resolve(id), &mut bytes);
            hash.update(&bytes);
            writer
                .write(&bytes)
                .and_then(|()| writer.pad())
                .map_err(ErofsError::Write)?;
        }
    }
    debug_assert_eq!(writer.position(), metadata_block * BLOCK_BYTES);

    plan.sort_unstable_by_key(|planned| planned.offset);
    for (index, planned) in plan.iter().enumerate() {
        let start = metadata_block * BLOCK_BYTES + planned.offset;
        writer.zeros_to(start).map_err(ErofsError::Write)?;
        bytes.clear();
        encode_inode(planned, index as u32 + 1, &numbers, &xattrs, &mut bytes);
        hash.update(&bytes[..INODE]);
        writer.write(&bytes).map_err(ErofsError::Write)?;
    }
    writer
        .zeros_to(blocks * BLOCK_BYTES)
        .and_then(|()| writer.flush())
        .map_err(ErofsError::Write)?;

    let mut uuid = [0; 16];
    uuid.copy_from_slice(&hash.finalize()[..16]);
    // Version 8 (RFC 9562): bits of the writer's own making.
    uuid[6] = 0x80 | uuid[6] & 0x0f;
    uuid[8] = 0x80 | uuid[8] & 0x3f;
    let superblock = Superblock {
        root: u16::try_from(offsets[ROOT as usize] / SLOT).expect("the root is placed first"),
        inodes: plan.len() as u64,
        blocks: in_32_bits(blocks)?,
        metadata_block: in_32_bits(metadata_block)?,
        xattr_block: in_32_bits(xattr_block)?,
        uuid,
        chunked: plan
            .iter()
            .any(|planned| matches!(planned.layout, Layout::Chunked)),
        compressed: plan
            .iter()
            .any(|planned| matches!(planned.layout, Layout::Compressed { .. })),
    };
    out.write_all_at(&superblock.encode(), 0)
        .map_err(ErofsError::Write)?;
    Ok((blocks * BLOCK_BYTES, plan.len() as u64, left_out))
}

/// Every inode that has a name, each once: a directory's children one after the other, then what is below them. Counts
/// their links on the way: as many as there are names, of a directory two and one more for each directory in it.
fn order(inodes: &mut [Inode], folders: &Folders) -> Vec<InodeId> {
    let mut order = vec![ROOT];
    let mut directories = vec![ROOT];
    inodes[ROOT as usize].links = 2;
    while let Some(directory) = directories.pop() {
        let first = directories.len();
        for (_, id) in folders.of(directory) {
            let inode = &mut inodes[id as usize];
            if inode.links == 0 {
                order.push(id);
            }
            if matches!(inode.body, Body::Directory { .. }) {
                // It has one name: nothing links to directories.
                directories.push(id);
                inode.links = 2;
                inodes[directory as usize].links += 1;
            } else {
                inode.links += 1;
            }
        }
        directories[first..].reverse();
    }
    order
}

/// The next block of an image that may have become too large by now.
fn next_block(writer: &BlockWriter<'_>) -> Result<u64, ErofsError> {
    match writer.block() {
        Ok(block) => Ok(u64::from(block)),
        Err(StoreError::Write(error)) => Err(ErofsError::Write(error)),
        Err(_) => Err(full()),
    }
}

fn full() -> ErofsError {
    ErofsError::TooLarge {
        entry: "/".to_owned(),
        limit: u64::from(u32::MAX) * BLOCK_BYTES,
    }
}

/// Decides where an inode goes, and the whole blocks of a directory.
fn place(
    id: InodeId,
    inode: &Inode,
    folders: &Folders,
    xattrs: &PlacedXattrs,
    packer: &mut Packer,
    next_directory_block: &mut u64,
) -> Result<Planned, ErofsError> {
    let head = INODE + xattrs.bytes(&inode.xattrs);
    let (layout, size, behind) = match &inode.body {
        Body::Nothing => (Layout::Plain { block: 0 }, 0, 0),
        Body::Device { number } => (Layout::Device { number: *number }, 0, 0),
        Body::Stored {
            size,
            content: Content::Chunked(runs),
        } => (
            Layout::Chunked,
            *size,
            4 * runs.iter().map(|run| u64::from(run.chunks)).sum::<u64>(),
        ),
        Body::Stored {
            size,
            content: Content::Compressed(extents),
        } => (
            Layout::Compressed {
                blocks: compressed::blocks(extents),
            },
            *size,
            (head.next_multiple_of(8) - head) as u64 + compressed::index_bytes(*size),
        ),
        Body::Stored {
            size,
            content: Content::Flat { block, tail },
        } => match tail.len() {
            0 => (Layout::Plain { block: *block }, *size, 0),
            length => (Layout::Inline { block: *block }, *size, length as u64),
        },
        Body::Directory { parent } => {
            let names = sorted(id, *parent, folders);
            let (mut blocks, mut last) = (0, 0);
            for block in directory::blocks(&names) {
                blocks += 1;
                last = directory::bytes(block);
            }
            let size = (blocks - 1) * BLOCK_BYTES + last as u64;
            let block = u32::try_from(*next_directory_block).map_err(|_| full())?;
            if last < BLOCK && head + last <= BLOCK {
                *next_directory_block += blocks - 1;
                (Layout::Inline { block }, size, last as u64)
            } else {
                *next_directory_block += blocks;
                (Layout::Plain { block }, size, 0)
            }
        }
    };
    Ok(Planned {
        id,
        layout,
        size,
        offset: packer.place(head as u64 + behind),
    })
}

/// How many of a directory's blocks are not inline.
fn whole_directory_blocks(planned: &Planned) -> usize {
    let blocks = match planned.layout {
        Layout::Inline { .. } => planned.size / BLOCK_BYTES,
        _ => planned.size.div_ceil(BLOCK_BYTES),
    };
    blocks as usize
}

/// A directory's names with `.` and `..` where sorting puts them.
fn sorted(id: InodeId, parent: InodeId, folders: &Folders) -> Vec<Name<'_>> {
    let names = folders.of(id);
    let mut all = Vec::with_capacity(names.len() + 2);
    all.extend(names.map(|(name, inode)| Name { name, inode }));
    for (name, inode) in [(&b"."[..], id), (b"..", parent)] {
        let at = all.partition_point(|other| other.name < name);
        all.insert(at, Name { name, inode });
    }
    all
}

/// Inode numbers as directories hold them.
struct Numbers<'a> {
    tree: &'a Tree,
    folders: &'a Folders,
    offsets: &'a [u64],
}

impl Numbers<'_> {
    fn resolve(&self, id: InodeId) -> (u64, u16) {
        (
            self.offsets[id as usize] / SLOT,
            self.tree.inodes[id as usize].mode,
        )
    }
}

/// The inode, its attributes, and its tail or chunk map.
fn encode_inode(
    planned: &Planned,
    number: u32,
    numbers: &Numbers<'_>,
    xattrs: &PlacedXattrs,
    out: &mut Vec<u8>,
) {
    let inode = &numbers.tree.inodes[planned.id as usize];
    let disk = DiskInode {
        layout: planned.layout,
        xattr_bytes: xattrs.bytes(&inode.xattrs),
        mode: inode.mode,
        size: planned.size,
        number,
        uid: inode.uid,
        gid: inode.gid,
        seconds: inode.modified.seconds,
        nanoseconds: inode.modified.nanoseconds,
        links: inode.links,
    };
    out.extend(disk.encode());
    xattrs.encode(&inode.xattrs, out);
    match &inode.body {
        Body::Stored {
            content: Content::Flat { tail, .. },
            ..
        } => out.extend(&**tail),
        Body::Stored {
            content: Content::Chunked(runs),
            ..
        } => {
            out.extend(
                runs.iter()
                    .flat_map(|run| run.blocks())
                    .flat_map(u32::to_le_bytes),
            );
        }
        Body::Stored {
            content: Content::Compressed(extents),
            ..
        } => {
            // The inode begins at a multiple of it.
            out.resize(out.len().next_multiple_of(8), 0);
            compressed::encode(extents, planned.size, out);
        }
        Body::Directory { parent } if matches!(planned.layout, Layout::Inline { .. }) => {
            let names = sorted(planned.id, *parent, numbers.folders);
            let last = directory::blocks(&names)
                .last()
                .expect("`.` and `..` are always there");
            directory::encode(last, |id| numbers.resolve(id), out);
        }
        Body::Directory { .. } | Body::Device { .. } | Body::Nothing => {}
    }
}
