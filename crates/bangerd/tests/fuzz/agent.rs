//! Whoever speaks to the agent in a guest.

use std::sync::Arc;

use banger_vsock_agent::{Hosted, System as _, serve_connection};
use guest::Shutdown;
use testkit::Fuzz;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::wire::good_frames;
use crate::{PATIENCE, Panics};

/// Requests that change nothing on the host that the agent is on here: no files, no power, no program that exists.
fn requests() -> Vec<Vec<u8>> {
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: agent\r\n\r\n").into_bytes();
    let json = |method: &str, path: &str, more: &str, body: &str| {
        format!(
            "{method} {path} HTTP/1.1\r\nhost: agent\r\n{more}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    };
    let upgrade = format!("connection: upgrade\r\nupgrade: {}\r\n", guest::UPGRADE_EXEC);
    let exec = r#"{"argv":["/proc/nonexistent/program","x"],"env":{"A":"b"},"tty":{"rows":24,"columns":80}}"#;
    let configure = r#"{"hostname":"box","environment":{"A":"b"},"network":null}"#;
    vec![
        [get("/v1/health"), get("/v1/stats")].concat(),
        get("/v1/ports"),
        [json("POST", "/v1/exec", &upgrade, exec), good_frames()].concat(),
        json("PUT", "/v1/configure", "", configure),
        json("POST", "/v1/disk/grow", "", ""),
        json("POST", "/v1/shutdown", "", ""),
        [
            get("/v1/clock"),
            json("PUT", "/v1/clock", "", r#"{"step_ns":5,"own_ns":-5}"#),
        ]
        .concat(),
        get("/v1/shutdown"),
        json("POST", "/v1/forward", &upgrade, r#"{"protocol":"tcp","port":0}"#),
    ]
}

/// Each is answered or refused, and none takes the agent with it.
#[tokio::test]
async fn fuzz_requests() {
    let panics = Panics::counted();
    for input in Fuzz::of("requests", requests()) {
        let system = Arc::new(Hosted::new("2b7c1f0a-8f0e-4a55-9d3b-6a1c9f0e7d21"));
        // What waits for the machine's end is answered by it.
        let ending = Arc::clone(&system);
        tokio::spawn(async move { ending.farewell().say(Shutdown::PowerOff).await });
        let (agents, ours) = tokio::io::duplex(16 << 10);
        let (mut from, mut to) = tokio::io::split(ours);
        let client = async {
            let said = async {
                let _ = to.write_all(&input).await;
                let _ = to.shutdown().await;
            };
            let mut answers = Vec::new();
            let heard = from.read_to_end(&mut answers);
            let _ = tokio::join!(said, heard);
        };
        let both = async { tokio::join!(serve_connection(agents, system), client) };
        let ended = tokio::time::timeout(PATIENCE, both).await;
        assert!(ended.is_ok(), "the agent waits for a client that has gone");
    }
    panics.assert_none();
}
