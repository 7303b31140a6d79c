//! The first pass over a layer: names, kinds and link targets of its members, held compactly, and its digest.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::Limits;
use crate::archive::{Archive, ArchiveError, Fault};
use crate::cancel::Cancel;
use crate::digest::Hashing;
use crate::entry::{Kind, PATH_MAX, shown};
use crate::error::OciError;
use crate::layer::{Bounded, Layer};

/// What the tree needs to know of one layer.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Paths and link targets, one after the other.
    names: Vec<u8>,
    members: Vec<Packed>,
}

#[derive(Debug)]
struct Packed {
    path: u16,
    target: u16,
    kind: ScannedKind,
    size: u64,
}

/// A kind as far as merging cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScannedKind {
    Directory,
    Symlink,
    HardLink,
    File,
    Other,
}

impl ScannedKind {
    pub(super) fn of(kind: &Kind) -> Self {
        match kind {
            Kind::Directory => Self::Directory,
            Kind::Symlink { .. } => Self::Symlink,
            Kind::HardLink { .. } => Self::HardLink,
            Kind::File { .. } => Self::File,
            Kind::CharacterDevice { .. } | Kind::BlockDevice { .. } | Kind::Fifo => Self::Other,
        }
    }
}

/// One member. Its ordinal is its place in the scan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scanned<'s> {
    pub(super) path: &'s [u8],
    /// Of a symbolic or hard link.
    pub(super) target: &'s [u8],
    pub(super) kind: ScannedKind,
    /// Of a regular file.
    pub(super) size: u64,
}

impl Scan {
    pub(super) fn members(&self) -> impl Iterator<Item = Scanned<'_>> {
        let mut names = self.names.as_slice();
        self.members.iter().map(move |packed| {
            let (path, rest) = names.split_at(packed.path.into());
            let (target, rest) = rest.split_at(packed.target.into());
            names = rest;
            Scanned {
                path,
                target,
                kind: packed.kind,
                size: packed.size,
            }
        })
    }

    pub(super) fn push(&mut self, scanned: Scanned<'_>) -> Result<(), Fault> {
        let length = |name: &[u8]| match u16::try_from(name.len()) {
            Ok(length) if usize::from(length) <= PATH_MAX => Ok(length),
            _ => Err(Fault::PathTooLong(name.len())),
        };
        let (path, target) = (length(scanned.path)?, length(scanned.target)?);
        self.names.extend(scanned.path);
        self.names.extend(scanned.target);
        self.members.push(Packed {
            path,
            target,
            kind: scanned.kind,
            size: scanned.size,
        });
        Ok(())
    }
}

/// What all scans of an image share.
struct Budget<'b> {
    limits: &'b Limits,
    entries: AtomicU32,
    names: AtomicU64,
    bytes: Arc<AtomicU64>,
    cancel: &'b Cancel,
    failed: AtomicBool,
}

/// Scans all layers, as many at once as there are processors.
pub(super) fn scan_all(layers: &[Layer], limits: &Limits, cancel: &Cancel) -> Result<Vec<Scan>, OciError> {
    let budget = Budget {
        limits,
        entries: AtomicU32::new(0),
        names: AtomicU64::new(0),
        bytes: Arc::default(),
        cancel,
        failed: AtomicBool::new(false),
    };
    let next = AtomicUsize::new(0);
    let done: Vec<Mutex<Option<Result<Scan, OciError>>>> = layers.iter().map(|_| Mutex::default()).collect();
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(layer) = layers
                .get(index)
                .filter(|_| !budget.failed.load(Ordering::Relaxed))
            else {
                return;
            };
            let scanned = budget.scan(layer);
            budget.failed.fetch_or(scanned.is_err(), Ordering::Relaxed);
            *done[index].lock().unwrap_or_else(PoisonError::into_inner) = Some(scanned);
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 1..workers.min(layers.len()) {
            scope.spawn(work);
        }
        work();
    });
    let done: Vec<Option<Result<Scan, OciError>>> = done
        .into_iter()
        .map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner))
        .collect();
    // Layers are skipped after a failure only, so that the error is among those that are there.
    done.into_iter().flatten().collect()
}

impl Budget<'_> {
    fn scan(&self, layer: &Layer) -> Result<Scan, OciError> {
        let unpacked = Hashing::new(Bounded {
            source: layer.unpack()?,
            cancel: self.cancel.clone(),
            read: Arc::clone(&self.bytes),
            limit: self.limits.bytes,
        });
        let in_layer = |error| OciError::in_layer(layer.name(), error);
        let mut scan = Scan::default();
        let mut archive = Archive::new(unpacked);
        while let Some(member) = archive.next().map_err(in_layer)? {
            let entry = &member.entry;
            let target: &[u8] = match &entry.kind {
                Kind::Symlink { target } | Kind::HardLink { target } => target,
                _ => b"",
            };
            let size = match entry.kind {
                Kind::File { size } => size,
                _ => 0,
            };
            self.spend(entry.path.len() + target.len())?;
            let scanned = Scanned {
                path: &entry.path,
                target,
                kind: ScannedKind::of(&entry.kind),
                size,
            };
            scan.push(scanned).map_err(|fault| {
                in_layer(ArchiveError {
                    entry: shown(&entry.path),
                    fault,
                })
            })?;
        }
        let mut rest = archive.into_rest();
        let read = std::io::copy(&mut rest, &mut std::io::sink());
        let at_end = |fault| ArchiveError {
            entry: "(end)".to_owned(),
            fault,
        };
        read.map_err(|error| in_layer(at_end(Fault::Read(error))))?;
        let unpacked = rest.into_inner();
        if unpacked.bytes == 0 {
            return Err(in_layer(at_end(Fault::Truncated)));
        }
        let found = unpacked.digest();
        match layer.diff_id() {
            Some(expected) if expected != found => Err(OciError::WrongContent {
                layer: layer.name().to_owned(),
                expected,
                found,
            }),
            _ => Ok(scan),
        }
    }

    fn spend(&self, names: usize) -> Result<(), OciError> {
        let entries = self.entries.fetch_add(1, Ordering::Relaxed);
        if entries >= self.limits.entries {
            return Err(OciError::TooMuch {
                what: "entries",
                limit: self.limits.entries.into(),
            });
        }
        let names = names as u64;
        if self.names.fetch_add(names, Ordering::Relaxed) + names > self.limits.names {
            return Err(OciError::TooMuch {
                what: "bytes of names",
                limit: self.limits.names,
            });
        }
        Ok(())
    }
}
