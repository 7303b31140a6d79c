//! A bound UDP socket: every peer that sends to it has a stream of its own, for as long as datagrams come and go.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep};

use super::{VmSlots, datagram};

/// Peers that a port speaks to at a time. One more takes the place of the one that has been silent longest.
const MAX_PEERS: usize = 64;

/// How long a peer may be silent, in both directions, before it is forgotten.
const IDLE: Duration = Duration::from_secs(60);

/// Datagrams of a peer that wait for the guest; more of them are lost, as datagrams may be.
const WAITING: usize = 32;

/// Rest after a datagram that could not be received.
const REST: Duration = Duration::from_millis(10);

struct Peer {
    datagrams: mpsc::Sender<Vec<u8>>,
    heard: Instant,
    task: AbortHandle,
}

/// Carries the datagrams of each peer over a stream of its own that `open` gives. Never ends; dropped, it closes the
/// port and forgets the peers. Without a free slot the datagrams of a new peer are dropped.
pub async fn carry_udp<F, O, S>(socket: UdpSocket, slots: VmSlots, open: F)
where
    F: Fn() -> O,
    O: Future<Output = Option<S>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let socket = Arc::new(socket);
    let mut peers: HashMap<SocketAddr, Peer> = HashMap::new();
    let mut tasks = JoinSet::new();
    let mut buffer = vec![0; datagram::LONGEST];
    loop {
        tokio::select! {
            received = socket.recv_from(&mut buffer) => {
                let Ok((length, address)) = received else {
                    sleep(REST).await;
                    continue;
                };
                if !peers.contains_key(&address) {
                    make_room(&mut peers);
                }
                let peer = match peers.entry(address) {
                    Entry::Occupied(peer) => peer.into_mut(),
                    Entry::Vacant(entry) => {
                        let Some(slot) = slots.take() else { continue };
                        let (datagrams, waiting) = mpsc::channel(WAITING);
                        let carried = carry(Arc::clone(&socket), address, waiting, open());
                        let task = tasks.spawn(async move {
                            let address = carried.await;
                            drop(slot);
                            address
                        });
                        entry.insert(Peer { datagrams, heard: Instant::now(), task })
                    }
                };
                peer.heard = Instant::now();
                let _ = peer.datagrams.try_send(buffer[..length].to_vec());
            }
            Some(ended) = tasks.join_next_with_id() => {
                // Another task may have taken the place of one that was ended by force.
                if let Ok((id, address)) = ended
                    && peers.get(&address).is_some_and(|peer| peer.task.id() == id)
                {
                    peers.remove(&address);
                }
            }
        }
    }
}

fn make_room(peers: &mut HashMap<SocketAddr, Peer>) {
    if peers.len() < MAX_PEERS {
        return;
    }
    let silent = peers
        .iter()
        .min_by_key(|(_, peer)| peer.heard)
        .map(|(address, _)| *address);
    if let Some(peer) = silent.and_then(|address| peers.remove(&address)) {
        peer.task.abort();
    }
}

/// Carries one peer's datagrams until it has been silent for [`IDLE`] or its stream ends. Gives its address.
async fn carry<S>(
    socket: Arc<UdpSocket>,
    address: SocketAddr,
    mut waiting: mpsc::Receiver<Vec<u8>>,
    opening: impl Future<Output = Option<S>>,
) -> SocketAddr
where
    S: AsyncRead + AsyncWrite,
{
    let Some(stream) = opening.await else {
        return address;
    };
    let (mut from_guest, mut to_guest) = tokio::io::split(stream);
    let (heard, news) = mpsc::channel(1);
    let up = async {
        while let Some(bytes) = waiting.recv().await {
            let _ = heard.try_send(());
            if datagram::write(&mut to_guest, &bytes).await.is_err() {
                return;
            }
        }
    };
    let down = async {
        let mut bytes = Vec::new();
        while let Ok(true) = datagram::read(&mut from_guest, &mut bytes).await {
            let _ = heard.try_send(());
            // One that cannot be sent is lost, as datagrams may be.
            let _ = socket.send_to(&bytes, address).await;
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
        () = silence(news) => {}
    }
    address
}

async fn silence(mut news: mpsc::Receiver<()>) {
    while let Ok(Some(())) = tokio::time::timeout(IDLE, news.recv()).await {}
}
