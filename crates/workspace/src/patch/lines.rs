//! Lines of a patch, with their numbers and a bound.

use std::io::BufRead;

use crate::error::WorkspaceError;

/// Longest line. Minified files have long ones.
const LONGEST: usize = 256 << 20;

/// Reads lines and can give one back.
pub(super) struct Lines<R> {
    source: R,
    number: u64,
    line: Vec<u8>,
    given_back: bool,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn of(source: R) -> Self {
        Self {
            source,
            number: 0,
            line: Vec::new(),
            given_back: false,
        }
    }

    /// The next line without its end, and whether it had one; none at the end of the patch.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, WorkspaceError> {
        if std::mem::take(&mut self.given_back) {
            return Ok(Some(&self.line));
        }
        self.line.clear();
        loop {
            let bytes = self
                .source
                .fill_buf()
                .map_err(WorkspaceError::host("read", "the patch"))?;
            if bytes.is_empty() {
                if self.line.is_empty() {
                    return Ok(None);
                }
                self.number += 1;
                return Err(self.bad("it ends in the middle of a line"));
            }
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let taken = end.unwrap_or(bytes.len());
            if self.line.len() + taken > LONGEST {
                self.number += 1;
                return Err(self.bad("the line is too long"));
            }
            self.line.extend_from_slice(&bytes[..taken]);
            self.source.consume(taken + usize::from(end.is_some()));
            if end.is_some() {
                self.number += 1;
                return Ok(Some(&self.line));
            }
        }
    }

    /// Makes the next call give the last line again.
    pub(super) fn give_back(&mut self) {
        self.given_back = true;
    }

    /// The next line if it begins like this, without that beginning.
    pub(super) fn after(&mut self, beginning: &[u8]) -> Result<Option<Vec<u8>>, WorkspaceError> {
        let Some(line) = self.next()? else {
            return Ok(None);
        };
        let rest = line.strip_prefix(beginning).map(<[u8]>::to_vec);
        if rest.is_none() {
            self.give_back();
        }
        Ok(rest)
    }

    /// A refusal that names the last line.
    pub(super) fn bad(&self, why: impl Into<String>) -> WorkspaceError {
        WorkspaceError::Patch {
            line: self.number,
            why: why.into(),
        }
    }
}
