//! `banger vm logs`.

use std::io::{IsTerminal, Write};

use crate::daemon::Place;
use crate::failure::Failure;
use crate::render::TerminalFilter;

/// A VM's console and its VMM's log, as the daemon has them; harmless where a terminal shows them.
///
/// # Errors
/// No VM is called that.
pub async fn logs(place: &Place, reference: &str) -> Result<u8, Failure> {
    let mut chunks = place.connect().await?.logs(reference).await?;
    let mut stdout = std::io::stdout().lock();
    let mut filter = stdout.is_terminal().then(TerminalFilter::default);
    while let Some(chunk) = chunks.next().await? {
        match &mut filter {
            Some(filter) => stdout.write_all(filter.filter(&chunk).as_bytes()),
            None => stdout.write_all(&chunk),
        }
        .map_err(|error| Failure::output(&error))?;
    }
    stdout.flush().map_err(|error| Failure::output(&error))?;
    Ok(0)
}
