//! From a reference to an image with all its layers in the cache.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::Read as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use ureq::http::header;

use super::Registry;
use super::download::Blob;
use super::http::{Endpoint, Http, Want};
use super::secrets::Secrets;
use crate::cache::LayerCache;
use crate::config_document::ConfigDocument;
use crate::digest::Digest;
use crate::document::{
    DOCUMENT_MAX, Descriptor, Document, LayerDescriptor, Manifest, accepted, choose, shown,
};
use crate::error::OciError;
use crate::image::Image;
use crate::layer::Part;
use crate::progress::{Event, Progress};
use crate::reference::RegistryReference;
use progress::Cancel;

/// An index in an index in an index is nobody's image.
const DEPTH: usize = 3;

/// One pull of one image.
struct Pull<'p> {
    http: Http<'p>,
    endpoints: Vec<Endpoint>,
    reference: &'p RegistryReference,
    cache: &'p LayerCache,
}

impl Registry {
    /// Fetches an image. Layers that the cache holds are checked and not fetched again; what had come of one before a
    /// failure is continued. Of two pulls of the same at once one fetches and the other waits for it.
    ///
    /// # Errors
    /// Each names the step and the value at fault; see [`OciError`]. The cache then holds what had become whole.
    pub fn pull(
        &self,
        reference: &RegistryReference,
        cache: &LayerCache,
        progress: Progress<'_>,
        cancel: &Cancel,
    ) -> Result<Image, OciError> {
        let pull = Pull {
            http: Http::new(self.tls.clone(), self.options.patience, cancel, progress),
            endpoints: self.endpoints(reference),
            reference,
            cache,
        };
        // Whatever an error has in it of what a registry said.
        self.fetch(&pull, progress)
            .map_err(|error| pull.without_logins(error))
    }

    fn fetch(&self, pull: &Pull<'_>, progress: Progress<'_>) -> Result<Image, OciError> {
        let (digest, manifest) = pull.manifest(self.options.platform)?;
        let config = pull.config(&manifest)?;
        let name = pull.reference.to_string();
        let layers = unique(&manifest.layers, self.options.bytes)?;
        // Before gigabytes come that are of no use.
        Image::check(&name, self.options.platform, &manifest.layers, &config)?;
        progress(Event::Image {
            manifest: digest,
            layers: layers.iter().map(|layer| (layer.digest, layer.size)).collect(),
        });
        let files = pull.layers(layers, self.options.downloads, progress)?;
        let file = |layer: &LayerDescriptor| Arc::clone(&files[&layer.digest]);
        Ok(Image::new(digest, &manifest.layers, config, file))
    }
}

impl Pull<'_> {
    fn without_logins(&self, error: OciError) -> OciError {
        let logins = self.endpoints.iter().map(|endpoint| endpoint.login.as_ref());
        let sent = self.http.authorisations();
        let secrets = Secrets::of_all(logins, sent.values());
        secrets.left_out_of_error(self.reference.host(), &self.reference.to_string(), error)
    }

    /// The manifest for a platform, and its digest.
    fn manifest(&self, platform: crate::document::Platform) -> Result<(Digest, Manifest), OciError> {
        let (mut digest, mut document) = match self.reference.digest() {
            Some(digest) => (digest, self.document(digest, None, None)?),
            None => self.tagged()?,
        };
        for _ in 0..DEPTH {
            let index = match document {
                Document::Manifest(manifest) => return Ok((digest, manifest)),
                Document::Index(index) => index,
            };
            let chosen = choose(&self.reference.to_string(), &index, platform)?;
            digest = chosen.digest;
            document = self.document(digest, Some(chosen.size), Some(&chosen.media_type))?;
        }
        Err(OciError::MediaType {
            what: self.reference.to_string(),
            media_type: "index of indexes".to_owned(),
        })
    }

    /// What a tag means now: always asked anew.
    fn tagged(&self) -> Result<(Digest, Document), OciError> {
        let what = self.reference.to_string();
        let (media_type, bytes) = self.fetch(&self.reference.selector(), &what)?;
        let document = Document::parse(&what, media_type.as_deref(), &bytes)?;
        Ok((Digest::of(&bytes), document))
    }

    /// A manifest or index by digest, from the cache if it is there.
    fn document(
        &self,
        digest: Digest,
        size: Option<u64>,
        media_type: Option<&str>,
    ) -> Result<Document, OciError> {
        let what = format!("manifest {digest}");
        if let Some(size) = size
            && size <= DOCUMENT_MAX
            && let Some(file) = self.cache.get(&digest, size, &self.http.cancel)?
        {
            return Document::parse(&what, media_type, &read(&file, size, &what)?);
        }
        let (answered, bytes) = self.fetch(&digest.to_string(), &what)?;
        let found = Digest::of(&bytes);
        if found != digest {
            return Err(OciError::WrongDigest {
                what,
                expected: digest,
                found,
            });
        }
        if let Some(expected) = size.filter(|size| *size != bytes.len() as u64) {
            return Err(OciError::WrongSize {
                digest,
                expected,
                found: bytes.len() as u64,
            });
        }
        let document = Document::parse(&what, media_type.or(answered.as_deref()), &bytes)?;
        self.cache.put(&digest, &bytes, &self.http.cancel)?;
        Ok(document)
    }

    fn fetch(&self, selector: &str, what: &str) -> Result<(Option<String>, Vec<u8>), OciError> {
        let path = format!("manifests/{selector}");
        let accept = accepted();
        self.http.each(&self.endpoints, |endpoint| {
            let mut tries = 0;
            loop {
                tries += 1;
                let response = self.http.get(&Want {
                    endpoint,
                    repository: self.reference.repository(),
                    path: &path,
                    what,
                    accept: &accept,
                    from: 0,
                })?;
                let media_type = response.headers().get(header::CONTENT_TYPE);
                let media_type = media_type.and_then(|value| Some(value.to_str().ok()?.to_owned()));
                let mut bytes = Vec::new();
                match self
                    .http
                    .body_of(response)
                    .take(DOCUMENT_MAX + 1)
                    .read_to_end(&mut bytes)
                {
                    Ok(_) if bytes.len() as u64 > DOCUMENT_MAX => {
                        return Err(OciError::TooLarge {
                            what: what.to_owned(),
                            limit: DOCUMENT_MAX,
                        });
                    }
                    Ok(_) => return Ok((media_type, bytes)),
                    Err(error) => {
                        let failure = self.http.unreachable(&endpoint.name, ureq::Error::Io(error));
                        self.http.wait(endpoint, failure, tries)?;
                    }
                }
            }
        })
    }

    fn config(&self, manifest: &Manifest) -> Result<ConfigDocument, OciError> {
        let Descriptor { digest, size, .. } = manifest.config;
        let what = format!("configuration {digest}");
        if size > DOCUMENT_MAX {
            return Err(OciError::TooLarge {
                what,
                limit: DOCUMENT_MAX,
            });
        }
        let file = self
            .http
            .blob(&self.endpoints, self.blob(digest, size), self.cache, &|_| {})?;
        ConfigDocument::parse(&what, &read(&file, size, &what)?)
    }

    fn blob(&self, digest: Digest, size: u64) -> Blob<'_> {
        Blob {
            repository: self.reference.repository(),
            digest,
            size,
        }
    }

    /// Fetches layers, some at once, until all are there or one fails.
    fn layers(
        &self,
        layers: VecDeque<LayerDescriptor>,
        downloads: usize,
        progress: Progress<'_>,
    ) -> Result<HashMap<Digest, Arc<File>>, OciError> {
        let workers = downloads.clamp(1, layers.len().max(1));
        let queue = Mutex::new(layers);
        let done = Mutex::new(Ok(HashMap::new()));
        let work = || loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(LayerDescriptor {
                digest: layer, size, ..
            }) = next
            else {
                return;
            };
            let told = |received| match received {
                Some(received) => progress(Event::Downloading { layer, received }),
                None => progress(Event::Cached { layer }),
            };
            let fetched = self
                .http
                .blob(&self.endpoints, self.blob(layer, size), self.cache, &told);
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            match (fetched, done.as_mut()) {
                (Ok(file), Ok(files)) => {
                    files.insert(layer, file);
                    progress(Event::Downloaded { layer });
                }
                (Err(error), Ok(_)) => {
                    *done = Err(error);
                    // The others end where they are: what they have is kept.
                    queue.lock().unwrap_or_else(PoisonError::into_inner).clear();
                    self.http.cancel.cancel();
                }
                (_, Err(_)) => {}
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..workers {
                scope.spawn(work);
            }
            work();
        });
        done.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Http<'_> {
    /// Asks one endpoint after the other until one has what is wanted. The last error counts: it is the registry's own.
    /// What is wrong with a mirror is told once; that it does not have something is nothing wrong.
    pub(super) fn each<T>(
        &self,
        endpoints: &[Endpoint],
        mut ask: impl FnMut(&Endpoint) -> Result<T, OciError>,
    ) -> Result<T, OciError> {
        let (last, mirrors) = endpoints.split_last().expect("an image has a registry");
        for mirror in mirrors
            .iter()
            .filter(|mirror| !mirror.dead.load(Ordering::Relaxed))
        {
            match ask(mirror) {
                Ok(answer) => return Ok(answer),
                Err(OciError::Cancelled) => return Err(OciError::Cancelled),
                Err(OciError::NotFound { .. }) => tracing::debug!(mirror = mirror.name, "not in the mirror"),
                Err(error) => self.tell_of(mirror, error),
            }
        }
        ask(last)
    }

    fn tell_of(&self, mirror: &Endpoint, error: OciError) {
        if mirror.told.swap(true, Ordering::Relaxed) {
            return;
        }
        let secrets = {
            let sent = self.authorisations();
            Secrets::of_all([mirror.login.as_ref()], sent.values())
        };
        let error = secrets.left_out_of_error(&mirror.name, "", error);
        let cause = std::error::Error::source(&error);
        let reason = match cause {
            Some(cause) => format!("{error}: {}", shown(&cause.to_string())),
            None => error.to_string(),
        };
        tracing::info!(mirror = mirror.name, reason, "the mirror does not serve");
        (self.progress)(Event::MirrorFailed {
            mirror: mirror.name.clone(),
            reason,
        });
    }
}

/// Each layer once, oldest first.
fn unique(layers: &[LayerDescriptor], limit: u64) -> Result<VecDeque<LayerDescriptor>, OciError> {
    let mut unique = VecDeque::new();
    let mut sizes: HashMap<Digest, u64> = HashMap::new();
    for layer in layers {
        match sizes.insert(layer.digest, layer.size) {
            None => unique.push_back(*layer),
            Some(size) if size == layer.size => {}
            Some(expected) => {
                return Err(OciError::WrongSize {
                    digest: layer.digest,
                    expected,
                    found: layer.size,
                });
            }
        }
    }
    let total = unique
        .iter()
        .try_fold(0_u64, |sum, layer| sum.checked_add(layer.size));
    match total {
        Some(total) if total <= limit => Ok(unique),
        _ => Err(OciError::TooLarge {
            what: "the image".to_owned(),
            limit,
        }),
    }
}

fn read(file: &Arc<File>, size: u64, what: &str) -> Result<Vec<u8>, OciError> {
    let mut bytes = Vec::new();
    let mut part = Part {
        file: Arc::clone(file),
        position: 0,
        end: size,
    };
    part.read_to_end(&mut bytes)
        .map_err(OciError::file(what, "read"))?;
    Ok(bytes)
}
