//! Guests that send more than they were asked for: what it takes of the host's memory.

use std::fs;
use std::time::Duration;

use guest::link::{Decoder, Header, Kind, MAX_PAYLOAD};
use guest::{Agent, AgentError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::support::*;

/// Most memory that this process has had, in bytes, since the last call of [`forget_peak`].
fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

/// proc(5), `clear_refs`.
fn forget_peak() {
    fs::write("/proc/self/clear_refs", "5").unwrap();
}

/// What a flood may take: the sessions' and the tests' own buffers.
const MOST: usize = 24 << 20;

/// Takes a host's HELLO and acknowledges it, and reads nothing more.
async fn acknowledge(stream: &mut UnixStream) -> u64 {
    let mut decoder = Decoder::new();
    loop {
        assert_ne!(stream.read_buf(decoder.input()).await.unwrap(), 0);
        while let Some((header, _)) = decoder.next_frame() {
            if header.kind == Kind::Hello {
                let ack = Header {
                    kind: Kind::Ack,
                    ..header
                };
                stream.write_all(&ack.encode()).await.unwrap();
                return header.session;
            }
        }
    }
}

/// Sends up to 200 MiB of what `frames` gives; how much went.
async fn flood(mut stream: UnixStream, frames: impl Fn(u32) -> Vec<u8>) -> usize {
    let session = acknowledge(&mut stream).await;
    let mut sent = 0;
    for number in 0..(200 << 20) / MAX_PAYLOAD as u32 {
        let bytes = frames(number);
        for payload in bytes.chunks(MAX_PAYLOAD) {
            let header = Header {
                kind: Kind::Data,
                session,
                length: payload.len(),
            };
            let frame = [&header.encode()[..], payload].concat();
            // A host that takes nothing for so long takes nothing any more.
            match tokio::time::timeout(Duration::from_secs(2), stream.write_all(&frame)).await {
                Ok(Ok(())) => sent += frame.len(),
                _ => return sent,
            }
        }
    }
    sent
}

async fn flooded(frames: impl Fn(u32) -> Vec<u8> + Send + Sync + 'static) -> usize {
    let place = Place::new();
    let listener = UnixListener::bind(place.socket()).unwrap();
    forget_peak();
    let before = peak();
    let guest = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        flood(stream, frames).await
    });
    let _agent = Agent::connect(&place.port()).await.unwrap();
    guest.await.unwrap();
    peak() - before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pings_that_are_never_read_an_answer_to_take_a_bounded_memory() {
    let ping = [0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7];
    let took = flooded(move |_| ping.repeat(MAX_PAYLOAD / ping.len())).await;
    assert!(took < MOST, "{} MiB", took >> 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_a_guest_opens_take_a_bounded_memory() {
    let took = flooded(|number| {
        let [a, b, c, d] = ((number + 1) * 2).to_be_bytes();
        let mut stream = vec![0, 0, 0, 1, a, b, c, d, 0, 4, 0, 0];
        stream.resize(12 + (256 << 10), 7);
        stream
    })
    .await;
    assert!(took < MOST, "{} MiB", took >> 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_come_byte_by_byte_take_what_they_hold() {
    let place = Place::new();
    let listener = UnixListener::bind(place.socket()).unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut line = [0; 14];
            stream.read_exact(&mut line).await.unwrap();
            stream.write_all(b"OK 1\n").await.unwrap();
            if held.is_empty() {
                // The first connection is the one that tells of the guest's end.
                held.push(stream);
                continue;
            }
            tokio::spawn(async move {
                let mut head = [0; 1024];
                let _ = stream.read(&mut head).await;
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                    .await;
                let chunks = b"1\r\n \r\n".repeat(10_000);
                while stream.write_all(&chunks).await.is_ok() {}
            });
        }
    });
    let agent = Agent::connect(&place.vsock()).await.unwrap();
    forget_peak();
    let before = peak();
    // The longest that an answer may be.
    let (one, other) = tokio::join!(agent.ports(), agent.ports());
    let took = peak() - before;
    for answer in [one, other] {
        assert!(matches!(answer, Err(AgentError::Protocol(_))), "{answer:?}");
    }
    assert!(took < MOST, "{} MiB", took >> 20);
}
