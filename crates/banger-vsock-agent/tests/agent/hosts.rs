//! Hosts that go away, come back, or break the rules.

use std::time::Duration;

use crate::support::*;
use guest::Exec;
use guest::frames::{Exit, Frame};
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn a_host_that_goes_away_hangs_up() {
    for machine in [Machine::with_vsock(), Machine::with_port()] {
        let agent = machine.agent().await;
        let heard = machine.path("heard");
        for terminal in [false, true] {
            let script = format!(
                "trap 'echo hup > {}; exit' HUP; echo ready; while :; do sleep 0.01; done",
                heard.display()
            );
            let exec = Exec {
                tty: terminal.then_some(guest::WindowSize {
                    rows: 24,
                    columns: 80,
                }),
                ..sh(&script)
            };
            let mut stream = agent.exec(&exec).await.unwrap();
            read_until(&mut stream, "ready").await;
            drop(stream);
            until(|| std::fs::read_to_string(&heard).is_ok_and(|text| text == "hup\n")).await;
            std::fs::remove_file(&heard).unwrap();
        }
    }
}

#[tokio::test]
async fn a_command_that_ignores_the_hang_up_is_killed() {
    let machine = Machine::with_port();
    let agent = machine.agent().await;
    let mut stream = agent
        .exec(&sh("trap '' HUP; echo $$ ready; while :; do sleep 0.01; done"))
        .await
        .unwrap();
    let ready = read_until(&mut stream, "ready").await;
    let pid = ready.split(' ').next().unwrap();
    drop(stream);
    until(|| !is_alive(pid)).await;
}

#[tokio::test]
async fn a_host_that_goes_away_while_its_input_is_not_read_hangs_up_too() {
    for machine in [Machine::with_vsock(), Machine::with_port()] {
        let agent = machine.agent().await;
        let exec = Exec {
            stdin: true,
            ..sh("echo $$ ready; exec sleep 1000")
        };
        let mut stream = agent.exec(&exec).await.unwrap();
        let ready = read_until(&mut stream, "ready").await;
        let pid = ready.split(' ').next().unwrap();
        // Until no more is taken.
        let full = async {
            loop {
                Frame::Stdin(vec![7; 60_000]).write(&mut stream).await.unwrap();
            }
        };
        let _: Result<(), _> = tokio::time::timeout(Duration::from_millis(300), full).await;
        assert!(is_alive(pid));
        drop(stream);
        until(|| !is_alive(pid)).await;
    }
}

#[tokio::test]
async fn a_lost_session_hangs_up_and_the_next_one_works() {
    let machine = Machine::with_port();
    let first = machine.agent().await;
    let mut stream = first.exec(&sh("echo $$ ready; exec sleep 1000")).await.unwrap();
    let ready = read_until(&mut stream, "ready").await;
    let second = machine.agent().await;
    first.closed().await;
    until(|| !is_alive(ready.split(' ').next().unwrap())).await;
    assert_eq!(run(&second, &sh("exit 3")).await.exit, Exit::Code(3));
    assert_eq!(second.health().await.unwrap().boot_id, BOOT_ID);
}

#[tokio::test]
async fn hostile_frames_end_their_command_only() {
    for machine in [Machine::with_vsock(), Machine::with_port()] {
        let agent = machine.agent().await;
        let mut bystander = agent
            .exec(&Exec {
                stdin: true,
                ..argv(&["cat"])
            })
            .await
            .unwrap();
        for hostile in [
            &[9, 0, 0, 0, 0][..],               // unknown kind
            &[1, 0xff, 0xff, 0xff, 0xff],       // too long
            &[4, 0, 0, 0, 1, 0],                // malformed
            &[5, 0, 0, 0, 1, 0],                // no such signal
            &[2, 0, 0, 0, 1, 0],                // not the host's to send
            &[6, 0, 0, 0, 2, 0, 0],             // nor this
            &[1, 0, 0, 0, 9, b'c', b'u', b't'], // cut
        ] {
            let mut stream = agent.exec(&sh("echo $$ ready; exec sleep 1000")).await.unwrap();
            let ready = read_until(&mut stream, "ready").await;
            stream.write_all(hostile).await.unwrap();
            stream.shutdown().await.unwrap();
            until(|| !is_alive(ready.split(' ').next().unwrap())).await;
        }
        send(&mut bystander, Frame::Stdin(b"unharmed\n".to_vec())).await;
        send(&mut bystander, Frame::Stdin(Vec::new())).await;
        assert_eq!(collect(&mut bystander).await.stdout, "unharmed\n");
    }
}

#[tokio::test]
async fn hostile_requests_get_a_problem_or_the_end_of_their_stream() {
    let machine = Machine::with_vsock();
    let request = |head: &str, body: &str| {
        format!(
            "{head}\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let long = " ".repeat(2 << 20);
    for (request, status, code) in [
        (request("GET /v2/health HTTP/1.1", ""), 404, "not_found"),
        (request("GET /v1/exec HTTP/1.1", ""), 404, "not_found"),
        (request("POST /v1/exec HTTP/1.1", "{}"), 400, "bad_request"),
        (
            request(
                "POST /v1/exec HTTP/1.1\r\nconnection: upgrade\r\nupgrade: banger-exec",
                "{",
            ),
            400,
            "bad_request",
        ),
        (
            request(
                "POST /v1/exec HTTP/1.1\r\nconnection: upgrade\r\nupgrade: banger-exec",
                "{\"argv\":[],\"x\":1}",
            ),
            400,
            "bad_request",
        ),
        (
            request("POST /v1/power HTTP/1.1", "{\"action\":\"explode\"}"),
            400,
            "bad_request",
        ),
        (request("PUT /v1/configure HTTP/1.1", "{}"), 400, "bad_request"),
        (request("PUT /v1/configure HTTP/1.1", &long), 400, "bad_request"),
    ] {
        let answer = String::from_utf8(raw(&machine, request.as_bytes(), false).await).unwrap();
        let line = &request[..request.len().min(60)];
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{line}: {answer}"
        );
        assert!(
            answer.contains(&format!("\"code\":\"{code}\"")),
            "{line}: {answer}"
        );
    }
    for garbage in [&b"\0\xff\xfe garbage\r\n\r\n"[..], &[b'A'; 100_000], b"GET", b""] {
        let answer = raw(&machine, garbage, true).await;
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"));
    }
    assert_eq!(*machine.system.powered().borrow(), None);
    machine.agent().await.health().await.unwrap();
}
