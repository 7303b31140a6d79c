//! Reads ahead in a thread, so that unpacking a layer and writing what is in it go on at the same time.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::error::Stop;

const CHUNK: usize = 256 << 10;
/// Chunks that may wait to be taken.
const CHUNKS: usize = 4;

/// A reader whose source is read by a thread of its own. Dropping it ends the thread.
#[derive(Debug)]
pub(crate) struct Ahead {
    chunks: Option<Receiver<io::Result<Vec<u8>>>>,
    current: io::Cursor<Vec<u8>>,
    /// Given out again and again, so that whoever asks later hears it too.
    failed: Option<io::Error>,
    thread: Option<JoinHandle<()>>,
}

impl Ahead {
    pub(crate) fn new(source: impl Read + Send + 'static) -> Self {
        let (sender, chunks) = sync_channel(CHUNKS);
        Self {
            chunks: Some(chunks),
            current: io::Cursor::default(),
            failed: None,
            thread: Some(std::thread::spawn(move || fill(source, &sender))),
        }
    }
}

fn fill(mut source: impl Read, sender: &SyncSender<io::Result<Vec<u8>>>) {
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        let read = source.by_ref().take(CHUNK as u64).read_to_end(&mut chunk);
        let end = chunk.is_empty();
        // What came before an error is good.
        if !end && sender.send(Ok(chunk)).is_err() {
            return;
        }
        if let Err(error) = read {
            // Whoever has gone away does not want to know.
            let _ = sender.send(Err(error));
            return;
        }
        if end {
            return;
        }
    }
}

/// The same error once more.
fn again(error: &io::Error) -> io::Error {
    match Stop::of(error) {
        Some(stop) => stop.error(),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.current.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            if let Some(error) = &self.failed {
                return Err(again(error));
            }
            match self.chunks.as_ref().map(Receiver::recv) {
                Some(Ok(Ok(chunk))) => self.current = io::Cursor::new(chunk),
                Some(Ok(Err(error))) => self.failed = Some(error),
                _ => return Ok(0),
            }
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        // The thread's next send fails, and it ends.
        self.chunks = None;
        if let Some(thread) = self.thread.take() {
            // A panic in a decoder has shown as an early end.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(u32);

    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::Error::other("broken"));
            }
            self.0 -= 1;
            buffer.fill(7);
            Ok(buffer.len())
        }
    }

    #[test]
    fn what_came_before_an_error_is_read_first() {
        let mut ahead = Ahead::new(Failing(1));
        let mut byte = [0];
        ahead.read_exact(&mut byte).unwrap();
        assert_eq!(byte, [7]);
        let mut rest = Vec::new();
        assert_eq!(ahead.read_to_end(&mut rest).unwrap_err().to_string(), "broken");
        assert!(rest.iter().all(|byte| *byte == 7));
        assert!(ahead.read(&mut byte).is_err());
    }

    #[test]
    fn dropping_it_ends_a_source_without_end() {
        let mut ahead = Ahead::new(io::repeat(1));
        let mut bytes = vec![0; 3 * CHUNK];
        ahead.read_exact(&mut bytes).unwrap();
        drop(ahead);
    }
}
