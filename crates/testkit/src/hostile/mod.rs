//! A guest whose agent is not the real one: what it answers is made to do harm, or never ends. And, in [`repository`],
//! what a user may have fetched from anywhere.
//!
//! Each [`Lie`] is one way; where a lie is about a request of another kind, the honest agent answers. `answer` knows
//! nothing of how a request came, so that the same lies come from a simulated machine and, by `hostile-agent`, from
//! inside a real guest.
//!
//! ```text
//!  simulated-vmm ── vsock: a connection a request ──────────► answer ── answers, archives, patches
//!        └───────── port ──┐                                     ▲
//!                          ├─► serve_channel ── its streams ─────┘
//!  hostile-agent ── port ──┘         └──────── wire: the frames themselves
//! ```

mod answers;
mod archives;
mod channel;
mod exchange;
mod lie;
mod members;
mod patches;
pub mod registry;
pub mod repository;
mod texts;
mod wire;

use std::io;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};

pub use archives::TREE;
pub use channel::{lie_on_connection, serve_channel};
pub use exchange::follow;
pub(crate) use exchange::{LONGEST_HEAD, end_of_head, read_head, relay, tell};
pub use lie::Lie;
pub use texts::ESCAPES;

/// What is said, and how.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    bytes: Vec<u8>,
    /// Said again and again, until nobody listens.
    again: Vec<u8>,
    pause: Duration,
    /// The connection stays open after that.
    stays: bool,
}

/// The answer to a request that begins with `head`; none where the honest agent is to answer.
#[must_use]
pub fn answer(lie: Lie, head: &[u8]) -> Option<Answer> {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if method == "GET" && path == "/v1/files" {
        let asked = query.split('&').find_map(|pair| pair.strip_prefix("path="));
        let name = asked.unwrap_or_default().trim_end_matches('/').rsplit('/').next();
        if let Some(archive) = archives::of(lie, name.unwrap_or_default().as_bytes()) {
            return Some(answers::archive(&archive));
        }
    }
    answers::of(lie, method, path)
}

impl Answer {
    /// Says it. Ends when all is said, or when the other side has had enough.
    ///
    /// # Errors
    /// The other side is gone.
    pub async fn say(self, stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        stream.write_all(&self.bytes).await?;
        while !self.again.is_empty() {
            stream.write_all(&self.again).await?;
            if !self.pause.is_zero() {
                stream.flush().await?;
                tokio::time::sleep(self.pause).await;
            }
        }
        if self.stays {
            stream.flush().await?;
            std::future::pending::<()>().await;
        }
        stream.shutdown().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lie_has_a_request_that_it_answers_or_is_of_the_channel_itself() {
        let requests = [
            "GET /v1/health",
            "GET /v1/stats",
            "GET /v1/ports",
            "POST /v1/exec",
            "POST /v1/forward",
            "GET /v1/files?path=/srv/tree",
            "PUT /v1/files?path=/srv",
        ];
        for lie in Lie::ALL {
            let lied_to =
                |request: &&str| answer(*lie, format!("{request} HTTP/1.1\r\n\r\n").as_bytes()).is_some();
            assert_ne!(requests.iter().any(lied_to), lie.is_of_the_wire(), "{lie}");
            assert_eq!(Lie::named(&lie.to_string()), Some(*lie));
        }
    }
}
