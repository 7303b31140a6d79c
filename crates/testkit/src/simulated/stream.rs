//! One connection to a simulated machine: the handshake, the first look at the request, and what goes wrong then.

use std::io;
use std::time::Duration;

use guest::{Problem, ProblemCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;

use super::MachineFaults;
use crate::hostile;

/// Longest first line: `CONNECT ` and a port.
const LONGEST_LINE: usize = 32;
/// Longest head of a request.
const LONGEST_HEAD: usize = 64 * 1024;

/// How long a lie goes on to a client that says nothing more.
const LAST_WORDS: Duration = Duration::from_secs(20);

/// Reads `CONNECT <port>\n`; `None` for anything else.
pub async fn read_connect(stream: &mut UnixStream) -> Option<u32> {
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await.ok()? {
            b'\n' => break,
            byte if line.len() < LONGEST_LINE => line.push(byte),
            _ => return None,
        }
    }
    std::str::from_utf8(&line)
        .ok()?
        .strip_prefix("CONNECT ")?
        .parse()
        .ok()
}

/// Reads the head of the request, and does what the faults say or lets `agent` answer it.
pub async fn follow<F: Future<Output = ()> + Send + 'static>(
    mut stream: UnixStream,
    faults: &MachineFaults,
    agent: impl FnOnce(DuplexStream) -> F,
) {
    if faults.silent {
        // Whoever waits for an answer has to give up by himself.
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        return;
    }
    let Some(head) = read_head(&mut stream).await else {
        return;
    };
    let is_exec = head.starts_with(b"POST /v1/exec ");
    // How a connection ends is the client's matter: he goes, or he gets what was asked for.
    let lie = faults.lies.and_then(|lie| hostile::answer(lie, &head));
    let _ = if let Some(lie) = lie {
        tell(stream, lie).await
    } else if is_exec && faults.refuses_exec {
        refuse(&mut stream).await
    } else {
        let budget = faults.drops_exec_after.filter(|_| is_exec);
        let (ours, theirs) = tokio::io::duplex(LONGEST_HEAD);
        // A task of its own: what was asked for happens even if the client has left meanwhile.
        tokio::spawn(agent(theirs));
        relay(stream, &head, ours, budget).await
    };
}

/// Says what is no truth. What the client sends meanwhile is read: it may not see an answer before it has sent all.
async fn tell(stream: UnixStream, lie: hostile::Answer) -> io::Result<()> {
    let (mut from_client, mut to_client) = stream.into_split();
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

async fn refuse(stream: &mut UnixStream) -> io::Result<()> {
    let problem = Problem {
        code: ProblemCode::Internal,
        message: "this machine executes nothing".to_owned(),
    };
    let body = serde_json::to_string(&problem)?;
    let head = format!(
        "HTTP/1.1 500 Internal Server Error\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).await?;
    stream.shutdown().await?;
    // Closing with input unread would take the answer back.
    tokio::io::copy(stream, &mut tokio::io::sink()).await.map(|_| ())
}

/// Carries bytes between the client and the agent, who gets the head first.
async fn relay(client: UnixStream, head: &[u8], agent: DuplexStream, budget: Option<u64>) -> io::Result<()> {
    let (mut from_client, to_client) = client.into_split();
    let (from_agent, mut to_agent) = tokio::io::split(agent);
    let up = async {
        to_agent.write_all(head).await?;
        tokio::io::copy(&mut from_client, &mut to_agent).await?;
        to_agent.shutdown().await
    };
    // An error of either ends both, as when a guest dies.
    tokio::try_join!(up, carry_answer(from_agent, to_client, budget)).map(|_| ())
}

/// Carries the answer, and breaks when `budget` bytes have followed its head.
async fn carry_answer(
    mut from_agent: ReadHalf<DuplexStream>,
    mut to_client: OwnedWriteHalf,
    budget: Option<u64>,
) -> io::Result<()> {
    if let Some(budget) = budget {
        let head = read_head(&mut from_agent)
            .await
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        let end = end_of_head(&head).unwrap_or(head.len());
        let early = head
            .len()
            .min(end.saturating_add(usize::try_from(budget).unwrap_or(usize::MAX)));
        to_client.write_all(&head[..early]).await?;
        let mut rest = from_agent.take(budget - (early - end) as u64);
        tokio::io::copy(&mut rest, &mut to_client).await?;
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    tokio::io::copy(&mut from_agent, &mut to_client).await?;
    to_client.shutdown().await
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while end_of_head(&head).is_none() {
        if head.len() > LONGEST_HEAD || stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(4)
        .position(|end| end == b"\r\n\r\n")
        .map(|start| start + 4)
}
