//! Clients that close the half they send on: after a whole request, in the middle of one, and before they leave.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::simulated::Simulated;

/// Sends this and says that no more will come.
fn send(host: &Simulated, request: &str) -> UnixStream {
    let mut client = UnixStream::connect(host.client.socket()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    client.write_all(request.as_bytes()).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    client
}

/// All that is answered.
async fn answer_to(mut client: UnixStream) -> String {
    let read = tokio::task::spawn_blocking(move || {
        let mut answer = String::new();
        client.read_to_string(&mut answer).map(|_| answer)
    });
    read.await.unwrap().unwrap()
}

/// A request whose body is followed over its operation's events.
fn followed(call: &str, body: &str) -> String {
    format!(
        "{call} HTTP/1.1\r\nhost: banger\r\naccept: application/x-ndjson\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_says_no_more_after_its_request_is_answered_in_whole() {
    let host = Simulated::start().await;
    host.run("a").await;
    let version = send(&host, "GET /v1/version HTTP/1.1\r\nhost: banger\r\n\r\n");
    let version = answer_to(version).await;
    assert!(version.starts_with("HTTP/1.1 200 "), "{version}");
    // One that takes its time, long after the end of the request has been seen.
    let stage = host.points.hits().pop().unwrap();
    let hold = host.points.hold(&stage);
    let create = followed("POST /v1/vms", r#"{"name": "b", "start": true}"#);
    let client = send(&host, &create);
    hold.reached().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    hold.release();
    let said = answer_to(client).await;
    assert!(
        said.starts_with("HTTP/1.1 200 ") && said.contains(r#""type":"succeeded""#),
        "{said}"
    );
    for name in ["a", "b"] {
        host.delete(name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_is_the_clients_fault_and_no_guests() {
    let host = Simulated::start().await;
    host.run("a").await;
    let folder = host.folder().display();
    let calls = [
        format!("PUT /v1/vms/a/files?path={folder}"),
        "PUT /v1/images/own?format=docker-archive".into(),
        "PUT /v1/images/own?format=oci-layout".into(),
        "PUT /v1/kernels/own".into(),
        "POST /v1/vms".into(),
        "PATCH /v1/vms/a".into(),
    ];
    for call in calls {
        let json = "host: banger\r\ncontent-type: application/json";
        for (body, status, code, message) in [
            (
                "content-length: 1000\r\n\r\n{\"name\"",
                400,
                "incomplete_body",
                "the body of the request ended after 7 of 1000 bytes",
            ),
            (
                "transfer-encoding: chunked\r\n\r\n7\r\n{\"name\"\r\n",
                400,
                "incomplete_body",
                "the body of the request ended after 7 bytes, without its end",
            ),
            (
                "transfer-encoding: chunked\r\n\r\nseven\r\n",
                400,
                "bad_request",
                "the body of the request: ",
            ),
        ] {
            let client = send(&host, &format!("{call} HTTP/1.1\r\n{json}\r\n{body}"));
            let said = answer_to(client).await;
            let line = format!("HTTP/1.1 {status} ");
            let error = format!("{{\"error\":{{\"code\":\"{code}\",\"message\":\"{message}");
            assert!(
                said.starts_with(&line) && said.contains(&error),
                "{call} {body}: {said}"
            );
        }
    }
    host.client.ping("a").await.unwrap();
    host.delete("a").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_is_noticed_whatever_it_closed_or_sent_before() {
    let host = Simulated::start().await;
    host.run("first").await;
    let stage = host.points.hits().pop().unwrap();
    host.delete("first").await;
    let leaks = host.leaks();
    let create = followed("POST /v1/vms", r#"{"name": "b", "start": true}"#);
    let more = format!("{create}GET /v1/version HTTP/1.1\r\nhost: banger\r\n\r\n");
    for (what, request, half) in [
        ("half closed", &create, true),
        ("closed", &create, false),
        ("with another request behind", &more, false),
        ("with another request behind, half closed", &more, true),
    ] {
        let hold = host.points.hold(&stage);
        let mut client = UnixStream::connect(host.client.socket()).unwrap();
        client.write_all(request.as_bytes()).unwrap();
        if half {
            client.shutdown(Shutdown::Write).unwrap();
        }
        hold.reached().await;
        drop(client);
        // The operation ends though nothing lets the start go on.
        let ended = async {
            let under_way = async || {
                let operations = host.client.operations().await.unwrap();
                operations.iter().any(|one| one.ended_at.is_none())
            };
            while under_way().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let noticed = tokio::time::timeout(Duration::from_secs(20), ended).await;
        // Nor does anything wait where this fails.
        hold.release();
        assert!(noticed.is_ok(), "a client that left, {what}, goes unnoticed");
        assert!(host.client.vms().await.unwrap().is_empty(), "{what}");
        leaks.assert_none_since().await;
    }
}
