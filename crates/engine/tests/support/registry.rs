//! A registry on loopback that serves images made by hand.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use testkit::container::{MANIFEST, TestImage, digest};

/// The registry; its images are all tagged `1`.
pub struct Registry {
    pub address: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    images: HashMap<String, TestImage>,
    blobs_sent: usize,
    /// Who asks for a blob is told here and waits for ever.
    silent: Option<tokio::sync::mpsc::UnboundedSender<TcpStream>>,
}

impl Registry {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        Self { address, state }
    }

    pub fn put(&self, repository: &str, image: TestImage) {
        let mut state = self.state.lock().unwrap();
        state.images.insert(repository.to_owned(), image);
    }

    pub fn blobs_sent(&self) -> usize {
        self.state.lock().unwrap().blobs_sent
    }

    /// From now on nobody gets a blob; tells who asks.
    pub fn fall_silent(&self) -> tokio::sync::mpsc::UnboundedReceiver<TcpStream> {
        let (sender, asked) = tokio::sync::mpsc::unbounded_channel();
        self.state.lock().unwrap().silent = Some(sender);
        asked
    }

    /// Its image, as a user writes it.
    pub fn reference(&self, repository: &str) -> String {
        format!("{}/{repository}:1", self.address)
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    loop {
        let Some(Ok(request)) = lines.next() else { return };
        while lines
            .next()
            .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
        {}
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        let answer = {
            let mut state = state.lock().unwrap();
            if path.contains("/blobs/")
                && let Some(silent) = &state.silent
            {
                let _ = silent.send(stream);
                return;
            }
            state.answer(&path)
        };
        let (status, kind, body) = answer
            .map_or(("404 Not Found", "text/plain", Vec::new()), |(kind, body)| {
                ("200 OK", kind, body)
            });
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let body: &[u8] = if request.starts_with("HEAD") { &[] } else { &body };
        if stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(body))
            .is_err()
        {
            return;
        }
    }
}

impl State {
    fn answer(&mut self, path: &str) -> Option<(&'static str, Vec<u8>)> {
        let path = path.strip_prefix("/v2/")?;
        if let Some((repository, wanted)) = path.split_once("/manifests/") {
            let manifest = &self.images.get(repository)?.manifest;
            return (wanted == "1" || wanted == digest(manifest)).then(|| (MANIFEST, manifest.clone()));
        }
        let (repository, wanted) = path.split_once("/blobs/")?;
        let blob = self.images.get(repository)?.blobs.get(wanted)?.clone();
        if blob.first() != Some(&b'{') {
            self.blobs_sent += 1;
        }
        Some(("application/octet-stream", blob))
    }
}
