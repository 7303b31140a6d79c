//! The three servers on loopback: they note what they are asked, and answer as honest ones do, or with the lie of the day.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use super::transport::transport;
use super::{Phase, RegistryLie, bundles, catalogs, documents, downloads, layers, places};
use crate::container::TestImage;
use crate::hostile::Answer;

/// Longest request: a token of a megabyte may be in it.
const REQUEST_MAX: usize = 4 << 20;

/// What the registry's own token server hands out.
pub(super) const TOKEN: &str = "token-of-the-registry";

/// Which of the servers was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// The registry's.
    Registry,
    /// That of the published catalog.
    Catalog,
    /// Another one.
    Elsewhere,
}

/// What came in.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Where.
    pub port: Port,
    /// Its method and its target.
    pub line: String,
    /// Its `Authorization`.
    pub authorization: Option<String>,
    /// All of it.
    pub text: String,
}

impl Asked {
    /// The path, without a query.
    pub(super) fn path(&self) -> &str {
        let target = self.line.split(' ').nth(1).unwrap_or_default();
        target.split('?').next().unwrap_or_default()
    }

    /// A header's value.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self
            .text
            .split("\r\n")
            .skip(1)
            .take_while(|line| !line.is_empty());
        lines.find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Where the servers are, and where a hostile path is to lead.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub(super) registry: String,
    pub(super) catalog: String,
    pub(super) elsewhere: String,
    pub(super) outside: PathBuf,
}

/// What is answered.
pub(super) struct Reply {
    pub(super) answer: Answer,
    /// Whether the connection is reset after it.
    pub(super) reset: bool,
    /// Whether it is the lie, or what the lie consists of.
    pub(super) is_lie: bool,
}

impl Reply {
    pub(super) fn honest(answer: Answer) -> Self {
        Self {
            answer,
            reset: false,
            is_lie: false,
        }
    }

    pub(super) fn lie(answer: Answer) -> Self {
        Self {
            is_lie: true,
            ..Self::honest(answer)
        }
    }
}

/// The servers.
#[derive(Debug)]
pub struct HostileRegistry {
    state: Arc<State>,
    runtime: Option<Runtime>,
}

#[derive(Debug)]
struct State {
    places: Places,
    told: Mutex<Option<(RegistryLie, Phase)>>,
    lies: AtomicUsize,
    asked: Mutex<Vec<Asked>>,
    images: Mutex<HashMap<Option<RegistryLie>, Arc<TestImage>>>,
    bundles: Mutex<HashMap<Option<RegistryLie>, Arc<bundles::Bundles>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HostileRegistry {
    /// Starts them, honest. `outside` is a folder that no path of an image or bundle may lead to.
    ///
    /// # Panics
    /// This machine has no loopback, or no room for threads.
    #[must_use]
    pub fn start(outside: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a test can have threads");
        let listeners = [Port::Registry, Port::Catalog, Port::Elsewhere].map(|port| {
            let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
            (port, listener.expect("loopback has free ports"))
        });
        let address = |at: usize| {
            let address = listeners[at].1.local_addr();
            address.expect("a listener has an address").to_string()
        };
        let state = Arc::new(State {
            places: Places {
                registry: address(0),
                catalog: address(1),
                elsewhere: address(2),
                outside: outside.to_owned(),
            },
            told: Mutex::default(),
            lies: AtomicUsize::new(0),
            asked: Mutex::default(),
            images: Mutex::default(),
            bundles: Mutex::default(),
        });
        for (port, listener) in listeners {
            let state = Arc::clone(&state);
            runtime.spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let state = Arc::clone(&state);
                    tokio::spawn(serve(stream, port, state));
                }
            });
        }
        Self {
            state,
            runtime: Some(runtime),
        }
    }

    /// Host and port of the registry; its image is `app`, tagged `1`.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.state.places.registry
    }

    /// Host and port of the server elsewhere, which is also a mirror.
    #[must_use]
    pub fn elsewhere(&self) -> &str {
        &self.state.places.elsewhere
    }

    /// Address of the published catalog.
    #[must_use]
    pub fn catalog(&self) -> String {
        format!("http://{}/catalog.json", self.state.places.catalog)
    }

    /// Has them tell this from now on, or the truth. Forgets what was asked.
    pub fn tell(&self, lie: Option<(RegistryLie, Phase)>) {
        *lock(&self.state.told) = lie;
        self.state.lies.store(0, Ordering::SeqCst);
        lock(&self.state.asked).clear();
        // Some are large.
        lock(&self.state.images).retain(|lie, _| lie.is_none());
        lock(&self.state.bundles).retain(|lie, _| lie.is_none());
    }

    /// How often the lie was told.
    #[must_use]
    pub fn lies(&self) -> usize {
        self.state.lies.load(Ordering::SeqCst)
    }

    /// What was asked since the last word on what to tell.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.state.asked).clone()
    }
}

impl Drop for HostileRegistry {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn serve(mut stream: TcpStream, port: Port, state: Arc<State>) {
    let Some(asked) = read(&mut stream, port).await else {
        return;
    };
    lock(&state.asked).push(asked.clone());
    let answering = Arc::clone(&state);
    let Ok(reply) = tokio::task::spawn_blocking(move || answering.answer(&asked)).await else {
        return;
    };
    if reply.is_lie {
        state.lies.fetch_add(1, Ordering::SeqCst);
    }
    if reply.reset {
        let _ = stream.write_all(&reply.answer.bytes).await;
        let _ = stream.set_zero_linger();
        return;
    }
    // A client that has heard enough goes away.
    let _ = reply.answer.say(&mut stream).await;
}

/// A request with its body. What speaks TLS is noted by its first byte.
async fn read(stream: &mut TcpStream, port: Port) -> Option<Asked> {
    let mut bytes = Vec::new();
    let mut whole = usize::MAX;
    while bytes.len() < whole {
        let mut piece = [0; 16 << 10];
        let read = stream.read(&mut piece).await.ok()?;
        bytes.extend_from_slice(&piece[..read]);
        if read == 0 || bytes.len() > REQUEST_MAX || bytes.first() == Some(&0x16) {
            break;
        }
        if whole == usize::MAX
            && let Some(head) = bytes.windows(4).position(|window| window == b"\r\n\r\n")
        {
            whole = head + 4 + length(&bytes[..head]);
        }
    }
    if bytes.is_empty() {
        return None;
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let mut asked = Asked {
        port,
        line: text.lines().next().unwrap_or_default().to_owned(),
        authorization: None,
        text,
    };
    asked.authorization = asked.header("authorization").map(str::to_owned);
    Some(asked)
}

fn length(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    length.map_or(0, |length| length.trim().parse().unwrap_or(0))
}

impl State {
    fn answer(&self, asked: &Asked) -> Reply {
        let told = *lock(&self.told);
        let lie = told.map(|(lie, _)| lie);
        if !asked.line.starts_with(|c: char| c.is_ascii_uppercase()) {
            return Reply::honest(response(400, &[], b"this server speaks no TLS"));
        }
        match asked.port {
            Port::Registry => self.answer_as_registry(asked, told),
            Port::Elsewhere => {
                places::elsewhere(lie, asked, &self.places, &self.image(None), &self.bundles(None))
            }
            Port::Catalog => {
                let phase = match asked.path() {
                    path if path.starts_with("/catalog") => Phase::Catalog,
                    _ => Phase::Bundle,
                };
                let made = self.bundles(lie);
                told.filter(|(_, at)| *at == phase)
                    .and_then(|(lie, _)| {
                        transport(lie).or_else(|| match phase {
                            Phase::Catalog => catalogs::answer(lie, asked, &self.places, &made),
                            _ => bundles::answer(lie, asked, &made),
                        })
                    })
                    .unwrap_or_else(|| made.answer(asked.path()))
            }
        }
    }

    fn answer_as_registry(&self, asked: &Asked, told: Option<(RegistryLie, Phase)>) -> Reply {
        let lie = told.map(|(lie, _)| lie);
        let path = asked.path();
        let image = self.image(lie);
        let name = path.rsplit('/').next().unwrap_or_default();
        let phase = match path {
            "/token" => Phase::Token,
            path if path.contains("/manifests/") => Phase::Manifest,
            _ if name == image.config => Phase::Config,
            _ => Phase::Layer,
        };
        let here = told.filter(|(_, at)| *at == phase).map(|(lie, _)| lie);
        if let Some(reply) = here.and_then(transport) {
            return reply;
        }
        if phase == Phase::Token {
            let token = format!(r#"{{"token":"{TOKEN}"}}"#);
            let honest = || Reply::honest(json(token.as_bytes()));
            return here
                .and_then(|lie| places::token(lie, &self.places))
                .unwrap_or_else(honest);
        }
        if let Some(challenge) = places::challenge(lie, asked, &self.places) {
            return challenge;
        }
        let lied =
            here.and_then(|lie| match phase {
                Phase::Manifest => places::redirect(lie, asked, &self.places)
                    .or_else(|| documents::answer(lie, asked, &image)),
                Phase::Layer => places::redirect(lie, asked, &self.places)
                    .or_else(|| downloads::answer(lie, asked, &image)),
                _ => downloads::answer(lie, asked, &image),
            });
        if let Some(reply) = lied {
            return reply;
        }
        let reply = downloads::honest(asked, &image);
        Reply {
            // An image that is a lie itself is told with the blob that it is about.
            is_lie: here.is_some_and(is_of_image) && reply.is_lie,
            ..reply
        }
    }

    fn image(&self, lie: Option<RegistryLie>) -> Arc<TestImage> {
        let lie = lie.filter(|lie| is_of_image(*lie));
        let mut images = lock(&self.images);
        let image = images.entry(lie).or_insert_with(|| {
            Arc::new(match lie {
                Some(lie) if lie < RegistryLie::OddVariables => layers::image(lie, &self.places),
                Some(lie) => documents::image(lie),
                None => layers::honest(),
            })
        });
        Arc::clone(image)
    }

    fn bundles(&self, lie: Option<RegistryLie>) -> Arc<bundles::Bundles> {
        let lie = lie.filter(|lie| is_of_bundle(Some(*lie)));
        let mut made = lock(&self.bundles);
        let bundles = made
            .entry(lie)
            .or_insert_with(|| Arc::new(bundles::Bundles::new(lie)));
        Arc::clone(bundles)
    }
}

/// Whether the image itself is the lie.
fn is_of_image(lie: RegistryLie) -> bool {
    (RegistryLie::GzipBomb..RegistryLie::MirrorWantsLogin).contains(&lie)
}

/// Whether what is in a bundle is the lie.
fn is_of_bundle(lie: Option<RegistryLie>) -> bool {
    lie.is_some_and(|lie| lie >= RegistryLie::BundleOther)
}

/// An answer of which nothing is wrong but what it says.
pub(super) fn response(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut head = format!(
        "HTTP/1.1 {status} So\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    Answer {
        bytes: [head.as_bytes(), body].concat(),
        ..Answer::default()
    }
}

/// Likewise, of JSON.
pub(super) fn json(body: &[u8]) -> Answer {
    response(200, &[("content-type", "application/json")], body)
}
