//! Nobody keeps what the other end is too slow for.
//!
//! The clock is paused: it goes on only when no task of either end has anything left to do. A sleep here means "until
//! nothing moves any more".

use std::time::Duration;

use guest::frames::{Frame, MAX_PAYLOAD};
use guest::{Agent, Channel};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

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

/// A port between a host and an agent, whose way to the agent can be shut.
async fn port_with_a_gate(place: &Place) -> (UnboundedReceiver<Command>, watch::Sender<bool>) {
    let listener = UnixListener::bind(place.socket()).unwrap();
    let (near, far) = UnixStream::pair().unwrap();
    let (commands, receiver) = unbounded_channel();
    let (gate, mut open) = watch::channel(true);
    tokio::spawn(async move {
        let mut port = guest::link::Port::new(far);
        while let Ok(Some(session)) = port.accept().await {
            serve_session(session, commands.clone()).await;
        }
    });
    tokio::spawn(async move {
        let (host, _) = listener.accept().await.unwrap();
        let ((mut from_host, mut to_host), (mut from_agent, mut to_agent)) =
            (host.into_split(), near.into_split());
        tokio::spawn(async move { tokio::io::copy(&mut from_agent, &mut to_host).await });
        let mut buffer = vec![0; 65536];
        loop {
            open.wait_for(|open| *open).await.unwrap();
            let count = from_host.read(&mut buffer).await.unwrap();
            open.wait_for(|open| *open).await.unwrap();
            to_agent.write_all(&buffer[..count]).await.unwrap();
        }
    });
    (receiver, gate)
}

#[tokio::test(start_paused = true)]
async fn a_reader_and_a_writer_in_two_tasks_do_not_lose_each_others_turn() {
    const COUNT: usize = 60_000;
    let place = Place::new();
    let (mut commands, gate) = port_with_a_gate(&place).await;
    let agent = Agent::connect(&place.port()).await.unwrap();
    let stream = agent.exec(&exec()).await.unwrap();
    let mut command = commands.recv().await.unwrap();
    // Enough to owe the agent credit once it is read.
    for _ in 0..3 {
        Frame::Stdout(vec![7; MAX_PAYLOAD])
            .write(&mut command)
            .await
            .unwrap();
        command.flush().await.unwrap();
    }
    nothing_moves().await;
    gate.send_replace(false);
    let (mut reader, mut writer) = tokio::io::split(stream);
    // Of small frames, so that it is the queue to the link that fills up, and not the stream's window.
    let writer = tokio::spawn(async move {
        for _ in 0..COUNT {
            Frame::Signal(1).write(&mut writer).await.unwrap();
        }
        writer.flush().await.unwrap();
        writer
    });
    nothing_moves().await;
    // Waits for the same queue, after the writer.
    let reader = tokio::spawn(async move {
        for _ in 0..4 {
            Frame::read(&mut reader).await.unwrap().unwrap();
        }
        reader
    });
    nothing_moves().await;
    gate.send_replace(true);
    let rest = async {
        for _ in 0..COUNT {
            assert_eq!(Frame::read(&mut command).await.unwrap(), Some(Frame::Signal(1)));
        }
        let writer = writer.await.unwrap();
        Frame::Stdout(vec![8]).write(&mut command).await.unwrap();
        command.flush().await.unwrap();
        (writer, reader.await.unwrap())
    };
    // The clock goes on only when neither has anything to do.
    timeout(Duration::from_secs(60), rest).await.unwrap();
}
