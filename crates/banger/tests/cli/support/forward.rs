//! Ports of a guest: those of this host.

use std::net::Ipv4Addr;
use std::sync::Arc;

use api::{ErrorCode, GuestPort, GuestPorts, VmState};
use guest::forward::{datagram, join};
use guest::{Forward, Listener, Process, Protocol, UPGRADE_FORWARD};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UdpSocket};

use super::daemon::State;
use super::routes::{Answer, body, failure, find, whole};

/// Connects to a port, joined to the connection.
pub async fn forward(state: Arc<State>, reference: &str, mut request: Request<Incoming>) -> Answer {
    let vm = match find(&state, reference) {
        Ok(vm) => vm,
        Err(failure) => return *failure,
    };
    if vm.state != VmState::Running {
        let message = format!("cannot connect to a port of `{}`: it is {}", vm.name, vm.state);
        return failure(
            ErrorCode::VmState,
            message,
            Some("start it first: banger vm start box"),
        );
    }
    let upgrade = hyper::upgrade::on(&mut request);
    let forward: Forward = body(request).await;
    match forward.protocol {
        Protocol::Tcp => {
            let Ok(mut connection) = TcpStream::connect((Ipv4Addr::LOCALHOST, forward.port)).await else {
                let message = format!("nothing listens on port {} in the guest", forward.port);
                return failure(ErrorCode::CannotConnect, message, None);
            };
            tokio::spawn(async move {
                let mut client = TokioIo::new(upgrade.await.unwrap());
                let _ = join(&mut client, &mut connection).await;
            });
        }
        Protocol::Udp => {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            socket.connect((Ipv4Addr::LOCALHOST, forward.port)).await.unwrap();
            tokio::spawn(async move { datagrams(upgrade.await.unwrap(), socket).await });
        }
    }
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "upgrade")
        .header(UPGRADE, UPGRADE_FORWARD)
        .body(whole(""))
        .unwrap()
}

/// What listens in every guest; its port 80 is published.
pub fn listeners() -> GuestPorts {
    let listener = |protocol, address: &str, port, process: Option<&str>, http| Listener {
        protocol,
        address: address.parse().unwrap(),
        port,
        process: process.map(|name| Process {
            pid: 400 + u32::from(port),
            name: name.into(),
        }),
        http,
    };
    let published = ["8080:80".parse().unwrap()];
    GuestPorts {
        ports: [
            listener(Protocol::Tcp, "::", 22, Some("sshd"), false),
            listener(Protocol::Udp, "0.0.0.0", 68, None, false),
            listener(Protocol::Tcp, "0.0.0.0", 80, Some("nginx"), true),
            listener(Protocol::Tcp, "127.0.0.1", 6666, Some("\x1b[2Jevil\n"), true),
        ]
        .map(|listener| GuestPort::of(listener, &published))
        .into(),
        more: true,
    }
}

async fn datagrams(client: Upgraded, socket: UdpSocket) {
    let (mut reader, mut writer) = tokio::io::split(TokioIo::new(client));
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; datagram::LONGEST]);
    let up = async {
        while let Ok(true) = datagram::read(&mut reader, &mut bytes).await {
            let _ = socket.send(&bytes).await;
        }
    };
    let down = async {
        while let Ok(length) = socket.recv(&mut buffer).await {
            datagram::write(&mut writer, &buffer[..length]).await.unwrap();
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}
