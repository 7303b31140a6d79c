//! Ports of the host that lead into simulated machines, whose guests are processes of this host.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod support;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use api::{CreateVm, ErrorCode, PortForward, VmState};
use engine::Engine;
use guest::Forward;
use guest::forward::Slots;
use support::{Host, delete, vm};
use testkit::Action;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// Far less than the time that a half-closed connection may be silent.
const SOON: Duration = Duration::from_secs(60);

/// A server of the guest's, and its port.
async fn server() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A port of this host that is free, and that the system gives nobody who asks for any: it stays free.
fn quiet_port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 1_000).unwrap() * 10;
    loop {
        let port = first + TAKEN.fetch_add(1, Ordering::Relaxed) % 10;
        if std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

fn published(name: &str, host: u16, guest: u16) -> CreateVm {
    let port = format!("{host}:{guest}").parse().unwrap();
    CreateVm {
        publish: vec![port],
        ..vm(name, true)
    }
}

/// Creates and starts it; gives what it is published on.
async fn run(engine: &Engine, request: CreateVm) -> PortForward {
    let operation = engine.vms().create(request).await.unwrap();
    operation.wait().await.unwrap().unwrap().publish[0]
}

async fn reaches(endpoint: SocketAddr, server: &TcpListener) {
    let mut near = TcpStream::connect(endpoint).await.unwrap();
    let (mut far, _) = server.accept().await.unwrap();
    near.write_all(b"hi").await.unwrap();
    near.shutdown().await.unwrap();
    let mut heard = String::new();
    far.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "hi");
}

/// Fails if anybody has it.
async fn assert_free(endpoint: SocketAddr) {
    drop(TcpListener::bind(endpoint).await.unwrap());
}

#[tokio::test]
async fn a_published_port_is_there_while_the_vm_runs_and_free_when_it_does_not() {
    let host = Host::new();
    let engine = host.engine().await;
    let leaks = host.leaks();
    let (server, guest) = server().await;
    let port = run(&engine, published("a", quiet_port(), guest)).await;
    reaches(port.reachable(), &server).await;
    engine.vms().stop("a").await.unwrap().wait().await.unwrap();
    assert_free(port.reachable()).await;
    let started = engine
        .vms()
        .start("a")
        .await
        .unwrap()
        .wait()
        .await
        .unwrap()
        .unwrap();
    assert_eq!(started.publish, [port]);
    reaches(port.reachable(), &server).await;
    delete(&engine, "a").await;
    assert_free(port.reachable()).await;
    leaks.assert_none_since().await;
}

/// As by a child of the daemon's own that has not yet closed what is not its.
#[tokio::test]
async fn a_port_that_is_just_being_given_up_is_had() {
    let host = Host::new();
    let engine = host.engine().await;
    let (before, taken) = server().await;
    let soon = async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(before);
    };
    let (port, ()) = tokio::join!(run(&engine, published("a", taken, 9)), soon);
    assert_eq!(port.host, taken);
    delete(&engine, "a").await;
}

#[tokio::test]
async fn where_any_port_would_do_the_one_that_was_found_is_the_vms() {
    let host = Host::new();
    let engine = host.engine().await;
    let (server, guest) = server().await;
    let port = run(&engine, published("a", 0, guest)).await;
    assert_ne!(port.host, 0);
    reaches(port.reachable(), &server).await;
    assert_eq!(engine.vms().show("a").await.unwrap().publish, [port]);
    delete(&engine, "a").await;
}

#[tokio::test]
async fn a_taken_port_is_refused_before_the_vm_exists() {
    let host = Host::new();
    let engine = host.engine().await;
    let leaks = host.leaks();
    let (_taken, port) = server().await;
    for start in [true, false] {
        let request = CreateVm {
            start,
            ..published("a", port, 80)
        };
        let error = engine.vms().create(request).await.unwrap_err().to_api();
        assert_eq!(error.code, ErrorCode::PortUnavailable);
        assert_eq!(
            error.message,
            format!("cannot publish port {port}: it is taken on this host")
        );
        assert!(
            error
                .hint
                .unwrap()
                .contains("choose another, for example --publish ")
        );
    }
    assert!(engine.vms().list().await.unwrap().is_empty());
    leaks.assert_none_since().await;
}

#[tokio::test]
async fn localhost_is_published_at_both_of_its_addresses_and_refused_where_either_is_taken() {
    let host = Host::new();
    let engine = host.engine().await;
    let (server, guest) = server().await;
    for wanted in [0, quiet_port()] {
        let port = run(&engine, published("a", wanted, guest)).await;
        let [v4, v6] = port.endpoints()[..] else {
            panic!("{port} is bound at two addresses")
        };
        assert_eq!(
            (v4.ip(), v6.ip()),
            (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into())
        );
        for endpoint in [v4, v6] {
            reaches(endpoint, &server).await;
        }
        delete(&engine, "a").await;
        for endpoint in [v4, v6] {
            assert_free(endpoint).await;
        }
        let taken = TcpListener::bind(v6).await.unwrap();
        let error = engine
            .vms()
            .create(published("a", port.host, 80))
            .await
            .unwrap_err()
            .to_api();
        assert_eq!(
            error.message,
            format!(
                "cannot publish port {}: it is taken on this host at ::1",
                port.host
            )
        );
        // One address alone is as it was.
        let mut alone = published("a", port.host, guest);
        alone.publish = vec![format!("127.0.0.1:{}:{guest}", port.host).parse().unwrap()];
        reaches(run(&engine, alone).await.reachable(), &server).await;
        delete(&engine, "a").await;
        drop(taken);
    }
}

#[tokio::test]
async fn a_port_that_is_taken_later_keeps_the_vm_from_starting_and_does_no_more() {
    let host = Host::new();
    let engine = host.engine().await;
    let (server, guest) = server().await;
    let port = run(&engine, published("a", quiet_port(), guest)).await;
    engine.vms().stop("a").await.unwrap().wait().await.unwrap();
    let taken = TcpListener::bind(port.reachable()).await.unwrap();
    let error = engine.vms().start("a").await.unwrap().wait().await.unwrap_err();
    assert_eq!(error.code, ErrorCode::PortUnavailable, "{error}");
    assert_eq!(
        error.hint.unwrap(),
        format!("see who has it: ss -lntup 'sport = :{}'", port.host)
    );
    assert_eq!(engine.vms().show("a").await.unwrap().state, VmState::Stopped);
    drop(taken);
    engine.vms().start("a").await.unwrap().wait().await.unwrap();
    reaches(port.reachable(), &server).await;
    delete(&engine, "a").await;
}

#[tokio::test]
async fn a_create_that_fails_leaves_its_ports_free() {
    let host = Host::new();
    let engine = host.engine().await;
    let port = quiet_port();
    let endpoint = (Ipv4Addr::LOCALHOST, port).into();
    host.points.arm("create.image", Action::Fail);
    let operation = engine.vms().create(published("a", port, 80)).await.unwrap();
    operation.wait().await.unwrap_err();
    assert_free(endpoint).await;
}

#[tokio::test]
async fn bad_ports_are_refused_with_the_value() {
    let host = Host::new();
    let engine = host.engine().await;
    let mut request = published("a", 0, 80);
    request.publish[0].guest = 0;
    let error = engine.vms().create(request.clone()).await.unwrap_err();
    assert!(error.to_string().contains("localhost:0->0/tcp"), "{error}");
    request.publish = vec![
        PortForward {
            guest: 80,
            ..request.publish[0]
        };
        65
    ];
    let error = engine.vms().create(request.clone()).await.unwrap_err();
    assert!(error.to_string().contains("at most 64"), "{error}");
    request.publish = ["8080:80", "0.0.0.0:8080:81"]
        .map(|port| port.parse().unwrap())
        .into();
    let error = engine.vms().create(request).await.unwrap_err();
    assert!(
        error.to_string().contains("localhost:8080->80/tcp has that port"),
        "{error}"
    );
    assert!(engine.vms().list().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_port_that_another_vm_has_is_refused_with_its_name_until_that_one_is_off() {
    let host = Host::new();
    let engine = host.engine().await;
    let leaks = host.leaks();
    let (server, guest) = server().await;
    let port = run(&engine, published("a", quiet_port(), guest)).await;
    let error = engine.vms().create(published("b", port.host, guest)).await;
    let error = error.unwrap_err().to_api();
    assert_eq!(
        (error.code, error.message),
        (
            ErrorCode::PortUnavailable,
            format!("cannot publish port {}: VM `a` has it", port.host)
        )
    );
    assert!(error.hint.unwrap().contains("--publish "));
    engine.vms().stop("a").await.unwrap().wait().await.unwrap();
    assert_eq!(run(&engine, published("b", port.host, guest)).await, port);
    let error = engine.vms().start("a").await.unwrap().wait().await.unwrap_err();
    assert_eq!(
        error.message,
        format!("cannot publish port {}: VM `b` has it", port.host)
    );
    assert_eq!(
        error.hint.as_deref(),
        Some("stop that one first: banger vm stop b")
    );
    delete(&engine, "b").await;
    engine.vms().start("a").await.unwrap().wait().await.unwrap();
    reaches(port.reachable(), &server).await;
    delete(&engine, "a").await;
    leaks.assert_none_since().await;
}

#[tokio::test]
async fn of_two_vms_that_want_one_port_at_once_one_gets_it() {
    let host = Host::new();
    let engine = host.engine().await;
    let port = quiet_port();
    let vms = engine.vms();
    let (a, b) = tokio::join!(
        vms.create(published("a", port, 80)),
        vms.create(published("b", port, 80))
    );
    assert_ne!(a.is_ok(), b.is_ok(), "{a:?} {b:?}");
    a.or(b).unwrap().wait().await.unwrap();
    assert_eq!(vms.list().await.unwrap().len(), 1);
    let name = &vms.list().await.unwrap()[0].name;
    delete(&engine, name).await;
}

#[tokio::test]
async fn datagrams_reach_a_published_port_and_come_back() {
    let host = Host::new();
    let engine = host.engine().await;
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let guest = server.local_addr().unwrap().port();
    let request = CreateVm {
        publish: vec![format!("0:{guest}/udp").parse().unwrap()],
        ..vm("a", true)
    };
    let port = run(&engine, request).await;
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    client.send_to(b"question", port.reachable()).await.unwrap();
    let mut buffer = [0; 64];
    let (length, from) = server.recv_from(&mut buffer).await.unwrap();
    assert_eq!(&buffer[..length], b"question");
    server.send_to(b"answer", from).await.unwrap();
    let (length, from) = client.recv_from(&mut buffer).await.unwrap();
    assert_eq!((&buffer[..length], from), (&b"answer"[..], port.reachable()));
    engine.vms().stop("a").await.unwrap().wait().await.unwrap();
    drop(UdpSocket::bind(port.reachable()).await.unwrap());
    delete(&engine, "a").await;
}

/// A connection beyond the limit is reset at once. Slots are free again once the clients are gone, although the guest
/// never closes anything.
#[tokio::test]
async fn a_crowd_at_a_published_port_gets_its_limit_of_connections_and_no_more() {
    let host = Host::new();
    let engine = host.engine().await;
    let (server, guest) = server().await;
    let port = run(&engine, published("a", quiet_port(), guest)).await;
    let keeping = tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((connection, _)) = server.accept().await {
            kept.push(connection);
        }
    });
    let most = Slots::of_process().for_vm("a", "a").most();
    let mut crowd = Vec::new();
    for _ in 0..most {
        crowd.push(TcpStream::connect(port.reachable()).await.unwrap());
    }
    // The reset may come before `connect` returns.
    let refused = async { TcpStream::connect(port.reachable()).await?.read(&mut [0]).await };
    let refused = tokio::time::timeout(SOON, refused).await.unwrap();
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let told = engine.vms().show("a").await.unwrap().connections.unwrap();
    assert_eq!(
        (told.open, told.most, told.refused),
        (most as u32, most as u32, 1)
    );
    // The API takes from the same slots.
    let error = engine.vms().forward("a", &Forward::tcp(guest)).await.unwrap_err();
    assert_eq!(error.to_api().code, ErrorCode::PortUnavailable, "{error}");
    for client in &crowd {
        client.set_zero_linger().unwrap();
    }
    drop(crowd);
    let wanted = Forward::tcp(guest);
    let freed = async {
        while engine.vms().forward("a", &wanted).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(SOON, freed).await.unwrap();
    keeping.abort();
    delete(&engine, "a").await;
}
