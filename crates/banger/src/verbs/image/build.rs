//! `banger image build`.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use api::BuildImage;
use api::client::Action;

use super::operate;
use crate::cli::BuildArgs;
use crate::daemon::Place;
use crate::failure::Failure;

/// No recipe is larger; a request to the daemon may have twice as much.
const LARGEST: u64 = 512 << 10;

pub(super) async fn build(place: &Place, args: BuildArgs) -> Result<u8, Failure> {
    let request = BuildImage {
        recipe: read(&args.file)?,
        file: args
            .file
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .filter(|name| name != "-"),
        kernel: args.kernel_ref,
    };
    let action = Action::Build(args.name.to_string(), request);
    operate(place, &action, args.name.as_str(), args.progress).await
}

fn read(path: &Path) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let source: io::Result<Box<dyn Read>> = if path == Path::new("-") {
        Ok(Box::new(io::stdin().lock()))
    } else {
        File::open(path).map(|file| Box::new(file) as _)
    };
    source
        .and_then(|source| source.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(|error| Failure::new(format!("cannot read {}: {error}", path.display())))?;
    if bytes.len() as u64 > LARGEST {
        let limit = format!("{} is larger than the 512 KiB of a recipe", path.display());
        return Err(Failure::new(limit));
    }
    String::from_utf8(bytes).map_err(|_| Failure::new(format!("{} is not UTF-8", path.display())))
}
