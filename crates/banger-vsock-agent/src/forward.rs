//! Forwarded connections: the agent connects to a port that the guest can reach, and carries what is said there.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use guest::forward::{datagram, join};
use guest::{Forward, Problem, ProblemCode, Protocol};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::carry::Carry;
use crate::problem::{bad_request, internal, problem};

/// Connections at a time; more of them wait. Above what one session of a host has, so that those of a session that
/// has just ended are in nobody's way.
const MAX_CONNECTIONS: usize = 640;

/// How long a connection may take to come about.
const PATIENCE: Duration = Duration::from_secs(10);

/// The forwarded connections of a machine.
#[derive(Debug)]
pub struct Forwards {
    slots: Arc<Semaphore>,
}

impl Default for Forwards {
    fn default() -> Self {
        Self {
            slots: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
        }
    }
}

/// A connection that nothing is carried over yet.
#[derive(Debug)]
pub(crate) struct Connected {
    socket: Socket,
    _slot: OwnedSemaphorePermit,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Udp(UdpSocket),
}

impl Forwards {
    /// Connects, once there is room for one more.
    pub(crate) async fn connect(&self, forward: &Forward) -> Result<Connected, Problem> {
        if forward.port == 0 {
            return Err(bad_request("no port has the number 0"));
        }
        let no_room = |error| internal("no room for the connection", error);
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(no_room)?;
        let socket = match forward.protocol {
            Protocol::Tcp => connect_tcp(forward).await.map(Socket::Tcp),
            Protocol::Udp => connect_udp(forward).await.map(Socket::Udp),
        };
        let socket = socket.map_err(|error| cannot_connect(forward, &error))?;
        Ok(Connected { socket, _slot: slot })
    }
}

/// A service may listen on either loopback address only.
async fn connect_tcp(forward: &Forward) -> io::Result<TcpStream> {
    let addresses: &[IpAddr] = match &forward.host {
        Some(host) => &[*host],
        None => &[IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)],
    };
    let mut first_error = None;
    for address in addresses {
        let connecting = TcpStream::connect(SocketAddr::new(*address, forward.port));
        match timeout(PATIENCE, connecting).await {
            Ok(Ok(stream)) => {
                // What is small is not to wait for more.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => first_error.get_or_insert(error),
            Err(_) => first_error.get_or_insert(io::ErrorKind::TimedOut.into()),
        };
    }
    Err(first_error.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()))
}

async fn connect_udp(forward: &Forward) -> io::Result<UdpSocket> {
    let host = forward.host.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let any = match host {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    socket.connect(SocketAddr::new(host, forward.port)).await?;
    Ok(socket)
}

fn cannot_connect(forward: &Forward, error: &io::Error) -> Problem {
    let message = match (forward.host, error.kind()) {
        (None, io::ErrorKind::ConnectionRefused) => {
            format!("nothing listens on port {} in the guest", forward.port)
        }
        (None, _) => format!("cannot connect to port {} in the guest: {error}", forward.port),
        (Some(host), _) => format!(
            "cannot connect to {} from the guest: {error}",
            SocketAddr::new(host, forward.port)
        ),
    };
    problem(ProblemCode::CannotConnect, message)
}

impl Carry for Connected {
    /// How it ended is shown to both by their sockets.
    async fn carry<S: AsyncRead + AsyncWrite + Send + Unpin>(self, mut stream: S) -> bool {
        match self.socket {
            Socket::Tcp(mut connection) => {
                let joined = join(&mut stream, &mut connection).await;
                if joined.is_err() {
                    // Closing it in order would say that all has been sent.
                    let _ = connection.set_zero_linger();
                }
                joined.is_ok()
            }
            Socket::Udp(socket) => {
                carry_datagrams(stream, &socket).await;
                true
            }
        }
    }
}

/// Ends when the host's side does. A datagram that is refused or too long is lost, as datagrams may be.
async fn carry_datagrams<S: AsyncRead + AsyncWrite>(stream: S, socket: &UdpSocket) {
    let (mut from_host, mut to_host) = tokio::io::split(stream);
    let to_guest = async {
        let mut bytes = Vec::new();
        while let Ok(true) = datagram::read(&mut from_host, &mut bytes).await {
            let _ = socket.send(&bytes).await;
        }
    };
    let from_guest = async {
        let mut bytes = vec![0; datagram::LONGEST];
        loop {
            match socket.recv(&mut bytes).await {
                Ok(length) => {
                    if datagram::write(&mut to_host, &bytes[..length]).await.is_err() {
                        return;
                    }
                }
                // Nothing listens there, now; the answer to an earlier datagram says so.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(_) => return,
            }
        }
    };
    tokio::select! {
        () = to_guest => {}
        () = from_guest => {}
    }
}
