//! A registry made of a closure, for what a real one never does.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use oci::Digest;

use super::{TAG, TestImage};

/// What came in.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The first byte that is asked for.
    pub fn from(&self) -> usize {
        let range = self
            .header("range")
            .and_then(|range| range.strip_prefix("bytes="));
        range.map_or(0, |range| range.trim_end_matches('-').parse().unwrap())
    }
}

/// What goes out.
#[derive(Clone, Debug, Default)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The connection breaks after this much of the body.
    pub cut: Option<usize>,
    /// The length that is claimed, where it is not that of the body.
    pub length: Option<usize>,
    /// The body comes byte by byte.
    pub drips: bool,
}

impl Response {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            body: body.into(),
            ..Self::default()
        }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn cut(self, after: usize) -> Self {
        Self {
            cut: Some(after),
            ..self
        }
    }
}

/// A server on loopback; each connection serves one request.
pub struct Server {
    pub address: SocketAddr,
    log: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(answer: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let log: Arc<Mutex<Vec<Request>>> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let (logged, stopped) = (Arc::clone(&log), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            std::thread::scope(|scope| {
                for stream in listener.incoming() {
                    if stopped.load(Ordering::SeqCst) {
                        return;
                    }
                    let (answer, logged) = (&answer, &logged);
                    scope.spawn(move || {
                        let mut stream = stream.unwrap();
                        if let Some(request) = read(&stream) {
                            logged.lock().unwrap().push(request.clone());
                            write(&mut stream, &answer(&request));
                        }
                    });
                }
            });
        });
        Self {
            address,
            log,
            stop,
            thread: Some(thread),
        }
    }

    /// A server that has one image in every repository.
    pub fn of_image(image: &TestImage) -> Self {
        let image = Files::of(image);
        Self::start(move |request| image.answer(request))
    }

    pub fn requests(&self) -> Vec<Request> {
        self.log.lock().unwrap().clone()
    }

    /// Paths of what was asked since the last time.
    pub fn asked(&self) -> Vec<String> {
        let requests = std::mem::take(&mut *self.log.lock().unwrap());
        requests.into_iter().map(|request| request.path).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        let joined = self.thread.take().unwrap().join();
        assert!(joined.is_ok() || std::thread::panicking());
    }
}

/// An image's blobs in memory.
#[derive(Clone)]
pub struct Files {
    manifest: Digest,
    blobs: Vec<(Digest, Vec<u8>)>,
}

impl Files {
    pub fn of(image: &TestImage) -> Self {
        let names = super::names(&image.folder.path().join("blobs/sha256"));
        let digests = names
            .iter()
            .map(|name| Digest::parse(&format!("sha256:{name}")).unwrap());
        Self {
            manifest: image.manifest,
            blobs: digests.map(|digest| (digest, image.read(&digest))).collect(),
        }
    }

    /// The blob with this digest.
    pub fn blob(&self, name: &str) -> Vec<u8> {
        let found = self.blobs.iter().find(|(digest, _)| digest.to_string() == name);
        found.unwrap().1.clone()
    }

    /// As a well-behaved registry answers.
    pub fn answer(&self, request: &Request) -> Response {
        let mut parts = request.path.rsplit('/');
        let (name, kind) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let name = match name {
            TAG => self.manifest.to_string(),
            name => name.to_owned(),
        };
        let Some((_, blob)) = self.blobs.iter().find(|(digest, _)| digest.to_string() == name) else {
            return Response::new(
                404,
                r#"{"errors":[{"code":"UNKNOWN","message":"no such thing"}]}"#,
            );
        };
        if kind == "manifests" {
            let kind = "application/vnd.oci.image.manifest.v1+json";
            return Response::new(200, blob.clone()).header("Content-Type", kind);
        }
        match request.from() {
            0 => Response::new(200, blob.clone()),
            from if from < blob.len() => {
                let range = format!("bytes {from}-{}/{}", blob.len() - 1, blob.len());
                Response::new(206, blob[from..].to_vec()).header("Content-Range", &range)
            }
            _ => Response::new(416, ""),
        }
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut request = Request {
        method,
        path,
        headers,
        body: String::new(),
    };
    let length = request
        .header("content-length")
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    std::io::Read::read_exact(&mut reader, &mut body).ok()?;
    request.body = String::from_utf8(body).ok()?;
    Some(request)
}

fn write(stream: &mut TcpStream, response: &Response) {
    let length = response.length.unwrap_or(response.body.len());
    let mut head = format!(
        "HTTP/1.1 {} X\r\nContent-Length: {length}\r\nConnection: close\r\n",
        response.status
    );
    for (name, value) in &response.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let body = &response.body[..response.cut.unwrap_or(response.body.len())];
    let pieces = match response.drips {
        true => 1,
        false => body.len().max(1),
    };
    // A client that has heard enough goes away.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| {
        body.chunks(pieces).try_for_each(|piece| {
            if response.drips {
                std::thread::sleep(Duration::from_millis(5));
            }
            stream.write_all(piece)
        })
    });
}
