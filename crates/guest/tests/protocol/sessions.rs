//! Sessions on a port: the next one works whatever the last one left behind.

use std::io::Write;

use guest::frames::{Exit, Frame};
use guest::{Agent, AgentError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::support::*;

#[tokio::test]
async fn a_new_session_ends_the_one_before_and_its_commands() {
    let place = Place::new();
    let socket = place.socket();
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    // One stream for both hosts, as a port is: what one leaves in it, the next one finds.
    let (near, far) = UnixStream::pair().unwrap();
    let (commands, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut port = guest::link::Port::new(far);
        while let Ok(Some(session)) = port.accept().await {
            serve_session(session, commands.clone()).await;
        }
    });
    tokio::spawn(carry(listener, near));

    for _ in 0..20 {
        let agent = Agent::connect(&place.port()).await.unwrap();
        let mut stream = agent.exec(&exec()).await.unwrap();
        let mut command = receiver.recv().await.unwrap();
        Frame::Stdin(vec![1; 50_000]).write(&mut stream).await.unwrap();
        Frame::Stdout(vec![2; 50_000]).write(&mut command).await.unwrap();
        command.flush().await.unwrap();
        assert_eq!(
            Frame::read(&mut command).await.unwrap(),
            Some(Frame::Stdin(vec![1; 50_000]))
        );
        assert_eq!(
            Frame::read(&mut stream).await.unwrap(),
            Some(Frame::Stdout(vec![2; 50_000]))
        );
        // In mid transfer both ways, the host is gone from one moment to the next.
        let writer = tokio::spawn(async move {
            while Frame::Stdout(vec![3; 60_000]).write(&mut command).await.is_ok()
                && command.flush().await.is_ok()
            {}
        });
        Frame::read(&mut stream).await.unwrap();
        drop((stream, agent));
        writer.await.unwrap();
    }
}

#[tokio::test]
async fn a_new_agent_ends_the_session_of_one_that_died_in_mid_frame() {
    let place = Place::new();
    let listener = tokio::net::UnixListener::bind(place.socket()).unwrap();
    let channel = place.port();
    let connecting = tokio::spawn(async move { Agent::connect(&channel).await });
    let (port, _) = listener.accept().await.unwrap();
    // The port outlives the agent, as a device does.
    let port = port.into_std().unwrap();
    let serve = |commands: tokio::sync::mpsc::UnboundedSender<_>| {
        let port = UnixStream::from_std(port.try_clone().unwrap()).unwrap();
        tokio::spawn(async move {
            let mut port = guest::link::Port::new(port);
            while let Ok(Some(session)) = port.accept().await {
                serve_session(session, commands.clone()).await;
            }
        })
    };
    let (commands, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let first = serve(commands.clone());
    let agent = connecting.await.unwrap().unwrap();
    let mut stream = agent.exec(&exec()).await.unwrap();
    let command = receiver.recv().await.unwrap();
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let half = guest::link::Header {
        kind: guest::link::Kind::Data,
        session: 1,
        length: 10_000,
    };
    (&port).write_all(&half.encode()).unwrap();

    let second = serve(commands);
    let patience = std::time::Duration::from_secs(30);
    tokio::time::timeout(patience, agent.closed()).await.unwrap();
    assert!(!matches!(Frame::read(&mut stream).await, Ok(Some(_))));
    drop(command);
    second.abort();
}

/// Carries bytes between the one stream and one host after the other. Bytes that a host has left behind stay.
async fn carry(listener: tokio::net::UnixListener, mut near: UnixStream) {
    loop {
        let (mut host, _) = listener.accept().await.unwrap();
        // Ends when the host does, as QEMU's socket does; what it was about to be given is lost.
        let _ = copy_until_either_ends(&mut host, &mut near).await;
    }
}

async fn copy_until_either_ends(host: &mut UnixStream, near: &mut UnixStream) -> std::io::Result<()> {
    let (mut from_host, mut to_host) = host.split();
    let (mut from_near, mut to_near) = near.split();
    tokio::select! {
        result = tokio::io::copy(&mut from_host, &mut to_near) => result.map(|_| ()),
        result = tokio::io::copy(&mut from_near, &mut to_host) => result.map(|_| ()),
    }
}

#[tokio::test]
async fn exchanges_work_on_both_channels_and_many_at_once() {
    let (port, vsock) = (Place::new(), Place::new());
    let commands = [
        (port.port(), agent_on_port(&port.socket())),
        (vsock.vsock(), agent_on_vsock(&vsock.socket())),
    ];
    for (channel, mut commands) in commands {
        let agent = Agent::connect(&channel).await.unwrap();
        tokio::spawn(async move {
            while let Some(mut command) = commands.recv().await {
                tokio::spawn(async move {
                    let Some(Frame::Stdin(bytes)) = Frame::read(&mut command).await.unwrap() else {
                        panic!("no input");
                    };
                    Frame::Stdout(bytes).write(&mut command).await.unwrap();
                    Frame::Exit(Exit::Code(0)).write(&mut command).await.unwrap();
                    command.shutdown().await.unwrap();
                });
            }
        });
        // More than run at a time.
        let exchanges = (0..600u32).map(|number| {
            let agent = agent.clone();
            async move {
                let mut stream = agent.exec(&exec()).await.unwrap();
                let bytes = number.to_be_bytes().to_vec();
                Frame::Stdin(bytes.clone()).write(&mut stream).await.unwrap();
                stream.flush().await.unwrap();
                assert_eq!(
                    Frame::read(&mut stream).await.unwrap(),
                    Some(Frame::Stdout(bytes))
                );
                assert_eq!(
                    Frame::read(&mut stream).await.unwrap(),
                    Some(Frame::Exit(Exit::Code(0)))
                );
                assert_eq!(Frame::read(&mut stream).await.unwrap(), None);
                assert_eq!(agent.health().await.unwrap().version, "1.2.3");
            }
        });
        futures::future::join_all(exchanges).await;
    }
}

#[tokio::test]
async fn a_machine_that_ends_is_told_to_everyone_who_waits() {
    for port in [true, false] {
        let place = Place::new();
        let listener = tokio::net::UnixListener::bind(place.socket()).unwrap();
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        // All of the machine ends with this runtime, as a process does.
        let machine = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let listener = listener.into_std().unwrap();
            runtime.block_on(async move {
                let (commands, _receiver) = tokio::sync::mpsc::unbounded_channel();
                let listener = tokio::net::UnixListener::from_std(listener).unwrap();
                let serving = async {
                    loop {
                        let (mut stream, _) = listener.accept().await.unwrap();
                        let commands = commands.clone();
                        tokio::spawn(async move {
                            if port {
                                let mut port = guest::link::Port::new(stream);
                                while let Ok(Some(session)) = port.accept().await {
                                    serve_session(session, commands.clone()).await;
                                }
                            } else {
                                let mut line = [0; 14];
                                stream.read_exact(&mut line).await.unwrap();
                                stream.write_all(b"OK 7\n").await.unwrap();
                                serve(stream, commands).await;
                            }
                        });
                    }
                };
                tokio::select! {
                    () = serving => {}
                    _ = ended => {}
                }
            });
        });
        let channel = if port { place.port() } else { place.vsock() };
        let agent = Agent::connect(&channel).await.unwrap();
        let mut stream = agent.exec(&exec()).await.unwrap();
        end.send(()).unwrap();
        agent.closed().await;
        assert!(!matches!(Frame::read(&mut stream).await, Ok(Some(_))));
        machine.join().unwrap();
        assert!(matches!(agent.health().await, Err(AgentError::Closed)));
        std::fs::remove_file(place.socket()).unwrap();
        let again = Agent::connect(&channel).await;
        assert!(matches!(again, Err(AgentError::Unreachable { .. })), "{again:?}");
    }
}

#[tokio::test]
async fn a_socket_whose_backlog_is_full_is_tried_again() {
    for port in [true, false] {
        let place = Place::new();
        // As QEMU listens: for one connection at a time.
        let listener = rustix::net::socket_with(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::STREAM,
            rustix::net::SocketFlags::NONBLOCK | rustix::net::SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        let address = rustix::net::SocketAddrUnix::new(place.socket()).unwrap();
        rustix::net::bind(&listener, &address).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = UnixStream::connect(place.socket()).await {
            waiting.push(stream);
        }
        assert!(!waiting.is_empty());

        let channel = if port { place.port() } else { place.vsock() };
        let connecting = tokio::spawn(async move { Agent::connect(&channel).await });
        let (commands, _receiver) = tokio::sync::mpsc::unbounded_channel();
        let listener = tokio::net::UnixListener::from_std(listener.into()).unwrap();
        // It has met the full backlog before there is room in it.
        tokio::task::yield_now().await;
        drop(waiting);
        let serving = async {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let commands = commands.clone();
                tokio::spawn(async move {
                    if port {
                        let mut port = guest::link::Port::new(stream);
                        while let Ok(Some(session)) = port.accept().await {
                            serve_session(session, commands.clone()).await;
                        }
                    } else {
                        let mut line = [0; 14];
                        if stream.read_exact(&mut line).await.is_ok() {
                            stream.write_all(b"OK 7\n").await.unwrap();
                            serve(stream, commands).await;
                        }
                    }
                });
            }
        };
        tokio::select! {
            () = serving => {}
            agent = connecting => {
                agent.unwrap().unwrap();
            }
        }
    }
}

/// By vsock each stream is a connection of its own; a snapshot of the machine goes on behind a new socket.
#[tokio::test]
async fn on_vsock_streams_end_with_the_vmm_and_the_next_ones_reach_what_was_restored() {
    let place = Place::new();
    let vmm = async || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        let socket = place.socket();
        let listening = runtime.spawn(async move { agent_on_vsock(&socket) });
        (runtime, listening.await.unwrap())
    };
    // It returns when all that it runs is gone, as a killed process is.
    let kill = async |vmm: tokio::runtime::Runtime| {
        tokio::task::spawn_blocking(move || drop(vmm)).await.unwrap();
    };
    let (first, mut commands) = vmm().await;
    let agent = Agent::connect(&place.vsock()).await.unwrap();
    let mut streams = Vec::new();
    for _ in 0..20 {
        let stream = agent.exec(&exec()).await.unwrap();
        streams.push((stream, commands.recv().await.unwrap()));
    }
    // Killed: its connections are gone from one moment to the next, its socket stays behind.
    kill(first).await;
    for (mut stream, command) in streams {
        drop(command);
        let ended = Frame::read(&mut stream).await;
        assert!(matches!(&ended, Ok(None) | Err(_)), "{ended:?}");
    }
    agent.exec(&exec()).await.unwrap_err();

    std::fs::remove_file(place.socket()).unwrap();
    let (second, mut commands) = vmm().await;
    let agent = Agent::connect(&place.vsock()).await.unwrap();
    let mut stream = agent.exec(&exec()).await.unwrap();
    let mut command = commands.recv().await.unwrap();
    Frame::Stdin(vec![1; 50_000]).write(&mut stream).await.unwrap();
    assert_eq!(
        Frame::read(&mut command).await.unwrap(),
        Some(Frame::Stdin(vec![1; 50_000]))
    );
    drop((stream, command));
    kill(second).await;
}
