//! Fetches a kernel's package, or builds an image by name or by a recipe's file; the tar stream goes to standard output.
//!
//! `cargo run -p catalog --example catalog -- kernel debian-cloud /tmp/work >kernel.tar`

use std::error::Error;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use catalog::{Catalog, ImageSource, Progress, ProgressSink, RecipeSettings};
use progress::Cancel;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, name, work] = arguments.as_slice() else {
        return Err("usage: kernel|image NAME WORK-FOLDER".into());
    };
    if io::stdout().is_terminal() {
        return Err("standard output is a terminal".into());
    }
    let work = PathBuf::from(work);
    catalog::LeftWork::find(&work)?.remove()?;
    let settings = RecipeSettings {
        mirror: std::env::var("MIRROR").ok(),
        keyring: std::env::var_os("KEYRING").map(Into::into),
    };
    let progress: ProgressSink =
        Arc::new(|progress: Progress| eprintln!("{} {}", progress.stage, progress.detail));
    let cancel = Cancel::new();
    let catalog = Catalog::embedded();
    let mut tar = match kind.as_str() {
        "kernel" => {
            let entry = catalog.kernel(name).ok_or("no such kernel")?;
            let package = catalog::apt::fetch_kernel(entry, &settings, &work, &progress, &cancel)?;
            eprintln!(
                "{} {}, {} bytes",
                package.package(),
                package.version(),
                package.bytes()
            );
            package.open(&cancel)?
        }
        "image" => {
            let file = Path::new(name);
            let recipe = if file.is_file() {
                catalog.read_recipe(&std::fs::read_to_string(file)?, name)?
            } else {
                let entry = catalog.image(name).ok_or("no such image, and no such file")?;
                let Some(ImageSource::Recipe { recipe, .. }) = &entry.source else {
                    return Err("it has no recipe".into());
                };
                *recipe.clone()
            };
            let build = catalog::recipe::build(&recipe, &settings, &work, &progress, &cancel)?;
            eprintln!("of {}", build.date);
            build.tar
        }
        _ => return Err("usage: kernel|image NAME WORK-FOLDER".into()),
    };
    io::copy(&mut tar, &mut io::stdout().lock())?;
    tar.finish()?;
    Ok(())
}
