//! The agent's API: HTTP/1.1 on one byte stream, one exchange a stream.
//!
//! ```text
//! GET  /v1/health      PUT  /v1/configure     GET  /v1/ports
//! GET  /v1/stats       GET  /v1/boot          (boot waits)
//! POST /v1/disk/grow
//! GET  /v1/shutdown    POST /v1/shutdown      (the first waits for the machine's last word; the second: it is known)
//! POST /v1/exec        POST /v1/power         (exec upgrades to `banger-exec`: frames)
//! POST /v1/forward                            (upgrades to `banger-forward`: bytes, or datagrams)
//! GET  /v1/ssh         POST /v1/ssh           (upgrades to `banger-ssh`: bytes)
//! GET  /v1/files       PUT  /v1/files         (tar streams)
//! ```

mod answer;
mod files;
mod halves;
mod routes;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::system::System;

pub(crate) use files::MAX_COPIES;

/// Most bytes of a request's head; also the size of what hyper reads ahead, and so of the pieces of a stream of files.
const MAX_HEAD: usize = 64 << 10;

/// Most header lines of a request.
const MAX_HEADERS: usize = 32;

/// What an answer gets to leave the machine before the power goes.
const FAREWELL: Duration = Duration::from_millis(20);

/// Serves one exchange. Ends when the stream has nothing more to do here; a command that it started has taken the
/// stream along.
///
/// Whatever a peer sends ends its own stream at worst.
pub async fn serve_connection<S>(stream: S, system: Arc<dyn System>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let power = Arc::new(Mutex::new(None));
    let service = service_fn(|request| {
        let (system, power) = (Arc::clone(&system), Arc::clone(&power));
        async move {
            let answer = routes::route(request, system, &power).await;
            Ok::<_, std::convert::Infallible>(answer.unwrap_or_else(|problem| answer::problem(&problem)))
        }
    });
    // A peer that breaks the protocol or goes away ends its own exchange; there is nobody to tell.
    let _ = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    let action = power.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(action) = action {
        // The answer is on its way. What it asked for happens whether or not anybody still listens.
        tokio::time::sleep(FAREWELL).await;
        let _ = tokio::task::spawn_blocking(move || system.power(action)).await;
    }
}
