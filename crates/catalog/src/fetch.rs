//! Catalogs and bundles over HTTP.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use tarball::shown;
use transfer::{Paced, PacedConnector, client};
use ureq::Agent;
use ureq::http::{StatusCode, header};
use ureq::tls::TlsConfig;
use ureq::unversioned::resolver::DefaultResolver;

use crate::bundle::{BundleError, LARGEST_CATALOG, RemoteCatalog};
use crate::entries::Architecture;
use crate::error::CatalogError;
use progress::{Cancel, Guard};

/// Wait for a connection, for the start of an answer, and for each next piece of it; a bundle gets on in each such time.
const SILENCE: Duration = Duration::from_secs(30);
/// How long a catalog may take, from the request to its last byte.
const EXCHANGE: Duration = Duration::from_secs(20);
const REDIRECTS: u32 = 5;

/// Fetches what is published.
#[derive(Clone, Debug)]
pub struct Fetcher {
    tls: TlsConfig,
    silence: Duration,
    exchange: Duration,
}

impl Fetcher {
    /// One that believes in these certificates.
    #[must_use]
    pub fn new(tls: TlsConfig) -> Self {
        Self {
            tls,
            silence: SILENCE,
            exchange: EXCHANGE,
        }
    }

    /// The same, which gives up on a silent server after that long.
    #[must_use]
    pub fn with_silence(self, silence: Duration) -> Self {
        Self { silence, ..self }
    }

    /// The same, which gives up on a catalog after that long.
    #[must_use]
    pub fn with_exchange(self, exchange: Duration) -> Self {
        Self { exchange, ..self }
    }

    /// Fetches a catalog, within 20 seconds.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn catalog(&self, url: &str, cancel: &Cancel) -> Result<RemoteCatalog, CatalogError> {
        let begun = Instant::now();
        let fetched = self.fetch_catalog(url, cancel);
        match fetched {
            Err(CatalogError::Cancelled) => Err(CatalogError::Cancelled),
            // Whichever step the time ran out in.
            Err(_) if begun.elapsed() >= self.exchange => Err(CatalogError::Slow {
                url: shown(url.as_bytes()),
                limit: self.exchange,
            }),
            fetched => fetched,
        }
    }

    fn fetch_catalog(&self, url: &str, cancel: &Cancel) -> Result<RemoteCatalog, CatalogError> {
        let bad = |source| CatalogError::Published {
            what: "catalog",
            url: shown(url.as_bytes()),
            source,
        };
        let mut json = Vec::new();
        let read = self
            .request(url, Some(self.exchange), cancel)?
            .take(LARGEST_CATALOG + 1)
            .read_to_end(&mut json);
        if cancel.is_cancelled() {
            return Err(CatalogError::Cancelled);
        }
        read.map_err(|error| bad(BundleError::Read(error)))?;
        if json.len() as u64 > LARGEST_CATALOG {
            return Err(bad(BundleError::Longer {
                expected: LARGEST_CATALOG,
            }));
        }
        RemoteCatalog::parse(&json, url, Architecture::Amd64.as_str()).map_err(bad)
    }

    /// Begins a download.
    ///
    /// # Errors
    /// The server cannot be reached or has no such thing.
    pub fn open(&self, url: &str, cancel: &Cancel) -> Result<Download, CatalogError> {
        self.request(url, None, cancel)
    }

    fn request(&self, url: &str, total: Option<Duration>, cancel: &Cancel) -> Result<Download, CatalogError> {
        let config = client(self.tls.clone(), self.silence)
            .max_redirects(REDIRECTS)
            // What was asked for over TLS comes over TLS, wherever it is sent on.
            .https_only(url.starts_with("https://"))
            .timeout_global(total)
            .build();
        // Twice as patient as with the body, since what comes before it counts.
        let connector = PacedConnector::chain(2 * self.silence);
        let agent = Agent::with_parts(config, connector, DefaultResolver::default());
        let closing = agent.clone();
        let registration = cancel.on_cancel(move || closing.clone().shutdown());
        let response = agent
            .get(url)
            // A bundle is hashed as it lies there: nobody may pack it once more.
            .header(header::ACCEPT_ENCODING, "identity")
            .call();
        if cancel.is_cancelled() {
            return Err(CatalogError::Cancelled);
        }
        let response = response.map_err(|source| CatalogError::ServerUnreachable {
            url: shown(url.as_bytes()),
            source: Box::new(source),
        })?;
        if response.status() != StatusCode::OK {
            return Err(CatalogError::NotServed {
                url: shown(url.as_bytes()),
                status: response.status().as_u16(),
            });
        }
        Ok(Download {
            body: Paced::new(Box::new(response.into_body().into_reader()), self.silence),
            _registration: registration,
        })
    }
}

/// What comes.
pub struct Download {
    body: Paced<Box<dyn Read + Send>>,
    /// Closes the connection on cancelling.
    _registration: Guard,
}

impl std::fmt::Debug for Download {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Download").finish_non_exhaustive()
    }
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.body.read(buffer)
    }
}
