//! Named images and kernels, and how each is fetched or built.
//!
//! The catalog itself is data: `data/images.toml`, `data/kernels.toml` and one recipe a file, checked when they are
//! read. What it gives is a stream: a kernel is the file tree of a package that apt has verified, an image the file
//! tree that mmdebstrap makes by a recipe. Both are tar streams for whoever writes file systems.
//!
//! ```text
//!   Catalog ─ KernelEntry ─ apt::fetch_kernel ─► KernelPackage ─ open ─► TarStream
//!           ├ ImageEntry ─ Recipe ─ recipe::build ───────────────────► TarStream
//!           └ either ── BundleRef ─ Fetcher ─ bundle::Bundle ──────────► root file system, or the kernel's tar
//! ```
//!
//! Calls block, report progress and can be cancelled from another thread. Whatever they start ends with them, and with
//! this process.

pub mod apt;
mod build;
pub mod bundle;
mod entries;
mod error;
mod fetch;
mod names;
mod progress;
pub mod recipe;
mod tar_stream;
mod tool;
mod workdir;

pub use apt::sources::SourcesError;
pub use apt::{KernelPackage, RecipeSettings};
pub use entries::{Architecture, Catalog, ImageEntry, ImageSource, KernelEntry, KernelSource};
pub use error::{CatalogError, DataError};
pub use fetch::{Download, Fetcher};
pub use names::{ArtefactName, NameError};
pub use progress::{Progress, ProgressSink, Stage};
pub use recipe::Recipe;
pub use tar_stream::TarStream;
pub use workdir::LeftWork;
