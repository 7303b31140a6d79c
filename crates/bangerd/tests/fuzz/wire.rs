//! Frames, as bytes.

use guest::WindowSize;
use guest::frames::{Exit, Frame};
use guest::link::{Decoder, HEADER, Header, Kind, MAX_PAYLOAD};
use testkit::Fuzz;

pub fn good_frames() -> Vec<u8> {
    let frames = [
        Frame::Stdin(b"in".to_vec()),
        Frame::Stdout(b"out".to_vec()),
        Frame::Stderr(vec![b'e'; 300]),
        Frame::Resize(WindowSize {
            rows: 24,
            columns: 80,
        }),
        Frame::Signal(15),
        Frame::Exit(Exit::Code(3)),
    ];
    frames.iter().flat_map(Frame::encode).collect()
}

/// What is read is what is there, and no more.
#[tokio::test]
async fn fuzz_frames() {
    let seeds = [good_frames(), Frame::Exit(Exit::Signal(9)).encode()];
    for input in Fuzz::of("frames", seeds) {
        let mut rest = &input[..];
        let mut again = Vec::new();
        while let Ok(Some(frame)) = Frame::read(&mut rest).await {
            again.extend(frame.encode());
        }
        assert!(input.starts_with(&again), "frames that are not those that came");
    }
}

pub fn outer(kind: Kind, session: u64, payload: &[u8]) -> Vec<u8> {
    let header = Header {
        kind,
        session,
        length: payload.len(),
    };
    [&header.encode()[..], payload].concat()
}

/// What is found is in the input, in order; less than a frame is kept; a HELLO is found after whatever came before.
#[test]
fn fuzz_port() {
    let seeds = [
        outer(Kind::Hello, 7, b""),
        [outer(Kind::Ack, 7, b""), outer(Kind::Data, 7, &[1; 400])].concat(),
        [
            vec![0; 200],
            outer(Kind::Data, 8, &outer(Kind::Data, 9, b"within")),
        ]
        .concat(),
    ];
    for mut input in Fuzz::of("port", seeds) {
        let piece = 1 + input.len() % 700;
        input.resize(input.len() + MAX_PAYLOAD + HEADER, 0);
        input.extend(outer(Kind::Hello, 0x00c0_ffee, b""));
        let mut decoder = Decoder::new();
        let mut payloads = 0;
        let mut last = None;
        for part in input.chunks(piece) {
            decoder.input().extend_from_slice(part);
            while let Some((header, payload)) = decoder.next_frame() {
                assert_eq!(payload.len(), header.length);
                payloads += HEADER + payload.len();
                last = Some(header.session);
            }
            assert!(decoder.input().len() < MAX_PAYLOAD + HEADER);
        }
        assert!(payloads <= input.len());
        assert_eq!(last, Some(0x00c0_ffee), "the next session is not found");
    }
}
