//! What a published catalog has, beside what is simulated: the real client, which asks each time.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use catalog::Recipe;
use engine::{CatalogSources, Known, KnownKernel, Made, Progress, SourceError, Sources};
use tokio_util::sync::CancellationToken;

use super::sources::SimulatedSources;

/// Sources that know a catalog at an address.
#[derive(Debug)]
pub struct PublishedSources {
    simulated: SimulatedSources,
    url: String,
    work: PathBuf,
    /// What was published when it was last asked for.
    known: Mutex<Option<Arc<CatalogSources>>>,
}

impl PublishedSources {
    pub fn new(url: String, work: PathBuf) -> Self {
        Self {
            simulated: SimulatedSources::default(),
            url,
            work,
            known: Mutex::default(),
        }
    }

    /// The real client, which has asked nothing yet.
    fn fresh(&self) -> Result<CatalogSources, SourceError> {
        let sources = CatalogSources::new(config::RecipeSettings::default(), self.work.clone());
        sources
            .with_published(Some(self.url.clone()), None)
            .map_err(|error| failed(Box::new(error)))
    }

    fn known(&self) -> Option<Arc<CatalogSources>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.clone()
    }
}

fn failed(source: Box<dyn std::error::Error + Send + Sync>) -> SourceError {
    SourceError::Failed { source, hint: None }
}

impl Sources for PublishedSources {
    fn refresh(&self, cancel: &CancellationToken) -> Result<(), SourceError> {
        let fresh = self.fresh()?;
        fresh.refresh(cancel)?;
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(fresh));
        Ok(())
    }

    fn images(&self) -> Vec<Known> {
        let published = self.known().map(|known| known.images());
        [self.simulated.images(), published.unwrap_or_default()].concat()
    }

    fn kernels(&self) -> Vec<KnownKernel> {
        let published = self.known().map(|known| known.kernels());
        [self.simulated.kernels(), published.unwrap_or_default()].concat()
    }

    fn make_kernel(
        &self,
        name: &str,
        folder: &Path,
        progress: &Progress<'_>,
        cancel: &CancellationToken,
    ) -> Result<Made, SourceError> {
        match self.simulated.kernels().iter().any(|known| known.name == name) {
            true => self.simulated.make_kernel(name, folder, progress, cancel),
            false => self.fresh()?.make_kernel(name, folder, progress, cancel),
        }
    }

    fn make_image(
        &self,
        name: &str,
        file: &File,
        progress: &Progress<'_>,
        cancel: &CancellationToken,
    ) -> Result<Made, SourceError> {
        match self.simulated.images().iter().any(|known| known.name == name) {
            true => self.simulated.make_image(name, file, progress, cancel),
            false => self.fresh()?.make_image(name, file, progress, cancel),
        }
    }

    fn build_image(
        &self,
        recipe: &Recipe,
        file: &File,
        progress: &Progress<'_>,
        cancel: &CancellationToken,
    ) -> Result<Made, SourceError> {
        self.simulated.build_image(recipe, file, progress, cancel)
    }
}
