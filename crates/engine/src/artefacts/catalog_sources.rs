//! Kernels and images from the catalog: fetched and built by it, written by `rootfs`, with nothing but the stream
//! between them.

use std::error::Error;
use std::fs::File;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Wake, Waker};
use std::thread::{self, Thread};

use catalog::{Cancel, Catalog, CatalogError, ImageSource, KernelSource, ProgressSink, RecipeSettings};
use rootfs::erofs::{self, ErofsError};
use rootfs::kernel::{self, KernelError};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::sources::{Known, KnownKernel, Made, Progress, SourceError, Sources};

/// The catalog that this version carries.
#[derive(Debug)]
pub struct CatalogSources {
    catalog: Catalog,
    settings: RecipeSettings,
    work: PathBuf,
}

impl CatalogSources {
    /// Fetches and builds in folders below `work`, and removes what a killed predecessor left there.
    ///
    /// # Errors
    /// What was left cannot be removed.
    pub fn new(settings: config::RecipeSettings, work: PathBuf) -> Result<Self, CatalogError> {
        catalog::clean_work(&work)?;
        let config::RecipeSettings { mirror, keyring } = settings;
        Ok(Self {
            catalog: Catalog::embedded(),
            settings: RecipeSettings { mirror, keyring },
            work,
        })
    }
}

impl Sources for CatalogSources {
    fn images(&self) -> Vec<Known> {
        let known = |image: &catalog::ImageEntry| Known {
            name: image.name.as_str().to_owned(),
            kernel: Some(image.kernel.as_str().to_owned()),
        };
        self.catalog.images().map(known).collect()
    }

    fn kernels(&self) -> Vec<KnownKernel> {
        let known = |kernel: &catalog::KernelEntry| KnownKernel {
            name: kernel.name.as_str().to_owned(),
            distro: kernel.distro.clone(),
            arch: kernel.arch.as_str().to_owned(),
            description: kernel.description.clone(),
        };
        self.catalog.kernels().map(known).collect()
    }

    fn make_kernel(
        &self,
        name: &str,
        folder: &Path,
        progress: &Progress<'_>,
        cancel: &CancellationToken,
    ) -> Result<Made, SourceError> {
        let entry = self.catalog.kernel(name).ok_or_else(|| SourceError::Unknown {
            name: name.to_owned(),
        })?;
        let KernelSource::Apt { suite, .. } = &entry.source;
        bridged(progress, cancel, |sink, cancel| {
            let package =
                catalog::apt::fetch_kernel(entry, &self.settings, &self.work, &sink, cancel).map_err(told)?;
            progress("unpack", None, None);
            let mut tar = package.open(cancel).map_err(told)?;
            let imported = kernel::import(&mut tar, folder).map_err(kernel_failed)?;
            tar.finish().map_err(told)?;
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
                note: format!("fetched, {} MB", package.bytes().div_ceil(1_000_000)),
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
        let entry = self.catalog.image(name).ok_or_else(|| SourceError::Unknown {
            name: name.to_owned(),
        })?;
        entry.arch.check(name).map_err(told)?;
        let ImageSource::Recipe {
            name: recipe_name,
            recipe,
        } = &entry.source;
        let mut out = file.try_clone().map_err(SourceError::file("open", name))?;
        bridged(progress, cancel, |sink, cancel| {
            let build =
                catalog::recipe::build(recipe, &self.settings, &self.work, &sink, cancel).map_err(told)?;
            let mut tar = build.tar;
            let written =
                erofs::write_tar(&mut tar, &mut out, &erofs::Options::default()).map_err(erofs_failed)?;
            tar.finish().map_err(told)?;
            let source = json!({
                "from": "recipe",
                "recipe": recipe_name.as_str(),
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
        })
    }
}

fn told(error: CatalogError) -> SourceError {
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

fn failed(error: impl Error + Send + Sync + 'static) -> SourceError {
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
                for report in reports {
                    progress(&words(&report), report.done, report.total);
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

fn words(report: &catalog::Progress) -> String {
    match report.detail.as_str() {
        "" => report.stage.to_string(),
        detail => format!("{} {detail}", report.stage),
    }
}

/// Waits on this thread for something that needs no runtime.
fn wait_for(future: impl Future<Output = ()>) {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    while future
        .as_mut()
        .poll(&mut Context::from_waker(&waker))
        .is_pending()
    {
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
        let sources = CatalogSources::new(settings, work.path().join("work")).unwrap();
        (work, sources)
    }

    fn silent(_: &str, _: Option<u64>, _: Option<u64>) {}

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
            .make_kernel("nosuch", Path::new("/nonexistent"), &silent, &token)
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
        let report =
            |what: &str, _: Option<u64>, _: Option<u64>| stages.lock().unwrap().push(what.to_owned());
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
