//! One connection to a simulated machine: the handshake, the first look at the request, and what goes wrong then.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use guest::{Problem, ProblemCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, split};
use tokio::net::UnixStream;
use tokio_util::io::InspectReader;

use super::MachineFaults;
use crate::hostile::{self, LONGEST_HEAD, end_of_head, read_head, relay, tell};

/// Longest first line: `CONNECT ` and a port.
const LONGEST_LINE: usize = 32;

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
pub async fn follow<S, F>(mut stream: S, faults: &MachineFaults, agent: impl FnOnce(DuplexStream) -> F)
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Future<Output = ()> + Send + 'static,
{
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
    let lie = faults
        .lies
        .filter(|_| head.starts_with(faults.lies_to.as_bytes()));
    let lie = lie.and_then(|lie| hostile::answer(lie, &head));
    let _ = if let Some(lie) = lie {
        tell(stream, lie).await
    } else if is_exec && faults.refuses_exec {
        refuse(&mut stream).await
    } else {
        let budget = faults.drops_exec_after.filter(|_| is_exec);
        let (ours, theirs) = tokio::io::duplex(LONGEST_HEAD);
        // A task of its own: what was asked for happens even if the client has left meanwhile.
        tokio::spawn(agent(theirs));
        match budget {
            Some(budget) => break_off(stream, &head, ours, budget).await,
            None => match faults.traffic.as_deref().map(|folder| keep(folder, &head)) {
                None => relay(stream, &head, ours).await,
                Some(Err(error)) => Err(error),
                Some(Ok(mut kept)) => {
                    // One that is cut short is found out by what is missing in it.
                    let keep = move |bytes: &[u8]| drop(kept.write_all(bytes));
                    relay(InspectReader::new(stream, keep), &head, ours).await
                }
            },
        }
    };
}

/// A file for what a client sends on a connection, after what it has sent already.
fn keep(folder: &Path, sent: &[u8]) -> io::Result<File> {
    let mut file = File::create(folder.join(uuid::Uuid::new_v4().to_string()))?;
    file.write_all(sent)?;
    Ok(file)
}

async fn refuse(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
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

/// Carries bytes between the client and the agent, and breaks when `budget` of them have followed the answer's head.
async fn break_off(
    client: impl AsyncRead + AsyncWrite,
    head: &[u8],
    agent: DuplexStream,
    budget: u64,
) -> io::Result<()> {
    let (mut from_client, mut to_client) = split(client);
    let (mut from_agent, mut to_agent) = split(agent);
    let up = async {
        to_agent.write_all(head).await?;
        tokio::io::copy(&mut from_client, &mut to_agent).await?;
        to_agent.shutdown().await
    };
    let down = async {
        let answer = read_head(&mut from_agent)
            .await
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        let end = end_of_head(&answer).unwrap_or(answer.len());
        let early = answer
            .len()
            .min(end.saturating_add(usize::try_from(budget).unwrap_or(usize::MAX)));
        to_client.write_all(&answer[..early]).await?;
        let mut rest = from_agent.take(budget - (early - end) as u64);
        tokio::io::copy(&mut rest, &mut to_client).await?;
        Err::<(), _>(io::ErrorKind::BrokenPipe.into())
    };
    // An error of either ends both, as when a guest dies.
    tokio::try_join!(up, down).map(|_| ())
}
