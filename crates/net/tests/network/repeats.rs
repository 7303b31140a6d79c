//! Guests that acknowledge the same data again, which passt takes for a loss.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use net::{Subnet, stop};

use crate::support::guest::Guest;
use crate::support::host::{ADDRESS, on_a_host};
use crate::support::kernel::in_a_guest;
use crate::support::network::{LOCAL_RESOLVER, every_passt, listen, start, start_with};
use crate::support::vmm;

/// Longer than passt waits for an acknowledgement.
const STALL: Duration = Duration::from_millis(2500);
const PATIENCE: Duration = Duration::from_secs(30);

/// What the bytes at a place of a stream are.
fn pattern(at: usize) -> u8 {
    (at % 251) as u8
}

fn send(mut stream: TcpStream, bytes: usize) {
    let block: Vec<u8> = (0..bytes.min(251 << 10)).map(pattern).collect();
    let mut left = bytes;
    while left > 0 {
        let piece = left.min(block.len());
        stream.write_all(&block[..piece]).unwrap();
        left -= piece;
    }
}

/// Reads to the end. Gives the number of bytes.
fn receive(mut stream: TcpStream) -> usize {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut buffer, mut received) = (vec![0; 1 << 16], 0);
    loop {
        let length = stream.read(&mut buffer).unwrap();
        if length == 0 {
            return received;
        }
        let expected = (received..received + length).map(pattern);
        assert!(expected.eq(buffer[..length].iter().copied()), "after {received}");
        received += length;
    }
}

fn accept(listener: &TcpListener) -> TcpStream {
    listener.accept().unwrap().0
}

/// Bytes of the segment in a frame.
fn carried(frame: &[u8]) -> usize {
    if frame[12..14] != [8, 0] || frame[23] != 6 {
        return 0;
    }
    let total = usize::from(u16::from_be_bytes([frame[16], frame[17]]));
    total - 20 - usize::from(frame[46] >> 4) * 4
}

/// A guest downloads over a tap. `wire` gets the number of each frame with data and loses it, or does not. Fails if much
/// more arrives than is sent.
async fn download(passt: &Path, bytes: usize, mut wire: impl FnMut(usize) -> bool) {
    let folder = tempfile::tempdir().unwrap();
    let open = [Subnet::of(ADDRESS.into(), 32).unwrap()];
    let network = start_with(folder.path(), passt, &open).await.unwrap();
    let vmm = vmm::join(network, folder.path()).await;
    let (listener, port) = listen(ADDRESS);
    let sender = thread::spawn(move || send(accept(&listener), bytes));
    let (mut frames, mut arrived) = (0, 0);
    let received = in_a_guest(
        vmm.guest(),
        |frame| {
            let length = carried(frame);
            arrived += length;
            assert!(arrived <= 5 * bytes, "{arrived} bytes came for {bytes}");
            frames += usize::from(length > 0);
            length == 0 || wire(frames)
        },
        || receive(TcpStream::connect((ADDRESS, port)).unwrap()),
    );
    assert_eq!(received, bytes);
    sender.join().unwrap();
    vmm.end().await;
    stop(folder.path()).await.unwrap();
}

#[test]
fn a_slow_guest_that_stalls_does_not_get_its_download_without_end() {
    on_a_host(LOCAL_RESOLVER, || async {
        for passt in every_passt() {
            let wire = |frame| {
                thread::sleep(if frame == 5 {
                    STALL
                } else {
                    Duration::from_millis(2)
                });
                true
            };
            download(&passt, 6_000_000, wire).await;
        }
    });
}

#[test]
fn frames_that_a_card_loses_are_sent_again() {
    on_a_host(LOCAL_RESOLVER, || async {
        for passt in every_passt() {
            let wire = |frame| {
                thread::sleep(Duration::from_millis(2));
                frame % 50 != 0
            };
            download(&passt, 3_000_000, wire).await;
        }
    });
}

#[test]
fn an_upload_goes_on_when_its_peer_reads_again() {
    on_a_host(LOCAL_RESOLVER, || async {
        const BYTES: usize = 20_000_000;
        let folder = tempfile::tempdir().unwrap();
        let card = Guest::new(start(folder.path()).await.unwrap());
        let (listener, port) = listen(ADDRESS);
        let receiver = thread::spawn(move || {
            let stream = accept(&listener);
            // The guest's probes are the same acknowledgement again and again, as are the answers.
            thread::sleep(Duration::from_secs(12));
            let start = Instant::now();
            assert_eq!(receive(stream), BYTES);
            start.elapsed()
        });
        in_a_guest(
            card,
            |_| true,
            || {
                let stream = TcpStream::connect((ADDRESS, port)).unwrap();
                send(stream.try_clone().unwrap(), BYTES);
                stream.shutdown(Shutdown::Write).unwrap();
                // The peer closes once it has everything.
                assert_eq!(receive(stream), 0);
            },
        );
        let took = receiver.join().unwrap();
        assert!(took < Duration::from_secs(30), "{took:?}");
        stop(folder.path()).await.unwrap();
    });
}
