//! A stream that has to get on: a server that drips bytes would keep its reader for ever.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use crate::pace::Pace;

/// Reads from `R`, and fails with [`io::ErrorKind::TimedOut`] where waiting for `period` brought less than 64 KiB. What
/// the reader does between two reads takes as long as it likes. A read that never returns is for `R` to end
/// ([`PacedConnector`](crate::PacedConnector)).
#[derive(Debug)]
pub struct Paced<R> {
    from: R,
    pace: Pace,
}

impl<R> Paced<R> {
    /// A stream that has to bring 64 KiB for each such period of waiting.
    pub fn new(from: R, period: Duration) -> Self {
        Self {
            from,
            pace: Pace::of(period),
        }
    }
}

impl<R: Read> Read for Paced<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let begun = Instant::now();
        let length = self.from.read(buffer)?;
        self.pace.count(begun.elapsed(), length)?;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pace::LEAST;

    /// Gives so many bytes at a time, `left` times, each after a rest.
    struct Slow {
        piece: usize,
        left: u32,
    }

    const REST: Duration = Duration::from_millis(10);

    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.left == 0 {
                return Ok(0);
            }
            self.left -= 1;
            std::thread::sleep(REST);
            Ok(self.piece.min(buffer.len()))
        }
    }

    fn read(piece: usize, left: u32, period: Duration) -> io::Result<usize> {
        let mut paced = Paced::new(Slow { piece, left }, period);
        let mut buffer = vec![0; LEAST];
        let mut total = 0;
        loop {
            match paced.read(&mut buffer)? {
                0 => return Ok(total),
                length => total += length,
            }
        }
    }

    #[test]
    fn what_drips_is_given_up_and_what_gets_on_is_not() {
        let error = read(1, 50, 5 * REST).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().starts_with("only "), "{error}");
        // Enough in each period, though it takes many of them; and little that is there before the first is over.
        assert_eq!(read(LEAST, 10, REST).unwrap(), 10 * LEAST);
        assert_eq!(read(1, 3, Duration::from_secs(3600)).unwrap(), 3);
    }
}
