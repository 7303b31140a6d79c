//! What can go wrong between a reference and a file system.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::digest::Digest;
use crate::fault::{EntryError, Fault};

/// Why there is no image. Text that came from outside is escaped and may be shown as it is.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    /// The reference does not read as one.
    #[error("image reference `{text}`: {reason}")]
    BadReference {
        /// What was given.
        text: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// The reference is for another tool, or to another kind of place.
    #[error("image reference `{text}`: transport `{transport}:` is not known; {advice}")]
    UnknownTransport {
        /// What was given.
        text: String,
        /// What stands before the colon.
        transport: String,
        /// What can be given instead.
        advice: &'static str,
    },
    /// Something that should be a digest is none.
    #[error("`{text}` is no digest; only `sha256:` with 64 lower-case hexadecimal digits is")]
    BadDigest {
        /// What it was.
        text: String,
    },
    /// The caller has cancelled.
    #[error("cancelled")]
    Cancelled,

    /// The registry could not be reached, or the connection broke more often than is bearable.
    #[error("cannot reach registry {host}")]
    Unreachable {
        /// Host and port.
        host: String,
        /// What the last try said.
        #[source]
        source: Box<ureq::Error>,
    },
    /// The trusted certificates do not parse.
    #[error("trusted certificates at {path} cannot be read")]
    Certificates {
        /// The file, or `(configuration)`.
        path: PathBuf,
        /// What the parser said.
        #[source]
        source: Box<ureq::Error>,
    },
    /// The registry answered with an error that has no better name.
    #[error("registry answered {status} for {url}{detail}")]
    Status {
        /// The address.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What it said, after a colon.
        detail: String,
    },
    /// The registry wants other credentials, or some.
    #[error("registry {host} refuses access to {repository}{detail}")]
    Unauthorised {
        /// Host and port.
        host: String,
        /// The repository.
        repository: String,
        /// What it said, after a colon.
        detail: String,
    },
    /// The login that there is does not go to the token server that the registry names.
    #[error(
        "registry {host} refuses access to {repository} without a login, and wants the login sent to {realm}{detail}"
    )]
    LoginWithheld {
        /// Host and port of the registry.
        host: String,
        /// The repository.
        repository: String,
        /// Host and port of the token server.
        realm: String,
        /// What was said, after a colon.
        detail: String,
    },
    /// The server that a registry redirects to wants a login, which is the registry's alone.
    #[error(
        "registry {host} redirects {what} to {target}, which answers {status}{detail}; a login does not go there"
    )]
    RefusedElsewhere {
        /// The manifest or blob.
        what: String,
        /// Host and port of the registry.
        host: String,
        /// Host and port of the other server.
        target: String,
        /// The HTTP status.
        status: u16,
        /// What it said, after a colon.
        detail: String,
    },
    /// The registry sends its client to this machine.
    #[error("registry {host} leads to {target}, an address of this machine or of its network link: refused")]
    LocalTarget {
        /// Host and port of the registry.
        host: String,
        /// The address.
        target: String,
    },
    /// An answer has a login in it that was sent, where an error would show it.
    #[error("registry {host} answered with the login that it was sent; the answer is left out")]
    RepeatsLogin {
        /// Host and port.
        host: String,
    },
    /// There is no such image.
    #[error("{what} not found in registry {host}")]
    NotFound {
        /// The manifest or blob.
        what: String,
        /// Host and port.
        host: String,
    },
    /// The registry asks for an authentication that nobody understands.
    #[error("registry {host} asks for an unknown authentication: `{challenge}`")]
    BadChallenge {
        /// Host and port.
        host: String,
        /// Its `WWW-Authenticate`.
        challenge: String,
    },
    /// The registry names a token server that is asked for nothing.
    #[error("registry {host} names `{realm}` as its token server, which is refused: {fault}")]
    BadRealm {
        /// Host and port of the registry.
        host: String,
        /// The address that it names.
        realm: String,
        /// The rule that it breaks.
        fault: RealmFault,
    },
    /// The token server's answer holds no token, or none that can be sent.
    #[error("{url} answered without a usable token")]
    NoToken {
        /// The address.
        url: String,
    },
    /// Redirect upon redirect, in circles or not.
    #[error("registry {host} redirects {what} more than {most} times in a row, the last time to `{last}`")]
    TooManyRedirects {
        /// Host and port of the registry.
        host: String,
        /// The manifest or blob.
        what: String,
        /// How many are followed.
        most: usize,
        /// Where the last one points.
        last: String,
    },
    /// A redirect to nowhere, or from HTTPS to HTTP.
    #[error("registry redirects {from} to `{to}`, which is refused")]
    BadRedirect {
        /// The address asked.
        from: String,
        /// Where it points.
        to: String,
    },
    /// The answer is larger than such a thing may be, or than it was said to be.
    #[error("{what} is larger than {limit} bytes")]
    TooLarge {
        /// The document or blob.
        what: String,
        /// Most bytes.
        limit: u64,
    },
    /// A document or blob is not what its digest says.
    #[error("{what} has digest {found}, expected {expected}")]
    WrongDigest {
        /// The document or blob.
        what: String,
        /// Its name.
        expected: Digest,
        /// What its bytes say.
        found: Digest,
    },
    /// A blob is shorter or longer than its descriptor says.
    #[error("blob {digest} has {found} bytes, expected {expected}")]
    WrongSize {
        /// The blob.
        digest: Digest,
        /// What the descriptor says.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// A download broke and could not be continued.
    #[error("download of {digest} from {host} broke after {received} of {size} bytes")]
    Broken {
        /// The blob.
        digest: Digest,
        /// Host and port.
        host: String,
        /// Bytes that came.
        received: u64,
        /// Bytes that should have come.
        size: u64,
        /// What broke.
        #[source]
        source: io::Error,
    },
    /// The registry asks to come back later than anybody would wait.
    #[error("registry {host} asks to wait {wait:?}")]
    Throttled {
        /// Host and port.
        host: String,
        /// How long.
        wait: Duration,
    },

    /// A manifest, index or configuration is not JSON of the right shape.
    #[error("{what} does not parse")]
    BadDocument {
        /// Which one.
        what: String,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// A manifest or layer is of a kind that is no container image, or too old a one.
    #[error("{what} has media type `{media_type}`, which is not supported")]
    MediaType {
        /// Which one.
        what: String,
        /// Its media type.
        media_type: String,
    },
    /// The image is not made for the platform asked for.
    #[error("{image} has no image for {wanted}; it has {available}")]
    NoPlatform {
        /// The image.
        image: String,
        /// The platform asked for.
        wanted: String,
        /// Those that are there.
        available: String,
    },
    /// A value of the image's configuration is none.
    #[error("image configuration: {field} `{value}` {reason}")]
    BadConfig {
        /// The field.
        field: &'static str,
        /// Its value, or the start of it.
        value: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// Manifest and configuration do not tell of the same number of layers.
    #[error("manifest has {layers} layers, configuration {diff_ids}")]
    LayerCount {
        /// In the manifest.
        layers: usize,
        /// In the configuration.
        diff_ids: usize,
    },
    /// A layout or docker archive lacks a file, or holds something else.
    #[error("{path}: {reason}")]
    BadStore {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The tag is not in the layout or archive, or there are several images and no tag was given.
    #[error("{path} has {wanted}; it has {available}")]
    NoSuchTag {
        /// The folder or file.
        path: PathBuf,
        /// What was asked.
        wanted: String,
        /// The tags that are there.
        available: String,
    },
    /// A file of the cache, a layout or an archive cannot be opened, read or written.
    #[error("{path}: cannot {action}")]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// A layer is not compressed as its media type says, or its stream is damaged.
    #[error("layer {layer} is labelled {labelled} but does not start like it")]
    Mislabelled {
        /// The layer.
        layer: String,
        /// What it should be.
        labelled: &'static str,
    },
    /// A layer unpacks to something else than the configuration says.
    #[error("layer {layer} unpacks to {found}, the image's configuration says {expected}")]
    WrongContent {
        /// The layer.
        layer: String,
        /// The `diff_id`.
        expected: Digest,
        /// What came out.
        found: Digest,
    },
    /// An entry of a layer is refused, or the layer's archive is damaged there.
    #[error("layer {layer}, `{entry}`: {fault}")]
    Entry {
        /// The layer.
        layer: String,
        /// The entry, or the last one before.
        entry: String,
        /// What is wrong.
        fault: Fault,
    },
    /// The layers together hold more than an image may.
    #[error("the layers hold more than {limit} {what}")]
    TooMuch {
        /// Entries, bytes or bytes of names.
        what: &'static str,
        /// The bound.
        limit: u64,
    },

    /// The docker auth file is not what it should be.
    #[error("{path} does not parse")]
    AuthFile {
        /// The file.
        path: PathBuf,
        /// Where and why; never its content.
        #[source]
        source: serde_json::Error,
    },
    /// An entry of the docker auth file is no user and password.
    #[error("{path}: bad entry for {host}")]
    AuthEntry {
        /// The file.
        path: PathBuf,
        /// The registry.
        host: String,
    },
    /// A credential helper failed.
    #[error("credential helper {helper} failed: {reason}")]
    Helper {
        /// Its name.
        helper: String,
        /// What it said, or what happened to it.
        reason: String,
    },
}

/// Why a token server is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RealmFault {
    /// Tokens of a registry with TLS cross no network in the clear.
    #[error("it speaks no TLS")]
    NoTls,
    /// The user's word for a registry without TLS covers no other host.
    #[error("without TLS only the registry's own host is asked for tokens")]
    NoTlsElsewhere,
    /// A user before the host, which could pass for the host.
    #[error("it has a user in its address")]
    User,
    /// Neither a web address nor one with a host.
    #[error("it is not an https address")]
    NoAddress,
}

/// Carried through the `io::Error`s of decoders by readers that want to stop them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stop {
    #[error("cancelled")]
    Cancelled,
    #[error("more than {0} bytes")]
    TooMuch(u64),
    #[error("unpacks to {found}, expected {expected}")]
    WrongContent { expected: Digest, found: Digest },
}

impl Stop {
    pub(crate) fn error(self) -> io::Error {
        io::Error::other(self)
    }

    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

impl From<progress::Cancelled> for OciError {
    fn from(_: progress::Cancelled) -> Self {
        Self::Cancelled
    }
}

impl OciError {
    /// The error for what an archive reader found in a layer.
    pub(crate) fn in_layer(layer: &str, error: impl Into<EntryError>) -> Self {
        let error = error.into();
        if let Fault::Archive(tarball::Fault::Read(source)) = &error.fault {
            match Stop::of(source) {
                Some(Stop::Cancelled) => return Self::Cancelled,
                Some(Stop::TooMuch(limit)) => return Self::TooMuch { what: "bytes", limit },
                Some(Stop::WrongContent { expected, found }) => {
                    return Self::WrongContent {
                        layer: layer.to_owned(),
                        expected,
                        found,
                    };
                }
                None => {}
            }
        }
        Self::Entry {
            layer: layer.to_owned(),
            entry: error.entry,
            fault: error.fault,
        }
    }

    /// The bound that is configured, where what was left of it has been reached.
    pub(crate) fn with_memory(mut self, limit: usize) -> Self {
        if let Self::Entry {
            fault: Fault::TooMuchMemory(bound),
            ..
        } = &mut self
        {
            *bound = limit;
        }
        self
    }

    /// Whether a merge can only be done by [`flatten_by_plan`](crate::flatten_by_plan), and then is no failure.
    #[must_use]
    pub fn wants_plan(&self) -> bool {
        matches!(
            self,
            Self::Entry {
                fault: Fault::TakenBack,
                ..
            }
        )
    }

    /// Whether there was no room left to write to.
    pub(crate) fn is_full_disk(&self) -> bool {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        matches!(self, Self::File { source, .. } if full.contains(&source.kind()))
    }

    pub(crate) fn file(path: impl Into<PathBuf>, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, action, source }
    }
}
