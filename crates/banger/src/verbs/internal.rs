//! `banger internal`.

use std::path::Path;

use super::{bundle, entry, ssh};
use crate::cli::{self, InternalCommand};
use crate::daemon::Place;
use crate::failure::Failure;
use crate::render;

/// Does what ssh or banger's build asks for.
///
/// # Errors
/// A file cannot be written, a VM not be reached.
pub async fn internal(place: &Place, command: &InternalCommand) -> Result<u8, Failure> {
    match command {
        InternalCommand::AddEntry(args) => {
            render::json(&entry::add(args)?)?;
            Ok(0)
        }
        InternalCommand::CheckEntry(args) => {
            render::json(&entry::check(args)?)?;
            Ok(0)
        }
        InternalCommand::SshProxy(args) => ssh::proxy(place, &args.host).await,
        InternalCommand::MakeBundle(args) => {
            render::json(&bundle::make(args)?)?;
            Ok(0)
        }
        InternalCommand::ManPages(args) => write_man_pages(&args.folder).map(|()| 0).map_err(|error| {
            Failure::new(format!(
                "cannot write man pages to {}: {error}",
                args.folder.display()
            ))
        }),
    }
}

fn write_man_pages(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for page in cli::man_pages()? {
        std::fs::write(folder.join(page.file), page.text)?;
    }
    Ok(())
}
