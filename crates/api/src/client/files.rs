//! Files of a VM as tar streams.

use guest::files::{ReadFiles, TarBody, WriteFiles, Written};
use hyper::{Method, StatusCode};

use super::connection::{Call, expect_status, send, upload};
use super::{Chunks, Client, ClientError, LONG_PATIENCE, vm_path};

impl Client {
    /// `GET /v1/vms/{ref}/files`: a file or a tree as a tar stream.
    ///
    /// # Errors
    /// [`ClientError`]; `guest_files` among the daemon's own, where there is no such file.
    pub async fn read_files(&self, vm: &str, query: &ReadFiles) -> Result<Chunks, ClientError> {
        let call = Call::new(Method::GET, format!("{}/files?{}", vm_path(vm), query.to_query()));
        let answer = send(&self.socket, call, LONG_PATIENCE.max(self.patience)).await?;
        expect_status(&answer.response, StatusCode::OK)?;
        Ok(Chunks::new(answer))
    }

    /// `PUT /v1/vms/{ref}/files`: writes a tar stream. Takes as long as that takes.
    ///
    /// # Errors
    /// [`ClientError`]; `guest_files` among the daemon's own, where it cannot be written.
    pub async fn write_files(
        &self,
        vm: &str,
        query: &WriteFiles,
        tar: TarBody,
    ) -> Result<Written, ClientError> {
        let call = Call::new(Method::PUT, format!("{}/files?{}", vm_path(vm), query.to_query()));
        upload(&self.socket, call, tar).await
    }
}
