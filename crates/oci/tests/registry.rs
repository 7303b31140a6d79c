//! Pulls from a real registry on loopback, of images that `skopeo` has pushed.

#![expect(clippy::unwrap_used, reason = "a failure here fails the test")]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use oci::credentials::DockerConfig;
use oci::{Compression, Event, Image, LayerCache, OciError, Options, Platform, Registry, RegistryReference};
use progress::Cancel;
use serde_json::json;
use support::tar::Tar;
use support::{TAG, TestImage, flatten, has, tree};

/// `me` with password `secret`, in bcrypt.
const HTPASSWD: &str = "me:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

/// Debian's `docker-registry`, with everything in a folder of its own.
struct RealRegistry {
    process: Child,
    address: String,
    folder: tempfile::TempDir,
}

impl RealRegistry {
    /// Nothing where the machine lacks what it takes.
    fn start(with_login: bool) -> Option<Self> {
        Self::serve(with_login, None)
    }

    /// With TLS where a folder has `cert.pem` and `key.pem`.
    fn serve(with_login: bool, tls: Option<&Path>) -> Option<Self> {
        if !has("docker-registry") || !has("skopeo") {
            eprintln!("left out: needs Debian's packages `docker-registry` and `skopeo`");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let login = match with_login {
            true => json!({"htpasswd": {"realm": "test", "path": path("htpasswd")}}),
            false => json!({}),
        };
        fs::write(path("htpasswd"), HTPASSWD).unwrap();
        let mut http = json!({"addr": "127.0.0.1:0"});
        if let Some(folder) = tls {
            http["tls"] = json!({"certificate": folder.join("cert.pem"), "key": folder.join("key.pem")});
        }
        // JSON is YAML.
        let config = json!({
            "version": 0.1, "http": http, "auth": login,
            "storage": {"filesystem": {"rootdirectory": path("storage")}},
        });
        fs::write(path("config.yml"), config.to_string()).unwrap();
        let mut process = Command::new("docker-registry")
            .arg("serve")
            .arg(path("config.yml"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = lines.find_map(|line| {
            let line = line.unwrap();
            let (_, rest) = line.split_once("listening on ")?;
            Some(
                rest.chars()
                    .take_while(|c| !matches!(c, '"' | ' ' | ','))
                    .collect::<String>(),
            )
        });
        // It must not stop for a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self {
            process,
            address: address.expect("it says where it listens"),
            folder,
        })
    }

    fn push(&self, image: &TestImage, name: &str, options: &[&str]) {
        let output = Command::new("skopeo")
            .args(["copy", "--insecure-policy", "--dest-tls-verify=false"])
            .args(options)
            .arg(format!("oci:{}:{TAG}", image.folder.path().display()))
            .arg(format!("docker://{}/{name}", self.address))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn pull(&self, name: &str, cache: &Path, options: Options) -> Result<(Image, Vec<Event>), OciError> {
        let registry = Registry::new(Options {
            platform: Platform::Amd64,
            plain_http: options.certificates.is_empty(),
            ..options
        })?;
        let reference = RegistryReference::parse(&format!("{}/{name}", self.address))?;
        let events = std::sync::Mutex::new(Vec::new());
        let told = |event| events.lock().unwrap().push(event);
        let image = registry.pull(&reference, &LayerCache::open(cache)?, &told, &Cancel::default())?;
        Ok((image, events.into_inner().unwrap()))
    }
}

impl Drop for RealRegistry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn image() -> TestImage {
    TestImage::new(&[
        (
            Tar::new()
                .dir("etc")
                .file("etc/a", "one")
                .file("etc/b", "one")
                .finish(),
            Compression::Gzip,
        ),
        (
            Tar::new().file("etc/a", "two").file("etc/.wh.b", "").finish(),
            Compression::Zstd,
        ),
        (Tar::new().file("c", "three").finish(), Compression::Plain),
    ])
}

fn assert_whole(image: &Image) {
    let tree = tree(&flatten(&image.layers).unwrap());
    let expected = [("c", "file three"), ("etc", "directory"), ("etc/a", "file two")];
    let expected = expected.map(|(path, line)| support::pair(path, line));
    assert_eq!(tree.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn an_image_of_a_real_registry_is_pulled_by_tag_and_by_digest_and_then_cached() {
    let Some(registry) = RealRegistry::start(false) else {
        return;
    };
    let image = image();
    registry.push(&image, "a/b:1", &["--preserve-digests"]);
    let cache = tempfile::tempdir().unwrap();
    let (pulled, events) = registry.pull("a/b:1", cache.path(), Options::default()).unwrap();
    assert_whole(&pulled);
    assert_eq!(pulled.digest, image.manifest);
    assert!(matches!(&events[0], Event::Image { layers, .. } if layers.len() == 3));
    let by_digest = format!("a/b@{}", image.manifest);
    let (pulled, events) = registry
        .pull(&by_digest, cache.path(), Options::default())
        .unwrap();
    assert_whole(&pulled);
    assert!(
        !events
            .iter()
            .any(|event| matches!(event, Event::Downloading { .. }))
    );
    let missing = registry
        .pull("a/b:2", cache.path(), Options::default())
        .unwrap_err();
    assert!(matches!(missing, OciError::NotFound { .. }), "{missing}");
    let missing = registry
        .pull("nobody/has:1", cache.path(), Options::default())
        .unwrap_err();
    assert!(matches!(missing, OciError::NotFound { .. }), "{missing}");
}

#[test]
fn docker_manifests_are_pulled_too() {
    let Some(registry) = RealRegistry::start(false) else {
        return;
    };
    // Docker knows no zstd.
    let [first, second] =
        ["one", "two"].map(|data| Tar::new().dir("etc").file("etc/a", data).file("c", "three"));
    let image = TestImage::new(&[
        (first.finish(), Compression::Gzip),
        (second.finish(), Compression::Gzip),
    ]);
    registry.push(&image, "d:1", &["--format=v2s2"]);
    let cache = tempfile::tempdir().unwrap();
    let (pulled, _) = registry.pull("d:1", cache.path(), Options::default()).unwrap();
    assert_whole(&pulled);
}

#[test]
fn a_registry_with_logins_wants_the_right_one() {
    let Some(registry) = RealRegistry::start(true) else {
        return;
    };
    registry.push(&image(), "x:1", &["--dest-creds=me:secret"]);
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let refused = registry.pull("x:1", &cache, Options::default()).unwrap_err();
    assert!(matches!(refused, OciError::Unauthorised { .. }), "{refused}");
    // The login comes the way it does in life: out of docker's file.
    let file = folder.path().join("config.json");
    for (auth, good) in [("bWU6c2VjcmV0", true), ("bWU6d3Jvbmc=", false)] {
        let config = json!({"auths": {&registry.address: {"auth": auth}}});
        fs::write(&file, config.to_string()).unwrap();
        let login = DockerConfig::read(&file)
            .unwrap()
            .login(&registry.address)
            .unwrap()
            .unwrap();
        let mut options = Options::default();
        options.logins.insert(registry.address.clone(), login);
        let pulled = registry.pull("x:1", &cache, options);
        match pulled {
            Ok((image, _)) if good => assert_whole(&image),
            Err(OciError::Unauthorised { .. }) if !good => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_layer_that_rots_in_the_registry_is_refused() {
    let Some(registry) = RealRegistry::start(false) else {
        return;
    };
    let image = image();
    registry.push(&image, "x:1", &["--preserve-digests"]);
    let hex = image.layers[2].hex();
    let blob = registry.folder.path().join(format!(
        "storage/docker/registry/v2/blobs/sha256/{}/{hex}/data",
        &hex[..2]
    ));
    let mut bytes = fs::read(&blob).unwrap();
    bytes[600] ^= 1;
    fs::write(&blob, bytes).unwrap();
    let cache = tempfile::tempdir().unwrap();
    let error = registry
        .pull("x:1", cache.path(), Options::default())
        .unwrap_err();
    assert!(matches!(error, OciError::WrongDigest { .. }), "{error}");
}

/// A certificate for loopback that signs itself.
fn certificate(folder: &Path) -> Vec<u8> {
    let output = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(folder.join("key.pem"))
        .arg("-out")
        .arg(folder.join("cert.pem"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    fs::read(folder.join("cert.pem")).unwrap()
}

#[test]
fn a_server_is_believed_with_its_certificate_and_with_no_other() {
    if !has("openssl") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let own = certificate(folder.path());
    let Some(registry) = RealRegistry::serve(false, Some(folder.path())) else {
        return;
    };
    registry.push(&image(), "x:1", &[]);
    let other = certificate(tempfile::tempdir().unwrap().path());
    let cache = folder.path().join("cache");
    let pull = |certificates: Vec<u8>| {
        let options = Options {
            certificates,
            ..Options::default()
        };
        registry.pull("x:1", &cache, options)
    };
    let error = pull(other).unwrap_err();
    assert!(matches!(error, OciError::Unreachable { .. }), "{error}");
    let (image, _) = pull(own).unwrap();
    assert_whole(&image);
    assert!(matches!(
        pull(b"-----BEGIN CERTIFICATE-----\n!".to_vec()),
        Err(OciError::Certificates { .. })
    ));
}
