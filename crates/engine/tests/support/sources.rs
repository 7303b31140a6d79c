//! Kernels and images that are made in no time, and fail when told to.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use catalog::Recipe;
use engine::{Known, KnownKernel, Made, Progress, Report, SourceError, Sources};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

const ROOTFS: &[u8] = b"a root file system";

/// Sources that have the image `debian` and the kernel `cloud`.
#[derive(Debug, Default)]
pub struct SimulatedSources {
    images_made: AtomicUsize,
    kernels_made: AtomicUsize,
    slow: AtomicBool,
    no_kernels: AtomicBool,
    no_images: AtomicBool,
    /// Releases of the kernel since the first.
    kernel_releases: AtomicUsize,
}

impl SimulatedSources {
    /// Makers take until they are cancelled, or half a second.
    pub fn be_slow(&self) {
        self.slow.store(true, Ordering::SeqCst);
    }

    /// Fetching a kernel fails, as with a mirror that nobody reaches.
    pub fn lose_kernels(&self) {
        self.no_kernels.store(true, Ordering::SeqCst);
    }

    /// Building an image fails in the same way.
    pub fn lose_images(&self) {
        self.no_images.store(true, Ordering::SeqCst);
    }

    /// From now on the mirror has a newer kernel.
    pub fn release_kernel(&self) {
        self.kernel_releases.fetch_add(1, Ordering::SeqCst);
    }

    pub fn images_made(&self) -> usize {
        self.images_made.load(Ordering::SeqCst)
    }

    pub fn kernels_made(&self) -> usize {
        self.kernels_made.load(Ordering::SeqCst)
    }

    fn work(&self, broken: &AtomicBool, cancel: &CancellationToken) -> Result<(), SourceError> {
        let mut left = if self.slow.load(Ordering::SeqCst) { 100 } else { 0 };
        while left > 0 && !cancel.is_cancelled() {
            std::thread::sleep(Duration::from_millis(5));
            left -= 1;
        }
        if cancel.is_cancelled() {
            return Err(failed("cancelled"));
        }
        if broken.load(Ordering::SeqCst) {
            return Err(failed("cannot reach the mirror deb.test: connection refused"));
        }
        Ok(())
    }
}

fn failed(message: &str) -> SourceError {
    SourceError::Failed {
        source: message.into(),
        hint: Some("is the network up?".into()),
    }
}

fn rootfs(content: &[u8]) -> Made {
    Made {
        digest: format!("{:x}", Sha256::digest(content)),
        bytes: content.len() as u64,
        entries: 1,
        source: "{}".into(),
        ..Made::default()
    }
}

impl Sources for SimulatedSources {
    fn images(&self) -> Vec<Known> {
        vec![Known {
            name: "debian".into(),
            kernel: Some("cloud".into()),
        }]
    }

    fn kernels(&self) -> Vec<KnownKernel> {
        vec![KnownKernel {
            name: "cloud".into(),
            distro: "debian".into(),
            arch: "amd64".into(),
            description: "for tests".into(),
        }]
    }

    fn make_kernel(
        &self,
        name: &str,
        folder: &Path,
        progress: &Progress<'_>,
        cancel: &CancellationToken,
    ) -> Result<Made, SourceError> {
        assert_eq!(name, "cloud");
        progress(Report::Progress("fetching", Some(1), Some(2)));
        self.work(&self.no_kernels, cancel)?;
        for file in ["vmlinux", "modules.erofs"] {
            fs::write(folder.join(file), file).expect("the folder is writable");
        }
        fs::create_dir(folder.join("boot-modules")).expect("the folder is writable");
        self.kernels_made.fetch_add(1, Ordering::SeqCst);
        Ok(Made {
            version: format!("6.1.0-{}", 1 + self.kernel_releases.load(Ordering::SeqCst)),
            bytes: 7,
            source: "{}".into(),
            ..Made::default()
        })
    }

    fn make_image(
        &self,
        name: &str,
        mut file: &File,
        progress: &Progress<'_>,
        cancel: &CancellationToken,
    ) -> Result<Made, SourceError> {
        assert_eq!(name, "debian");
        progress(Report::Progress("building", None, None));
        self.work(&self.no_images, cancel)?;
        file.write_all(ROOTFS).expect("the file is writable");
        self.images_made.fetch_add(1, Ordering::SeqCst);
        Ok(rootfs(ROOTFS))
    }

    /// What a recipe says is what is in the image.
    fn build_image(
        &self,
        recipe: &Recipe,
        mut file: &File,
        progress: &Progress<'_>,
        cancel: &CancellationToken,
    ) -> Result<Made, SourceError> {
        progress(Report::Warning("something of this host is missing"));
        progress(Report::Progress("building", None, None));
        self.work(&self.no_images, cancel)?;
        let content = format!("{recipe:?}");
        file.write_all(content.as_bytes()).expect("the file is writable");
        Ok(rootfs(content.as_bytes()))
    }
}
