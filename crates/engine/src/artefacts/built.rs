//! Images that are built by a recipe of the user's.

use api::BuildImage;
use catalog::{Catalog, Recipe};
use jiff::Timestamp;
use model::{BootWay, ImageKind};
use store::ImageRow;

use super::container::megabytes;
use super::{Artefacts, SourceError};
use crate::EngineError;
use crate::images::Images;
use crate::operations::OperationHandle;

impl Images {
    /// Builds an image by a recipe. One that was built under the name before is replaced; VMs that were made from it
    /// keep what they have.
    ///
    /// # Errors
    /// The recipe, the name or the kernel cannot be.
    pub async fn build(&self, name: &str, request: BuildImage) -> Result<OperationHandle, EngineError> {
        let recipe = read(&request)?;
        let (name, kernel) = self.name_and_kernel(name, request.kernel).await?;
        self.operate(move |shared, operation| async move {
            shared.artefacts.build(&name, recipe, kernel, &operation).await
        })
        .await
    }
}

fn read(request: &BuildImage) -> Result<Recipe, EngineError> {
    // The name of a file is a client's word, and ends up in a message.
    let file = request.file.as_deref().unwrap_or("recipe");
    let file: String = file.chars().take(100).flat_map(char::escape_default).collect();
    Catalog::embedded()
        .read_recipe(&request.recipe, &file)
        .map_err(|error| EngineError::Invalid {
            what: "recipe",
            value: error.file,
            why: match error.line {
                Some(line) => format!("line {line}: {}", error.message),
                None => error.message,
            },
        })
}

impl Artefacts {
    async fn build(
        &self,
        name: &str,
        recipe: Recipe,
        kernel: String,
        operation: &OperationHandle,
    ) -> Result<(), EngineError> {
        let stage = operation.stage("image", name);
        let cancel = operation.cancellation();
        let guard = self.locks.hold("image", name, &stage, cancel).await?;
        if let Some(row) = self.store.images().get(name).await?
            && row.kind != ImageKind::Built
        {
            return Err(EngineError::ImageExists {
                name: row.name,
                from: row.reference,
            });
        }
        let images = self.paths.images();
        let maker = move |sources: &dyn super::Sources, progress: &super::Progress<'_>, cancel: &_| {
            let staging =
                durable::staging(&images).map_err(SourceError::file("create a file in", &images))?;
            let made = sources.build_image(&recipe, staging.as_file(), progress, cancel)?;
            let synced = staging.as_file().sync_all();
            synced.map_err(SourceError::file("sync", staging.path()))?;
            Ok((staging, made))
        };
        let made = self
            .make("build", "image", name, stage, cancel, guard, maker)
            .await?;
        let (stage, guard, (staging, made)) = made;
        let bytes = made.bytes;
        let row = ImageRow {
            name: name.to_owned(),
            digest: made.digest,
            kernel,
            bytes,
            entries: made.entries,
            source: made.source,
            created_at: Timestamp::now(),
            kind: ImageKind::Built,
            reference: None,
            config: None,
            path: None,
            boot: BootWay::Overlay,
            work_seed: None,
        };
        self.publish(staging, made.file_system, row).await?;
        drop(guard);
        stage.done(&format!("{name}  {}, {}", made.note, megabytes(bytes)));
        Ok(())
    }
}
