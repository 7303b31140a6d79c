//! Ports of the machine, reached through its agent.

use std::net::Ipv6Addr;

use guest::forward::datagram;
use guest::{AgentError, Forward, ProblemCode, Protocol};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use crate::support::*;

async fn service() -> (TcpListener, Forward) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let forward = Forward::tcp(listener.local_addr().unwrap().port());
    (listener, forward)
}

#[tokio::test]
async fn each_half_of_a_connection_ends_by_itself() {
    for machine in [Machine::with_vsock(), Machine::with_port()] {
        let agent = machine.agent().await;
        let (listener, forward) = service().await;
        let mut stream = agent.forward(&forward).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();

        stream.write_all(b"question").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut question = String::new();
        server.read_to_string(&mut question).await.unwrap();
        assert_eq!(question, "question");
        let answer = vec![5; 3 << 20];
        let sent = answer.clone();
        tokio::spawn(async move {
            server.write_all(&sent).await.unwrap();
        });
        let mut read = Vec::new();
        stream.read_to_end(&mut read).await.unwrap();
        assert!(read == answer, "{} bytes", read.len());

        // The server may be first as well.
        let mut stream = agent.forward(&forward).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        server.write_all(b"welcome").await.unwrap();
        server.shutdown().await.unwrap();
        let mut welcome = String::new();
        stream.read_to_string(&mut welcome).await.unwrap();
        stream.write_all(b"thanks").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut thanks = String::new();
        server.read_to_string(&mut thanks).await.unwrap();
        assert_eq!((welcome.as_str(), thanks.as_str()), ("welcome", "thanks"));
    }
}

/// As many as a host asks one VM for.
#[tokio::test]
async fn five_hundred_idle_connections_are_carried_beside_commands_and_each_is_still_there() {
    const MOST: usize = 512;
    // All ends of all connections are this process's.
    let now = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: now.maximum,
        ..now
    };
    setrlimit(Resource::Nofile, all).unwrap();
    for machine in [Machine::with_vsock(), Machine::with_port()] {
        let agent = machine.agent().await;
        let (listener, forward) = service().await;
        let mut both = Vec::new();
        for _ in 0..MOST {
            let near = agent.forward(&forward).await.unwrap();
            both.push((near, listener.accept().await.unwrap().0));
        }
        assert_eq!(run(&agent, &sh("echo on")).await.stdout, "on\n");
        for (near, far) in &mut both {
            far.write_all(b"x").await.unwrap();
            assert_eq!(near.read_u8().await.unwrap(), b'x');
        }
    }
}

#[tokio::test]
async fn a_port_that_nothing_listens_on_is_refused_with_its_number() {
    let machine = Machine::with_port();
    let agent = machine.agent().await;
    let (listener, forward) = service().await;
    drop(listener);
    match agent.forward(&forward).await {
        Err(AgentError::Refused(problem)) => {
            assert_eq!(problem.code, ProblemCode::CannotConnect);
            assert_eq!(
                problem.message,
                format!("nothing listens on port {} in the guest", forward.port)
            );
        }
        other => panic!("{other:?}"),
    }
    assert!(agent.health().await.is_ok());
}

#[tokio::test]
async fn a_server_on_the_other_loopback_address_is_found_too() {
    let machine = Machine::with_vsock();
    let agent = machine.agent().await;
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let mut forward = Forward::tcp(listener.local_addr().unwrap().port());
    agent.forward(&forward).await.unwrap();
    listener.accept().await.unwrap();
    forward.host = Some(Ipv6Addr::LOCALHOST.into());
    agent.forward(&forward).await.unwrap();
    listener.accept().await.unwrap();
}

#[tokio::test]
async fn datagrams_keep_their_borders_both_ways() {
    for machine in [Machine::with_vsock(), Machine::with_port()] {
        let agent = machine.agent().await;
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let forward = Forward {
            protocol: Protocol::Udp,
            ..Forward::tcp(server.local_addr().unwrap().port())
        };
        let mut stream = agent.forward(&forward).await.unwrap();
        let (mut bytes, mut buffer) = (vec![0; datagram::LONGEST], Vec::new());
        for length in [0, 1, 1_400, 65_507] {
            let sent = vec![3; length];
            datagram::write(&mut stream, &sent).await.unwrap();
            let (received, peer) = server.recv_from(&mut bytes).await.unwrap();
            assert!(bytes[..received] == sent, "{length}");
            server.send_to(&sent, peer).await.unwrap();
            assert!(datagram::read(&mut stream, &mut buffer).await.unwrap());
            assert!(buffer == sent, "{length}");
        }
    }
}

#[tokio::test]
async fn a_datagram_that_is_refused_or_too_long_is_lost_and_the_next_one_is_not() {
    let machine = Machine::with_vsock();
    let agent = machine.agent().await;
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    drop(server);
    let forward = Forward {
        protocol: Protocol::Udp,
        ..Forward::tcp(address.port())
    };
    let mut stream = agent.forward(&forward).await.unwrap();
    datagram::write(&mut stream, b"for nobody").await.unwrap();
    datagram::write(&mut stream, &vec![0; datagram::LONGEST])
        .await
        .unwrap();
    let server = UdpSocket::bind(address).await.unwrap();
    let mut bytes = vec![0; 100];
    let heard = async {
        loop {
            let (length, _) = server.recv_from(&mut bytes).await.unwrap();
            if &bytes[..length] == b"for somebody" {
                return;
            }
        }
    };
    let said = async {
        loop {
            datagram::write(&mut stream, b"for somebody").await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = heard => {}
        () = said => {}
    }
}

#[tokio::test]
async fn a_host_that_goes_away_ends_its_connections() {
    for machine in [Machine::with_vsock(), Machine::with_port()] {
        let agent = machine.agent().await;
        let (listener, forward) = service().await;
        let stream = agent.forward(&forward).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        drop((stream, agent));
        let mut rest = Vec::new();
        let _ = server.read_to_end(&mut rest).await;
        assert_eq!(rest, b"");
    }
}

#[tokio::test]
async fn what_is_no_forward_is_refused() {
    let machine = Machine::with_vsock();
    for (upgrade, body, why) in [
        ("banger-forward", r#"{"port": 0}"#, "no port has the number 0"),
        ("banger-forward", r#"{"port": 65536}"#, "bad body"),
        (
            "banger-forward",
            r#"{"port": 80, "host": "localhost"}"#,
            "bad body",
        ),
        (
            "banger-forward",
            r#"{"port": 80, "protocol": "sctp"}"#,
            "bad body",
        ),
        ("banger-forward", r#"{"port": 80, "more": 1}"#, "bad body"),
        (
            "banger-exec",
            r#"{"port": 80}"#,
            "forward needs `Upgrade: banger-forward`",
        ),
    ] {
        let request = format!(
            "POST /v1/forward HTTP/1.1\r\nhost: agent\r\nconnection: upgrade\r\nupgrade: {upgrade}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = String::from_utf8(raw(&machine, request.as_bytes(), false).await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{body}: {answer}");
        assert!(answer.contains(why), "{body}: {answer}");
    }
}
