//! The way from PID 1 to the agent beside it: a socket that only root can reach, on which only PID 1 is believed.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use guest::Shutdown;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::time::timeout;

use super::Farewell;

/// Where the agent listens. On the tmpfs that an init keeps until the end, and takes along where it changes its root.
const SOCKET: &str = "/run/banger/shutdown.sock";

/// Longest word.
const LONGEST: usize = 16;

/// What a side gives the other. The agent's wait for the host is part of it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Passes on what PID 1 says, one word a connection, for as long as the agent runs.
pub(crate) async fn listen(farewell: &Farewell) -> io::Result<()> {
    listen_at(Path::new(SOCKET), 1, farewell).await
}

/// Says it to the agent, and returns when the host knows; soon in any case, at once where there is no agent.
pub(crate) fn tell(how: Shutdown) {
    // An agent that is gone, or hangs, keeps no machine from its end.
    let _ = tell_at(Path::new(SOCKET), how);
}

async fn listen_at(path: &Path, first: i32, farewell: &Farewell) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        if stream.peer_cred()?.pid() != Some(first) {
            continue;
        }
        let mut word = Vec::with_capacity(LONGEST);
        let mut limited = (&mut stream).take(LONGEST as u64);
        let read = timeout(PATIENCE, limited.read_to_end(&mut word)).await;
        if !matches!(read, Ok(Ok(_))) {
            continue;
        }
        if let Ok(how) = serde_json::from_slice(&word) {
            farewell.say(how).await;
            // Whoever waits sees the end of the stream.
            let _ = stream.shutdown().await;
        }
    }
}

fn tell_at(path: &Path, how: Shutdown) -> io::Result<()> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&serde_json::to_vec(&how)?)?;
    stream.shutdown(std::net::Shutdown::Write)?;
    stream.read_to_end(&mut Vec::new()).map(drop)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::FutureExt as _;

    use super::*;

    /// Begins to listen; `first` is who is believed.
    async fn listening(first: i32) -> (tempfile::TempDir, Arc<Farewell>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("banger/shutdown.sock");
        let farewell = Arc::new(Farewell::default());
        let (at, heard) = (path.clone(), Arc::clone(&farewell));
        tokio::spawn(async move { listen_at(&at, first, &heard).await });
        while !path.exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        (folder, farewell)
    }

    async fn say(folder: &tempfile::TempDir, how: Shutdown) -> io::Result<()> {
        let path = folder.path().join("banger/shutdown.sock");
        tokio::task::spawn_blocking(move || tell_at(&path, how))
            .await
            .unwrap()
    }

    fn own() -> i32 {
        std::process::id().cast_signed()
    }

    #[tokio::test]
    async fn each_word_arrives_and_its_sender_returns() {
        for how in [Shutdown::PowerOff, Shutdown::Halt, Shutdown::Reboot] {
            let (folder, farewell) = listening(own()).await;
            say(&folder, how).await.unwrap();
            assert_eq!(farewell.wait().now_or_never(), Some(how));
        }
    }

    #[tokio::test]
    async fn a_process_other_than_the_first_is_not_believed() {
        let (folder, farewell) = listening(1).await;
        let _ = say(&folder, Shutdown::Reboot).await;
        assert_eq!(farewell.wait().now_or_never(), None);
    }

    #[tokio::test]
    async fn a_word_that_is_none_ends_nothing_and_the_next_one_is_heard() {
        let (folder, farewell) = listening(own()).await;
        let path = folder.path().join("banger/shutdown.sock");
        for nonsense in [&b"explode"[..], b"", &[b'"'; 100]] {
            let mut stream = UnixStream::connect(&path).unwrap();
            let _ = stream.write_all(nonsense);
        }
        say(&folder, Shutdown::Halt).await.unwrap();
        assert_eq!(farewell.wait().now_or_never(), Some(Shutdown::Halt));
    }

    #[test]
    fn without_an_agent_nothing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        assert!(tell_at(&folder.path().join("none"), Shutdown::Halt).is_err());
    }
}
