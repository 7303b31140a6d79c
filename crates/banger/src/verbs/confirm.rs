//! A question to whoever sits there.

use std::io::{BufRead, Write};

use crate::failure::Failure;

/// Asks on stderr; only a yes on stdin is one.
///
/// # Errors
/// Stdin cannot be read.
pub fn confirmed(question: &str) -> Result<bool, Failure> {
    let mut stderr = std::io::stderr();
    // Where nobody reads the question, nobody answers it either.
    let _ = write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush());
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Failure::new(format!("cannot read the answer: {error}")))?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
