//! Downloads over HTTP that have to get on: 64 KiB per period of waiting, or they are given up.
//!
//! ```text
//!  client            what an agent is configured with: who asks, and how long a silence it bears
//!  Paced             a body: what its reader gets
//!  PacedConnector    a connection: each byte that comes, so also the frames of chunks and of TLS, of which a body's reader
//!                    sees nothing and in which a read of it may never return; to the address that answers first
//! ```

mod client;
mod connector;
mod pace;
mod reader;
mod staggered;
mod tcp;

pub use client::client;
pub use connector::PacedConnector;
pub use reader::Paced;
