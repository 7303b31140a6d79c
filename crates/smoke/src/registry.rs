//! A real registry on loopback: Debian's `docker-registry`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;

/// It ends when this is dropped.
#[derive(Debug)]
pub struct Registry {
    process: Child,
    address: String,
}

impl Registry {
    /// Starts one that keeps what is pushed to it below `folder`.
    ///
    /// # Panics
    /// It is not installed, or does not come up.
    #[must_use]
    pub fn start(folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        // JSON is YAML.
        let settings = json!({
            "version": 0.1,
            "http": {"addr": "127.0.0.1:0"},
            "storage": {"filesystem": {"rootdirectory": folder.join("storage")}},
        });
        let file = folder.join("registry.yml");
        fs::write(&file, settings.to_string()).unwrap();
        let mut process = Command::new("docker-registry")
            .arg("serve")
            .arg(file)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = lines.find_map(|line| {
            let line = line.unwrap();
            let (_, rest) = line.split_once("listening on ")?;
            Some(rest.split(['"', ' ', ',']).next()?.to_owned())
        });
        // It must not stop for a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            process,
            address: address.unwrap(),
        }
    }

    /// Host and port.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
