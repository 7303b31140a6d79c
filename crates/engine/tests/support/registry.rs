//! Container images made by hand, and a registry on loopback that serves them.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

/// A layer that holds these files.
pub fn layer(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o755);
        tar.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

/// An image, by its blobs.
#[derive(Clone)]
pub struct TestImage {
    manifest: Vec<u8>,
    blobs: HashMap<String, Vec<u8>>,
}

impl TestImage {
    pub fn new(layers: &[Vec<u8>], config: &Value) -> Self {
        let diff_ids: Vec<_> = layers.iter().map(|layer| digest(layer)).collect();
        let config = json!({
            "os": "linux",
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "config": config,
        })
        .to_string()
        .into_bytes();
        let descriptor = |kind: &str, bytes: &[u8]| json!({"mediaType": kind, "digest": digest(bytes), "size": bytes.len()});
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIG, &config),
            "layers": layers.iter().map(|layer| descriptor(LAYER, layer)).collect::<Vec<_>>(),
        });
        let mut blobs: HashMap<_, _> = layers
            .iter()
            .map(|layer| (digest(layer), layer.clone()))
            .collect();
        blobs.insert(digest(&config), config);
        Self {
            manifest: manifest.to_string().into_bytes(),
            blobs,
        }
    }

    /// The same with a byte of this layer changed, and not its digest.
    pub fn with_damaged(mut self, layer: &[u8]) -> Self {
        let blob = self.blobs.get_mut(&digest(layer)).unwrap();
        blob[600] ^= 1;
        self
    }

    /// Writes it as an OCI layout.
    pub fn write_layout(&self, folder: &Path) {
        let blobs = folder.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        let write = |bytes: &[u8], name: &str| {
            std::fs::write(blobs.join(name.trim_start_matches("sha256:")), bytes).unwrap();
        };
        for (name, bytes) in &self.blobs {
            write(bytes, name);
        }
        let name = digest(&self.manifest);
        write(&self.manifest, &name);
        let entry = json!({"mediaType": MANIFEST, "digest": name, "size": self.manifest.len()});
        let index = json!({"schemaVersion": 2, "manifests": [entry]});
        std::fs::write(folder.join("index.json"), index.to_string()).unwrap();
        std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    }
}

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
