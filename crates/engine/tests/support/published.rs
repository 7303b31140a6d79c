//! A server that publishes a catalog and its bundles.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The server.
pub struct Published {
    address: String,
    files: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    catalog: Mutex<Value>,
}

impl Published {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let files: Arc<Mutex<HashMap<String, Vec<u8>>>> = Arc::default();
        let served = Arc::clone(&files);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let request = lines.next().unwrap().unwrap_or_default();
                while lines
                    .next()
                    .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
                {}
                let path = request
                    .split(' ')
                    .nth(1)
                    .unwrap_or_default()
                    .trim_start_matches('/');
                let found = served.lock().unwrap().get(path).cloned();
                let (status, body) = found.map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
                let head = format!(
                    "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                let _ = stream
                    .write_all(head.as_bytes())
                    .and_then(|()| stream.write_all(&body));
            }
        });
        let published = Self {
            address,
            files,
            catalog: Mutex::new(json!({"schema_version": 1, "images": [], "kernels": []})),
        };
        published.write_catalog();
        published
    }

    pub fn url(&self) -> String {
        format!("{}/catalog.json", self.address)
    }

    /// Publishes an entry of `images` or `kernels` with its bundle.
    pub fn put(&self, kind: &str, mut entry: Value, bundle: &[u8]) {
        let file = format!("{}.tar.zst", entry["name"].as_str().unwrap());
        entry["arch"] = "amd64".into();
        if kind == "kernels" {
            entry.as_object_mut().unwrap().remove("kernel");
        }
        entry["bundle"] = json!({
            "url": file,
            "sha256": format!("{:x}", Sha256::digest(bundle)),
            "size": bundle.len(),
        });
        self.replace(&file, bundle.to_vec());
        self.catalog.lock().unwrap()[kind]
            .as_array_mut()
            .unwrap()
            .push(entry);
        self.write_catalog();
    }

    /// Serves other bytes under a name.
    pub fn replace(&self, file: &str, bytes: Vec<u8>) {
        self.files.lock().unwrap().insert(file.to_owned(), bytes);
    }

    pub fn remove(&self, file: &str) {
        self.files.lock().unwrap().remove(file);
    }

    fn write_catalog(&self) {
        let json = self.catalog.lock().unwrap().to_string();
        self.replace("catalog.json", json.into_bytes());
    }
}
