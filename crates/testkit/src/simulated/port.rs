//! A simulated machine's virtio-serial port: one connection of the host's, sessions on it, and what goes wrong.

use std::path::PathBuf;

use tokio::net::UnixStream;
use tokio::time::{Instant, sleep_until};
use tokio_util::compat::FuturesAsyncReadCompatExt;

use super::agent::SimulatedAgent;
use super::{MachineFaults, stream};
use crate::hostile::serve_channel;

/// Serves one connection to the port's socket.
pub async fn serve(stream: UnixStream, folder: PathBuf, booted: Instant, agent: SimulatedAgent) {
    let faults = || MachineFaults::read(&folder).unwrap_or_default();
    // What the host says to a guest that boots waits in the port.
    sleep_until(booted).await;
    if faults().never_boots {
        std::future::pending::<()>().await;
    }
    serve_channel(
        stream,
        || faults().lies,
        |stream, _| {
            let (faults, agent) = (faults(), agent.clone());
            tokio::spawn(async move {
                stream::follow(stream.compat(), &faults, |stream| agent.serve(stream)).await;
            });
        },
    )
    .await;
}
