//! A container's image, made by hand of this host's own programs: no systemd, no init, next to nothing.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::Home;

const PROGRAMS: [&str; 4] = ["/bin/sh", "/bin/cat", "/usr/bin/id", "/usr/bin/env"];

/// A program and the libraries that it names.
fn with_libraries(program: &str) -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(program).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let libraries = text
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from);
    std::iter::once(PathBuf::from(program)).chain(libraries).collect()
}

fn layer() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut files: Vec<_> = PROGRAMS.into_iter().flat_map(with_libraries).collect();
    files.sort();
    files.dedup();
    for path in files {
        let name = path.strip_prefix("/").unwrap();
        tar.append_file(name, &mut File::open(&path).unwrap()).unwrap();
    }
    let mut open = tar::Header::new_gnu();
    open.set_entry_type(tar::EntryType::Directory);
    open.set_mode(0o1777);
    open.set_size(0);
    tar.append_data(&mut open, "tmp/", &[][..]).unwrap();
    for (name, text, mode) in [
        (
            "etc/passwd",
            "root:x:0:0::/root:/bin/sh\nwww:x:33:33::/srv:/bin/sh\n",
            0o644,
        ),
        ("etc/group", "log:x:4:\n", 0o644),
        ("srv/serve", "#!/bin/sh\necho serving \"$@\"\n", 0o755),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_mode(mode);
        header.set_size(text.len() as u64);
        tar.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

fn write_layout(folder: &Path) {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |kind: &str, bytes: &[u8]| {
        let digest = format!("{:x}", Sha256::digest(bytes));
        fs::write(blobs.join(&digest), bytes).unwrap();
        json!({"mediaType": kind, "digest": format!("sha256:{digest}"), "size": bytes.len()})
    };
    let layer = put("application/vnd.oci.image.layer.v1.tar", &layer());
    let config = json!({
        "os": "linux",
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        "config": {
            "Env": ["PATH=/srv:/bin:/usr/bin", "GREETING=hello"],
            "Entrypoint": ["serve"],
            "Cmd": ["pages"],
            "User": "www:log",
            "WorkingDir": "/srv",
        },
    });
    let config = put(
        "application/vnd.oci.image.config.v1+json",
        config.to_string().as_bytes(),
    );
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer]});
    let manifest = put(kind, manifest.to_string().as_bytes());
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    fs::write(folder.join("index.json"), index.to_string()).unwrap();
    fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

#[test]
fn a_containers_image_without_an_init_boots_runs_what_it_says_and_stops() {
    let home = Home::new();
    let layout = tempfile::tempdir().unwrap();
    write_layout(layout.path());
    let reference = format!("oci:{}", layout.path().display());
    assert_eq!(
        home.succeeds(&["image", "pull", &reference, "--name", "hand"]),
        "hand\n"
    );
    let served = home.run(&["vm", "run", "--image", "hand", "--name", "a", "--entrypoint"]);
    assert_eq!(
        (served.code, served.out.as_str()),
        (Some(0), "serving pages\n"),
        "{}",
        served.err
    );
    let script = "id -u; id -g; pwd; echo $GREETING; cat /proc/1/comm; echo $0 > /tmp/kept";
    assert_eq!(
        home.succeeds(&[
            "vm",
            "exec",
            "a",
            "--env",
            "GREETING=hi",
            "--",
            "sh",
            "-c",
            script
        ]),
        "33\n4\n/srv\nhi\nbanger-init\n"
    );
    home.succeeds(&["vm", "stop", "a"]);
    home.succeeds(&["vm", "start", "a"]);
    assert_eq!(
        home.succeeds(&["vm", "exec", "a", "--user", "root", "--", "cat", "/tmp/kept"]),
        "sh\n"
    );
    home.succeeds(&["vm", "delete", "a"]);
    home.succeeds(&["image", "delete", "hand"]);
}
