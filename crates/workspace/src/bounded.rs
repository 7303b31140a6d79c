//! Output with a bound.

use std::io::{self, Write};

/// Takes what a guest says, up to a bound.
pub(crate) struct Bounded<'a> {
    pub(crate) output: &'a mut dyn Write,
    /// Bytes that may still come.
    pub(crate) left: u64,
    /// Whether more came.
    pub(crate) over: bool,
}

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(left) = self.left.checked_sub(bytes.len() as u64) else {
            self.over = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        };
        self.left = left;
        self.output.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_without_end_is_stopped_at_the_bound() {
        let mut taken = Vec::new();
        let mut bounded = Bounded {
            output: &mut taken,
            left: 10_000,
            over: false,
        };
        let copied = io::copy(&mut io::repeat(b'x'), &mut bounded);
        assert_eq!(copied.unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert!(bounded.over);
        assert!(taken.len() <= 10_000);
    }
}
