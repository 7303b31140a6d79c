//! A kernel's package.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use process::{Confinement, Kind, Limits, SystemCalls};

use super::record::Record;
use super::root::{AptRoot, Lists, host_configuration};
use super::sources::Host;
use super::{RecipeSettings, status};
use crate::build::room::of_host;
use crate::entries::{KernelEntry, KernelSource};
use crate::error::CatalogError;
use crate::progress::{Progress, ProgressSink, Stage};
use crate::tar_stream::TarStream;
use crate::tool::{Program, find};
use crate::workdir::WorkDir;
use progress::Cancel;

/// A record is a few kilobytes.
const RECORD_LIMIT: u64 = 1024 * 1024;
/// `linux-image-amd64` depends on the newest kernel: one step. More than this is a circle.
const MOST_STEPS: usize = 4;

/// An unpacker works on small windows; xz's largest takes 64 MiB for each thread.
const LIMITS: Limits = Limits {
    address_space: None,
    data: Some(2 << 30),
    file_size: Some(0),
    open_files: Some(256),
    processes: None,
    cpu: None,
};

/// A package that apt has fetched and verified. Its work files go when it is dropped.
#[derive(Debug)]
pub struct KernelPackage {
    record: Record,
    deb: PathBuf,
    folder: Arc<WorkDir>,
}

/// Fetches a kernel's package into a folder below `work`; apt has verified it against the archive's signature.
///
/// # Errors
/// [`CatalogError`]; nothing stays in `work`.
pub fn fetch_kernel(
    entry: &KernelEntry,
    settings: &RecipeSettings,
    work: &Path,
    progress: &ProgressSink,
    cancel: &Cancel,
) -> Result<KernelPackage, CatalogError> {
    entry.arch.check(entry.name.as_str())?;
    let Some(KernelSource::Apt {
        suite,
        component,
        package,
    }) = &entry.source
    else {
        return Err(CatalogError::NoCatalog {
            name: entry.name.to_string(),
        });
    };
    find("dpkg-deb", "dpkg")?;
    let sources = Host::this().sources(settings, suite, std::slice::from_ref(component))?;
    let host = host_configuration(cancel)?;
    let folder = Arc::new(WorkDir::new(work)?);
    let apt = AptRoot::new(&folder, &sources, suite, &host, Lists::Packages, progress)?;
    apt.update(progress, cancel)?;
    let record = find_kernel(&apt, package, cancel)?;
    let deb = download(&apt, &folder, &record, progress, cancel)?;
    Ok(KernelPackage { record, deb, folder })
}

/// Follows the dependencies from a package to the kernel itself.
fn find_kernel(apt: &AptRoot, package: &str, cancel: &Cancel) -> Result<Record, CatalogError> {
    let mut wanted = package.to_owned();
    for _ in 0..=MOST_STEPS {
        let mut command = apt.command("apt-cache")?;
        command.arguments(["show", "--no-all-versions", "--", &wanted]);
        let text = apt
            .program("apt-cache", command)
            .start(cancel)?
            .output(RECORD_LIMIT)
            .map_err(|error| {
                let name = wanted.split('=').next().unwrap_or_default();
                named(error, name)
            })?;
        let record =
            Record::parse(&String::from_utf8_lossy(&text)).map_err(|reason| CatalogError::PackageRecord {
                package: wanted.clone(),
                reason,
            })?;
        wanted = match record.kernel_dependency() {
            None => return Ok(record),
            Some((name, Some(version))) => format!("{name}={version}"),
            Some((name, None)) => name,
        };
    }
    Err(CatalogError::PackageRecord {
        package: package.to_owned(),
        reason: "its dependencies lead in a circle".to_owned(),
    })
}

/// apt does not always say which package it did not find.
fn named(error: CatalogError, name: &str) -> CatalogError {
    match error {
        CatalogError::PackageMissing { package, suite } if package.is_empty() => {
            CatalogError::PackageMissing {
                package: name.to_owned(),
                suite,
            }
        }
        other => other,
    }
}

fn download(
    apt: &AptRoot,
    folder: &WorkDir,
    record: &Record,
    progress: &ProgressSink,
    cancel: &Cancel,
) -> Result<PathBuf, CatalogError> {
    let target = folder.folder("download")?;
    let report = |done: u64| Progress {
        detail: record.package.clone(),
        done: Some(done),
        total: Some(record.size),
        ..Progress::of(Stage::Download)
    };
    progress(report(0));
    let mut command = apt.command("apt-get")?;
    command.arguments(["download", "--option=APT::Status-Fd=1", "--"]);
    command
        .argument(format!("{}={}", record.package, record.version))
        .folder(&target);
    apt.program("apt-get", command).start(cancel)?.lines(|line| {
        if let Some(status) = status::parse(line) {
            progress(report((record.size as f64 * status.percent / 100.0) as u64));
        }
    })?;
    progress(report(record.size));
    let failed = |source| CatalogError::file("read", &target, source);
    for entry in std::fs::read_dir(&target).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|end| end == "deb") {
            return Ok(path);
        }
    }
    Err(CatalogError::ToolFailed {
        tool: "apt-get",
        reason: format!("it fetched no file for {}", record.package),
    })
}

impl KernelPackage {
    /// The package's name: that of the kernel itself, whatever package led to it.
    #[must_use]
    pub fn package(&self) -> &str {
        &self.record.package
    }

    /// The package's version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.record.version
    }

    /// Size of the package file in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.record.size
    }

    /// The package file's sha256 in hex, which apt has checked.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.record.sha256
    }

    /// The package's files as a tar stream. The work files stay until the stream is gone too.
    ///
    /// # Errors
    /// dpkg-deb cannot be started.
    pub fn open(&self, cancel: &Cancel) -> Result<TarStream, CatalogError> {
        let mut confinement = Confinement::new(0);
        confinement.show_programs().show(&self.deb, &self.deb);
        let mut command = of_host("dpkg-deb", "dpkg", &mut confinement)?;
        command
            .argument("--fsys-tarfile")
            .argument(&self.deb)
            .confine(confinement)
            .unconfined_if_refused()
            .limit(LIMITS)
            .filter(SystemCalls::deny(&Kind::ALL));
        let program = Program {
            tool: "dpkg-deb",
            command,
            time: None,
            merged: false,
            on_line: Box::new(|_| {}),
            explain: Box::new(|ended, lines| CatalogError::ToolFailed {
                tool: "dpkg-deb",
                reason: lines.last().cloned().unwrap_or_else(|| ended.to_string()),
            }),
        };
        Ok(TarStream::new(
            program.start(cancel)?,
            Some(Arc::clone(&self.folder)),
        ))
    }
}
