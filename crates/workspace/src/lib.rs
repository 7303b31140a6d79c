//! A git repository goes into a sandbox as the developer sees it; what changed there comes back as a patch that can
//! run nothing, reach nothing outside of the working tree, and lose nothing.
//!
//! ```text
//!  host                                              guest
//!  Repository ─► Selection ─► prepare ── pack, files ──► workspace: a repository of its own
//!                                                            │
//!  working tree ◄─ apply ◄── patch::parse, risks ◄── export ─┘
//! ```
//!
//! git runs on the host without any setting of the repository's that names a program or leads elsewhere, and confined;
//! the guest's `.git` is never looked at. The guest's side is git as well, driven through [`Guest`] by scripts whose values are arguments.

mod alternates;
mod apply;
mod beneath;
mod bounded;
mod branch;
mod breaking;
mod config;
mod digest;
mod error;
mod export;
mod file;
mod git;
mod gitlinks;
mod given;
mod guest;
mod host;
mod index;
mod inflate;
mod inspect;
mod layout;
mod leftover;
mod lists;
mod metadata;
mod owner;
mod pack;
mod parcel;
mod partial;
pub mod patch;
mod prepare;
mod pull;
mod received;
mod repository;
mod selection;
mod settings;
mod shadow;
mod sight;
mod status;
mod tracked;
mod unsaved;

pub use apply::{Applied, Apply, Recovered, apply, recover};
pub use branch::to_branch;
pub use breaking::{break_off, is_changing};
pub use error::WorkspaceError;
pub use export::{Base, LARGEST_PATCH, export};
pub use git::unconfined;
pub use guest::{Ended, Guest, Input};
pub use parcel::Parcel;
pub use prepare::{Destination, Prepared, Stamp, prepare};
pub use pull::{Pulled, pull};
pub use repository::{Head, Repository, Terms};
pub use selection::{Choice, Mode, Selection};
pub use unsaved::{BesidePatch, Unsaved, UnsavedCommit, UnsavedFile, beside_patch, unsaved};
