//! Connections through a VMM's Unix socket for vsock: `CONNECT port`, `OK n`, then bytes.

use std::io;
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::PORT;

/// Longest answer to `CONNECT`: `OK `, ten digits, a line feed.
const MAX_ANSWER: usize = 14;

/// Why no connection came about.
pub(crate) enum Refusal {
    /// Nobody listens on the socket.
    NoMachine(io::Error),
    /// The VMM closed the connection: nothing listens in the guest yet, or the VMM is ending.
    NoListener,
    /// The answer is not one.
    Nonsense,
}

/// Connects to the agent's port.
pub(crate) async fn connect(socket: &Path) -> Result<UnixStream, Refusal> {
    let mut stream = UnixStream::connect(socket)
        .await
        .map_err(|error| match error.kind() {
            // The backlog is full: the VMM is there, and busy.
            io::ErrorKind::WouldBlock => Refusal::NoListener,
            _ => Refusal::NoMachine(error),
        })?;
    let request = format!("CONNECT {PORT}\n");
    stream
        .write_all(request.as_bytes())
        .await
        .map_err(|_| Refusal::NoListener)?;
    let mut answer = Vec::with_capacity(MAX_ANSWER);
    // Byte by byte: what follows the line is the agent's.
    loop {
        let byte = stream.read_u8().await.map_err(|_| Refusal::NoListener)?;
        match byte {
            b'\n' => break,
            _ if answer.len() + 1 == MAX_ANSWER => return Err(Refusal::Nonsense),
            _ => answer.push(byte),
        }
    }
    let number = answer.strip_prefix(b"OK ").unwrap_or_default();
    if number.is_empty() || !number.iter().all(u8::is_ascii_digit) {
        return Err(Refusal::Nonsense);
    }
    Ok(stream)
}
