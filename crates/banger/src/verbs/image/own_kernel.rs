//! A kernel that comes along with an image: sent first, under the image's name, and gone again if the image does not
//! come.

use std::path::{Path, PathBuf};

use api::ImportKernel;
use api::client::Client;
use rootfs::kernel::KernelFolder;

use super::super::bundle::one_line;
use super::super::operation::ending;
use super::super::pieces;
use crate::daemon::Place;
use crate::failure::Failure;
use crate::render;
use crate::terminal::{Signals, exit_code};

/// What the kernel is made of, and its own file.
///
/// # Errors
/// A file is missing, or not what it has to be.
pub(super) fn parts(
    kernel: &Path,
    initrd: Option<&Path>,
    modules: Option<&Path>,
) -> Result<(KernelFolder, PathBuf), Failure> {
    match KernelFolder::of_parts(kernel, initrd, modules) {
        Ok(folder) => Ok((folder, kernel.to_owned())),
        Err(error) => Err(Failure::new(one_line(&error))),
    }
}

/// Sends the kernel of the image `name`, then has the image made.
pub(super) async fn before(
    place: &Place,
    name: &str,
    kernel: (KernelFolder, PathBuf),
    image: impl Future<Output = Result<u8, Failure>>,
) -> Result<u8, Failure> {
    let client = place.connect().await?;
    let (kernel, file) = kernel;
    send(&client, name, kernel)
        .await
        .map_err(|failure| failure.of_file(&file))?;
    let made = image.await;
    if made.is_err()
        && let Err(error) = client.delete_kernel(name).await
    {
        // The failure that counts is told by its own line.
        render::note(&format!("the kernel `{name}` stays: {error}\n"));
    }
    made
}

async fn send(client: &Client, name: &str, parts: KernelFolder) -> Result<(), Failure> {
    let request = ImportKernel {
        distro: None,
        of_image: true,
    };
    let mut signals = Signals::for_commands()?;
    let sending = pieces::send(
        move |out| parts.pack(out).map_err(|error| one_line(&error)),
        |body| client.import_kernel(name, &request, body),
    );
    tokio::select! {
        sent = sending => Ok(sent.map(drop)?),
        signal = ending(&mut signals) => Err(Failure::quiet(exit_code(signal))),
    }
}
