//! Guests that do not keep to the protocol: their session ends, the host does not.

use guest::frames::{Frame, FrameError};
use guest::link::{Decoder, HEADER, Header, Kind, MAX_PAYLOAD};
use guest::{Agent, AgentError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::support::*;

/// Takes a host's HELLO and acknowledges it.
async fn acknowledge(stream: &mut UnixStream) -> u64 {
    let mut decoder = Decoder::new();
    loop {
        assert_ne!(stream.read_buf(decoder.input()).await.unwrap(), 0);
        while let Some((header, _)) = decoder.next_frame() {
            if header.kind == Kind::Hello {
                let ack = Header {
                    kind: Kind::Ack,
                    session: header.session,
                    length: 0,
                };
                stream.write_all(&ack.encode()).await.unwrap();
                return header.session;
            }
        }
    }
}

fn data(session: u64, payload: &[u8]) -> Vec<u8> {
    let header = Header {
        kind: Kind::Data,
        session,
        length: payload.len(),
    };
    [&header.encode()[..], payload].concat()
}

/// Bytes of a guest, given the session's id.
type Hostile = fn(u64) -> Vec<u8>;

#[tokio::test]
async fn hostile_frames_end_the_session_only() {
    let hostile: [(&str, Hostile); 6] = [
        ("a multiplexer's header that is none", |id| data(id, &[0xff; 64])),
        ("a multiplexer's frame that is too long", |id| {
            data(id, &[0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff])
        }),
        ("data for a stream that was never opened, without end", |id| {
            let mut frame = vec![0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0x40, 0];
            frame.resize(12 + 0x4000, 7);
            data(id, &frame).repeat(200)
        }),
        ("streams that only a host may open, without end", |id| {
            (1..2000u32)
                .flat_map(|number| {
                    let [a, b, c, d] = (number * 2).to_be_bytes();
                    data(id, &[0, 1, 0, 1, a, b, c, d, 0, 0, 0, 0])
                })
                .collect()
        }),
        ("frames of other sessions and none at all", |id| {
            let mut bytes = data(!id, &[7; MAX_PAYLOAD]);
            bytes.extend([0xB7; 3 * HEADER]);
            bytes.extend(data(id, &[0xee; 12]));
            bytes
        }),
        ("a farewell in the middle of a frame", |id| {
            let mut bytes = data(id, &[0; 100]);
            bytes.truncate(60);
            bytes
        }),
    ];
    for (what, hostile) in hostile {
        let place = Place::new();
        let listener = UnixListener::bind(place.socket()).unwrap();
        let guest = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let id = acknowledge(&mut stream).await;
            // The host may have had enough before all of it is written.
            let _ = stream.write_all(&hostile(id)).await;
            drop(stream);
            listener
        });
        let agent = Agent::connect(&place.port()).await.unwrap();
        agent.closed().await;
        assert!(matches!(agent.health().await, Err(AgentError::Closed)), "{what}");

        // The next session is not the worse for it.
        drop(guest.await.unwrap());
        std::fs::remove_file(place.socket()).unwrap();
        let _commands = agent_on_port(&place.socket());
        let agent = Agent::connect(&place.port()).await.unwrap();
        assert_eq!(agent.health().await.unwrap().boot_id, BOOT_ID, "{what}");
    }
}

#[tokio::test]
async fn hostile_frames_of_a_command_end_that_command_only() {
    let place = Place::new();
    let mut commands = agent_on_port(&place.socket());
    let agent = Agent::connect(&place.port()).await.unwrap();
    let mut bystander = agent.exec(&exec()).await.unwrap();
    let mut untouched = commands.recv().await.unwrap();
    for hostile in [
        &[9, 0, 0, 0, 0][..],
        &[2, 0, 1, 0, 1],
        &[2, 0xff, 0xff, 0xff, 0xff],
        &[6, 0, 0, 0, 2, 2, 0],
        &[2, 0, 0, 0, 9, 1],
    ] {
        let mut stream = agent.exec(&exec()).await.unwrap();
        let mut command = commands.recv().await.unwrap();
        command.write_all(hostile).await.unwrap();
        command.shutdown().await.unwrap();
        let error = Frame::read(&mut stream).await.unwrap_err();
        match (hostile[0], error) {
            (9, FrameError::UnknownKind(9))
            | (6, FrameError::Malformed(6))
            | (2, FrameError::TooLong(_) | FrameError::Io(_)) => {}
            (_, error) => panic!("{hostile:?}: {error:?}"),
        }
    }
    Frame::Stdout(b"unharmed".to_vec())
        .write(&mut untouched)
        .await
        .unwrap();
    untouched.flush().await.unwrap();
    assert_eq!(
        Frame::read(&mut bystander).await.unwrap(),
        Some(Frame::Stdout(b"unharmed".to_vec()))
    );
}

#[tokio::test]
async fn answers_that_are_none_are_refused_within_bounds() {
    let json = |body: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let long = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 2 << 20) + &" ".repeat(2 << 20);
    let endless_head = "HTTP/1.1 200 OK\r\n".to_owned() + &"a: b\r\n".repeat(100_000);
    for answer in [
        String::new(),
        "garbage\r\n\r\n".to_owned(),
        json(""),
        json("{}"),
        json("[1,2,3]"),
        json("{\"generation\":-1}"),
        long,
        endless_head,
        "HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\n{}".to_owned(),
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n".to_owned(),
    ] {
        let place = Place::new();
        let listener = UnixListener::bind(place.socket()).unwrap();
        let said = answer.clone();
        let guest = tokio::spawn(async move {
            // The first connection is the one that tells of the guest's end.
            let mut held = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut line = [0; 14];
                stream.read_exact(&mut line).await.unwrap();
                stream.write_all(b"OK 1\n").await.unwrap();
                if held.is_empty() {
                    held.push(stream);
                } else {
                    let mut head = [0; 1024];
                    let _ = stream.read(&mut head).await;
                    let _ = stream.write_all(said.as_bytes()).await;
                }
            }
        });
        let agent = Agent::connect(&place.vsock()).await.unwrap();
        let health = agent.health().await;
        assert!(
            matches!(health, Err(AgentError::Protocol(_))),
            "{:?}: {health:?}",
            &answer[..answer.len().min(60)]
        );
        guest.abort();
    }
}

/// Heads before the one that counts, without end: they are not read for ever, whether somebody waits or not.
#[tokio::test]
async fn an_answer_that_never_begins_is_given_up_whatever_comes_in_its_place() {
    for goes_on in [
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 102 Processing\r\na: b\r\n\r\n",
    ] {
        let place = Place::new();
        let listener = UnixListener::bind(place.socket()).unwrap();
        let guest = tokio::spawn(async move {
            let mut said = 0;
            let mut held = Vec::new();
            // The first connection is the one that tells of the guest's end.
            while held.len() < 2 {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut line = [0; 14];
                stream.read_exact(&mut line).await.unwrap();
                stream.write_all(b"OK 1\n").await.unwrap();
                held.push(stream);
            }
            let mut head = [0; 1024];
            let _ = held[1].read(&mut head).await;
            let heads = goes_on.repeat(100);
            while held[1].write_all(heads.as_bytes()).await.is_ok() {
                said += heads.len();
            }
            // The machine goes on.
            (said, held)
        });
        let agent = Agent::connect(&place.vsock()).await.unwrap();
        let patience = std::time::Duration::from_secs(30);
        let health = tokio::time::timeout(patience, agent.health()).await;
        let health = health.expect("it is not waited for");
        assert!(matches!(health, Err(AgentError::Protocol(_))), "{health:?}");
        let said = tokio::time::timeout(patience, guest).await;
        let (said, _held) = said.expect("the connection is closed").unwrap();
        assert!(said < 4 << 20, "{said} bytes were taken");
    }
}
