//! Kernels and images from the catalog: fetched and built by it, written by `rootfs`, with nothing but the stream
//! between them.

use std::error::Error;
use std::fs::File;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use catalog::bundle::{Bundle, BundleRef};
use catalog::{
    ArtefactName, Catalog, CatalogError, Download, Fetcher, ImageSource, KernelSource, ProgressSink, Recipe,
    RecipeSettings,
};
use progress::Cancel;
use rootfs::erofs::{self, Compression, ErofsError};
use rootfs::kernel::{self, KernelError};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::bundles::{broken, fetched, image_of_bundle, kernel_of_bundle};
use super::left_work::remove_left_work;
use super::published::Published;
use super::sources::{Known, KnownKernel, Made, Progress, Report, SourceError, Sources};
use crate::EngineError;
use crate::error::one_line;

/// Bytes between two reports of a download.
const REPORT_EVERY: u64 = 1 << 20;

/// The catalog that this version carries, and what is published.
#[derive(Debug)]
pub struct CatalogSources {
    embedded: Arc<Catalog>,
    published: Option<Arc<Published>>,
    settings: RecipeSettings,
    compression: Compression,
    work: PathBuf,
}

impl CatalogSources {
    /// Fetches and builds in folders below `work`, and begins to remove what a killed predecessor left there.
    #[must_use]
    pub fn new(settings: config::RecipeSettings, work: PathBuf) -> Self {
        remove_left_work(&work);
        let config::RecipeSettings { mirror, keyring } = settings;
        Self {
            embedded: Arc::new(Catalog::embedded()),
            published: None,
            settings: RecipeSettings { mirror, keyring },
            compression: Compression::None,
            work,
        }
    }

    /// The same, with the images that are made here stored like this.
    #[must_use]
    pub fn storing(self, image: config::ImageSettings) -> Self {
        let compression = match image.compression {
            config::Compression::None => Compression::None,
            config::Compression::Lz4 => Compression::Lz4,
        };
        Self { compression, ..self }
    }

    /// The same, which also has what the catalog at `url` publishes. `certificates` are trusted beside the system's.
    ///
    /// # Errors
    /// The certificates do not parse.
    pub fn with_published(
        self,
        url: Option<String>,
        certificates: Option<&str>,
    ) -> Result<Self, EngineError> {
        let Some(url) = url else { return Ok(self) };
        let tls = oci::tls(certificates.unwrap_or_default().as_bytes())
            .map_err(|error| EngineError::Internal(one_line(&error)))?;
        Ok(Self {
            published: Some(Arc::new(Published::new(url, Fetcher::new(tls)))),
            ..self
        })
    }

    fn catalog(&self) -> Arc<Catalog> {
        let published = self.published.as_ref().and_then(|published| published.catalog());
        published.unwrap_or_else(|| Arc::clone(&self.embedded))
    }

    /// Begins to fetch a bundle. Nothing where there is none that could be fetched, or where it cannot be had now and
    /// the entry can be had another way.
    fn open(
        &self,
        bundle: Option<&BundleRef>,
        other_way: bool,
        sink: &ProgressSink,
        cancel: &Cancel,
    ) -> Result<Option<Bundle<Download>>, SourceError> {
        let (Some(published), Some(bundle)) = (&self.published, bundle) else {
            return Ok(None);
        };
        let download = match published.fetcher.open(&bundle.url, cancel) {
            Err(error) if error.is_absence() && other_way => {
                tracing::warn!(error = %one_line(&error), "a bundle cannot be fetched; it is made another way");
                return Ok(None);
            }
            download => download.map_err(told)?,
        };
        let (sink, total, mut told_of) = (Arc::clone(sink), bundle.size, 0);
        let progress = move |done: u64| {
            if done - told_of >= REPORT_EVERY || done == total {
                told_of = done;
                sink(catalog::Progress {
                    stage: catalog::Stage::Download,
                    detail: String::new(),
                    done: Some(done),
                    total: Some(total),
                });
            }
        };
        Bundle::open(download, bundle, cancel, progress)
            .map(Some)
            .map_err(|error| broken(bundle, error))
    }
}

impl Sources for CatalogSources {
    /// Where this fails, nothing else is asked for a name: only the catalog can say whose it is.
    fn refresh(&self, cancel: &CancellationToken) -> Result<(), SourceError> {
        let Some(published) = &self.published else {
            return Ok(());
        };
        wait_for(cancel.run_until_cancelled(published.refresh()))
            .unwrap_or_else(|| Err(told(CatalogError::Cancelled)))
    }

    fn compression(&self) -> Compression {
        self.compression
    }

    fn images(&self) -> Vec<Known> {
        let known = |image: &catalog::ImageEntry| Known {
            name: image.name.as_str().to_owned(),
            kernel: Some(image.kernel.as_str().to_owned()),
        };
        self.catalog().images().map(known).collect()
    }

    fn kernels(&self) -> Vec<KnownKernel> {
        let known = |kernel: &catalog::KernelEntry| KnownKernel {
            name: kernel.name.as_str().to_owned(),
            distro: kernel.distro.clone(),
            arch: kernel.arch.as_str().to_owned(),
            description: kernel.description.clone(),
        };
        self.catalog().kernels().map(known).collect()
    }

    fn make_kernel(
        &self,
        name: &str,
        folder: &Path,
        progress: &Progress<'_>,
        cancel: &CancellationToken,
    ) -> Result<Made, SourceError> {
        self.refresh(cancel)?;
        bridged(progress, cancel, |sink, cancel| {
            let catalog = self.catalog();
            let entry = known(catalog.kernel(name), name)?;
            entry.arch.check(name).map_err(told)?;
            let found = self.open(entry.bundle.as_ref(), entry.source.is_some(), &sink, cancel)?;
            if let (Some(bundle), Some(reference)) = (found, &entry.bundle) {
                return kernel_of_bundle(entry, bundle, reference, folder);
            }
            let package =
                catalog::apt::fetch_kernel(entry, &self.settings, &self.work, &sink, cancel).map_err(told)?;
            progress(Report::Progress("unpack", None, None));
            let mut tar = package.open(cancel).map_err(told)?;
            let imported = kernel::import(&mut tar, folder).map_err(kernel_failed)?;
            tar.finish().map_err(told)?;
            let suite = entry.source.as_ref().map(|KernelSource::Apt { suite, .. }| suite);
            let source = json!({
                "from": "apt",
                "distro": entry.distro,
                "suite": suite,
                "package": package.package(),
                "version": package.version(),
                "sha256": package.sha256(),
            });
            Ok(Made {
                version: imported.version,
                bytes: imported.bytes,
                source: source.to_string(),
                note: fetched(package.bytes()),
                ..Made::default()
            })
        })
    }

    fn make_image(
        &self,
        name: &str,
        file: &File,
        progress: &Progress<'_>,
        cancel: &CancellationToken,
    ) -> Result<Made, SourceError> {
        let mut out = file.try_clone().map_err(SourceError::file("open", name))?;
        self.refresh(cancel)?;
        bridged(progress, cancel, |sink, cancel| {
            let catalog = self.catalog();
            let entry = known(catalog.image(name), name)?;
            entry.arch.check(name).map_err(told)?;
            let found = self.open(entry.bundle.as_ref(), entry.source.is_some(), &sink, cancel)?;
            if let (Some(bundle), Some(reference)) = (found, &entry.bundle) {
                return image_of_bundle(entry, bundle, reference, &mut out);
            }
            let Some(ImageSource::Recipe {
                name: recipe_name,
                recipe,
            }) = &entry.source
            else {
                return Err(told(CatalogError::NoCatalog {
                    name: name.to_owned(),
                }));
            };
            self.build(recipe, Some(recipe_name), &mut out, &sink, cancel)
        })
    }

    fn build_image(
        &self,
        recipe: &Recipe,
        file: &File,
        progress: &Progress<'_>,
        cancel: &CancellationToken,
    ) -> Result<Made, SourceError> {
        let mut out = file.try_clone().map_err(SourceError::file("open", "the image"))?;
        bridged(progress, cancel, |sink, cancel| {
            self.build(recipe, None, &mut out, &sink, cancel)
        })
    }
}

impl CatalogSources {
    /// Writes what a recipe describes; `name` is that of one of the catalog's.
    fn build(
        &self,
        recipe: &Recipe,
        name: Option<&ArtefactName>,
        out: &mut File,
        sink: &ProgressSink,
        cancel: &Cancel,
    ) -> Result<Made, SourceError> {
        let build = catalog::recipe::build(recipe, &self.settings, &self.work, sink, cancel).map_err(told)?;
        let mut tar = build.tar;
        let options = erofs::Options {
            compression: self.compression,
            ..erofs::Options::default()
        };
        let written = erofs::write_tar(&mut tar, out, &options).map_err(erofs_failed)?;
        tar.finish().map_err(told)?;
        let source = json!({
            "from": "recipe",
            // What mmdebstrap makes.
            "distro": "debian",
            "recipe": name.map(ArtefactName::as_str),
            "suite": recipe.suite(),
            "date": build.date.to_string(),
        });
        Ok(Made {
            digest: written.digest,
            bytes: written.bytes,
            entries: written.entries,
            source: source.to_string(),
            note: "built from recipe".to_owned(),
            ..Made::default()
        })
    }
}

fn known<'c, E>(entry: Option<&'c E>, name: &str) -> Result<&'c E, SourceError> {
    entry.ok_or_else(|| SourceError::Unknown {
        name: name.to_owned(),
    })
}

pub(super) fn told(error: CatalogError) -> SourceError {
    SourceError::Failed {
        hint: error.hint(),
        source: Box::new(error),
    }
}

/// What made the stream fail is told instead of the place where its reader felt it.
fn erofs_failed(error: ErofsError) -> SourceError {
    match error {
        ErofsError::Read { entry, source } => match source.downcast::<CatalogError>() {
            Ok(cause) => told(cause),
            Err(source) => failed(ErofsError::Read { entry, source }),
        },
        other => failed(other),
    }
}

fn kernel_failed(error: KernelError) -> SourceError {
    match error {
        KernelError::Archive(ErofsError::Read { entry, source }) => match source.downcast::<CatalogError>() {
            Ok(cause) => told(cause),
            Err(source) => failed(KernelError::Archive(ErofsError::Read { entry, source })),
        },
        other => failed(other),
    }
}

pub(super) fn failed(error: impl Error + Send + Sync + 'static) -> SourceError {
    SourceError::Failed {
        source: Box::new(error),
        hint: None,
    }
}

/// Runs `work` with the catalog's kind of progress and cancellation. A thread passes reports on, since the catalog's
/// come from threads that may outlive a borrow; another waits for the token, since `work` may be waiting for a mirror.
fn bridged<T>(
    progress: &Progress<'_>,
    token: &CancellationToken,
    work: impl FnOnce(ProgressSink, &Cancel) -> Result<T, SourceError>,
) -> Result<T, SourceError> {
    let cancel = Cancel::new();
    let (sender, reports) = mpsc::channel::<catalog::Progress>();
    let sink: ProgressSink = Arc::new(move |report| {
        // Nobody listens any more only when all is over.
        let _ = sender.send(report);
    });
    let watched = token.child_token();
    thread::scope(|scope| {
        let spawn_failed = |source: io::Error| SourceError::Failed {
            source: Box::new(source),
            hint: None,
        };
        // Ends the watcher, whichever way `work` goes.
        let _over = watched.clone().drop_guard();
        thread::Builder::new()
            .name("artefact progress".to_owned())
            .spawn_scoped(scope, move || {
                let mut words;
                for report in reports {
                    progress(match report.stage {
                        catalog::Stage::Warning => Report::Warning(&report.detail),
                        _ => {
                            words = in_words(&report);
                            Report::Progress(&words, report.done, report.total)
                        }
                    });
                }
            })
            .map_err(spawn_failed)?;
        thread::Builder::new()
            .name("artefact cancel".to_owned())
            .spawn_scoped(scope, || {
                wait_for(watched.cancelled());
                if token.is_cancelled() {
                    cancel.cancel();
                }
            })
            .map_err(spawn_failed)?;
        work(sink, &cancel)
    })
}

fn in_words(report: &catalog::Progress) -> String {
    match report.detail.as_str() {
        "" => report.stage.to_string(),
        detail => format!("{} {detail}", report.stage),
    }
}

/// Waits on this thread for something that needs no runtime.
fn wait_for<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        thread::park();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn sources(mirror: &str) -> (tempfile::TempDir, CatalogSources) {
        let work = tempfile::tempdir().unwrap();
        let settings = config::RecipeSettings {
            mirror: Some(mirror.to_owned()),
            keyring: None,
        };
        let sources = CatalogSources::new(settings, work.path().join("work"));
        (work, sources)
    }

    fn silent(_: Report<'_>) {}

    /// A mirror that takes connections and never answers; tells when somebody came.
    fn silent_mirror() -> (String, mpsc::Receiver<std::net::TcpStream>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/debian", listener.local_addr().unwrap());
        let (sender, came) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = sender.send(stream);
            }
        });
        (address, came)
    }

    #[test]
    fn an_unknown_name_is_no_failure_of_the_mirror() {
        let (_work, sources) = sources("http://127.0.0.1:1/");
        let token = CancellationToken::new();
        let error = sources
            .make_kernel("nosuch", Path::new("/proc/nonexistent"), &silent, &token)
            .unwrap_err();
        assert!(matches!(error, SourceError::Unknown { name } if name == "nosuch"));
        assert_eq!(sources.images()[0].kernel.as_deref(), Some("debian-cloud"));
    }

    #[test]
    fn an_unreachable_mirror_is_told_with_a_hint_and_leaves_nothing() {
        let address = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let (work, sources) = sources(&format!("http://{address}/debian"));
        let folder = tempfile::tempdir().unwrap();
        let file = tempfile::tempfile().unwrap();
        let token = CancellationToken::new();
        for error in [
            sources
                .make_kernel("debian-cloud", folder.path(), &silent, &token)
                .unwrap_err(),
            sources
                .make_image("debian-minimal", &file, &silent, &token)
                .unwrap_err(),
        ] {
            assert!(
                error
                    .to_string()
                    .starts_with("cannot reach the mirror http://127.0.0.1"),
                "{error}"
            );
            assert!(error.hint().is_some());
        }
        assert_eq!(std::fs::read_dir(work.path().join("work")).unwrap().count(), 0);
    }

    #[test]
    fn cancelling_the_token_ends_a_build_that_waits_for_the_mirror() {
        let (address, came) = silent_mirror();
        let (work, sources) = sources(&address);
        let file = tempfile::tempfile().unwrap();
        let token = CancellationToken::new();
        let stages = Mutex::new(Vec::new());
        let report = |report: Report<'_>| {
            if let Report::Progress(what, ..) = report {
                stages.lock().unwrap().push(what.to_owned());
            }
        };
        let canceller = token.clone();
        let error = thread::scope(|scope| {
            scope.spawn(move || {
                let _connection = came.recv().unwrap();
                canceller.cancel();
            });
            sources
                .make_image("debian-minimal", &file, &report, &token)
                .unwrap_err()
        });
        assert_eq!(error.to_string(), "cancelled");
        assert!(stages.lock().unwrap().contains(&"lists".to_owned()));
        assert_eq!(std::fs::read_dir(work.path().join("work")).unwrap().count(), 0);
    }

    #[test]
    fn a_warning_of_the_catalogs_is_none_of_its_stages() {
        let said = Mutex::new(Vec::new());
        let report = |report: Report<'_>| said.lock().unwrap().push(format!("{report:?}"));
        bridged(&report, &CancellationToken::new(), |sink, _| {
            for stage in [catalog::Stage::Lists, catalog::Stage::Warning] {
                sink(catalog::Progress {
                    stage,
                    detail: "a line".into(),
                    done: None,
                    total: None,
                });
            }
            Ok(())
        })
        .unwrap();
        let said = said.into_inner().unwrap();
        assert_eq!(
            said,
            [r#"Progress("lists a line", None, None)"#, r#"Warning("a line")"#]
        );
    }

    #[test]
    fn what_made_a_stream_fail_is_told_instead_of_where_it_was_felt() {
        let cause = || CatalogError::ToolMissing {
            tool: "mmdebstrap",
            package: "mmdebstrap",
        };
        let read = || ErofsError::Read {
            entry: "./usr".to_owned(),
            source: io::Error::other(cause()),
        };
        for error in [erofs_failed(read()), kernel_failed(KernelError::Archive(read()))] {
            assert_eq!(error.to_string(), "mmdebstrap is not installed");
            assert_eq!(error.hint().as_deref(), Some("apt-get install mmdebstrap"));
        }
        let other = ErofsError::Read {
            entry: "./usr".to_owned(),
            source: io::ErrorKind::BrokenPipe.into(),
        };
        assert_eq!(
            erofs_failed(other).to_string(),
            "cannot read the archive at `./usr`"
        );
    }
}
