//! Lines of a patch, with their numbers and a bound.

use std::io::BufRead;

use super::bounds::LARGEST_TEXT;
use crate::error::WorkspaceError;

/// As much of a line is kept: two quoted paths fit. Lines of files may be longer, minified ones for example.
const KEPT: usize = 64 << 10;

/// Reads lines and can give one back.
pub(super) struct Lines<R> {
    source: R,
    number: u64,
    line: Vec<u8>,
    /// Whether the line goes on after what is kept.
    cut: bool,
    given_back: bool,
    read: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn of(source: R) -> Self {
        Self {
            source,
            number: 0,
            line: Vec::new(),
            cut: false,
            given_back: false,
            read: 0,
        }
    }

    /// The next line without its end; none at the end of the patch.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, WorkspaceError> {
        let found = self.read_on()?;
        if self.cut {
            return Err(self.bad("the line is too long"));
        }
        Ok(found.then_some(self.line.as_slice()))
    }

    /// The next line of a file's, of any length: its beginning.
    pub(super) fn next_of_file(&mut self) -> Result<Option<&[u8]>, WorkspaceError> {
        let found = self.read_on()?;
        Ok(found.then_some(self.line.as_slice()))
    }

    fn read_on(&mut self) -> Result<bool, WorkspaceError> {
        if std::mem::take(&mut self.given_back) {
            return Ok(true);
        }
        self.line.clear();
        self.cut = false;
        let mut begun = false;
        loop {
            let bytes = self
                .source
                .fill_buf()
                .map_err(WorkspaceError::host("read", "the patch"))?;
            if bytes.is_empty() {
                if !begun {
                    return Ok(false);
                }
                self.number += 1;
                return Err(self.bad("it ends in the middle of a line"));
            }
            begun = true;
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let taken = end.unwrap_or(bytes.len());
            let room = (KEPT - self.line.len()).min(taken);
            self.line.extend_from_slice(&bytes[..room]);
            self.cut |= room < taken;
            let consumed = taken + usize::from(end.is_some());
            self.source.consume(consumed);
            self.read += consumed as u64;
            if self.read > LARGEST_TEXT {
                return Err(WorkspaceError::TooLarge {
                    what: "patch",
                    limit: LARGEST_TEXT,
                });
            }
            if end.is_some() {
                self.number += 1;
                return Ok(true);
            }
        }
    }

    /// Where in the patch the line after the last one begins.
    pub(super) fn place(&self) -> u64 {
        self.read
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
