//! Container images: fetched by `oci`, written by `rootfs` as one EROFS, with nothing but the stream between them.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use api::{RegistryAccess, RegistryLogin};
use config::RegistryMirrors;
use oci::{Digest, Flattened, LayerCache, Limits, OciError, Platform, RealmFault, RegistryReference};
use progress::Cancel;
use rootfs::erofs::{self, Builder, Compression, ErofsError, Written};

use crate::operations::{OperationHandle, Stage};

/// Most bytes that the layers of an image sent to the daemon may take once an outer compression is gone.
const LARGEST_ARCHIVE: u64 = 128 << 30;

/// Where a container image comes from.
#[derive(Debug)]
pub(crate) enum Origin {
    /// A registry.
    Registry {
        /// Its name there.
        reference: RegistryReference,
        /// How the registry is spoken to.
        access: RegistryAccess,
    },
    /// A layout that a client has sent.
    Layout {
        /// Where it was put.
        folder: tempfile::TempDir,
        /// Which image of it.
        tag: Option<String>,
    },
    /// A docker archive that a client has sent.
    Archive {
        /// Where it was put.
        file: tempfile::NamedTempFile,
        /// Which image of it.
        image: Option<String>,
    },
}

/// How this host gets at registries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registries {
    /// Certificate authorities that they may be known by beside the system's, PEM.
    pub(crate) certificates: Option<String>,
    /// Who is asked before them.
    pub(crate) mirrors: RegistryMirrors,
}

/// Why there is no root file system.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContainerError {
    /// The image cannot be had, or is damaged.
    #[error(transparent)]
    Oci(#[from] OciError),
    /// It cannot be written.
    #[error(transparent)]
    Erofs(#[from] ErofsError),
    /// A layer has more than an image may hold.
    #[error("layer {layer}: {source}")]
    Bound {
        /// The layer.
        layer: String,
        /// The entry and the bound.
        source: ErofsError,
    },
}

impl ContainerError {
    /// What the user can do about it, and has not done yet.
    pub(crate) fn hint(&self, origin: &Origin) -> Option<String> {
        let Self::Oci(error) = self else { return None };
        let plain = matches!(origin, Origin::Registry { access, .. } if access.plain_http);
        match error {
            OciError::Unauthorised { host, .. } => Some(format!(
                "is the name right? if the image is private, log in first: docker login {host}"
            )),
            OciError::Unreachable { host, .. } => Some(unreachable(host, plain)),
            OciError::LoginWithheld { realm, .. } => Some(format!(
                "if your login may go to {realm}, say so once: banger image pull --trust-realm {realm} IMAGE"
            )),
            OciError::BadRealm { host, fault, .. } => Some(match fault {
                RealmFault::NoTlsElsewhere => {
                    format!("whoever runs {host} can name a token server with TLS, or one on {host} itself")
                }
                _ => format!(
                    "whoever runs {host} can name a token server by an address such as https://auth.example/token"
                ),
            }),
            OciError::TooManyRedirects { host, .. } => Some(format!(
                "try again, or ask whoever runs {host}; a proxy between you and it may be the cause"
            )),
            OciError::RefusedElsewhere { .. } => Some(
                "the registry's storage refuses the download: try again, or ask whoever runs it".to_owned(),
            ),
            OciError::Broken { received, .. } if *received > 0 => {
                Some("what has come is kept: pulling again goes on from there".to_owned())
            }
            OciError::NoSuchTag { .. } => {
                Some("name one of its images after it: oci:DIR:TAG, docker-archive:FILE:NAME".to_owned())
            }
            OciError::NotFound { .. } => Some("look for a misspelt name or tag".to_owned()),
            _ => None,
        }
    }
}

/// What to do about a registry that is not reached, with TLS or in `plain` HTTP.
fn unreachable(host: &str, plain: bool) -> String {
    match plain {
        true => format!("is the network up, and does {host} serve a registry without TLS?"),
        false => format!("is the network up? if {host} speaks no TLS, pull with --plain-http"),
    }
}

impl Origin {
    /// Its full name in a registry.
    pub(crate) fn reference(&self) -> Option<String> {
        match self {
            Self::Registry { reference, .. } => Some(reference.to_string()),
            _ => None,
        }
    }

    /// Gets the image: its layers are here and checked then.
    pub(crate) fn open(
        &self,
        cache: &Path,
        registries: &Registries,
        operation: &OperationHandle,
        (cancel, fetched): (&Cancel, &Mutex<Vec<Digest>>),
    ) -> Result<oci::Image, OciError> {
        match self {
            Self::Registry { reference, access } => {
                let layers = Layers::new(operation);
                oci::Registry::new(registries.options(reference, access))?.pull(
                    reference,
                    &LayerCache::open(cache)?,
                    &|event| {
                        if let oci::Event::Downloaded { layer } = &event {
                            fetched
                                .lock()
                                .unwrap_or_else(PoisonError::into_inner)
                                .push(*layer);
                        }
                        layers.tell(&event);
                    },
                    cancel,
                )
            }
            Self::Layout { folder, tag } => {
                oci::open_layout(folder.path(), tag.as_deref(), Platform::host(), cancel)
                    .map_err(|error| error.of_upload(folder.path(), "the layout"))
            }
            Self::Archive { file, image } => oci::open_docker_archive(
                file.path(),
                image.as_deref(),
                file.path().parent().unwrap_or(cache),
                LARGEST_ARCHIVE,
                Platform::host(),
                cancel,
            )
            .map_err(|error| error.of_upload(file.path(), "the archive")),
        }
    }
}

impl Registries {
    /// For a pull of that image.
    fn options(&self, reference: &RegistryReference, access: &RegistryAccess) -> oci::Options {
        let host = reference.host();
        let mirrors = self.mirrors.of(host).iter().map(|mirror| oci::Mirror {
            host: mirror.host.clone(),
            path: mirror.path.clone(),
            plain_http: mirror.plain_http,
        });
        let own = access.login.iter().map(|login| (host, login));
        let theirs = access.mirror_logins.iter();
        let logins = own.chain(theirs.map(|(host, login)| (host.as_str(), login)));
        oci::Options {
            plain_http: access.plain_http,
            certificates: self.certificates.clone().unwrap_or_default().into(),
            mirrors: [(host.to_owned(), mirrors.collect())].into(),
            logins: logins
                .map(|(host, login)| (host.to_owned(), login_of(login)))
                .collect(),
            realms: access.realms.clone(),
            ..oci::Options::default()
        }
    }
}

fn login_of(login: &RegistryLogin) -> oci::Login {
    match login.clone() {
        RegistryLogin::Password { user, password } => oci::Login::Password { user, password },
        RegistryLogin::IdentityToken(token) => oci::Login::IdentityToken(token),
    }
}

/// Writes the merged layers of an image into `out`.
pub(crate) fn write(
    image: &oci::Image,
    compression: Compression,
    out: &mut File,
    cancel: &Cancel,
    tell: Tell<'_>,
) -> Result<Written, ContainerError> {
    let options = erofs::Options {
        compression,
        ..erofs::Options::default()
    };
    let (layers, limits) = (&image.layers, Limits::default());
    match fill(oci::flatten(layers, &limits, cancel), out, options.clone(), tell) {
        // A layer takes back what it brought before: begun anew, since what was written of it cannot be.
        Err(ContainerError::Oci(error)) if error.wants_plan() => {
            tracing::debug!(%error, "written once more by a plan");
            fill(oci::flatten_by_plan(layers, &limits, cancel), out, options, tell)
        }
        written => written,
    }
}

/// Writes a stream of entries into `out`, which it empties.
fn fill(
    mut entries: Flattened,
    out: &mut File,
    options: erofs::Options,
    tell: Tell<'_>,
) -> Result<Written, ContainerError> {
    let meter = entries.meter();
    let unpacking = || {
        let (done, total) = meter.read();
        tell("unpack", done, total);
    };
    let mut builder = Builder::new(out, options)?;
    while let Some(mut merged) = entries.next()? {
        let entry = merged.entry.clone();
        unpacking();
        let data = Told {
            data: merged.by_ref(),
            tell: &unpacking,
        };
        if let Err(error) = builder.add(&entry, data) {
            drop(merged);
            return Err(cause_of(error, &mut entries));
        }
    }
    unpacking();
    // The last entry has come, and with it the word that every layer was what its digest says. What was known of the
    // layers makes room for what laying out the image takes.
    drop(entries);
    Ok(builder.finish_and_tell(&mut |done, total| tell("check", done, total))?)
}

/// Hears how far the writing of an image is: what is done, and how many bytes of how many.
pub(crate) type Tell<'t> = &'t dyn Fn(&str, u64, u64);

/// An entry's data, of which it is told while it is read: one file may be most of an image.
struct Told<'t, R> {
    data: R,
    tell: &'t dyn Fn(),
}

impl<R: Read> Read for Told<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        (self.tell)();
        self.data.read(buffer)
    }
}

/// What made a layer fail is told instead of the place where its reader felt it.
fn cause_of(error: ErofsError, entries: &mut Flattened) -> ContainerError {
    if matches!(error, ErofsError::Read { .. } | ErofsError::Truncated { .. })
        && let Err(cause) = entries.next()
    {
        return cause.into();
    }
    match error {
        source @ (ErofsError::TooMuchMemory { .. }
        | ErofsError::TooManyEntries { .. }
        | ErofsError::TooLarge { .. }) => ContainerError::Bound {
            layer: entries.layer().to_owned(),
            source,
        },
        error => error.into(),
    }
}

/// Removes layers that were fetched for nothing from the cache: the disk has no room for them.
pub(crate) fn forget(cache: &Path, fetched: &Mutex<Vec<Digest>>) {
    let fetched = fetched.lock().unwrap_or_else(PoisonError::into_inner);
    let removed =
        LayerCache::open(cache).and_then(|cache| cache.prune(|layer| !fetched.contains(layer), false));
    if let Err(error) = removed {
        tracing::warn!(error = %crate::error::one_line(&error), "layers stay in the cache");
    }
}

/// A stage for each layer that is fetched.
struct Layers<'o> {
    operation: &'o OperationHandle,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    sizes: HashMap<Digest, u64>,
    stages: HashMap<Digest, Stage>,
}

impl<'o> Layers<'o> {
    fn new(operation: &'o OperationHandle) -> Self {
        Self {
            operation,
            known: Mutex::default(),
        }
    }

    fn tell(&self, event: &oci::Event) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = |layer: &Digest| self.operation.stage("layer", layer.short());
        match event {
            oci::Event::MirrorFailed { mirror, reason } => {
                self.operation
                    .warn(format!("mirror {mirror} does not serve it: {reason}"));
            }
            oci::Event::Image { layers, .. } => known.sizes = layers.iter().copied().collect(),
            oci::Event::Cached { layer } => {
                begin(layer).done(&format!("{}  in the cache", layer.short()));
            }
            oci::Event::Downloading { layer, received } => {
                let size = known.sizes.get(layer).copied();
                let stage = known.stages.entry(*layer).or_insert_with(|| begin(layer));
                stage.progress(&layer.short(), Some(*received), size);
            }
            oci::Event::Downloaded { layer } => {
                let stage = known.stages.remove(layer).unwrap_or_else(|| begin(layer));
                let size = known.sizes.get(layer).copied().unwrap_or(0);
                stage.done(&format!("{}  fetched, {}", layer.short(), megabytes(size)));
            }
        }
    }
}

/// `3.4 MB`, for people.
pub(crate) fn megabytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} kB", bytes.div_ceil(1_000)),
        1_000_000..10_000_000 => format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10),
        _ => format!("{} MB", bytes.div_ceil(1_000_000)),
    }
}

/// What an image says about running it, as the API tells it. Nothing for text that is no such configuration.
pub(crate) fn config_of(text: Option<&str>) -> Option<oci::ImageConfig> {
    serde_json::from_str(text?)
        .inspect_err(|error| tracing::error!(%error, "an image's stored configuration does not decode"))
        .ok()
}

#[cfg(test)]
mod tests;
