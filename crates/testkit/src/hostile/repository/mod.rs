//! A git repository that came from elsewhere and means harm: to run a program, to read or write what is not its own, to
//! take more than there is.
//!
//! Each [`Trap`] is one way; several can be in one repository. A trap is set by writing files and by git itself, and
//! [`Ground`] is what it is set in.

mod ground;
mod leads;
mod programs;
mod stores;
mod trees;

use std::io;

pub use ground::Ground;

use crate::Dice;

/// A way in which a repository is hostile. Those that lead elsewhere come last: git is not run in such a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Trap {
    /// A filter by attributes of the tree, with an odd name.
    FilterClean,
    /// The same with a filter that stays.
    FilterProcess,
    /// A converter for comparisons.
    DiffTextconv,
    /// A program that compares, by attributes of the tree.
    DiffCommand,
    /// A program that compares all files.
    DiffExternal,
    /// A program that merges.
    MergeDriver,
    /// A program that says what has changed.
    Fsmonitor,
    /// Hooks, where they usually are.
    Hooks,
    /// Hooks in the tree.
    HooksPath,
    /// An editor.
    Editor,
    /// A program that signs commits.
    GpgProgram,
    /// A program that is asked for passwords.
    CredentialHelper,
    /// A verb that is a command.
    Alias,
    /// A program in the place of ssh.
    SshCommand,
    /// A program that connects.
    GitProxy,
    /// A program on the other side, which is this one.
    UploadPack,
    /// A remote that is a command.
    RemoteHelper,
    /// A remote whose address becomes a command.
    InsteadOf,
    /// A missing object that is to be had from a command.
    Promisor,
    /// Settings in a file of the tree.
    Include,
    /// Settings of the working tree alone.
    WorktreeSettings,
    /// All other settings that name programs or files to write.
    OtherPrograms,
    /// A submodule whose own settings run a program.
    Submodule,
    /// Submodules with names, paths and addresses that are options, commands or lead out.
    ModuleSettings,
    /// A repository in a folder of the tree.
    NestedRepository,
    /// A folder of the tree that is a repository by what lies in it.
    BareFolder,
    /// An index of gigabytes.
    IndexWithoutEnd,
    /// An index that counts more entries than memory holds.
    IndexOfMillions,
    /// An index with some bytes changed.
    IndexBroken,
    /// An index of version 4.
    IndexPacked,
    /// An index in two files.
    IndexSplit,
    /// An index with all extensions.
    IndexExtended,
    /// An index that names files outside of the tree, or the repository's own.
    IndexPaths,
    /// A commit that does so.
    TreePaths,
    /// A commit of thousands of files in a few objects.
    TreeWide,
    /// A file of megabytes in a few bytes.
    FileBomb,
    /// A file that is made in thousands of steps.
    DeltaChain,
    /// An object whose size or kind is untrue.
    ObjectLies,
    /// An object without anything in it.
    ObjectEmpty,
    /// A pack, its index or its bitmap with some bytes changed.
    PackBroken,
    /// The same with a graph of commits.
    CommitGraphBroken,
    /// Thousands of refs.
    ManyRefs,
    /// Names of refs that are options or steer a terminal.
    RefNames,
    /// A list of refs that is none.
    RefsBroken,
    /// A ref that leads to itself.
    RefLoop,
    /// An object in the place of another one.
    ReplaceRefs,
    /// Other parents of a commit.
    Grafts,
    /// A history that is cut off, or a list of its ends that is none.
    Shallow,
    /// Lock files of another git.
    Locks,
    /// Refs in tables that lead out.
    Reftable,
    /// A format that is not known.
    UnknownFormat,
    /// Settings that cannot be read.
    SettingsBroken,
    /// More settings than git's users have.
    SettingsWithoutEnd,
    /// Conditions of includes that take long to decide.
    Conditions,
    /// What this program itself would leave behind.
    Records,
    /// Names of files that are options, no text, or steer a terminal.
    FileNames,
    /// Names and paths as long as they may be.
    LongNames,
    /// Names that some file system takes for `.git`.
    RepositoryNames,
    /// Links that lead out of the tree.
    LinksOut,
    /// A link in the place of a folder with tracked files.
    FolderBehindLink,
    /// Pipes and sockets in the place of files.
    NoFiles,
    /// A file of a terabyte that takes no room.
    Hole,
    /// Attributes that have git convert files.
    Encodings,
    /// Patterns that take long to match.
    Patterns,
    /// A `.banger.toml` with wishes that are refused.
    Wishes,
    /// A link or a pipe in the place of `HEAD`.
    LinkedHead,
    /// The same in the place of `config`.
    LinkedSettings,
    /// The same in the place of `index`.
    LinkedIndex,
    /// The same in the place of `packed-refs`.
    LinkedPackedRefs,
    /// The same in the place of `shallow`.
    LinkedShallow,
    /// The same in the place of `info/sparse-checkout`.
    LinkedSparsePatterns,
    /// The same in the place of `info/exclude`.
    LinkedExclude,
    /// The same in the place of `info/attributes`.
    LinkedAttributes,
    /// The same in the place of `objects/info/alternates`.
    LinkedAlternates,
    /// The same in the place of `objects/info/commit-graph`.
    LinkedCommitGraph,
    /// The same in the place of `objects/00/…`.
    LinkedObject,
    /// The same in the place of `objects/pack/….pack`.
    LinkedPack,
    /// The same in the place of `objects/pack/multi-pack-index`.
    LinkedPackIndex,
    /// The same in the place of `refs/heads/other`.
    LinkedRef,
    /// The same in the place of `refs/replace/…`.
    LinkedReplaceRef,
    /// The same in the place of `sharedindex.…`.
    LinkedSharedIndex,
    /// The same in the place of `commondir`.
    LinkedCommonFolder,
    /// The same in the place of `refs`.
    LinkedRefs,
    /// The same in the place of `refs/heads`.
    LinkedHeads,
    /// The same in the place of `objects`.
    LinkedObjects,
    /// The same in the place of `objects/pack`.
    LinkedPacks,
    /// The same in the place of `info`.
    LinkedInfo,
    /// The same in the place of `objects/info`.
    LinkedObjectsInfo,
    /// The same in the place of `logs`.
    LinkedLogs,
    /// The same in the place of `modules`.
    LinkedModules,
    /// The same in the place of `worktrees`.
    LinkedWorktrees,
    /// A link in the place of a file of rules in the tree.
    LinkedRules,
    /// A pipe in such a place.
    PipedRules,
    /// A `.git` that is a link to another repository.
    GitLink,
    /// A `.git` that names another repository.
    GitFile,
    /// A linked working tree of a repository that does not know it.
    ForeignWorktree,
    /// Refs and objects of another repository.
    CommonFolder,
    /// Objects of another repository.
    Alternates,
    /// A `HEAD` that leads out, or says nothing.
    HeadText,
    /// A working tree elsewhere.
    WorkingTree,
    /// A setting that names a file of the user's.
    FileElsewhere,
}

impl Trap {
    /// All of them.
    pub const ALL: [Self; 101] = [
        Self::FilterClean,
        Self::FilterProcess,
        Self::DiffTextconv,
        Self::DiffCommand,
        Self::DiffExternal,
        Self::MergeDriver,
        Self::Fsmonitor,
        Self::Hooks,
        Self::HooksPath,
        Self::Editor,
        Self::GpgProgram,
        Self::CredentialHelper,
        Self::Alias,
        Self::SshCommand,
        Self::GitProxy,
        Self::UploadPack,
        Self::RemoteHelper,
        Self::InsteadOf,
        Self::Promisor,
        Self::Include,
        Self::WorktreeSettings,
        Self::OtherPrograms,
        Self::Submodule,
        Self::ModuleSettings,
        Self::NestedRepository,
        Self::BareFolder,
        Self::IndexWithoutEnd,
        Self::IndexOfMillions,
        Self::IndexBroken,
        Self::IndexPacked,
        Self::IndexSplit,
        Self::IndexExtended,
        Self::IndexPaths,
        Self::TreePaths,
        Self::TreeWide,
        Self::FileBomb,
        Self::DeltaChain,
        Self::ObjectLies,
        Self::ObjectEmpty,
        Self::PackBroken,
        Self::CommitGraphBroken,
        Self::ManyRefs,
        Self::RefNames,
        Self::RefsBroken,
        Self::RefLoop,
        Self::ReplaceRefs,
        Self::Grafts,
        Self::Shallow,
        Self::Locks,
        Self::Reftable,
        Self::UnknownFormat,
        Self::SettingsBroken,
        Self::SettingsWithoutEnd,
        Self::Conditions,
        Self::Records,
        Self::FileNames,
        Self::LongNames,
        Self::RepositoryNames,
        Self::LinksOut,
        Self::FolderBehindLink,
        Self::NoFiles,
        Self::Hole,
        Self::Encodings,
        Self::Patterns,
        Self::Wishes,
        Self::LinkedHead,
        Self::LinkedSettings,
        Self::LinkedIndex,
        Self::LinkedPackedRefs,
        Self::LinkedShallow,
        Self::LinkedSparsePatterns,
        Self::LinkedExclude,
        Self::LinkedAttributes,
        Self::LinkedAlternates,
        Self::LinkedCommitGraph,
        Self::LinkedObject,
        Self::LinkedPack,
        Self::LinkedPackIndex,
        Self::LinkedRef,
        Self::LinkedReplaceRef,
        Self::LinkedSharedIndex,
        Self::LinkedCommonFolder,
        Self::LinkedRefs,
        Self::LinkedHeads,
        Self::LinkedObjects,
        Self::LinkedPacks,
        Self::LinkedInfo,
        Self::LinkedObjectsInfo,
        Self::LinkedLogs,
        Self::LinkedModules,
        Self::LinkedWorktrees,
        Self::LinkedRules,
        Self::PipedRules,
        Self::GitLink,
        Self::GitFile,
        Self::ForeignWorktree,
        Self::CommonFolder,
        Self::Alternates,
        Self::HeadText,
        Self::WorkingTree,
        Self::FileElsewhere,
    ];

    /// Sets it in a repository, and leaves an edited and a new file in the tree.
    ///
    /// # Errors
    /// A file cannot be written, or git does not take what is needed.
    pub fn plant(self, ground: &Ground, dice: &mut Dice) -> io::Result<()> {
        if self < Self::LinkedHead {
            programs::plant(self, ground, dice)?;
            stores::plant(self, ground, dice)?;
            trees::plant(self, ground, dice)?;
            return ground.edit();
        }
        ground.edit()?;
        leads::plant(self, ground, dice)
    }

    /// Whether what git reads leads elsewhere, so that no git is to be run there, and no other trap to be set.
    #[must_use]
    pub fn leads_elsewhere(self) -> bool {
        self >= Self::LinkedHead
    }

    /// Arguments of a plain git that runs the repository's program; `None` where one command is not enough.
    #[must_use]
    pub fn shown_by(self) -> Option<&'static [&'static str]> {
        programs::shown_by(self).or_else(|| trees::shown_by(self))
    }

    /// The folder of the tree in which the trap works; empty for the top.
    #[must_use]
    pub fn folder(self) -> &'static str {
        trees::folder(self)
    }
}
