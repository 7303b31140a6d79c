//! The client's calls about kernels.

use std::io;

use bytes::Bytes;
use futures::Stream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper::{Method, StatusCode};

use super::connection::{Call, expect_status, receive, send, send_body};
use super::{Client, ClientError, LONG_PATIENCE, segment};
use crate::{CatalogKernel, ImportKernel, Kernel};

impl Client {
    /// `GET /v1/kernels`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn kernels(&self) -> Result<Vec<Kernel>, ClientError> {
        self.get("/v1/kernels").await
    }

    /// `GET /v1/kernels/{name}`.
    ///
    /// # Errors
    /// [`ClientError`]; `kernel_not_found` among the daemon's own.
    pub async fn kernel(&self, name: &str) -> Result<Kernel, ClientError> {
        self.get(&kernel_path(name)).await
    }

    /// `GET /v1/catalog/kernels`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn catalog_kernels(&self) -> Result<Vec<CatalogKernel>, ClientError> {
        self.get("/v1/catalog/kernels").await
    }

    /// `PUT /v1/kernels/{name}`: sends a kernel.
    ///
    /// # Errors
    /// [`ClientError`]; `kernel_exists` among the daemon's own.
    pub async fn import_kernel<S>(
        &self,
        name: &str,
        import: &ImportKernel,
        body: S,
    ) -> Result<Kernel, ClientError>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let distro = import.distro.as_deref();
        let mut query: Vec<String> = distro
            .map(|distro| format!("distro={}", segment(distro)))
            .into_iter()
            .collect();
        if import.of_image {
            query.push("of_image=true".to_owned());
        }
        let path = format!("{}?{}", kernel_path(name), query.join("&"));
        let body = StreamBody::new(futures::StreamExt::map(body, |chunk| chunk.map(Frame::data)));
        // The answer comes when the kernel has been sent and taken apart, however long that takes.
        let answer = send_body(&self.socket, Call::new(Method::PUT, path), body).await?;
        expect_status(&answer.response, StatusCode::CREATED)?;
        receive(answer).await
    }

    /// `DELETE /v1/kernels/{name}`.
    ///
    /// # Errors
    /// [`ClientError`]; `kernel_not_found` and `kernel_in_use` among the daemon's own.
    pub async fn delete_kernel(&self, name: &str) -> Result<(), ClientError> {
        let call = Call::new(Method::DELETE, kernel_path(name));
        let answer = send(&self.socket, call, LONG_PATIENCE.max(self.patience)).await?;
        expect_status(&answer.response, StatusCode::NO_CONTENT)
    }
}

fn kernel_path(name: &str) -> String {
    format!("/v1/kernels/{}", segment(name))
}
