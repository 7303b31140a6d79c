//! Frames of a two-way stream (exec): what follows the upgrade, on the agent's API and on the host's alike.
//!
//! ```text
//! kind: u8 | length: u32 big-endian | payload: length bytes, at most 65536
//! ```
//!
//! | kind | name | direction | payload |
//! |---|---|---|---|
//! | 1 | stdin | to the command | bytes; empty: end-of-file |
//! | 2 | stdout | from the command | bytes |
//! | 3 | stderr | from the command | bytes |
//! | 4 | resize | to the command | rows u16, columns u16, big-endian |
//! | 5 | signal | to the command | signal number u8 |
//! | 6 | exit | from the command, last | 0 code u8, or 1 signal u8 |

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::WindowSize;

/// Longest payload of a frame in bytes.
pub const MAX_PAYLOAD: usize = 65536;

/// Length of a frame's head in bytes.
pub const HEADER: usize = 5;

/// The two kinds of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// What goes to standard output.
    Stdout,
    /// What goes to standard error.
    Stderr,
}

/// The head of an output frame, for a sender that keeps room for it before the bytes it reads.
#[must_use]
pub fn output_header(output: Output, length: usize) -> [u8; HEADER] {
    debug_assert!(length <= MAX_PAYLOAD);
    let kind = match output {
        Output::Stdout => 2,
        Output::Stderr => 3,
    };
    let [a, b, c, d] = (length as u32).to_be_bytes();
    [kind, a, b, c, d]
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(u8),
    /// By this signal.
    Signal(u8),
}

impl Exit {
    /// The code that a shell would report: 128+n for a signal.
    #[must_use]
    pub fn shell_code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => signal.saturating_add(128),
        }
    }
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Input for the command; empty is end-of-file.
    Stdin(Vec<u8>),
    /// Output of the command.
    Stdout(Vec<u8>),
    /// Error output of the command.
    Stderr(Vec<u8>),
    /// New size of the terminal.
    Resize(WindowSize),
    /// A signal for the command's process group.
    Signal(u8),
    /// The command's end.
    Exit(Exit),
}

/// Why a stream of frames cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The stream failed.
    #[error("the stream broke")]
    Io(#[from] io::Error),
    /// A frame of a kind that this generation does not have.
    #[error("frame of unknown kind {0}")]
    UnknownKind(u8),
    /// A length over [`MAX_PAYLOAD`].
    #[error("frame of {0} bytes, {MAX_PAYLOAD} are allowed")]
    TooLong(u32),
    /// A payload that does not fit its kind.
    #[error("malformed frame of kind {0}")]
    Malformed(u8),
}

impl Frame {
    fn kind(&self) -> u8 {
        match self {
            Self::Stdin(_) => 1,
            Self::Stdout(_) => 2,
            Self::Stderr(_) => 3,
            Self::Resize(_) => 4,
            Self::Signal(_) => 5,
            Self::Exit(_) => 6,
        }
    }

    /// The frame's bytes. A payload over [`MAX_PAYLOAD`] is the caller's mistake.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut small = [0u8; 4];
        let payload: &[u8] = match self {
            Self::Stdin(bytes) | Self::Stdout(bytes) | Self::Stderr(bytes) => bytes,
            Self::Resize(size) => {
                small[..2].copy_from_slice(&size.rows.to_be_bytes());
                small[2..].copy_from_slice(&size.columns.to_be_bytes());
                &small
            }
            Self::Signal(signal) => {
                small[0] = *signal;
                &small[..1]
            }
            Self::Exit(exit) => {
                let (tag, value) = match exit {
                    Exit::Code(code) => (0, *code),
                    Exit::Signal(signal) => (1, *signal),
                };
                small[..2].copy_from_slice(&[tag, value]);
                &small[..2]
            }
        };
        debug_assert!(payload.len() <= MAX_PAYLOAD);
        let mut bytes = Vec::with_capacity(HEADER + payload.len());
        bytes.push(self.kind());
        bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes());
        bytes.extend_from_slice(payload);
        bytes
    }

    fn decode(kind: u8, payload: Vec<u8>) -> Result<Self, FrameError> {
        Ok(match (kind, payload.as_slice()) {
            (1, _) => Self::Stdin(payload),
            (2, _) => Self::Stdout(payload),
            (3, _) => Self::Stderr(payload),
            (4, &[r0, r1, c0, c1]) => Self::Resize(WindowSize {
                rows: u16::from_be_bytes([r0, r1]),
                columns: u16::from_be_bytes([c0, c1]),
            }),
            (5, &[signal]) => Self::Signal(signal),
            (6, &[0, code]) => Self::Exit(Exit::Code(code)),
            (6, &[1, signal]) => Self::Exit(Exit::Signal(signal)),
            (4..=6, _) => return Err(FrameError::Malformed(kind)),
            _ => return Err(FrameError::UnknownKind(kind)),
        })
    }

    /// Reads one frame; `None` when the stream ends between frames.
    ///
    /// # Errors
    /// [`FrameError`] for a stream that breaks, ends inside a frame or does not decode.
    pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<Self>, FrameError> {
        // Thousands of small frames may be there already: whoever reads them gives way to what else there is to do.
        tokio::task::consume_budget().await;
        let mut kind = [0u8; 1];
        if stream.read(&mut kind).await? == 0 {
            return Ok(None);
        }
        let length = stream.read_u32().await?;
        if length as usize > MAX_PAYLOAD {
            return Err(FrameError::TooLong(length));
        }
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await?;
        Self::decode(kind[0], payload).map(Some)
    }

    /// Writes the frame whole; the caller flushes.
    ///
    /// # Errors
    /// Whatever the stream fails with.
    pub async fn write(&self, stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        stream.write_all(&self.encode()).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use proptest::prelude::*;

    use super::*;

    fn frames() -> impl Strategy<Value = Frame> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..200);
        prop_oneof![
            bytes().prop_map(Frame::Stdin),
            bytes().prop_map(Frame::Stdout),
            bytes().prop_map(Frame::Stderr),
            (any::<u16>(), any::<u16>())
                .prop_map(|(rows, columns)| Frame::Resize(WindowSize { rows, columns })),
            any::<u8>().prop_map(Frame::Signal),
            any::<u8>().prop_map(|code| Frame::Exit(Exit::Code(code))),
            any::<u8>().prop_map(|signal| Frame::Exit(Exit::Signal(signal))),
        ]
    }

    fn read_all(mut bytes: &[u8]) -> Result<Vec<Frame>, FrameError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut frames = Vec::new();
            while let Some(frame) = Frame::read(&mut bytes).await? {
                frames.push(frame);
            }
            Ok(frames)
        })
    }

    proptest! {
        #[test]
        fn frames_come_back_as_they_were_written(sent in proptest::collection::vec(frames(), 0..8)) {
            let bytes: Vec<u8> = sent.iter().flat_map(Frame::encode).collect();
            prop_assert_eq!(read_all(&bytes).unwrap(), sent);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = read_all(&bytes);
        }
    }

    #[test]
    fn a_head_by_itself_is_that_of_the_frame() {
        for (output, frame) in [
            (Output::Stdout, Frame::Stdout(vec![7; 300])),
            (Output::Stderr, Frame::Stderr(vec![7; 300])),
        ] {
            assert_eq!(output_header(output, 300), frame.encode()[..HEADER]);
        }
    }

    #[test]
    fn bad_frames_are_refused_with_their_reason() {
        assert!(matches!(
            read_all(&[2, 0, 1, 0, 1]),
            Err(FrameError::TooLong(65537))
        ));
        assert!(matches!(
            read_all(&[9, 0, 0, 0, 0]),
            Err(FrameError::UnknownKind(9))
        ));
        assert!(matches!(
            read_all(&[6, 0, 0, 0, 1, 0]),
            Err(FrameError::Malformed(6))
        ));
        assert!(matches!(read_all(&[1, 0, 0, 0, 3, 1]), Err(FrameError::Io(_))));
    }

    #[tokio::test]
    async fn frames_without_end_leave_others_their_turn() {
        let stop = Arc::new(AtomicBool::new(false));
        let asks = Arc::clone(&stop);
        tokio::spawn(async move { asks.store(true, Ordering::Relaxed) });
        let flood = output_header(Output::Stdout, 0).repeat(100_000);
        let mut flood = flood.as_slice();
        let mut read = 0;
        while !stop.load(Ordering::Relaxed) {
            assert!(
                Frame::read(&mut flood).await.unwrap().is_some(),
                "after {read} frames"
            );
            read += 1;
        }
    }
}
