//! User mode: one passt for each VM.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use process::{Ending, Launch, ProcessError, Signal, Started, read_record, remove_record};

use crate::NetError;
use crate::messages::Messages;
use crate::plan::{GATEWAY, GATEWAY_MAC, GUEST, MTU, PREFIX, RESOLVER};
use crate::ready::until_it_answers;

const RECORD: &str = "passt.json";
const LOG: &str = "passt.log";
/// passt keeps its log below this many bytes.
const LARGEST_LOG: u32 = 256 << 10;
/// passt starts in milliseconds; a busy machine gets its time.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
/// A passt that closes its socket is about to end.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// A network that runs as long as its socket is open.
#[derive(Debug)]
pub struct UserNetwork {
    /// The VMM's end: a connected Unix stream socket that carries Ethernet frames, each after its length in 4
    /// bytes, highest first.
    pub socket: OwnedFd,
}

/// Starts `passt` for the VM whose folder this is, and waits until it forwards.
///
/// The process is told of in `<folder>/passt.json` and logs to `<folder>/passt.log`. It outlives the caller, and
/// ends when the VMM's end is closed or by [`stop`].
///
/// # Errors
/// Nothing runs and no record is left then.
pub async fn start_user(folder: &Path, passt: &Path) -> Result<UserNetwork, NetError> {
    stop(folder).await?;
    let (socket, peer) = UnixStream::pair().map_err(NetError::Socket)?;
    let messages = Messages::new().map_err(NetError::Messages)?;
    let mut launch = Launch::new(passt, folder, folder.join(RECORD));
    launch.output(messages.writer().map_err(NetError::Messages)?);
    let number = launch.pass(peer.into());
    launch.arguments(["--fd", &number.to_string()]);
    launch.arguments(ARGUMENTS);
    for (option, value) in values() {
        launch.arguments([option, &value]);
    }
    let started = launch.start().await.map_err(|source| NetError::Start {
        passt: passt.to_owned(),
        source,
    })?;

    let answer = tokio::time::timeout(ANSWERS_WITHIN, until_it_answers(socket)).await;
    match answer {
        Ok(Ok(socket)) => {
            started.keep();
            Ok(UserNetwork {
                socket: socket.into(),
            })
        }
        Ok(Err(_)) => Err(why_it_died(&started, &messages).await),
        Err(_) => Err(NetError::PasstSilent {
            waited: ANSWERS_WITHIN,
            log: messages.last(),
        }),
    }
}

/// What needs no value.
///
/// The agent sets the guest up, so passt's own ways of doing that are off. IPv4 only: the plan has no IPv6, and
/// what is off cannot be a way around the rules. `-i lo`: passt takes an interface only to learn addresses that
/// are given here; by default it would want one with a default route, and a VM must start on a host without.
const ARGUMENTS: [&str; 14] = [
    "--foreground",
    "--ipv4-only",
    "--interface",
    "lo",
    "--no-map-gw",
    "--no-dhcp",
    "--no-dhcpv6",
    "--no-ndp",
    "--no-ra",
    "--no-dhcp-dns",
    "--tcp-ports",
    "none",
    "--udp-ports",
    "none",
];

fn values() -> [(&'static str, String); 8] {
    let mac = GATEWAY_MAC.map(|byte| format!("{byte:02x}")).join(":");
    [
        ("--address", GUEST.to_string()),
        ("--netmask", PREFIX.to_string()),
        ("--gateway", GATEWAY.to_string()),
        ("--mac-addr", mac),
        ("--dns-forward", RESOLVER.to_string()),
        ("--mtu", MTU.to_string()),
        ("--log-file", LOG.into()),
        ("--log-size", LARGEST_LOG.to_string()),
    ]
}

/// The socket's other end is gone, or something else than passt speaks there.
async fn why_it_died(started: &Started, messages: &Messages) -> NetError {
    let handle = started.handle();
    let ending = match tokio::time::timeout(ENDS_WITHIN, handle.wait()).await {
        Ok(ending) => ending,
        Err(_) => match handle.kill(Signal::KILL) {
            Ok(()) => handle.wait().await,
            Err(error) => Err(error),
        },
    };
    NetError::PasstDied {
        ending: ending.unwrap_or(Ending::Unknown),
        log: messages.last(),
    }
}

/// Ends what `folder` tells of, if it still runs, and removes the record. Fine where there is none.
///
/// # Errors
/// [`NetError::Stop`] where the process cannot be ended; the record stays then.
pub async fn stop(folder: &Path) -> Result<(), NetError> {
    let record = folder.join(RECORD);
    end(&record)
        .await
        .map_err(|source| NetError::Stop { record, source })
}

async fn end(record: &Path) -> Result<(), ProcessError> {
    let Some(identity) = read_record(record)? else {
        return Ok(());
    };
    if let Some(handle) = identity.open() {
        // It holds nothing that could be lost.
        handle.kill(Signal::KILL)?;
        handle.wait().await?;
    }
    remove_record(record, &identity)
}
