//! Two byte streams made one.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::sleep;

/// Bytes that a direction holds at first; one that keeps filling its buffer gets up to [`LARGEST`].
const SMALLEST: usize = 8 << 10;

/// Most bytes that a direction holds.
const LARGEST: usize = 64 << 10;

/// How long a connection may stay silent whose one direction has ended. A peer that has gone away looks the same as
/// one that has said all and listens; without an end to it, such connections would pile up.
pub(super) const SILENCE: Duration = Duration::from_secs(15 * 60);

/// Carries bytes both ways until both directions have ended, each by itself: the end of one is passed on, and the
/// other goes on. What one side does not take is not read from the other.
///
/// # Errors
/// The first failure of either stream, or a half-closed connection that fell silent; nothing is carried any more
/// then, and dropping both streams tells both sides.
pub async fn join<A, B>(near: &mut A, far: &mut B) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (from_near, to_near) = tokio::io::split(near);
    let (from_far, to_far) = tokio::io::split(far);
    let (ended, watched) = watch::channel(false);
    futures::try_join!(
        carry(from_near, to_far, &ended, watched.clone()),
        carry(from_far, to_near, &ended, watched),
    )?;
    Ok(())
}

async fn carry<R, W>(
    mut from: R,
    mut to: W,
    ended: &watch::Sender<bool>,
    mut other: watch::Receiver<bool>,
) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = vec![0; SMALLEST];
    loop {
        let step = async {
            let length = from.read(&mut buffer).await?;
            if length == 0 {
                to.shutdown().await?;
            } else {
                to.write_all(&buffer[..length]).await?;
                to.flush().await?;
            }
            Ok::<_, io::Error>(length)
        };
        let length = tokio::select! {
            length = step => length?,
            () = silence(&mut other) => return Err(io::ErrorKind::TimedOut.into()),
        };
        if length == 0 {
            ended.send_replace(true);
            return Ok(());
        }
        if length == buffer.len() && length < LARGEST {
            buffer.resize(2 * length, 0);
        }
    }
}

/// Ends when the other direction has ended and [`SILENCE`] has passed.
async fn silence(other: &mut watch::Receiver<bool>) {
    if other.wait_for(|ended| *ended).await.is_err() {
        std::future::pending::<()>().await;
    }
    sleep(SILENCE).await;
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn each_direction_ends_by_itself() {
        let (mut client, mut near) = duplex(64);
        let (mut server, mut far) = duplex(64);
        let joined = tokio::spawn(async move { join(&mut near, &mut far).await });
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut question = String::new();
        server.read_to_string(&mut question).await.unwrap();
        assert_eq!(question, "question");
        let answer = vec![7; 1 << 20];
        let (written, read) = tokio::join!(
            async {
                server.write_all(&answer).await.unwrap();
                server.shutdown().await
            },
            async {
                let mut read = Vec::new();
                client.read_to_end(&mut read).await.unwrap();
                read
            }
        );
        written.unwrap();
        assert!(read == answer, "{} bytes", read.len());
        joined.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_reads_is_not_taken() {
        let (mut client, mut near) = duplex(1 << 10);
        let (_server, mut far) = duplex(1 << 10);
        let joined = tokio::spawn(async move { join(&mut near, &mut far).await });
        let mut taken = 0;
        // The clock goes on only when nothing else can.
        while let Ok(written) = timeout(Duration::from_secs(1), client.write(&[0; 1 << 10])).await {
            taken += written.unwrap();
            assert!(taken <= LARGEST + (4 << 10), "{taken} bytes");
        }
        joined.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_connection_that_is_silent_ends_some_day_and_a_whole_one_does_not() {
        let (mut client, mut near) = duplex(64);
        let (_server, mut far) = duplex(64);
        let joined = tokio::spawn(async move { join(&mut near, &mut far).await });
        sleep(10 * SILENCE).await;
        assert!(!joined.is_finished());
        client.shutdown().await.unwrap();
        let error = joined.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_side_that_breaks_ends_both() {
        let (client, mut near) = duplex(64);
        let (mut server, mut far) = duplex(64);
        drop(client);
        let joined = tokio::spawn(async move { join(&mut near, &mut far).await });
        let mut nothing = Vec::new();
        server.read_to_end(&mut nothing).await.unwrap();
        // The client's end took the question for an end; what comes for it breaks.
        let _ = server.write_all(b"for nobody").await;
        assert!(joined.await.unwrap().is_err());
    }
}
