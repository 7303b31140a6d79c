//! Guests that say what they like to the host's client.

use std::path::Path;

use guest::frames::Frame;
use guest::link::{Decoder, Kind};
use guest::{Agent, Channel, Exec};
use testkit::Fuzz;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::wire::{good_frames, outer};
use crate::{PATIENCE, Panics};

/// A yamux frame: version 0, type, flags, stream, length (its specification, "Framing").
fn yamux(kind: u8, flags: u16, stream: u32, length: u32, data: &[u8]) -> Vec<u8> {
    let mut frame = vec![0, kind];
    frame.extend(flags.to_be_bytes());
    frame.extend(stream.to_be_bytes());
    frame.extend(length.to_be_bytes());
    frame.extend_from_slice(data);
    frame
}

fn answers() -> Vec<Vec<u8>> {
    let json = |status: &str, body: &str| {
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    };
    let health = r#"{"generation":1,"version":"0.1.0","boot_id":"2b7c1f0a-8f0e-4a55-9d3b-6a1c9f0e7d21","uptime_ms":5,"configured":true}"#;
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n{\"a\"\r\n0\r\n\r\n";
    let mut upgraded = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: ".to_vec();
    upgraded.extend(guest::UPGRADE_EXEC.as_bytes());
    upgraded.extend(b"\r\n\r\n");
    upgraded.extend(good_frames());
    vec![
        json("200 OK", health),
        json("200 OK", r#"{"how":"power_off"}"#),
        json("200 OK", r#"{"unix_time_ns":1700000000000000000,"own_ns":-5}"#),
        json("409 Conflict", r#"{"code":"internal","message":"no"}"#),
        json("200 OK", r#"{"listeners":[],"truncated":false}"#),
        chunked.into(),
        upgraded,
    ]
}

/// Asks for one thing or another; whatever it is told, the host is done with it.
async fn use_it(agent: &Agent, wish: usize) {
    match wish % 6 {
        0 => drop(agent.health().await),
        1 => drop(agent.ports().await),
        2 => drop(agent.stats().await),
        3 => drop(agent.shutdown().await),
        4 => drop(agent.clock().await),
        _ => {
            let exec = Exec {
                argv: vec!["command".into()],
                ..Exec::default()
            };
            if let Ok(mut stream) = agent.exec(&exec).await {
                while let Ok(Some(_)) = Frame::read(&mut stream).await {}
            }
        }
    }
}

async fn host(channel: &Channel, wish: usize) {
    let work = async {
        if let Ok(agent) = Agent::connect(channel).await {
            use_it(&agent, wish).await;
        }
    };
    let ended = tokio::time::timeout(PATIENCE, work).await;
    assert!(ended.is_ok(), "the host waits for a guest that has gone");
}

#[tokio::test]
async fn fuzz_answers() {
    let panics = Panics::counted();
    let folder = tempfile::tempdir().unwrap();
    let mut inputs = Fuzz::of("answers", answers());
    let mut wish = 0;
    loop {
        // Together, as a host waits a moment whether an answer that breaks off is the end of the guest.
        let batch: Vec<_> = inputs.by_ref().take(Fuzz::AT_ONCE).collect();
        if batch.is_empty() {
            break;
        }
        wish += 1;
        let exchanges = batch.iter().enumerate().map(|(number, input)| {
            let socket = folder.path().join(number.to_string());
            async move { one_guest(&socket, input, wish + number).await }
        });
        futures::future::join_all(exchanges).await;
    }
    panics.assert_none();
}

/// A guest whose agent gives `input` for an answer.
async fn one_guest(socket: &Path, input: &[u8], wish: usize) {
    let _ = std::fs::remove_file(socket);
    let listener = UnixListener::bind(socket).unwrap();
    let channel = Channel::Vsock {
        socket: socket.to_owned(),
    };
    // The first connection is the one that tells of the guest's end: it stays open until the host has gone.
    let guest = async {
        let mut first = None;
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut line = [0; b"CONNECT 42070\n".len()];
            if stream.read_exact(&mut line).await.is_err() || stream.write_all(b"OK 1\n").await.is_err() {
                continue;
            }
            match first {
                None => first = Some(stream),
                Some(_) => answer(stream, input).await,
            }
        }
    };
    tokio::select! {
        () = host(&channel, wish) => {}
        () = guest => {}
    }
}

/// Waits for a request, says it and goes.
async fn answer(mut stream: UnixStream, input: &[u8]) {
    let mut request = [0; 1024];
    let _ = stream.read(&mut request).await;
    let _ = stream.write_all(input).await;
}

#[tokio::test]
async fn fuzz_multiplexer() {
    let panics = Panics::counted();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("agent.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let [health, ..] = &answers()[..] else {
        unreachable!("there are some")
    };
    let data = yamux(0, 2, 1, health.len() as u32, health);
    let seeds = [
        data.clone(),
        [yamux(1, 2, 1, 0, b""), data, yamux(0, 4, 1, 0, b"")].concat(),
        [yamux(2, 1, 0, 7, b""), yamux(3, 0, 0, 0, b"")].concat(),
        [yamux(0, 1, 2, 4, b"mine"), yamux(1, 0, 9, 0x4_0000, b"")].concat(),
    ];
    for (number, input) in Fuzz::of("multiplexer", seeds).enumerate() {
        let channel = Channel::VirtioSerial {
            socket: socket.clone(),
        };
        // A host that took too long to see its session begin comes once more.
        let guest = async {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                hostile_port(stream, &input).await;
            }
        };
        tokio::select! {
            () = host(&channel, number) => {}
            () = guest => {}
        }
    }
    panics.assert_none();
}

/// Acknowledges the session, says the input within it, in pieces, and goes.
async fn hostile_port(mut stream: UnixStream, input: &[u8]) {
    let mut decoder = Decoder::new();
    let session = loop {
        match stream.read_buf(decoder.input()).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        if let Some((header, _)) = decoder
            .next_frame()
            .filter(|(header, _)| header.kind == Kind::Hello)
        {
            break header.session;
        }
    };
    let _ = stream.write_all(&outer(Kind::Ack, session, b"")).await;
    // The host's first stream, so that some of what is said belongs to one.
    let _ = stream.read_buf(decoder.input()).await;
    for piece in input.chunks(1000) {
        if stream
            .write_all(&outer(Kind::Data, session, piece))
            .await
            .is_err()
        {
            return;
        }
    }
    let _ = stream.shutdown().await;
}
