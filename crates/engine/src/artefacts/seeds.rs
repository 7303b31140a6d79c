//! Work seeds: taken from a file of the user's when an image is registered, put into a VM at its first start.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use guest::Agent;
use guest::files::{WriteFiles, body_of};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;

use super::{Artefacts, registered, sync_folder};
use crate::EngineError;

/// How the names of seeds end; they lie with the images.
pub(super) const ENDING: &str = "seed";
/// What a VM gets it as.
const HOME: &[u8] = b"/root";
/// How much of it is read at a time.
const PIECE: usize = 256 * 1024;

/// A seed that has no name yet. Dropping it removes it.
pub(super) struct StagedSeed {
    file: NamedTempFile,
    digest: String,
}

impl Artefacts {
    /// Reads a seed as the user has it.
    pub(super) async fn take_seed(&self, image: &str, path: PathBuf) -> Result<StagedSeed, EngineError> {
        let images = self.paths.images();
        let wanted = path.clone();
        let taken = tokio::task::spawn_blocking(move || take(&wanted, &images));
        let taken = taken
            .await
            .map_err(|panic| EngineError::Internal(format!("reading a work seed: {panic}")))?;
        taken.map_err(|source| EngineError::RegisteredFile {
            name: image.to_owned(),
            path,
            source,
            hint: None,
        })
    }

    /// Gives a seed its name. The caller holds the gate until a row names it.
    pub(super) fn publish_seed(&self, seed: StagedSeed) -> Result<String, EngineError> {
        let images = self.paths.images();
        let target = seed_path(&images, &seed.digest);
        seed.file
            .persist(&target)
            .map_err(|error| EngineError::file("write", &target)(error.error))?;
        sync_folder(&images).map_err(|error| EngineError::Internal(error.to_string()))?;
        Ok(seed.digest)
    }

    /// Where the seed of that digest lies.
    pub(crate) fn seed(&self, digest: &str) -> PathBuf {
        seed_path(&self.paths.images(), digest)
    }
}

fn seed_path(images: &Path, digest: &str) -> PathBuf {
    images.join(format!("{digest}.{ENDING}"))
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn take(path: &Path, images: &Path) -> Result<StagedSeed, Failure> {
    let (file, _) = registered::open_file(path)?;
    let staging = durable::staging(images)?;
    let digest = {
        let mut out = Hashed {
            file: io::BufWriter::new(staging.as_file()),
            hash: Sha256::new(),
        };
        rootfs::seed::convert(file, &mut out)?;
        out.hash.finalize()
    };
    staging.as_file().sync_all()?;
    Ok(StagedSeed {
        file: staging,
        digest: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
    })
}

struct Hashed<'a> {
    file: io::BufWriter<&'a File>,
    hash: Sha256,
}

impl Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Unpacks a seed in a guest.
pub(crate) async fn plant(seed: &Path, agent: &Agent) -> Result<(), EngineError> {
    let mut file = tokio::fs::File::open(seed)
        .await
        .map_err(EngineError::file("read", seed))?;
    let (sender, pieces) = mpsc::channel(2);
    let reading = async move {
        loop {
            let mut piece = vec![0; PIECE];
            let read = file.read(&mut piece).await;
            let read = match read {
                Ok(0) => break,
                Ok(read) => {
                    piece.truncate(read);
                    Ok(Bytes::from(piece))
                }
                Err(error) => Err(error),
            };
            let failed = read.is_err();
            // Nobody takes it where the guest has refused already, and says why.
            if sender.send(read).await.is_err() || failed {
                break;
            }
        }
    };
    let query = WriteFiles {
        path: HOME.to_vec(),
        ..WriteFiles::default()
    };
    let writing = agent.write_files(&query, body_of(pieces));
    let ((), written) = tokio::join!(reading, writing);
    let written = written.map_err(|source| EngineError::WorkSeed { source })?;
    for warning in &written.warnings {
        tracing::warn!(%warning, "a work seed was not unpacked as it is");
    }
    Ok(())
}
