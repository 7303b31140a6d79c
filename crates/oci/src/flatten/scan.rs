//! The first of two passes over a layer: names, kinds and link targets of its members, held compactly.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use tarball::{Archive, ArchiveError, Kind, PATH_MAX, shown};

use super::Limits;
use super::budget::Budget;
use crate::error::OciError;
use crate::fault::{EntryError, Fault};
use crate::layer::{Compression, Layer};
use crate::meter::Meter;
use progress::Cancel;

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
            Kind::CharacterDevice { .. } | Kind::BlockDevice { .. } | Kind::Fifo | Kind::Socket => {
                Self::Other
            }
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
            }
        })
    }

    /// Bytes that it takes.
    pub(super) fn cost(&self) -> usize {
        self.names.len() + self.members.len() * size_of::<Packed>()
    }

    fn push(&mut self, scanned: Scanned<'_>) -> Result<(), Fault> {
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
        });
        Ok(())
    }
}

/// Scans all layers, as many at once as there are processors. Of those that zstd packed one at a time: unpacking one
/// takes up to 128 MiB.
pub(super) fn scan_all(
    layers: &[Layer],
    limits: &Limits,
    cancel: &Cancel,
    meter: &Meter,
) -> Result<Vec<Scan>, OciError> {
    let budget = Budget::new(*limits, meter.clone());
    let failed = AtomicBool::new(false);
    let next = AtomicUsize::new(0);
    let alone = Mutex::new(());
    let done: Vec<Mutex<Option<Result<Scan, OciError>>>> = layers.iter().map(|_| Mutex::default()).collect();
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(layer) = layers.get(index).filter(|_| !failed.load(Ordering::Relaxed)) else {
                return;
            };
            let scanned = {
                let large = matches!(layer.compression(), Compression::Zstd);
                let _one = large.then(|| alone.lock().unwrap_or_else(PoisonError::into_inner));
                scan(layer, &budget, cancel)
            };
            failed.fetch_or(scanned.is_err(), Ordering::Relaxed);
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

fn scan(layer: &Layer, budget: &Budget, cancel: &Cancel) -> Result<Scan, OciError> {
    let in_layer = |error: ArchiveError| OciError::in_layer(layer.name(), error);
    let mut scan = Scan::default();
    let mut archive = Archive::new(budget.open(layer, cancel)?);
    while let Some(member) = archive.next().map_err(in_layer)? {
        let entry = &member.entry;
        let target: &[u8] = match &entry.kind {
            Kind::Symlink { target } | Kind::HardLink { target } => target,
            _ => b"",
        };
        budget.spend(entry.path.len() + target.len())?;
        let scanned = Scanned {
            path: &entry.path,
            target,
            kind: ScannedKind::of(&entry.kind),
        };
        let pushed = scan
            .push(scanned)
            .and_then(|()| budget.hold_memory(entry.path.len() + target.len() + size_of::<Packed>()));
        pushed.map_err(|fault| {
            OciError::in_layer(
                layer.name(),
                EntryError {
                    entry: shown(&entry.path),
                    fault,
                },
            )
        })?;
    }
    archive.finish().map_err(in_layer)?;
    Ok(scan)
}
