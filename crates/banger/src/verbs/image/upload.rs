//! Sending an image of the user's to the daemon.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use api::UploadImage;
use api::client::{Client, ClientError, Events};

use crate::verbs::pieces;

/// What is sent.
#[derive(Debug)]
pub enum Source {
    /// An OCI layout.
    Layout(PathBuf),
    /// What `docker save` has written.
    Archive(PathBuf),
}

/// Sends it. A file that cannot be read is told as such, whatever the daemon makes of the missing rest.
///
/// # Errors
/// [`ClientError`]; what is wrong with the source as one of the daemon's kind.
pub async fn send(
    client: &Client,
    name: &str,
    request: &UploadImage,
    source: Source,
) -> Result<Events, ClientError> {
    pieces::send(
        move |out| write(&source, out),
        |body| client.upload_image(name, request, body),
    )
    .await
}

fn write(source: &Source, mut out: &mut dyn Write) -> Result<(), String> {
    match source {
        Source::Layout(folder) => oci::pack_layout(folder, &mut out).map_err(|error| told(&error)),
        Source::Archive(file) => File::open(file)
            .and_then(|mut file| io::copy(&mut file, &mut out))
            .map(drop)
            .map_err(|error| format!("cannot read {}: {error}", file.display())),
    }
}

fn told(error: &oci::OciError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
