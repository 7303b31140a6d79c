//! Building a recipe with mmdebstrap.
//!
//! ```text
//!   recipe ─► sources ─► release date (verified) ─► mmdebstrap in namespaces ─► tar on its standard output
//!                                                      └ hook: files, units, commands, clean-up
//! ```
//!
//! The same packages give the same bytes: times are cut to the release's date, entries are sorted, and what differs
//! from build to build (logs, caches, ids, keys) is removed.

mod customize;
pub(crate) mod namespace;
mod output;

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use crate::apt::sources::{Host, render};
use crate::apt::{AptRoot, Lists, RecipeSettings, host_configuration};
use crate::cancel::Cancel;
use crate::error::CatalogError;
use crate::process::{self, Program, TarStream};
use crate::progress::ProgressSink;
use crate::recipe::Recipe;
use crate::workdir::WorkDir;

/// A build that is under way.
#[derive(Debug)]
pub struct Build {
    /// The image's files, as they come.
    pub tar: TarStream,
    /// When the release was made that the packages are from.
    pub date: Timestamp,
}

/// Starts building a recipe in a folder below `work`.
///
/// As root it builds as root, as anybody else in a user namespace with the user's subordinate ids.
///
/// # Errors
/// [`CatalogError`]; what goes wrong later is an error of [`Build::tar`]. Either way nothing stays in `work`.
pub fn build(
    recipe: &Recipe,
    settings: &RecipeSettings,
    work: &Path,
    progress: &ProgressSink,
    cancel: &Cancel,
) -> Result<Build, CatalogError> {
    namespace::check()?;
    process::require("mmdebstrap", "mmdebstrap")?;
    let components: Vec<String> = recipe
        .components
        .iter()
        .map(|component| component.0.clone())
        .collect();
    let sources = Host::this().sources(settings, &recipe.suite, &components)?;
    let host = host_configuration(cancel)?;
    let folder = Arc::new(WorkDir::new(work)?);
    let apt = AptRoot::new(&folder, &sources, &recipe.suite, &host, Lists::Releases)?;
    apt.update(progress, cancel)?;
    let date = apt.release_date()?;

    let hook = customize::write(&folder, recipe, &sources, date)?;
    let apt_options = folder.file("apt-options", customize::apt_options(&host))?;
    let source_list = folder.file(customize::SOURCES, render(&sources))?;
    let temporary = folder.folder("tmp")?;

    let mut command = namespace::command();
    command.args([
        "mmdebstrap",
        "--mode=root",
        "--variant=minbase",
        "--format=tar",
        "--verbose",
    ]);
    // Its own clean-up for reproducible trees comes after the hook's and would undo a part of it.
    command.args(["--architectures=amd64", "--skip=cleanup/reproducible"]);
    // Nobody keeps the tree: syncing each file of it takes longer than writing it.
    command.arg("--dpkgopt=force-unsafe-io");
    command
        .arg(option("--aptopt=", &apt_options))
        .arg(option("--customize-hook=", &hook));
    if !recipe.packages.is_empty() {
        let packages: Vec<&str> = recipe.packages.iter().map(|package| package.0.as_str()).collect();
        command.arg(format!("--include={}", packages.join(",")));
    }
    // Without a suite, so that the base too may come from the security updates; the sources name their suites.
    command.args(["", "-"]).arg(&source_list);
    command
        .env("TMPDIR", &temporary)
        .env("SOURCE_DATE_EPOCH", date.as_second().to_string());
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("HOME", "/root")
        .current_dir("/");

    let steps = output::Steps::of(recipe);
    let mut reader = output::Reader::new(Arc::clone(progress), steps.clone());
    let explain = output::explain(steps, recipe.suite.clone(), folder.path().to_owned());
    let program = Program {
        tool: "mmdebstrap",
        package: "mmdebstrap",
        command,
        on_line: Box::new(move |line| reader.line(line)),
        explain,
    };
    let running = program.start(cancel)?;
    Ok(Build {
        tar: TarStream::new(running, Some(folder)),
        date,
    })
}

fn option(name: &str, path: &Path) -> std::ffi::OsString {
    let mut option = std::ffi::OsString::from(name);
    option.push(path);
    option
}
