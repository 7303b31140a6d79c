//! One exchange of a guest that lies: its first look at the request, and who answers.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, split};

use super::{Answer, Lie, answer};

/// Longest head of a request.
pub(crate) const LONGEST_HEAD: usize = 64 * 1024;

/// How long a lie goes on to a client that says nothing more.
const LAST_WORDS: Duration = Duration::from_secs(20);

/// Reads a request and answers it by the lie that `lie` has for it, or lets `agent` answer. `lie` is given the head, of
/// an exec with the body: what is to be run.
pub async fn follow<S, F>(
    mut stream: S,
    lie: impl FnOnce(&[u8]) -> Option<Lie>,
    agent: impl FnOnce(DuplexStream) -> F,
) where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = ()> + Send + 'static,
{
    let Some(mut request) = read_head(&mut stream).await else {
        return;
    };
    if request.starts_with(b"POST /v1/exec ") && read_body(&mut stream, &mut request).await.is_err() {
        return;
    }
    let lie = lie(&request).and_then(|lie| answer(lie, &request));
    // How a connection ends is the client's matter: he goes, or he gets what was asked for.
    let _ = match lie {
        Some(lie) => tell(stream, lie).await,
        None => {
            let (ours, theirs) = tokio::io::duplex(LONGEST_HEAD);
            tokio::spawn(agent(theirs));
            relay(stream, &request, ours).await
        }
    };
}

/// Says what is no truth. What the client sends meanwhile is read: it may not see an answer before it has sent all.
pub(crate) async fn tell(stream: impl AsyncRead + AsyncWrite, lie: Answer) -> io::Result<()> {
    let (mut from_client, mut to_client) = split(stream);
    let hear = async {
        let _ = tokio::io::copy(&mut from_client, &mut tokio::io::sink()).await;
    };
    let say = lie.say(&mut to_client);
    tokio::pin!(hear, say);
    tokio::select! {
        // The client is gone, or has closed its half: then it may still want to hear.
        () = &mut hear => tokio::time::timeout(LAST_WORDS, say).await.unwrap_or(Ok(())),
        said = &mut say => {
            // Closing with input unread would take the answer back.
            let _ = tokio::time::timeout(LAST_WORDS, hear).await;
            said
        }
    }
}

/// Carries bytes between the client and the agent, who gets first what was read of the request.
pub(crate) async fn relay(
    client: impl AsyncRead + AsyncWrite,
    request: &[u8],
    agent: DuplexStream,
) -> io::Result<()> {
    let (mut from_client, mut to_client) = split(client);
    let (mut from_agent, mut to_agent) = split(agent);
    let up = async {
        to_agent.write_all(request).await?;
        tokio::io::copy(&mut from_client, &mut to_agent).await?;
        to_agent.shutdown().await
    };
    let down = async {
        tokio::io::copy(&mut from_agent, &mut to_client).await?;
        to_client.shutdown().await
    };
    // An error of either ends both, as when a guest dies.
    tokio::try_join!(up, down).map(|_| ())
}

/// Reads up to the end of a head; what came with it of the rest is behind it.
pub(crate) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while end_of_head(&head).is_none() {
        if head.len() > LONGEST_HEAD || stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

/// Reads the body behind a head that says how long it is.
async fn read_body(stream: &mut (impl AsyncRead + Unpin), request: &mut Vec<u8>) -> io::Result<()> {
    let head = end_of_head(request).unwrap_or_default();
    let lines = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
    let length = lines
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .and_then(|length| length.trim().parse::<usize>().ok())
        .unwrap_or_default();
    while request.len() < head + length.min(LONGEST_HEAD) {
        if stream.read_buf(request).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

pub(crate) fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(4)
        .position(|end| end == b"\r\n\r\n")
        .map(|start| start + 4)
}
