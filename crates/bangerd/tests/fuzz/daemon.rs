//! Whoever speaks to the daemon.

#[path = "../daemon/simulated.rs"]
#[expect(dead_code, reason = "other tests use more of it")]
mod simulated;

use simulated::Simulated;
use testkit::Fuzz;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::wire::good_frames;
use crate::{PATIENCE, Panics};

/// How many inputs there are between two looks at the daemon.
const BATCH: usize = 100;

/// Calls of every kind; none names an image, so that nothing is ever fetched.
fn calls() -> Vec<Vec<u8>> {
    let call = |line: &str, more: &str, body: &[u8]| {
        let head = format!(
            "{line} HTTP/1.1\r\nhost: banger\r\nconnection: close\r\n{more}content-length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    };
    let json = "content-type: application/json\r\n";
    let upgrade = format!(
        "{json}connection: upgrade\r\nupgrade: {}\r\n",
        guest::UPGRADE_EXEC
    );
    let create =
        br#"{"name":"fuzz","vcpu":1,"memory_mib":128,"disk_size":268435456,"env":{"A":"b"},"publish":[]}"#;
    let mut tar = tar::Builder::new(Vec::new());
    for (name, text) in [
        ("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#),
        ("index.json", r#"{"manifests":[]}"#),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    let tar = tar.into_inner().unwrap();
    vec![
        call("POST /v1/vms", json, create),
        call(
            "PATCH /v1/vms/fuzz",
            json,
            br#"{"memory_mib":256,"disk_size":536870912}"#,
        ),
        call("POST /v1/vms/fuzz/kill", json, br#"{"signal":"TERM"}"#),
        call("DELETE /v1/vms/fuzz?idle=true", "", b""),
        call("GET /v1/vms/fuzz/logs?source=vmm&follow=false", "", b""),
        [
            call(
                "POST /v1/vms/fuzz/exec",
                &upgrade,
                br#"{"argv":["/proc/nonexistent/program"]}"#,
            ),
            good_frames(),
        ]
        .concat(),
        call(
            "POST /v1/vms/fuzz/forward",
            &upgrade,
            br#"{"protocol":"udp","port":9}"#,
        ),
        call("PUT /v1/vms/fuzz/files?path=/proc/nonexistent/x", "", &tar),
        call("PUT /v1/images/upload", "", &tar),
        call("PUT /v1/kernels/upload", "", &tar),
        call("GET /v1/operations", "accept: application/x-ndjson\r\n", b""),
    ]
}

/// Each is answered or refused; then all is as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fuzz_calls() {
    let panics = Panics::counted();
    let daemon = Simulated::start().await;
    for (number, input) in Fuzz::of("calls", calls()).enumerate() {
        let mut stream = UnixStream::connect(daemon.client.socket()).await.unwrap();
        let exchange = async {
            let _ = stream.write_all(&input).await;
            let _ = stream.shutdown().await;
            let mut answer = Vec::new();
            let _ = (&mut stream).take(1 << 20).read_to_end(&mut answer).await;
        };
        let ended = tokio::time::timeout(PATIENCE, exchange).await;
        assert!(ended.is_ok(), "the daemon waits for a client that has gone");
        if number % BATCH == 0 {
            tidy(&daemon).await;
        }
    }
    tidy(&daemon).await;
    panics.assert_none();
}

/// No call has left what cannot be deleted or does not end.
async fn tidy(daemon: &Simulated) {
    let all = async {
        for vm in daemon.client.vms().await.unwrap() {
            daemon.delete(&vm.id).await;
        }
        let under_way = async || {
            let operations = daemon.client.operations().await.unwrap();
            operations.iter().any(|operation| operation.ended_at.is_none())
        };
        while under_way().await {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let tidied = tokio::time::timeout(PATIENCE, all).await;
    assert!(tidied.is_ok(), "operations without an end");
}
