//! What is sent to each release, held against what upstream's description of the API says that release takes.
//!
//! The description is `src/firecracker/swagger/firecracker.yaml` of the tag that each test names.

mod tables;

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::path::PathBuf;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

use super::api::Api;
use super::requests::{ChangedDrive, VmState};
use super::{Version, snapshot, start};
use crate::{Drive, Folder, MachineSpec, NetworkDevice, RateLimit};

use tables::Kind::{Body, Flag, Number, Text, Unused, Word};
use tables::{
    BALLOON_1_8, BALLOON_1_14, Field, Kind, LOAD_1_8, LOAD_1_12, LOAD_1_14, LOAD_1_16, Request, SAME,
};

/// What is wrong with a request in the eyes of a release; empty where nothing is.
fn wrong(differs: &[Request], method: &str, path: &str, body: &Value) -> Vec<String> {
    let matches = |pattern: &str| match pattern.strip_suffix('*') {
        Some(start) => path
            .strip_prefix(start)
            .is_some_and(|id| !id.is_empty() && !id.contains('/')),
        None => path == pattern,
    };
    let known = SAME.iter().chain(differs);
    let mut known = known.filter(|(known, pattern, _)| *known == method && matches(pattern));
    match known.next() {
        Some((_, _, fields)) => wrong_fields(fields, body, &format!("{method} {path}")),
        None => vec![format!("{method} {path}: there is no such request")],
    }
}

fn wrong_fields(fields: &[Field], body: &Value, place: &str) -> Vec<String> {
    let Some(body) = body.as_object() else {
        return vec![format!("{place}: no object")];
    };
    let mut wrong = Vec::new();
    for (name, value) in body {
        let place = format!("{place}: {name}");
        match fields.iter().find(|(field, _, _)| field == name) {
            Some((_, kind, _)) => wrong.extend(wrong_value(*kind, value, &place)),
            None => wrong.push(format!("{place}: unknown")),
        }
    }
    for (name, _, required) in fields {
        if *required && !body.contains_key(*name) {
            wrong.push(format!("{place}: {name}: missing"));
        }
    }
    wrong
}

fn wrong_value(kind: Kind, value: &Value, place: &str) -> Vec<String> {
    let right = match kind {
        Text => value.is_string(),
        Number => value.is_u64(),
        Flag => value.is_boolean(),
        Word(words) => value.as_str().is_some_and(|word| words.contains(&word)),
        Body(fields) => return wrong_fields(fields, value, place),
        Unused => false,
    };
    if right {
        Vec::new()
    } else {
        vec![format!("{place}: {value}")]
    }
}

/// A Firecracker that does whatever it is asked for, and what it was asked for.
struct Obedient {
    socket: PathBuf,
    asked: JoinHandle<Vec<(String, String, Value)>>,
    _folder: tempfile::TempDir,
}

impl Obedient {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("api.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let asked = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            serve(BufReader::new(stream)).await
        });
        Self {
            socket,
            asked,
            _folder: folder,
        }
    }
}

/// Answers the requests of one connection.
async fn serve(mut stream: BufReader<UnixStream>) -> Vec<(String, String, Value)> {
    let mut asked = Vec::new();
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap() == 0 {
                return asked;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
            head += &line;
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let mut words = head.split(' ').map(str::to_owned);
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        asked.push((method, path, serde_json::from_slice(&body).unwrap()));
        stream
            .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
            .await
            .unwrap();
    }
}

/// A machine with all that a machine can have.
fn spec() -> MachineSpec {
    let drive = |path: &str, read_only, limit| Drive {
        path: path.into(),
        read_only,
        limit,
    };
    let limit = RateLimit {
        bytes_per_second: NonZeroU64::new(100 << 20),
        operations_per_second: NonZeroU64::new(1000),
    };
    let bytes_only = RateLimit {
        operations_per_second: None,
        ..limit
    };
    MachineSpec {
        id: "id".into(),
        folder: "/vm".into(),
        vcpu: 2,
        memory_mib: 512,
        kernel: "/kernel".into(),
        initramfs: "/initramfs".into(),
        command_line: "own=1".into(),
        drives: vec![
            drive("/image", true, RateLimit::default()),
            drive("/layer", false, limit),
            drive("/other", false, bytes_only),
        ],
        network: Some(NetworkDevice::BuiltIn {
            mac: "52:54:00:12:34:56".into(),
        }),
    }
}

/// All that a release is ever asked for.
async fn everything(version: Version) -> Vec<(String, String, Value)> {
    let firecracker = Obedient::new();
    let mut api = Api::open(&firecracker.socket).await.unwrap();
    start::boot(version, &spec(), &mut api).await.unwrap();
    api.patch("/drives/drive1", &ChangedDrive::of(1)).await.unwrap();
    api.patch("/vm", &VmState::PAUSED).await.unwrap();
    api.patch("/vm", &VmState::RESUMED).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    // It writes no files; what is asked of it is all that counts here.
    let opened = Folder::open(folder.path()).unwrap();
    snapshot::create(&mut api, &opened, folder.path())
        .await
        .unwrap_err();
    snapshot::load(&mut api).await.unwrap();
    drop(api);
    firecracker.asked.await.unwrap()
}

/// Everything that is sent to a release is what the description of its tag takes.
async fn holds(version: Version, differs: &[Request]) -> BTreeSet<String> {
    let asked = everything(version).await;
    for (method, path, body) in &asked {
        let wrong = wrong(differs, method, path, body);
        assert_eq!(wrong, Vec::<String>::new(), "{version}");
    }
    asked
        .into_iter()
        .map(|(method, path, _)| format!("{method} {path}"))
        .collect()
}

/// <https://github.com/firecracker-microvm/firecracker/blob/v1.8.0/src/firecracker/swagger/firecracker.yaml>
#[tokio::test]
async fn what_1_8_0_is_sent_is_what_its_description_takes() {
    let asked = holds(Version(1, 8, 0), &[BALLOON_1_8, LOAD_1_8]).await;
    assert!(!asked.contains("PUT /balloon"), "{asked:?}");
    for path in ["/snapshot/load", "/network-interfaces/eth0"] {
        assert!(asked.contains(&format!("PUT {path}")), "{asked:?}");
    }
}

/// <https://github.com/firecracker-microvm/firecracker/blob/v1.12.1/src/firecracker/swagger/firecracker.yaml>
#[tokio::test]
async fn what_1_12_1_is_sent_is_what_its_description_takes() {
    let asked = holds(Version(1, 12, 1), &[BALLOON_1_8, LOAD_1_12]).await;
    assert!(!asked.contains("PUT /balloon"), "{asked:?}");
}

/// <https://github.com/firecracker-microvm/firecracker/blob/v1.14.4/src/firecracker/swagger/firecracker.yaml>
#[tokio::test]
async fn what_1_14_4_is_sent_is_what_its_description_takes() {
    let asked = holds(Version(1, 14, 4), &[BALLOON_1_14, LOAD_1_14]).await;
    assert!(asked.contains("PUT /balloon"), "{asked:?}");
}

/// <https://github.com/firecracker-microvm/firecracker/blob/v1.15.1/src/firecracker/swagger/firecracker.yaml>
#[tokio::test]
async fn what_1_15_1_is_sent_is_what_its_description_takes() {
    let asked = holds(Version(1, 15, 1), &[BALLOON_1_14, LOAD_1_14]).await;
    assert!(asked.contains("PUT /balloon"), "{asked:?}");
}

/// <https://github.com/firecracker-microvm/firecracker/blob/v1.16.1/src/firecracker/swagger/firecracker.yaml>
#[tokio::test]
async fn what_1_16_1_is_sent_is_what_its_description_takes() {
    let asked = holds(Version(1, 16, 1), &[BALLOON_1_14, LOAD_1_16]).await;
    assert!(asked.contains("PUT /balloon"), "{asked:?}");
}

/// The end of an answer may be read by another thread than the next request is sent by.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_row_of_requests_goes_over_one_connection() {
    let firecracker = Obedient::new();
    let mut api = Api::open(&firecracker.socket).await.unwrap();
    for _ in 0..1000 {
        api.patch("/vm", &VmState::PAUSED).await.unwrap();
    }
    drop(api);
    assert_eq!(firecracker.asked.await.unwrap().len(), 1000);
}

#[test]
fn a_field_that_a_release_does_not_know_or_misses_is_found() {
    let old = &[BALLOON_1_8, LOAD_1_8];
    let balloon = json!({"amount_mib": 0, "deflate_on_oom": true, "free_page_reporting": true});
    assert_eq!(
        wrong(&[BALLOON_1_14], "PUT", "/balloon", &balloon),
        Vec::<String>::new()
    );
    for (method, path, body, expected) in [
        (
            "PUT",
            "/balloon",
            balloon,
            "PUT /balloon: free_page_reporting: unknown",
        ),
        (
            "PUT",
            "/serial",
            json!({}),
            "PUT /serial: there is no such request",
        ),
        (
            "PUT",
            "/vsock",
            json!({"guest_cid": 3}),
            "PUT /vsock: uds_path: missing",
        ),
        (
            "PATCH",
            "/vm",
            json!({"state": "Stopped"}),
            "PATCH /vm: state: \"Stopped\"",
        ),
        (
            "PATCH",
            "/drives/one",
            json!({"drive_id": "one", "rate_limiter": {"ops": {"size": 1}}}),
            "PATCH /drives/one: rate_limiter: ops: refill_time: missing",
        ),
    ] {
        assert_eq!(wrong(old, method, path, &body), [expected]);
    }
}
