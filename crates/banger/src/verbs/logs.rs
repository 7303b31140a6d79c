//! `banger vm logs`.

use std::io::{IsTerminal, Write};

use crate::cli::LogsArgs;
use crate::daemon::Place;
use crate::failure::Failure;
use crate::render::TerminalFilter;

/// A VM's console or its VMM's log, as the daemon has it; harmless where a terminal shows it.
///
/// # Errors
/// No VM is called that.
pub async fn logs(place: &Place, args: &LogsArgs) -> Result<u8, Failure> {
    let client = place.connect().await?;
    let mut chunks = client.logs(&args.vm.reference, args.vmm, args.follow).await?;
    let mut stdout = std::io::stdout().lock();
    let mut filter = stdout.is_terminal().then(TerminalFilter::default);
    while let Some(chunk) = chunks.next().await? {
        match &mut filter {
            Some(filter) => stdout.write_all(filter.filter(&chunk).as_bytes()),
            None => stdout.write_all(&chunk),
        }
        .and_then(|()| match args.follow {
            // Nobody knows when the next piece comes.
            true => stdout.flush(),
            false => Ok(()),
        })
        .map_err(|error| Failure::output(&error))?;
    }
    stdout.flush().map_err(|error| Failure::output(&error))?;
    Ok(0)
}
