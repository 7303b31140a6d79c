//! What lies where on the host's disk, and what of it nothing in use would miss.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use api::{Space, SpaceItem, SpaceKind};
use config::Paths;
use model::VmState;
use store::{ImageRow, KernelRow, VmRow};

use crate::artefacts::digest_of;
use crate::vms::Shared;
use crate::{Engine, EngineError};

impl Engine {
    /// What lies where.
    ///
    /// # Errors
    /// The store or the folders cannot be read.
    pub async fn space(&self) -> Result<Space, EngineError> {
        let Shared { store, paths, .. } = self.vms.shared();
        let rows = Rows {
            vms: store.vms().list().await?,
            images: store.images().list().await?,
            kernels: store.kernels().list().await?,
        };
        let paths = paths.clone();
        tokio::task::spawn_blocking(move || look(&rows, &paths))
            .await
            .map_err(|panic| EngineError::Internal(format!("looking at the disk: {panic}")))?
    }
}

/// What should be there.
struct Rows {
    vms: Vec<VmRow>,
    images: Vec<ImageRow>,
    kernels: Vec<KernelRow>,
}

fn look(rows: &Rows, paths: &Paths) -> Result<Space, EngineError> {
    let mut items = Vec::new();
    each(&paths.images(), |name, taken| items.push(rows.image(name, taken)))?;
    each(&paths.kernels(), |name, taken| {
        items.push(rows.kernel(name, taken));
    })?;
    each(&paths.vms(), |name, taken| items.push(rows.vm(name, taken)))?;
    each(paths.cache(), |name, taken| {
        items.push(taken.item(SpaceKind::Cache, name, 0));
    })?;
    let known = [paths.images(), paths.kernels(), paths.vms()];
    let mut own = Taken::default();
    each(paths.state(), |name, taken| {
        if !known.contains(&paths.state().join(name)) {
            own.add(&taken);
        }
    })?;
    items.push(SpaceItem {
        reclaimable: 0,
        ..own.item(SpaceKind::Daemon, "database and log", 0)
    });
    items.sort_by(|one, other| (one.kind, &one.name).cmp(&(other.kind, &other.name)));
    let free = rustix::fs::statvfs(paths.state())
        .map_err(|error| EngineError::file("look at", paths.state())(error.into()))?;
    Ok(Space {
        items,
        free: free.f_bavail.saturating_mul(free.f_frsize),
        state: paths.state().display().to_string(),
        cache: paths.cache().display().to_string(),
    })
}

impl Rows {
    fn image(&self, file: &str, taken: Taken) -> SpaceItem {
        let digest = digest_of(file).unwrap_or(file);
        let names = self.images.iter().filter(|row| row.digest == digest);
        let names: Vec<&str> = names.map(|row| row.name.as_str()).collect();
        let name = if names.is_empty() {
            digest.to_owned()
        } else {
            names.join(", ")
        };
        let vms = count(&self.vms, |vm| vm.image_digest == digest);
        taken.item(SpaceKind::Image, &name, vms)
    }

    fn kernel(&self, folder: &str, taken: Taken) -> SpaceItem {
        let is = |name: &str, version: &str| folder.strip_prefix(name) == Some(&format!("-{version}"));
        let row = self.kernels.iter().find(|row| is(&row.name, &row.version));
        let name = row.map_or_else(
            || folder.to_owned(),
            |row| format!("{} {}", row.name, row.version),
        );
        let vms = count(&self.vms, |vm| is(&vm.kernel, &vm.kernel_version));
        taken.item(SpaceKind::Kernel, &name, vms)
    }

    fn vm(&self, folder: &str, taken: Taken) -> SpaceItem {
        let Some(row) = self.vms.iter().find(|row| row.id == folder) else {
            return taken.item(SpaceKind::Vm, folder, 0);
        };
        let off = matches!(row.state, VmState::Created | VmState::Stopped | VmState::Error);
        SpaceItem {
            size: row.disk_size,
            reclaimable: if off { taken.used } else { 0 },
            keeps_deleted: !vmm::takes_discards(&row.vmm),
            ..taken.item(SpaceKind::Vm, &row.name, 1)
        }
    }
}

fn count(vms: &[VmRow], which: impl Fn(&VmRow) -> bool) -> u32 {
    u32::try_from(vms.iter().filter(|vm| which(vm)).count()).unwrap_or(u32::MAX)
}

/// What files take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Taken {
    size: u64,
    used: u64,
}

impl Taken {
    fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.len(),
            used: metadata.blocks() * 512,
        }
    }

    fn add(&mut self, other: &Self) {
        self.size = self.size.saturating_add(other.size);
        self.used = self.used.saturating_add(other.used);
    }

    /// As an item that could go if no VM uses it. What is just being made could not.
    fn item(self, kind: SpaceKind, name: &str, vms: u32) -> SpaceItem {
        let made = !name.starts_with(durable::STAGING);
        SpaceItem {
            kind,
            name: if made {
                name.to_owned()
            } else {
                "being made".into()
            },
            size: self.size,
            used: self.used,
            vms,
            reclaimable: if vms == 0 && made { self.used } else { 0 },
            keeps_deleted: false,
        }
    }
}

/// What each entry of a folder takes, with all below it. A folder that is not there has none.
fn each(folder: &Path, mut found: impl FnMut(&str, Taken)) -> Result<(), EngineError> {
    let mut all = || -> io::Result<()> {
        for entry in if_there(fs::read_dir(folder))?.into_iter().flatten() {
            let entry = entry?;
            let mut taken = Taken::default();
            sum(&entry.path(), &mut taken)?;
            found(&entry.file_name().to_string_lossy(), taken);
        }
        Ok(())
    };
    all().map_err(EngineError::file("look at", folder))
}

/// Adds what is at `path`; links are not followed, and what goes meanwhile is nothing.
fn sum(path: &Path, to: &mut Taken) -> io::Result<()> {
    let Some(metadata) = if_there(fs::symlink_metadata(path))? else {
        return Ok(());
    };
    if !metadata.is_dir() {
        to.add(&Taken::of(&metadata));
        return Ok(());
    }
    for entry in if_there(fs::read_dir(path))?.into_iter().flatten() {
        sum(&entry?.path(), to)?;
    }
    Ok(())
}

/// Bytes of the disk that what is at `path` takes, and gives back when it is removed.
pub(crate) fn used(path: &Path) -> u64 {
    let mut taken = Taken::default();
    // What cannot be looked at is not removed either, which says so.
    let _ = sum(path, &mut taken);
    taken.used
}

fn if_there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_takes_what_its_files_take_and_links_lead_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        fs::write(folder.path().join("a/b/file"), [1; 5000]).unwrap();
        fs::write(folder.path().join("a/other"), [1; 100]).unwrap();
        std::os::unix::fs::symlink("/usr", folder.path().join("a/link")).unwrap();
        let hole = fs::File::create(folder.path().join("hole")).unwrap();
        hole.set_len(1 << 30).unwrap();
        let mut found = Vec::new();
        each(folder.path(), |name, taken| found.push((name.to_owned(), taken))).unwrap();
        found.sort_by(|one, other| one.0.cmp(&other.0));
        assert_eq!(found[0].0, "a");
        assert!((5100..6000).contains(&found[0].1.size), "{found:?}");
        assert_eq!((found[1].1.size, found[1].1.used), (1 << 30, 0));
        each(&folder.path().join("nowhere"), |_, _| panic!("there is nothing")).unwrap();
    }

    #[test]
    fn what_is_being_made_cannot_go() {
        let taken = Taken { size: 9, used: 9 };
        let item = taken.item(SpaceKind::Kernel, ".new-x-1", 0);
        assert_eq!((item.name.as_str(), item.reclaimable), ("being made", 0));
        assert_eq!(taken.item(SpaceKind::Kernel, "x", 0).reclaimable, 9);
        assert_eq!(taken.item(SpaceKind::Kernel, "x", 2).reclaimable, 0);
    }
}
