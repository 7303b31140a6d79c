//! A blob into the cache: continued where it broke, checked before it gets its name.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use ureq::http::{Response, header};

use super::http::{Again, Endpoint, Failure, Http, Want};
use crate::cache::{LayerCache, Partial};
use crate::digest::Digest;
use crate::error::OciError;

const CHUNK: usize = 256 << 10;
/// A try that brought less than this has brought nothing.
const PROGRESS: u64 = 64 << 10;

/// A blob of a repository.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blob<'b> {
    pub(super) repository: &'b str,
    pub(super) digest: Digest,
    pub(super) size: u64,
}

/// A download as far as it has come.
struct Growing {
    partial: Partial,
    hash: Sha256,
    received: u64,
}

impl Http<'_> {
    /// The blob from the cache, or from the first of `endpoints` that has it. `told` hears how many bytes are there.
    pub(super) fn blob(
        &self,
        endpoints: &[Endpoint],
        blob: Blob<'_>,
        cache: &LayerCache,
        told: &dyn Fn(Option<u64>),
    ) -> Result<Arc<File>, OciError> {
        let lock = cache.lock(&blob.digest, &self.cancel)?;
        if let Some(file) = cache.get(&blob.digest, blob.size, &self.cancel)? {
            told(None);
            return Ok(file);
        }
        let mut growing = Growing::new(cache.partial(&blob.digest, &lock)?, blob.size)?;
        let fetched = self.each(endpoints, |endpoint| {
            loop {
                // Of what another pull or another server has left nobody knows how it came about.
                let inherited = growing.received > 0;
                self.grow(endpoint, blob, &mut growing, told)?;
                let found = Digest::of_hash(growing.hash.clone());
                if found == blob.digest {
                    return Ok(());
                }
                growing.restart()?;
                if !inherited {
                    return Err(OciError::WrongDigest {
                        what: "blob".to_owned(),
                        expected: blob.digest,
                        found,
                    });
                }
            }
        });
        match fetched {
            Ok(()) => growing.partial.publish(),
            Err(error) => {
                // What has come well is kept: the next pull goes on from there. Not if there is no room for the rest.
                if growing.received == 0 || error.is_full_disk() || self.cancel.leaves_nothing() {
                    growing.partial.discard()?;
                }
                Err(error)
            }
        }
    }

    /// Appends until the blob has its size.
    fn grow(
        &self,
        endpoint: &Endpoint,
        blob: Blob<'_>,
        growing: &mut Growing,
        told: &dyn Fn(Option<u64>),
    ) -> Result<(), OciError> {
        let path = format!("blobs/{}", blob.digest);
        let what = format!("blob {}", blob.digest);
        let mut tries = 0;
        let mut furthest = growing.received;
        while growing.received < blob.size {
            tries += 1;
            let want = Want {
                endpoint,
                repository: blob.repository,
                path: &path,
                what: &what,
                accept: "*/*",
                from: growing.received,
            };
            let result = match self.try_get(&want) {
                Ok(response) => self.append(endpoint, blob, response, growing, told),
                // What is there is longer than the blob of this server.
                Err(Failure {
                    error: OciError::Status { status: 416, .. },
                    ..
                }) if growing.received > 0 => growing.restart().map_err(Failure::from),
                Err(failure) => Err(failure),
            };
            if growing.received >= furthest + PROGRESS {
                furthest = growing.received;
                tries = 0;
            }
            if let Err(failure) = result {
                self.wait(endpoint, failure, tries)?;
            } else if growing.received < blob.size && tries >= self.patience.tries {
                return Err(growing.broken(endpoint, blob, io::ErrorKind::UnexpectedEof.into()));
            }
        }
        Ok(())
    }

    fn append(
        &self,
        endpoint: &Endpoint,
        blob: Blob<'_>,
        response: Response<ureq::Body>,
        growing: &mut Growing,
        told: &dyn Fn(Option<u64>),
    ) -> Result<(), Failure> {
        if growing.received > 0 && !continues(&response, growing.received) {
            growing.restart()?;
            if response.status().as_u16() == 206 {
                // A part, but not the one asked for: ask anew, for all of it.
                return Ok(());
            }
        }
        let mut body = self.body_of(response);
        let mut buffer = vec![0; CHUNK];
        while growing.received < blob.size {
            self.cancel.check()?;
            let read = match body.read(&mut buffer) {
                Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => Ok(read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let read = read.map_err(|source| Failure {
                error: growing.broken(endpoint, blob, source),
                again: Again::Later,
            })?;
            if growing.received + read as u64 > blob.size {
                growing.restart()?;
                return Err(too_large(blob).into());
            }
            growing.append(&buffer[..read])?;
            told(Some(growing.received));
        }
        match body.read(&mut buffer[..1]) {
            Ok(1..) => {
                growing.restart()?;
                Err(too_large(blob).into())
            }
            // All is here, however the connection ended.
            _ => Ok(()),
        }
    }
}

fn too_large(blob: Blob<'_>) -> OciError {
    OciError::TooLarge {
        what: format!("blob {}", blob.digest),
        limit: blob.size,
    }
}

/// Whether a response goes on at that byte.
fn continues(response: &Response<ureq::Body>, from: u64) -> bool {
    let range = response.headers().get(header::CONTENT_RANGE);
    let start = range
        .and_then(|range| range.to_str().ok()?.strip_prefix("bytes ")?.split_once('-'))
        .and_then(|(start, _)| start.parse::<u64>().ok());
    response.status().as_u16() == 206 && start == Some(from)
}

impl Growing {
    fn new(partial: Partial, size: u64) -> Result<Self, OciError> {
        let mut growing = Self {
            partial,
            hash: Sha256::new(),
            received: 0,
        };
        let failed = |growing: &Self, source| OciError::file(&growing.partial.path, "read")(source);
        let mut buffer = vec![0; CHUNK];
        loop {
            match growing.partial.file.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => {
                    growing.hash.update(&buffer[..read]);
                    growing.received += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(&growing, error)),
            }
            if growing.received > size {
                growing.restart()?;
                return Ok(growing);
            }
        }
        Ok(growing)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), OciError> {
        let failed = OciError::file(&self.partial.path, "write");
        self.partial
            .file
            .write_all_at(bytes, self.received)
            .map_err(failed)?;
        self.hash.update(bytes);
        self.received += bytes.len() as u64;
        Ok(())
    }

    fn restart(&mut self) -> Result<(), OciError> {
        let failed = OciError::file(&self.partial.path, "empty");
        self.partial.file.set_len(0).map_err(failed)?;
        self.hash = Sha256::new();
        self.received = 0;
        Ok(())
    }

    fn broken(&self, endpoint: &Endpoint, blob: Blob<'_>, source: io::Error) -> OciError {
        OciError::Broken {
            digest: blob.digest,
            host: endpoint.name.clone(),
            received: self.received,
            size: blob.size,
            source,
        }
    }
}
