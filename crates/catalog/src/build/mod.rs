//! Building a recipe with mmdebstrap.
//!
//! ```text
//!   recipe ─► sources ─► release date (verified) ─► mmdebstrap ─► steps ─► tar ─► stream
//!                                                   packages      files, units, commands, clean-up
//! ```
//!
//! From mmdebstrap on everything runs in a system of its own ([`room`]), each step in another one, which ends with all
//! that was started in it.
//!
//! The same packages give the same bytes: times are cut to the release's date, entries are sorted, and what differs
//! from build to build (logs, caches, ids, keys) is removed.

mod customize;
#[cfg(test)]
mod deep;
#[cfg(test)]
mod escapes;
mod output;
mod pack;
pub(crate) mod room;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use process::Stream;

use crate::apt::sources::{Host, Source, render};
use crate::apt::{AptRoot, HostFiles, Lists, RecipeSettings, host_configuration};
use crate::error::CatalogError;
use crate::progress::{Progress, ProgressSink, Stage};
use crate::recipe::Recipe;
use crate::tar_stream::TarStream;
use crate::tool::{Program, find};
use crate::workdir::WorkDir;
use customize::Step;
use progress::Cancel;
use room::Room;

/// A build whose tree is made.
#[derive(Debug)]
pub struct Build {
    /// The image's files, as they come.
    pub tar: TarStream,
    /// When the release was made that the packages are from.
    pub date: Timestamp,
}

/// Builds a recipe's tree in a folder below `work`.
///
/// All that runs for it is confined; root inside is a user on the host who owns nothing but the tree, or, started by a
/// plain user, that user.
///
/// # Errors
/// [`CatalogError`]; what goes wrong while the tree is read is an error of [`Build::tar`]. Either way nothing stays in
/// `work`.
pub fn build(
    recipe: &Recipe,
    settings: &RecipeSettings,
    work: &Path,
    progress: &ProgressSink,
    cancel: &Cancel,
) -> Result<Build, CatalogError> {
    find("mmdebstrap", "mmdebstrap")?;
    let components: Vec<String> = recipe
        .components
        .iter()
        .map(|component| component.0.clone())
        .collect();
    let sources = Host::this().sources(settings, &recipe.suite, &components)?;
    let host = host_configuration(cancel)?;
    let folder = Arc::new(WorkDir::new(work)?);
    let room = Room::find(folder.path(), progress)?;
    let apt = AptRoot::new(&folder, &sources, &recipe.suite, &host, Lists::Releases, progress)?;
    apt.update(progress, cancel)?;
    let date = apt.release_date()?;

    let build = Tree {
        root: room.folder(&folder, room::TREE, 0o755)?,
        temporary: room.folder(&folder, "tmp", 0o1777)?,
        run: room.folder(&folder, "run", 0o755)?,
        room,
        folder,
        date,
        progress,
        cancel,
    };
    build.install(recipe, &sources, &host)?;
    for step in customize::steps(&build.folder, recipe, &sources, date)? {
        build.take(step)?;
    }
    let tar = build.pack()?;
    Ok(Build { tar, date })
}

/// A tree that is being made.
struct Tree<'a> {
    root: PathBuf,
    /// What is `/tmp` and `/run` of the steps, and in no image.
    temporary: PathBuf,
    run: PathBuf,
    room: Room,
    folder: Arc<WorkDir>,
    date: Timestamp,
    progress: &'a ProgressSink,
    cancel: &'a Cancel,
}

impl Tree<'_> {
    /// Has mmdebstrap install the packages.
    fn install(&self, recipe: &Recipe, sources: &[Source], host: &str) -> Result<(), CatalogError> {
        let inputs = self.room.folder(&self.folder, "build", 0o755)?;
        self.folder
            .file("build/apt-options", customize::apt_options(host))?;
        self.folder
            .file(&format!("build/{}", customize::SOURCES), render(sources))?;
        let installing = self.room.folder(&self.folder, "install", 0o1777)?;
        let files = HostFiles::of(sources, host);
        let mut command = self.room.install(
            "mmdebstrap",
            &self.folder,
            &files,
            &[(&inputs, "/build")],
            &[(&self.root, "/tree"), (&installing, "/tmp")],
        )?;
        command.arguments([
            "--mode=root",
            "--variant=minbase",
            "--format=directory",
            "--verbose",
            "--architectures=amd64",
            // The steps leave it as it should be, and they come later.
            "--skip=cleanup/reproducible",
            // Nobody keeps the tree: syncing each file of it takes longer than writing it.
            "--dpkgopt=force-unsafe-io",
            "--aptopt=/build/apt-options",
        ]);
        if !recipe.packages.is_empty() {
            let packages: Vec<&str> = recipe.packages.iter().map(|package| package.0.as_str()).collect();
            command.argument(format!("--include={}", packages.join(",")));
        }
        // Without a suite, so that the base too may come from the security updates; the sources name their suites.
        command.arguments(["", "/tree"]);
        command.argument(format!("/build/{}", customize::SOURCES));
        command
            .variable("SOURCE_DATE_EPOCH", self.date.as_second().to_string())
            .variable("DEBIAN_FRONTEND", "noninteractive")
            .variable("HOME", "/root");
        let mut reader = output::Reader::new(Arc::clone(self.progress));
        let program = Program {
            tool: "mmdebstrap",
            command,
            time: Some(room::TIME_TO_INSTALL),
            merged: false,
            on_line: Box::new(move |line| reader.line(line)),
            explain: output::explain(recipe.suite.clone(), self.folder.path().to_owned()),
        };
        program.start(self.cancel)?.lines(|_| {})
    }

    /// Has a step do its part.
    fn take(&self, step: Step) -> Result<(), CatalogError> {
        let Step { name, words, input } = step;
        (self.progress)(Progress {
            detail: name.clone(),
            ..Progress::of(Stage::Customize)
        });
        let mut command = self.room.step(&self.root, &self.temporary, &self.run, &words);
        command.variable("SOURCE_DATE_EPOCH", self.date.as_second().to_string());
        if let Some(input) = input {
            command.input(Stream::Given(input.into()));
        }
        let program = Program {
            tool: "the recipe's step",
            command,
            time: Some(room::TIME),
            merged: true,
            on_line: Box::new(|_| {}),
            explain: output::explain_step(name, self.folder.path().to_owned()),
        };
        program.start(self.cancel)?.lines(|_| {})
    }

    /// Gives the tree as an archive.
    fn pack(self) -> Result<TarStream, CatalogError> {
        (self.progress)(Progress::of(Stage::Pack));
        pack::check(&self.room, &self.root, self.cancel)?;
        pack::start(&self.room, &self.root, self.folder, self.date, self.cancel)
    }
}
