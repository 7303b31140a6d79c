//! Where a working tree and its repository lie, and whether they are each other's: found out without git, which would
//! believe what it reads.
//!
//! A repository that came from anywhere can hold a `.git` that leads to another one of the user's, or borrow another
//! one's commits: what is private there would go along as if it were its own.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use process::FileRights;
use rustix::fs::Stat;
use rustix::process::geteuid;

use crate::beneath::Folder;
use crate::config::{About, Reader, Settings, check_extensions};
use crate::error::{WorkspaceError, shown};
use crate::owner::{self, Owner};

/// Most bytes of a file that says where something lies.
const LARGEST: u64 = 4096;

/// A working tree and its repository.
///
/// ```text
/// .git a folder            it is that folder, and its refs and objects are its own
/// .git leads elsewhere     a linked working tree: <common>/worktrees/NAME, whose file `gitdir` leads back
///                          a submodule: core.worktree leads back
///                          a separate one: a folder that is nobody's `.git`
/// ```
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) top: Folder,
    /// What belongs to this working tree: head and index.
    pub(crate) folder: Folder,
    /// What all working trees of the repository share, where that is another folder.
    pub(crate) shared: Option<Folder>,
    /// Whether `.git` is a file.
    by_file: bool,
}

impl Layout {
    /// Finds the repository that `path` lies in, and its owner where root is to look at another user's: it was found with
    /// that owner's rights then, who could have led root astray on the way.
    pub(crate) fn find(path: &Path) -> Result<(Self, Option<Owner>), WorkspaceError> {
        let found = Self::look(path)?;
        let Some(owner) = Owner::of(&found.stats()?) else {
            return Ok((found, None));
        };
        let top = found.top.path;
        let rights = owner::rights(Some(owner))?;
        Folder::open(&top).map_err(|failure| match failure {
            WorkspaceError::Host { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                WorkspaceError::OutOfReach {
                    path: top.clone(),
                    user: owner.user,
                    source,
                }
            }
            other => other,
        })?;
        let again = Self::look(&top)?;
        drop(rights);
        if again.top.path != top || Owner::of(&again.stats()?) != Some(owner) {
            return Err(WorkspaceError::Moved {
                path: shown(top.as_os_str().as_bytes()),
            });
        }
        Ok((again, Some(owner)))
    }

    /// What is known of its parts: `.git`, the working tree, the repository's folder, the one that is shared.
    fn stats(&self) -> Result<Vec<Stat>, WorkspaceError> {
        let own = self.top.stat(Path::new(".git"))?;
        let folders = [&self.top, &self.folder].into_iter().chain(&self.shared);
        let folders = folders.map(Folder::itself).collect::<Result<Vec<_>, _>>()?;
        Ok(own.into_iter().chain(folders).collect())
    }

    fn look(path: &Path) -> Result<Self, WorkspaceError> {
        let asked = path.canonicalize().map_err(|source| WorkspaceError::Missing {
            path: path.to_owned(),
            source,
        })?;
        let within = if asked.is_dir() {
            &asked
        } else {
            asked.parent().unwrap_or(&asked)
        };
        let disk = |path: &Path| path.metadata().ok().map(|found| found.dev());
        // git looks further up over one without HEAD.
        let mut headless = None;
        for top in within
            .ancestors()
            .take_while(|folder| disk(folder) == disk(within))
        {
            let own = top.join(".git");
            match own.symlink_metadata() {
                Ok(found) if found.is_dir() && is_repository(&own) => return Self::whole(path, top),
                Ok(found) if found.is_file() => return Self::by_file(path, top),
                // Whatever is behind it is not this tree's own.
                Ok(found) if found.is_symlink() && own.exists() => {
                    return Err(WorkspaceError::LinkedGit {
                        target: own.canonicalize().unwrap_or_else(|_| own.clone()),
                        link: own,
                    });
                }
                // Meant as a repository, and broken: git would take the one around it for what was asked for.
                Ok(found) if found.is_dir() && own.join("HEAD").symlink_metadata().is_ok() => {
                    return Err(broken(own));
                }
                Ok(found) if found.is_dir() && own.join("objects").is_dir() => {
                    headless.get_or_insert(own);
                }
                _ => {}
            }
            if is_repository(top) {
                return Err(WorkspaceError::Bare {
                    path: path.to_owned(),
                });
            }
        }
        Err(match headless {
            Some(folder) => broken(folder),
            None => WorkspaceError::NotARepository {
                path: path.to_owned(),
            },
        })
    }

    /// `.git` is the repository.
    fn whole(path: &Path, top: &Path) -> Result<Self, WorkspaceError> {
        let folder = Folder::open(&top.join(".git"))?;
        if let Some(elsewhere) = folder.read("commondir", LARGEST)? {
            return Err(foreign(path, folder.path.join(path_of(elsewhere))));
        }
        Ok(Self {
            top: Folder::open(top)?,
            folder,
            shared: None,
            by_file: false,
        })
    }

    /// `.git` says where the repository lies.
    fn by_file(path: &Path, top: &Path) -> Result<Self, WorkspaceError> {
        let top = Folder::open(top)?;
        let text = top.read(".git", LARGEST)?.unwrap_or_default();
        let Some(written) = text.strip_prefix(b"gitdir: ") else {
            return Err(top.no_file(Path::new(".git"), "does not begin with `gitdir: `"));
        };
        let place = top.path.join(path_of(written.to_vec()));
        let Ok(place) = place.canonicalize() else {
            return Err(WorkspaceError::Dangling {
                file: top.path.join(".git"),
                target: place,
            });
        };
        if !is_repository(&place) {
            return Err(broken(place));
        }
        let folder = Folder::open(&place)?;
        let Some(elsewhere) = folder.read("commondir", LARGEST)? else {
            return Ok(Self {
                top,
                folder,
                shared: None,
                by_file: true,
            });
        };
        let shared = folder.path.join(path_of(elsewhere));
        let shared = shared.canonicalize().map_err(|_| WorkspaceError::Dangling {
            file: folder.path.join("commondir"),
            target: shared,
        })?;
        let linked = folder.path.parent() == Some(&shared.join("worktrees"));
        if !linked || !leads_back(&folder, &top)? {
            return Err(foreign(path, folder.path));
        }
        Ok(Self {
            top,
            folder,
            shared: Some(Folder::open(&shared)?),
            by_file: true,
        })
    }

    /// The folder of refs and objects.
    pub(crate) fn common(&self) -> &Folder {
        self.shared.as_ref().unwrap_or(&self.folder)
    }

    /// The repository's folder below the working tree's top as the user named that, where links lead to it: by a whole
    /// path, or from where the user's shell says that it is.
    pub(crate) fn over_links(&self, asked: &Path) -> Option<PathBuf> {
        let here = || {
            let here = PathBuf::from(std::env::var_os("PWD")?);
            let is_here = here.is_absolute() && here.canonicalize().ok()? == std::env::current_dir().ok()?;
            is_here.then_some(here)
        };
        let named = match asked.is_absolute() {
            true => asked.to_owned(),
            false => here()?.join(asked),
        };
        // Without `.` and a slash at the end, and over `..` only as the file system has it.
        let named: PathBuf = named.components().collect();
        let plain = !named
            .components()
            .any(|part| part == std::path::Component::ParentDir);
        let leads =
            plain && !self.by_file && named != self.top.path && named.canonicalize().ok()? == self.top.path;
        leads.then(|| named.join(".git"))
    }

    /// A reader of the repository's settings.
    pub(crate) fn reader(&self, about: About) -> Reader<'_> {
        let mut roots = vec![&self.top, &self.folder];
        roots.extend(&self.shared);
        Reader { roots, about }
    }

    /// The repository's settings, after what they say of the two folders has been checked.
    pub(crate) fn settings(&self, path: &Path, reader: &mut Reader<'_>) -> Result<Settings, WorkspaceError> {
        let mut files = vec![self.common().path.join("config")];
        let mut settings = reader.settings(&files)?;
        if settings.is_on("extensions", "worktreeconfig") {
            files.push(self.folder.path.join("config.worktree"));
            settings = reader.settings(&files)?;
        }
        check_extensions(&settings)?;
        // Of a linked working tree's these are the repository's, and say nothing of it.
        if self.shared.is_none() {
            if settings.is_on("core", "bare") {
                return Err(WorkspaceError::Bare {
                    path: path.to_owned(),
                });
            }
            self.check_tree(path, &settings)?;
        }
        Ok(settings)
    }

    fn check_tree(&self, path: &Path, settings: &Settings) -> Result<(), WorkspaceError> {
        let claimed = settings.get("core", "worktree").map(|claimed| {
            let claimed = self.folder.path.join(path_of(claimed.to_vec()));
            claimed.canonicalize().unwrap_or(claimed)
        });
        match claimed {
            Some(claimed) if claimed != self.top.path => Err(WorkspaceError::ForeignTree {
                path: path.to_owned(),
                claimed,
            }),
            None if self.by_file && self.folder.path.file_name() == Some(".git".as_ref()) => {
                Err(foreign(path, self.folder.path.clone()))
            }
            _ => Ok(()),
        }
    }

    /// Refuses what belongs to another user, as git does: `trusted` are the values of the user's own `safe.directory`.
    pub(crate) fn check_owner<'a>(
        &self,
        trusted: impl Iterator<Item = &'a [u8]>,
        home: Option<&Path>,
    ) -> Result<(), WorkspaceError> {
        let user = geteuid().as_raw();
        let on_behalf = std::env::var("SUDO_UID").ok().and_then(|text| text.parse().ok());
        let is_own = |part: &Stat| part.st_uid == user || user == 0 && Some(part.st_uid) == on_behalf;
        if self.stats()?.iter().all(is_own) {
            return Ok(());
        }
        // The user's own word, by the user's own paths.
        let _own = FileRights::own();
        let mut safe = false;
        for value in trusted {
            let text = OsStr::from_bytes(value);
            safe = match value {
                b"" => false,
                b"*" => true,
                _ => {
                    let whole = match (value.strip_prefix(b"~/"), home) {
                        (Some(rest), Some(home)) => home.join(OsStr::from_bytes(rest)),
                        _ => PathBuf::from(text),
                    };
                    let below = whole.to_str().and_then(|whole| whole.strip_suffix("/*"));
                    safe || match below {
                        Some(folder) => {
                            self.top.path.starts_with(folder) && self.top.path != Path::new(folder)
                        }
                        None => {
                            whole == self.top.path
                                || whole.canonicalize().is_ok_and(|path| path == self.top.path)
                        }
                    }
                }
            };
        }
        if safe {
            return Ok(());
        }
        Err(WorkspaceError::ForeignOwner {
            path: self.top.path.clone(),
        })
    }
}

/// Whether a folder looks like a repository: as little as git asks for.
fn is_repository(folder: &Path) -> bool {
    let is_folder = |name: &str| folder.join(name).is_dir();
    let whole = is_folder("objects") && is_folder("refs");
    let linked = folder.join("commondir").symlink_metadata().is_ok();
    folder.join("HEAD").symlink_metadata().is_ok() && (whole || linked)
}

/// Whether the file by which a linked working tree is known to its repository names this one.
fn leads_back(folder: &Folder, top: &Folder) -> Result<bool, WorkspaceError> {
    let Some(written) = folder.read("gitdir", LARGEST)? else {
        return Ok(false);
    };
    let named = folder.path.join(path_of(written));
    // Where the tree lies is compared over the links that led to it, the file itself as it is.
    let parent = named.parent().and_then(|parent| parent.canonicalize().ok());
    Ok(named.file_name() == Some(".git".as_ref()) && parent.as_ref() == Some(&top.path))
}

/// What a folder that is meant as a repository lacks to be one.
fn broken(folder: PathBuf) -> WorkspaceError {
    let missing = |name: &&str| match *name {
        "HEAD" => folder.join(name).symlink_metadata().is_err(),
        name => !folder.join(name).is_dir(),
    };
    let lacks = ["HEAD", "objects", "refs"].into_iter().find(missing);
    WorkspaceError::Broken {
        lacks: lacks.unwrap_or("objects"),
        folder,
    }
}

fn foreign(path: &Path, repository: PathBuf) -> WorkspaceError {
    WorkspaceError::ForeignRepository {
        path: path.to_owned(),
        repository,
    }
}

/// The path that a file or an answer of git's says.
pub(crate) fn path_of(mut line: Vec<u8>) -> PathBuf {
    while matches!(line.last(), Some(b'\n' | b'\r')) {
        line.pop();
    }
    OsString::from_vec(line).into()
}
