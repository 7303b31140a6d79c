//! `docs/openapi.json`: made of the calls and the types, held against what the daemon does.
//!
//! `BANGER_WRITE_OPENAPI=1` has the first test write it (`make openapi`).

mod calls;
mod check;
mod document;
mod schemas;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::{Answer, ask};
use crate::simulated::Simulated;
use calls::{CALLS, Call};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");

#[test]
fn the_description_of_the_api_is_made_of_its_types() {
    let text = serde_json::to_string_pretty(&document::document()).unwrap() + "\n";
    if std::env::var_os("BANGER_WRITE_OPENAPI").is_some() {
        std::fs::write(FILE, &text).unwrap();
    }
    let kept = std::fs::read_to_string(FILE).unwrap();
    assert!(
        kept == text,
        "docs/openapi.json is not what the types say: run `make openapi`"
    );
}

#[test]
fn every_name_of_the_description_leads_somewhere_and_is_used_once() {
    let document = document::document();
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
    let ids: BTreeSet<_> = CALLS.iter().map(|call| call.id).collect();
    assert_eq!(ids.len(), CALLS.len(), "each operationId is unique");
    assert!(!text.contains("[`"), "links of Rust's");
}

/// The paths are compared where the router is made.
#[tokio::test(flavor = "multi_thread")]
async fn the_methods_of_each_path_are_those_of_the_description() {
    let host = Simulated::start().await;
    let paths: BTreeSet<_> = CALLS.iter().map(|call| call.path).collect();
    for path in paths {
        let described: BTreeSet<_> = CALLS
            .iter()
            .filter(|call| call.path == path)
            .map(|call| call.method.to_uppercase())
            .collect();
        let answer = ask(host.client.socket(), "OPTIONS", path, &[], b"");
        let allowed = answer
            .header("allow")
            .unwrap_or_else(|| panic!("{path} is no route"));
        let allowed: BTreeSet<_> = allowed
            .split(',')
            .filter(|method| *method != "HEAD")
            .map(str::to_owned)
            .collect();
        assert_eq!(allowed, described, "{path}");
    }
}

/// Calls, and holds the answer against the description.
struct Caller<'a> {
    socket: &'a Path,
    document: Value,
    called: BTreeSet<&'static str>,
}

impl Caller<'_> {
    fn call(&mut self, line: &str, body: &[u8]) -> Answer {
        self.call_with(line, &[("content-type", "application/json")], body)
    }

    fn call_with(&mut self, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let (method, path) = line.split_once(' ').unwrap();
        let call = find(method, path);
        self.called.insert(call.id);
        let answer = ask(self.socket, method, path, headers, body);
        let responses = &self.document["paths"][call.path][call.method]["responses"];
        let said = match responses.get(answer.status.to_string()) {
            Some(said) => said,
            None => {
                assert!(
                    answer.status >= 400,
                    "{line}: status {} is not described",
                    answer.status
                );
                &self.document["components"]["responses"]["Failure"]
            }
        };
        let Some(content) = said.get("content").and_then(Value::as_object) else {
            assert_eq!(answer.body, b"", "{line}");
            return answer;
        };
        let (media, content) = content.iter().next().unwrap();
        let told = answer.header("content-type").unwrap();
        assert_eq!(told.split(';').next().unwrap(), media, "{line}");
        if let Some(schema) = content.get("schema") {
            let lines = match media.as_str() {
                "application/x-ndjson" => answer.body.split_inclusive(|byte| *byte == b'\n').collect(),
                _ => vec![&answer.body[..]],
            };
            assert!(!lines.is_empty(), "{line}: nothing came");
            for piece in lines {
                let value: Value = serde_json::from_slice(piece).unwrap();
                let faults = check::faults(&self.document, schema, &value, line);
                assert!(faults.is_empty(), "{value:#}\n{}", faults.join("\n"));
            }
        }
        answer
    }

    /// As `call`, of what is to be done when this returns.
    fn follow(&mut self, line: &str, body: &[u8]) {
        let headers = [
            ("content-type", "application/json"),
            ("accept", "application/x-ndjson"),
        ];
        let answer = self.call_with(line, &headers, body);
        let text = String::from_utf8(answer.body).unwrap();
        assert!(text.contains("{\"type\":\"succeeded\""), "{line}: {text}");
    }
}

/// The call that a line is of.
fn find(method: &str, path: &str) -> &'static Call {
    let parts = |path: &'static str| path.split('/');
    let path = path.split('?').next().unwrap();
    let fits = |call: &&Call| {
        call.method.eq_ignore_ascii_case(method)
            && path.split('/').count() == parts(call.path).count()
            && parts(call.path)
                .zip(path.split('/'))
                .all(|(known, part)| known.starts_with('{') || known == part)
    };
    CALLS
        .iter()
        .find(fits)
        .unwrap_or_else(|| panic!("{method} {path} is not described"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_answers_as_the_description_says() {
    let host = Simulated::start().await;
    let mut caller = Caller {
        socket: host.client.socket(),
        document: document::document(),
        called: BTreeSet::new(),
    };
    let mut get = |line: &str, status: u16| assert_eq!(caller.call(line, b"").status, status, "{line}");
    for line in [
        "version",
        "doctor",
        "df",
        "events",
        "vms",
        "images",
        "kernels",
        "catalog/kernels",
        "operations",
        "ssh",
    ] {
        get(&format!("GET /v1/{line}"), 200);
    }
    let body = json!({"name": "a", "start": true, "env": {"K": "V"}, "publish": [{"host": 0, "guest": 80}]});
    caller.follow("POST /v1/vms", body.to_string().as_bytes());
    caller.call("GET /v1/operations", b"");
    let operation = host.client.operations().await.unwrap().remove(0).id;
    let mut get = |line: &str, status: u16| assert_eq!(caller.call(line, b"").status, status, "{line}");
    for line in [
        "vms",
        "df",
        "images",
        "vms/a",
        "vms/a/ping",
        "vms/a/stats",
        "vms/a/ports",
        "vms/a/logs",
        "vms/a/boot",
    ] {
        get(&format!("GET /v1/{line}"), 200);
    }
    get("GET /v1/vms/a/files?path=/etc/hostname", 200);
    get("GET /v1/vms/a/files?path=/no/such/file", 400);
    get(&format!("GET /v1/operations/{operation}"), 200);
    get(&format!("GET /v1/operations/{operation}/events"), 200);
    get(&format!("DELETE /v1/operations/{operation}"), 202);
    get("GET /v1/vms/none", 404);
    get("GET /v1/images/debian", 200);
    get("DELETE /v1/cache?dry_run=true", 200);
    get("DELETE /v1/images/debian", 409);
    get("GET /v1/images/debian/bundle", 200);
    get("GET /v1/kernels", 200);
    get("GET /v1/kernels/cloud", 200);
    get("DELETE /v1/kernels/cloud", 409);
    caller.call("PUT /v1/kernels/mine", b"no archive");
    caller.call("POST /v1/images/disk/register", br#"{"rootfs": "relative"}"#);
    caller.call("POST /v1/images/none/promote", b"");
    caller.call("POST /v1/images/disk/build", br#"{"recipe": "no recipe"}"#);
    caller.follow("POST /v1/kernels", br#"{"name": "cloud"}"#);
    caller.call("GET /v1/vms/a/ssh", b"");
    caller.call("PUT /v1/vms/a/files?path=/no/such/folder", &[0; 1024]);
    caller.call("PUT /v1/images/mine?format=oci-layout", b"no archive");
    caller.call(
        "POST /v1/images",
        br#"{"reference": "127.0.0.1:1/none:1", "registry": {"plain_http": true}}"#,
    );
    let upgrades: [(&str, &str, &[u8]); 3] = [
        ("exec", guest::UPGRADE_EXEC, br#"{"argv": ["true"]}"#),
        ("forward", guest::UPGRADE_FORWARD, br#"{"port": 1}"#),
        ("ssh", guest::UPGRADE_SSH, b"{}"),
    ];
    for (verb, protocol, body) in upgrades {
        let line = format!("POST /v1/vms/a/{verb}");
        assert_eq!(
            caller.call(&line, body).status,
            400,
            "it does not say that it upgrades"
        );
        let headers = [("connection", "upgrade"), ("upgrade", protocol)];
        let answer = caller.call_with(&line, &headers, body);
        if verb == "exec" {
            assert_eq!((answer.status, answer.header("upgrade")), (101, Some(protocol)));
        }
    }
    caller.follow("PATCH /v1/vms/a", br#"{"disk_size": 536870912}"#);
    caller.follow("POST /v1/vms/a/restart", b"");
    caller.follow("POST /v1/vms/a/kill", br#"{"signal": "KILL"}"#);
    caller.follow("POST /v1/vms/a/start", b"");
    assert_eq!(caller.call("POST /v1/vms/a/stop", b"").status, 202);
    caller.follow("DELETE /v1/vms/a", b"");
    assert_eq!(caller.call("DELETE /v1/images/debian", b"").status, 204);
    let never: Vec<_> = CALLS
        .iter()
        .filter(|call| !caller.called.contains(call.id))
        .map(|call| call.id)
        .collect();
    assert!(never.is_empty(), "never called: {never:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_guide_work() {
    let host = Simulated::start().await;
    let guide = include_str!("../../../../../docs/api.md");
    let blocks: Vec<_> = guide
        .split("```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(blocks.len() > 2);
    for block in blocks {
        let ran = Command::new("bash")
            .args(["-euo", "pipefail", "-c", block])
            .env("SOCKET", host.client.socket())
            .output()
            .unwrap();
        assert!(ran.status.success(), "{block}{ran:?}");
        assert!(!ran.stdout.is_empty());
        // What goes on by itself ends before the next block.
        while host
            .client
            .operations()
            .await
            .unwrap()
            .iter()
            .any(|one| one.ended_at.is_none())
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    assert!(host.client.vms().await.unwrap().is_empty());
}
