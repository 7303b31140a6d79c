//! The client's calls about images.

use std::io;

use bytes::Bytes;
use futures::Stream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper::{Method, StatusCode};

use super::connection::{Call, expect_status, fetch, send, send_body};
use super::{Chunks, Client, ClientError, EVENTS, Events, LONG_PATIENCE, segment};
use crate::{Image, Pruned, UploadImage};

impl Client {
    /// `GET /v1/images`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn images(&self) -> Result<Vec<Image>, ClientError> {
        self.get("/v1/images").await
    }

    /// `GET /v1/images/{ref}`: by its name, or by its full name in a registry.
    ///
    /// # Errors
    /// [`ClientError`]; `image_not_found` among the daemon's own.
    pub async fn image(&self, image: &str) -> Result<Image, ClientError> {
        self.get(&image_path(image)).await
    }

    /// `DELETE /v1/images/{ref}`.
    ///
    /// # Errors
    /// [`ClientError`]; `image_not_found` and `image_in_use` among the daemon's own.
    pub async fn delete_image(&self, image: &str) -> Result<(), ClientError> {
        let call = Call::new(Method::DELETE, image_path(image));
        let answer = send(&self.socket, call, LONG_PATIENCE.max(self.patience)).await?;
        expect_status(&answer.response, StatusCode::NO_CONTENT)
    }

    /// `PUT /v1/images/{name}`: sends an image, and follows the operation that takes it in, as [`Client::lease`].
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn upload_image<S>(
        &self,
        name: &str,
        image: &UploadImage,
        body: S,
    ) -> Result<Events, ClientError>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let mut path = format!("{}?format={}", image_path(name), word(image)?);
        for (key, value) in [("tag", &image.tag), ("kernel", &image.kernel)] {
            if let Some(value) = value {
                path.push_str(&format!("&{key}={}", segment(value)));
            }
        }
        let body = StreamBody::new(futures::StreamExt::map(body, |chunk| chunk.map(Frame::data)));
        let call = Call::new(Method::PUT, path).headers(EVENTS);
        // The answer begins when the image has been sent, however long that takes.
        let answer = send_body(&self.socket, call, body).await?;
        expect_status(&answer.response, StatusCode::OK)?;
        Ok(Events::new(answer))
    }

    /// `GET /v1/images/{ref}/bundle`: the image as a bundle.
    ///
    /// # Errors
    /// [`ClientError`]; `image_not_found` among the daemon's own.
    pub async fn export_image(&self, image: &str) -> Result<Chunks, ClientError> {
        let call = Call::new(Method::GET, format!("{}/bundle", image_path(image)));
        let answer = send(&self.socket, call, LONG_PATIENCE.max(self.patience)).await?;
        expect_status(&answer.response, StatusCode::OK)?;
        Ok(Chunks::new(answer))
    }

    /// `DELETE /v1/cache`: removes what can be fetched again or is of no use, or only tells what it would.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn prune_cache(&self, dry_run: bool) -> Result<Pruned, ClientError> {
        let call = Call::new(Method::DELETE, format!("/v1/cache?dry_run={dry_run}"));
        fetch(
            &self.socket,
            call,
            StatusCode::OK,
            LONG_PATIENCE.max(self.patience),
        )
        .await
    }
}

fn word(image: &UploadImage) -> Result<String, ClientError> {
    match serde_json::to_value(image.format) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        other => Err(ClientError::Protocol(format!(
            "an upload format became {other:?}"
        ))),
    }
}

pub(super) fn image_path(image: &str) -> String {
    format!("/v1/images/{}", segment(image))
}
