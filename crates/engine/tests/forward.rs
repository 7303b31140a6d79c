//! Ports of simulated machines.

mod support;

use engine::EngineError;
use guest::Forward;
use support::{Host, delete, run, vm};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

#[tokio::test]
async fn a_port_of_a_running_vm_is_reached_and_one_of_a_stopped_vm_is_not() {
    let host = Host::new();
    let engine = host.engine().await;
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let forward = Forward::tcp(server.local_addr().unwrap().port());
    run(&engine, "a").await;
    let mut stream = engine.vms().forward("a", &forward).await.unwrap();
    let (mut accepted, _) = server.accept().await.unwrap();
    stream.write_all(b"hi").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut heard = String::new();
    accepted.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "hi");
    drop(server);
    let error = engine.vms().forward("a", &forward).await.unwrap_err();
    assert_eq!(error.to_api().code, api::ErrorCode::CannotConnect, "{error}");

    engine
        .vms()
        .create(vm("off", false))
        .await
        .unwrap()
        .wait()
        .await
        .unwrap();
    let error = engine.vms().forward("off", &forward).await.unwrap_err();
    assert!(matches!(error, EngineError::WrongState { .. }), "{error}");
    delete(&engine, "a").await;
    delete(&engine, "off").await;
}

#[tokio::test]
async fn what_listens_in_a_vm_is_listed_with_its_process() {
    let host = Host::new();
    let engine = host.engine().await;
    run(&engine, "a").await;
    // A simulated guest is a process of this host.
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    let ports = engine.vms().ports("a").await.unwrap();
    let found = ports.ports.iter().find(|found| found.listener.port == port);
    let process = found.unwrap().listener.process.as_ref().unwrap();
    assert_eq!(process.pid, std::process::id());
    delete(&engine, "a").await;
}
