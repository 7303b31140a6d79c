//! A signed Debian archive on loopback, made by hand and served over HTTP.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use catalog::{Progress, ProgressSink, RecipeSettings};
use sha2::{Digest, Sha256};

/// Runs a program and gives its output; it must end well.
pub fn run(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("this test needs {program}: {error}"));
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// A throw-away key.
pub struct Key {
    home: tempfile::TempDir,
}

impl Key {
    pub fn new() -> Self {
        let key = Self {
            home: tempfile::tempdir().unwrap(),
        };
        key.gpg(
            &[
                "--quick-generate-key",
                "archive@test.invalid",
                "ed25519",
                "sign",
                "never",
            ],
            b"",
        );
        key
    }

    fn gpg(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut all = vec![
            "--homedir",
            self.home.path().to_str().unwrap(),
            "--batch",
            "--quiet",
            "--pinentry-mode",
            "loopback",
        ];
        all.extend(["--passphrase", ""]);
        all.extend(arguments);
        run("gpg", &all, input)
    }

    /// The public key in a file.
    pub fn public(&self) -> PathBuf {
        let path = self.home.path().join("public.gpg");
        fs::write(&path, self.gpg(&["--export"], b"")).unwrap();
        path
    }

    pub fn clear_sign(&self, text: &str) -> Vec<u8> {
        self.gpg(&["--clear-sign"], text.as_bytes())
    }

    /// A signature to lie beside what it signs.
    pub fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.gpg(&["--armor", "--detach-sign"], bytes)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // gpg leaves its agent running.
        let home = self.home.path().to_str().unwrap().to_owned();
        let _ = Command::new("gpgconf")
            .args(["--homedir", &home, "--kill", "all"])
            .output();
    }
}

type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// The archive: files by path, served until the end of the test.
pub struct Archive {
    pub address: SocketAddr,
    files: Files,
    pub key: Key,
}

impl Archive {
    /// An archive with one suite, `testing`, that holds these packages.
    pub fn new(packages: &[Package]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let files = Files::default();
        let served = Arc::clone(&files);
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let served = Arc::clone(&served);
                std::thread::spawn(move || serve(&stream, &served));
            }
        });
        let archive = Self {
            address,
            files,
            key: Key::new(),
        };
        let mut index = String::new();
        for package in packages {
            let deb = package.build();
            let path = format!(
                "pool/{}_{}.deb",
                package.name,
                package.version.rsplit(':').next().unwrap()
            );
            let Package {
                name,
                version,
                depends,
                ..
            } = package;
            let size = deb.len();
            let sum = hex(&deb);
            let _ = write!(
                index,
                "Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: x\nDepends: {depends}\n\
                 Description: x\nFilename: {path}\nSize: {size}\nSHA256: {sum}\n\n"
            );
            archive.put(&path, deb);
        }
        archive.put("dists/testing/main/binary-amd64/Packages", index.into_bytes());
        archive.put(
            "dists/testing/InRelease",
            archive.key.clear_sign(&archive.release()),
        );
        archive
    }

    pub fn release(&self) -> String {
        let index = self.get("dists/testing/main/binary-amd64/Packages");
        format!(
            "Origin: test\nSuite: testing\nCodename: testing\nDate: Sat, 06 Sep 2025 10:17:13 UTC\n\
             Architectures: amd64\nComponents: main\nSHA256:\n {} {} main/binary-amd64/Packages\n",
            hex(&index),
            index.len()
        )
    }

    pub fn put(&self, path: &str, content: Vec<u8>) {
        self.files.lock().unwrap().insert(path.to_owned(), content);
    }

    pub fn get(&self, path: &str) -> Vec<u8> {
        self.files.lock().unwrap()[path].clone()
    }

    pub fn remove(&self, path: &str) {
        self.files.lock().unwrap().remove(path).unwrap();
    }

    /// The only file below `pool/` whose name starts so.
    pub fn pool(&self, start: &str) -> String {
        let files = self.files.lock().unwrap();
        files
            .keys()
            .find(|path| path.starts_with(&format!("pool/{start}")))
            .unwrap()
            .clone()
    }

    pub fn settings(&self) -> RecipeSettings {
        RecipeSettings {
            mirror: Some(format!("http://{}", self.address)),
            keyring: Some(self.key.public()),
        }
    }
}

fn serve(stream: &TcpStream, files: &Files) {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request).unwrap_or(0) == 0 {
            return;
        }
        let mut line = String::new();
        while reader.read_line(&mut line).unwrap_or(0) > 2 {
            line.clear();
        }
        let path = request
            .split(' ')
            .nth(1)
            .unwrap_or_default()
            .trim_start_matches('/')
            .to_owned();
        let content = files
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&path)
            .cloned();
        let (status, body) = content.map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
        if writer
            .write_all(head.as_bytes())
            .and_then(|()| writer.write_all(&body))
            .is_err()
        {
            return;
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A package to be.
pub struct Package {
    pub name: &'static str,
    pub version: &'static str,
    pub depends: &'static str,
    /// One file of it: path and content.
    pub file: (&'static str, &'static str),
}

impl Package {
    fn build(&self) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        let file = tree.join(self.file.0);
        fs::create_dir_all(tree.join("DEBIAN")).unwrap();
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, self.file.1).unwrap();
        let control = format!(
            "Package: {}\nVersion: {}\nArchitecture: amd64\nMaintainer: x <x@x>\nDescription: x\n",
            self.name, self.version
        );
        fs::write(tree.join("DEBIAN/control"), control).unwrap();
        let deb = folder.path().join("x.deb");
        run(
            "dpkg-deb",
            &[
                "--build",
                "--root-owner-group",
                tree.to_str().unwrap(),
                deb.to_str().unwrap(),
            ],
            b"",
        );
        fs::read(deb).unwrap()
    }
}

/// Keeps all reports.
pub fn recorder() -> (ProgressSink, Arc<Mutex<Vec<Progress>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    (
        Arc::new(move |progress| sink.lock().unwrap().push(progress)),
        seen,
    )
}

/// Whether a work folder holds nothing.
pub fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder)
        .map(|mut entries| entries.next().is_none())
        .unwrap_or(true)
}
