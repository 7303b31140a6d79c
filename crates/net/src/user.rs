//! User mode: for each VM one passt for its connections and one relay for its datagrams, behind a frame filter.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::task::Poll;
use std::time::Duration;

use process::{
    Confinement, Ending, Handle, Launch, Limits, ProcessError, Signal, Started, read_record, remove_record,
};

use crate::addresses::{GATEWAY, GATEWAY_MAC, GATEWAY_V6, GUEST, GUEST_V6, MTU, PREFIX};
use crate::messages::Messages;
use crate::policy::Policy;
use crate::programs::{Programs, number_of};
use crate::ready::until_it_answers;
use crate::{HostIpv6, HostResolver, NetError, Subnet, channel, host, plan, resolver_list};

const PASST_RECORD: &str = "passt.json";
const FILTER_RECORD: &str = "frame-filter.json";
const RELAY_RECORD: &str = "relay.json";
const LOG: &str = "passt.log";
/// passt keeps its log below this many bytes.
const LARGEST_LOG: u32 = 256 << 10;
/// Most bytes of what it says, and of any file that it writes.
const LARGEST_FILE: u64 = 1 << 20;
/// Descriptors that passt has, two for each connection: a guest that opens connections without end takes so many of the
/// host's and no more.
const DESCRIPTORS: u64 = 8192;
/// passt starts in milliseconds; a busy machine gets its time.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
/// Who closes a socket is about to end.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// A network that runs as long as its socket is open, or the process that has joined by it.
#[derive(Debug)]
pub struct UserNetwork {
    /// The VMM's end: a connected Unix stream socket that carries Ethernet frames, each after its length in 4
    /// bytes, highest first. Or it takes what `process::Wire` sends, and the network runs as long as that process.
    pub socket: OwnedFd,
}

/// The programs that a network consists of.
#[derive(Clone, Copy, Debug)]
pub struct Binaries<'a> {
    /// passt.
    pub passt: &'a Path,
    /// One that calls [`crate::serve_network_if_asked`]; this one by default.
    pub own: Option<&'a Path>,
}

/// Starts passt, the relay and the frame filter before them for the VM whose folder this is, and waits until they
/// forward.
///
/// The processes are told of in `<folder>/passt.json`, `<folder>/relay.json` and `<folder>/frame-filter.json`; passt logs
/// to `<folder>/passt.log`. They outlive the caller, and end when the VMM's end is closed or by [`stop`]. The networks of
/// `open` are open to the guest although they are private or the host's; nothing opens the host's loopback. The guest has
/// IPv6 if `ipv6` is given, and [`crate::ipv6_plan`] says so from then on.
///
/// # Errors
/// Nothing runs and no record is left then.
pub async fn start_user(
    folder: &Path,
    binaries: Binaries<'_>,
    open: &[Subnet],
    ipv6: Option<&HostIpv6>,
) -> Result<UserNetwork, NetError> {
    stop(folder).await?;
    plan::note_ipv6(folder, ipv6.is_some()).map_err(NetError::Plan)?;
    let (socket, vmm_side) = UnixStream::pair().map_err(NetError::Socket)?;
    let (passt_side, passt_socket) = UnixStream::pair().map_err(NetError::Socket)?;
    let (relay_side, filter_side) = channel::pair().map_err(NetError::Socket)?;
    let messages = || Messages::new().map_err(NetError::Messages);
    let (said_by_passt, said_by_relay, said_by_filter) = (messages()?, messages()?, messages()?);
    let policy = Policy {
        ipv6: ipv6.is_some(),
        closed: host::networks(ipv6.is_some()).map_err(NetError::Host)?,
        open: open.to_vec(),
        shut: ipv6.map(|ipv6| ipv6.translated.clone()).unwrap_or_default(),
    };
    let programs = Programs {
        program: binaries.own.unwrap_or(Path::new("/proc/self/exe")),
        folder,
        policy: &policy,
    };
    let resolvers =
        resolver_list::hand_over(folder, &HostResolver::read().servers).map_err(NetError::Resolvers)?;
    let record = |name| folder.join(name);
    let (passt_record, relay_record, filter_record) =
        (record(PASST_RECORD), record(RELAY_RECORD), record(FILTER_RECORD));
    let (passt, relay, filter) = tokio::join!(
        start_passt(
            folder,
            &passt_record,
            binaries.passt,
            &said_by_passt,
            passt_socket,
            ipv6,
        ),
        programs.relay(&relay_record, &said_by_relay, relay_side, resolvers),
        programs.filter(
            &filter_record,
            &said_by_filter,
            (vmm_side, passt_side, filter_side)
        ),
    );
    // Not before all are there: one that is still starting when another has failed would end a moment later.
    let (passt, relay, filter) = (passt?, relay?, filter?);

    let answer = tokio::time::timeout(ANSWERS_WITHIN, until_it_answers(socket)).await;
    match answer {
        Ok(Ok(socket)) => {
            passt.keep();
            relay.keep();
            filter.keep();
            Ok(UserNetwork {
                socket: socket.into(),
            })
        }
        // The filter ends in order when another does, and the relay when the filter does.
        Ok(Err(_)) => {
            let filter = ending_of(filter.handle()).await;
            if filter != Ending::Exited(0) {
                let log = said_by_filter.last();
                return Err(NetError::FilterDied { ending: filter, log });
            }
            let relay = ending_of(relay.handle()).await;
            if relay != Ending::Exited(0) {
                let log = said_by_relay.last();
                return Err(NetError::RelayDied { ending: relay, log });
            }
            Err(NetError::PasstDied {
                ending: ending_of(passt.handle()).await,
                log: said_by_passt.last(),
            })
        }
        Err(_) => Err(NetError::PasstSilent {
            waited: ANSWERS_WITHIN,
            log: said_by_passt.last(),
        }),
    }
}

async fn start_passt(
    folder: &Path,
    record: &Path,
    passt: &Path,
    messages: &Messages,
    socket: UnixStream,
    ipv6: Option<&HostIpv6>,
) -> Result<Started, NetError> {
    let mut launch = Launch::new(passt, folder, record);
    launch.limit(Limits {
        open_files: Some(DESCRIPTORS),
        // Its messages are kept in memory, and some other program may be called passt.
        file_size: Some(LARGEST_FILE),
        ..Limits::default()
    });
    launch.output(messages.writer().map_err(NetError::Messages)?);
    let number = launch.pass(socket.into());
    launch.arguments(["--fd", &number.to_string()]);
    launch.arguments(ARGUMENTS);
    for (option, value) in values(ipv6) {
        launch.arguments([option, &value]);
    }
    if ipv6.is_none() {
        launch.argument("--ipv4-only");
    }
    // By itself it becomes `nobody` where root starts it, as other services are, each of which could end it.
    let own = number_of(folder).and_then(Confinement::id_to_become);
    if let Some(id) = own.map_err(NetError::Program)? {
        launch.arguments(["--runas", &format!("{id}:{id}")]);
    }
    launch.start().await.map_err(|source| NetError::Start {
        passt: passt.to_owned(),
        source,
    })
}

/// What needs no value.
///
/// The agent sets the guest up, so passt's own ways of doing that are off, of IPv6 too: the guest's search for its gateway is
/// answered by the filter. No datagrams and no pings: passt before 2024 binds sockets for them that take what anybody sends,
/// so they are the relay's; the filter hands passt none.
const ARGUMENTS: [&str; 11] = [
    "--foreground",
    "--no-map-gw",
    "--no-dhcp",
    "--no-dhcpv6",
    "--no-ndp",
    "--no-ra",
    "--no-dhcp-dns",
    "--no-udp",
    "--no-icmp",
    "--tcp-ports",
    "none",
];

/// What needs one.
///
/// passt takes an interface only to learn addresses that are given here; by default it would want one with a default route,
/// and a VM must start on a host without. The loopback will do, but for IPv6, which passt has only with an interface that has
/// a link-local address. Without IPv6 there is none at all (`--ipv4-only`): what is off cannot be a way around the rules.
fn values(ipv6: Option<&HostIpv6>) -> Vec<(&'static str, String)> {
    let mac = GATEWAY_MAC.map(|byte| format!("{byte:02x}")).join(":");
    let mut values = vec![
        (
            "--interface",
            ipv6.map_or("lo", |ipv6| &ipv6.interface).to_owned(),
        ),
        ("--address", GUEST.to_string()),
        ("--netmask", PREFIX.to_string()),
        ("--gateway", GATEWAY.to_string()),
        ("--mac-addr", mac),
        ("--mtu", MTU.to_string()),
        ("--log-file", LOG.into()),
        ("--log-size", LARGEST_LOG.to_string()),
    ];
    if ipv6.is_some() {
        values.push(("--address", GUEST_V6.to_string()));
        values.push(("--gateway", GATEWAY_V6.to_string()));
    }
    values
}

/// What is said of where several parts have ended before anybody looked.
const SEVERAL: &str = "a part of it";

/// The processes of a network that runs.
#[derive(Debug)]
pub struct Parts(Vec<(&'static str, Option<Handle>)>);

impl Parts {
    /// Waits until one of them has ended, after which the guest has no network: which one. Never where there are none.
    pub async fn ended(&self) -> &'static str {
        let mut all: Vec<_> = self
            .0
            .iter()
            .map(|(part, handle)| {
                Box::pin(async move {
                    if let Some(handle) = handle
                        && let Err(error) = handle.wait().await
                    {
                        tracing::warn!(part, %error, "cannot watch a process of a network");
                        std::future::pending::<()>().await;
                    }
                    *part
                })
            })
            .collect();
        // Each has its turn at each waking. The others end with the first: which that was, nobody knows once several have.
        std::future::poll_fn(|context| {
            let mut ended = all
                .iter_mut()
                .filter_map(|part| match part.as_mut().poll(context) {
                    Poll::Ready(part) => Some(part),
                    Poll::Pending => None,
                });
            match (ended.next(), ended.next()) {
                (None, _) => Poll::Pending,
                (Some(only), None) => Poll::Ready(only),
                (Some(_), Some(_)) => Poll::Ready(SEVERAL),
            }
        })
        .await
    }
}

/// The processes that `folder` tells of; none for a VM without a network of this kind.
pub fn parts(folder: &Path) -> Parts {
    let part = |(record, part): (&str, &'static str)| match read_record(&folder.join(record)) {
        Ok(identity) => Some((part, identity?.open())),
        Err(error) => {
            tracing::warn!(part, %error, "cannot watch a process of a network");
            None
        }
    };
    let all = [
        (PASST_RECORD, "passt"),
        (RELAY_RECORD, "the relay of datagrams"),
        (FILTER_RECORD, "the frame filter"),
    ];
    Parts(all.into_iter().filter_map(part).collect())
}

/// How a process ends whose socket is closed already.
async fn ending_of(handle: &Handle) -> Ending {
    let ending = match tokio::time::timeout(ENDS_WITHIN, handle.wait()).await {
        Ok(ending) => ending,
        Err(_) => match handle.kill(Signal::KILL) {
            Ok(()) => handle.wait().await,
            Err(error) => Err(error),
        },
    };
    ending.unwrap_or(Ending::Unknown)
}

/// Ends what `folder` tells of, if it still runs, and removes the records. Fine where there is none.
///
/// # Errors
/// [`NetError::Stop`] where a process cannot be ended; its record stays then. The others are ended all the same.
pub async fn stop(folder: &Path) -> Result<(), NetError> {
    let mut stopped = Ok(());
    for record in [PASST_RECORD, RELAY_RECORD, FILTER_RECORD] {
        stopped = stopped.and(end(folder.join(record)).await);
    }
    resolver_list::remove(folder);
    let _ = plan::note_ipv6(folder, false);
    stopped
}

async fn end(record: PathBuf) -> Result<(), NetError> {
    let ended = async {
        let Some(identity) = read_record(&record)? else {
            return Ok(());
        };
        if let Some(handle) = identity.open() {
            // It holds nothing that could be lost.
            handle.kill(Signal::KILL)?;
            handle.wait().await?;
        }
        if let Some(folder) = record.parent() {
            identity.end_left_behind(folder);
        }
        remove_record(&record, &identity)
    };
    let ended: Result<(), ProcessError> = ended.await;
    ended.map_err(|source| NetError::Stop { record, source })
}

#[cfg(test)]
mod tests {
    use process::Identity;

    use super::*;

    #[tokio::test]
    async fn a_part_is_named_only_where_no_other_has_ended_as_well() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let living = || Identity::of(child.id()).unwrap().open();
        let parts = Parts(vec![
            ("passt", living()),
            ("the relay", None),
            ("the filter", living()),
        ]);
        assert_eq!(parts.ended().await, "the relay");
        let parts = Parts(vec![
            ("passt", None),
            ("the relay", living()),
            ("the filter", None),
        ]);
        assert_eq!(parts.ended().await, SEVERAL);
        let parts = Parts(vec![("passt", living()), ("the relay", living())]);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(parts.ended().await, SEVERAL);
    }
}
