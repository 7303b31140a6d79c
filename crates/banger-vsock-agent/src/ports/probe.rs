//! Which listeners speak HTTP: those that answer a question in it with one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use guest::{Listener, Protocol};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long all of them have for their answers.
pub(super) const PATIENCE: Duration = Duration::from_millis(300);

/// Most listeners that are asked; they are asked at once.
const MAX_ASKED: usize = 64;

/// What is asked: of all questions, the one that asks for least.
const QUESTION: &[u8] =
    b"HEAD / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: banger\r\nConnection: close\r\n\r\n";

/// What every answer begins with (RFC 9112, 4).
const ANSWER: &[u8; 7] = b"HTTP/1.";

/// Asks the TCP listeners, and notes which have answered.
pub(super) async fn ask_all(listeners: &mut [Listener], patience: Duration) {
    let tcp = listeners
        .iter_mut()
        .filter(|listener| listener.protocol == Protocol::Tcp);
    let mut asked: FuturesUnordered<_> = tcp
        .take(MAX_ASKED)
        .map(|listener| async {
            listener.http = speaks_http(SocketAddr::new(reachable(listener.address), listener.port)).await;
        })
        .collect();
    // Those that have not answered by then are none.
    let _ = timeout(patience, async { while asked.next().await.is_some() {} }).await;
}

/// Where a listener is reached from the machine that it listens on.
fn reachable(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    }
}

async fn speaks_http(endpoint: SocketAddr) -> bool {
    let asked = async {
        let mut stream = TcpStream::connect(endpoint).await?;
        stream.write_all(QUESTION).await?;
        let mut answer = [0; ANSWER.len()];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer == *ANSWER)
    };
    asked.await.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn only_who_answers_in_http_speaks_it() {
        let mut listeners = Vec::new();
        let answers: [&[u8]; 4] = [
            b"HTTP/1.0 404 Not Found\r\n\r\n",
            b"SSH-2.0-OpenSSH_9.2p1\r\n",
            b"HTTP",
            b"",
        ];
        for answer in answers {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            listeners.push(Listener {
                protocol: Protocol::Tcp,
                address: "0.0.0.0".parse().unwrap(),
                port: address.port(),
                process: None,
                http: false,
            });
            tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut question = vec![0; QUESTION.len()];
                stream.read_exact(&mut question).await.unwrap();
                stream.write_all(answer).await.unwrap();
            });
        }
        ask_all(&mut listeners, Duration::from_secs(60)).await;
        let http: Vec<bool> = listeners.iter().map(|listener| listener.http).collect();
        assert_eq!(http, [true, false, false, false]);
    }

    #[tokio::test]
    async fn who_says_nothing_is_not_waited_for() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut listeners = [Listener {
            protocol: Protocol::Tcp,
            address: Ipv4Addr::LOCALHOST.into(),
            port: silent.local_addr().unwrap().port(),
            process: None,
            http: false,
        }];
        ask_all(&mut listeners, PATIENCE).await;
        assert!(!listeners[0].http);
    }
}
