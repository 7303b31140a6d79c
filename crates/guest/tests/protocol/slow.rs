//! Nobody keeps what the other end is too slow for.
//!
//! The clock is paused: it goes on only when no task of either end has anything left to do. A sleep here means "until
//! nothing moves any more".

use std::time::Duration;

use guest::frames::{Frame, MAX_PAYLOAD};
use guest::{Agent, Channel};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep;

use crate::support::*;

/// More than all windows, socket buffers and queues between the ends, and far less than what is sent.
const KEPT: u64 = 3 << 20;

async fn nothing_moves() {
    sleep(Duration::from_secs(3600)).await;
}

fn write_for_ever(mut command: Command) -> Counter {
    let written = Counter::default();
    let counter = written.clone();
    tokio::spawn(async move {
        loop {
            let frame = Frame::Stdout(vec![7; MAX_PAYLOAD]);
            if frame.write(&mut command).await.is_err() || command.flush().await.is_err() {
                return;
            }
            counter.add(MAX_PAYLOAD);
        }
    });
    written
}

async fn stops_and_goes_on(channel: Channel, mut commands: UnboundedReceiver<Command>) {
    let agent = Agent::connect(&channel).await.unwrap();
    let mut stream = agent.exec(&exec()).await.unwrap();
    let written = write_for_ever(commands.recv().await.unwrap());
    let mut read = 0;
    for _ in 0..3 {
        nothing_moves().await;
        let stopped_at = written.get();
        assert!(stopped_at > read, "it goes on once there is room");
        assert!(
            stopped_at < read + KEPT,
            "{stopped_at} bytes written, {read} read"
        );
        nothing_moves().await;
        assert_eq!(written.get(), stopped_at);
        // What stands still is this command and nothing else.
        assert_eq!(agent.health().await.unwrap().boot_id, BOOT_ID);
        while read < stopped_at + KEPT {
            match Frame::read(&mut stream).await.unwrap() {
                Some(Frame::Stdout(bytes)) => read += bytes.len() as u64,
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_stops_the_writer() {
    let place = Place::new();
    stops_and_goes_on(place.port(), agent_on_port(&place.socket())).await;
    let place = Place::new();
    stops_and_goes_on(place.vsock(), agent_on_vsock(&place.socket())).await;
}

#[tokio::test(start_paused = true)]
async fn input_that_is_not_read_stops_the_host() {
    let place = Place::new();
    let mut commands = agent_on_port(&place.socket());
    let agent = Agent::connect(&place.port()).await.unwrap();
    let mut stream = agent.exec(&exec()).await.unwrap();
    let _command = commands.recv().await.unwrap();
    let written = Counter::default();
    let counter = written.clone();
    let writer = tokio::spawn(async move {
        while Frame::Stdin(vec![7; MAX_PAYLOAD])
            .write(&mut stream)
            .await
            .is_ok()
        {
            counter.add(MAX_PAYLOAD);
        }
    });
    nothing_moves().await;
    let stopped_at = written.get();
    assert!(stopped_at < KEPT, "{stopped_at} bytes written, none read");
    nothing_moves().await;
    assert_eq!(written.get(), stopped_at);
    agent.health().await.unwrap();
    writer.abort();
}
