//! What can go wrong between a repository and a sandbox.

use std::io;
use std::path::PathBuf;

/// Why a workspace did not go in, or its changes did not come out.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// No git on this host.
    #[error("cannot run git")]
    NoGit(#[source] io::Error),
    /// A git that lacks what this needs.
    #[error("git {found} is too old: {needed} or newer is needed")]
    OldGit {
        /// What is installed.
        found: String,
        /// What is needed.
        needed: &'static str,
    },
    /// A path of the user's that is not there.
    #[error("cannot look at `{path}`")]
    Missing {
        /// The path.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A folder outside of every repository.
    #[error("`{path}` is in no git repository")]
    NotARepository {
        /// The folder.
        path: PathBuf,
    },
    /// A `.git` that is a file, and leads nowhere: of a linked working tree whose repository was moved, for one.
    #[error("`{file}` leads to `{target}`, where no git repository is")]
    Dangling {
        /// The file that says where the repository is.
        file: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// A folder that git does not take for a repository.
    #[error("`{folder}` is no whole git repository: it has no `{lacks}`")]
    Broken {
        /// The folder.
        folder: PathBuf,
        /// What each repository has.
        lacks: &'static str,
    },
    /// A `.git` that is a link.
    #[error("`{link}` is a link to `{target}`, which is not followed")]
    LinkedGit {
        /// The link.
        link: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// Objects that a partial clone left with its remote.
    #[error(
        "the repository is a partial clone, which lacks {count} of the objects that would go, {first} first"
    )]
    Promised {
        /// How many.
        count: usize,
        /// The first: its id, and where it belongs in the commit.
        first: String,
    },
    /// A user that the guest does not have.
    #[error("the guest has no user `{user}`")]
    NoSuchUser {
        /// What was asked for.
        user: String,
    },
    /// The commit that the guest's work is based on, which the host's repository no longer has.
    #[error("the commit `{commit}` that was prepared is no longer in the repository")]
    BaseGone {
        /// The commit.
        commit: String,
    },
    /// A repository that another user could change, to have this one's git do something.
    #[error("the repository `{path}` belongs to another user")]
    ForeignOwner {
        /// The working tree.
        path: PathBuf,
    },
    /// A repository whose owner cannot get to it, and so not root with that owner's rights either.
    #[error("the repository `{path}` belongs to user {user}, who cannot get there")]
    OutOfReach {
        /// The working tree.
        path: PathBuf,
        /// The owner.
        user: u32,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Root that cannot give its rights up for a while.
    #[error("cannot work with the rights of user {user} on files")]
    Rights {
        /// The owner of a repository.
        user: u32,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A repository that uses other ones' objects.
    #[error("the repository `{path}` borrows objects of `{from}`")]
    Borrows {
        /// The working tree.
        path: PathBuf,
        /// Where they lie.
        from: String,
    },
    /// A setting that names a file outside of the repository.
    #[error("`{path}` leads out of the repository: {key} = {value}")]
    LeadsOut {
        /// The file with the setting.
        path: PathBuf,
        /// The setting.
        key: String,
        /// What it says.
        value: String,
    },
    /// A file of settings that git would not read either.
    #[error("`{path}`, line {line}: this is no setting of git's")]
    NoSetting {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A repository of a format that is not known here.
    #[error("the repository's format is not known: {name}")]
    Extension {
        /// What it says of it.
        name: String,
    },
    /// git could not be started, or not be confined.
    #[error("cannot run git")]
    Unstarted(#[source] process::ProcessError),
    /// A repository without a working tree.
    #[error("`{path}` is a bare repository: it has no files to send")]
    Bare {
        /// The folder.
        path: PathBuf,
    },
    /// `core.worktree` that leads away from the repository.
    #[error("the repository at `{path}` claims `{claimed}` as its working tree")]
    ForeignTree {
        /// What the user named.
        path: PathBuf,
        /// What the repository's settings say.
        claimed: PathBuf,
    },
    /// A `.git` that leads to a repository of another tree.
    #[error("`{path}` is no working tree of the repository `{repository}` that it names")]
    ForeignRepository {
        /// What the user named.
        path: PathBuf,
        /// Where its `.git` leads, or where it borrows from.
        repository: PathBuf,
    },
    /// A file of the repository's that is not what it should be.
    #[error("`{path}` {why}")]
    NoFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A path among the tracked files that git itself never adds.
    #[error("the repository tracks `{path}`, which {why}")]
    Tracked {
        /// The path, fit for a terminal.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Submodules, which a shallow copy would leave as empty folders.
    #[error("the repository has {count} submodules, `{first}` first")]
    Submodules {
        /// How many.
        count: usize,
        /// Path of the first.
        first: String,
    },
    /// A repository that came from nowhere that a guest could reach.
    #[error("the repository has no remote that a guest could fetch its files from")]
    NoRemote,
    /// `--from` with something that is no commit here.
    #[error("`{reference}` names no commit")]
    NoSuchCommit {
        /// What was given.
        reference: String,
    },
    /// A branch name that git would refuse.
    #[error("`{name}` is no name for a branch")]
    BadBranch {
        /// What was given.
        name: String,
    },
    /// A branch that is there already.
    #[error("there is a branch `{name}` already")]
    BranchTaken {
        /// Its name.
        name: String,
    },
    /// git failed on the host.
    #[error("git cannot {action}: {said}")]
    Git {
        /// What it was to do.
        action: &'static str,
        /// What it said, on one line.
        said: String,
    },
    /// git printed something that it never prints.
    #[error("git gave an answer that makes no sense: {0}")]
    Answer(&'static str),
    /// A file that git had listed was gone when it was to be read.
    #[error("`{path}` changed while the repository was read")]
    Moved {
        /// The file.
        path: String,
    },
    /// The stream to the guest, or the command in it, broke off.
    #[error("cannot {action} in the guest")]
    Guest {
        /// What was to be done.
        action: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// git, or what leads to it, failed in the guest.
    #[error("cannot {action} in the guest: {said}")]
    InGuest {
        /// What was to be done.
        action: &'static str,
        /// What the guest said, on one line.
        said: String,
    },
    /// The guest has no git.
    #[error("the guest has no git")]
    NoGitInGuest,
    /// Something lies where the workspace is to go.
    #[error("`{path}` in the guest holds files that are no workspace of banger's")]
    Occupied {
        /// The folder in the guest.
        path: String,
    },
    /// The workspace is not there, or not the one that was prepared.
    #[error("`{path}` in the guest is no workspace that was prepared from here")]
    Lost {
        /// The folder in the guest.
        path: String,
    },
    /// Work made in the guest that would be overwritten.
    #[error(
        "the guest's workspace holds changes that would be overwritten: {}",
        few(files)
    )]
    GuestWork {
        /// The files, or what else would be lost.
        files: Vec<String>,
    },
    /// A base that the guest's repository does not have.
    #[error("the guest's workspace has no commit `{base}`")]
    NoBase {
        /// What was asked for.
        base: String,
    },
    /// A workspace without a commit.
    #[error("the guest's workspace has no commit yet")]
    NoCommit,
    /// Objects of a guest's that do not pass.
    #[error("the guest's commits are refused: {why}")]
    Objects {
        /// What is wrong, in git's words or ours.
        why: String,
    },
    /// What came back is no patch that is taken.
    #[error("the guest's patch is refused, line {line}: {why}")]
    Patch {
        /// Line of the patch, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A patch beyond what is taken.
    #[error("the guest's {what} is larger than {} MiB", limit >> 20)]
    TooLarge {
        /// A patch or a pack.
        what: &'static str,
        /// The bound, in bytes.
        limit: u64,
    },
    /// What came back is small, and takes more than is taken once git unpacks it.
    #[error("the guest's {what} would take {bytes} bytes with {at}, and {} MiB are the most", limit >> 20)]
    TooMuch {
        /// A patch or commits.
        what: &'static str,
        /// How much it comes to, up to where it was too much.
        bytes: u64,
        /// Where that was.
        at: String,
        /// The bound, in bytes.
        limit: u64,
    },
    /// No room for what a patch makes.
    #[error("the patch takes {needed} bytes beside `{path}`, and {free} are free")]
    NoRoom {
        /// The working tree.
        path: PathBuf,
        /// What it takes while it is applied.
        needed: u64,
        /// What is there.
        free: u64,
    },
    /// A patch that does not fit.
    #[error("the patch does not fit {}", few(files))]
    Conflict {
        /// The files that it does not fit.
        files: Vec<String>,
    },
    /// Something of the host's tree is in the way, or changed meanwhile.
    #[error("`{path}` {why}")]
    InTheWay {
        /// Path below the working tree.
        path: String,
        /// What is wrong.
        why: &'static str,
    },
    /// Somebody else applies a patch.
    #[error("another `banger` is changing the files of `{path}`")]
    Busy {
        /// The working tree.
        path: PathBuf,
    },
    /// Files that changed while they were to be put back.
    #[error("{} could not be put back; what was taken away lies in `{kept}`", few(files))]
    NotPutBack {
        /// The files.
        files: Vec<String>,
        /// The folder with what they were.
        kept: PathBuf,
    },
    /// Files of the patch whose folder was moved or replaced by a link while they were to be taken back.
    #[error(
        "the patch is half applied: {} could not be reached to be taken back; what was taken away is in `{kept}`",
        few(files)
    )]
    NotTakenBack {
        /// The files.
        files: Vec<String>,
        /// The folder that [`crate::recover`] puts back.
        kept: PathBuf,
    },
    /// A tree that could not be made what it was, for now.
    #[error("the patch is half applied, and what was taken away lies in `{kept}`")]
    HalfDone {
        /// The folder that [`crate::recover`] puts back.
        kept: PathBuf,
        /// What failed first.
        #[source]
        source: Box<WorkspaceError>,
    },
    /// This program is asked to end.
    #[error("broken off")]
    BrokenOff,
    /// The host's system refused something.
    #[error("cannot {action} `{path}`")]
    Host {
        /// A verb.
        action: &'static str,
        /// The file.
        path: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

impl WorkspaceError {
    pub(crate) fn host(action: &'static str, path: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Host { action, path, source }
    }
}

/// The first few of a list, and how many more there are.
fn few(files: &[String]) -> String {
    const SHOWN: usize = 5;
    let quoted: Vec<String> = files.iter().take(SHOWN).map(|file| format!("`{file}`")).collect();
    let more = files.len().saturating_sub(SHOWN);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("{}{more}", quoted.join(", "))
}

/// Bytes of a path as a person reads them; what a terminal would act on is not in it.
pub(crate) fn shown(path: &[u8]) -> String {
    let text = String::from_utf8_lossy(path);
    text.chars()
        .flat_map(|letter| {
            let plain = !is_unseen(letter);
            let escaped = (!plain).then(|| letter.escape_default());
            plain
                .then_some(letter)
                .into_iter()
                .chain(escaped.into_iter().flatten())
        })
        .collect()
}

/// The same of a path that a guest says: of a long one, the beginning.
pub(crate) fn shown_in_part(path: &[u8]) -> String {
    const MOST: usize = 400;
    match path.get(..MOST) {
        Some(beginning) if path.len() > MOST => format!("{}…", shown(beginning)),
        _ => shown(path),
    }
}

/// Characters that a terminal acts on, or that nobody sees: controls, marks of direction, joiners, fillers.
pub(crate) fn is_unseen(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}
