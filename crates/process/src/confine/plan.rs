//! A confinement made ready for the child, which can neither allocate nor look anything up.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use nix::libc::{self, c_int};
use rustix::mount::MountAttrFlags;

use super::ids::Ids;
use super::system::SystemPlan;
use super::{Confinement, Entry, Refusal, Rights, What};

/// What the child does, in this order. Paths inside are relative to the new root.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(super) ids: Ids,
    pub(super) steps: Vec<Step>,
    /// Of a system of its own; `ids` is nobody's then.
    pub(super) system: Option<SystemPlan>,
    keeps_network: bool,
    /// For each step, what an error says of it.
    names: Vec<String>,
}

#[derive(Debug)]
pub(super) enum Step {
    Folder(CString),
    /// An empty file, for a file to be shown in its place.
    File(CString),
    Link {
        at: CString,
        to: CString,
    },
    Bind {
        source: CString,
        at: CString,
        attributes: MountAttrFlags,
        /// Whether the way there is gone with the rights of the user to become.
        by_user: bool,
        /// The source, once the child has opened it.
        opened: OnceCell<OwnedFd>,
    },
    Scratch {
        at: CString,
        size: CString,
        entries: CString,
        mode: &'static CStr,
    },
    Processes {
        at: CString,
    },
    Terminals {
        at: CString,
    },
}

impl Step {
    pub(super) fn bind(source: &Path, at: &Path, rights: Rights, by_user: bool) -> io::Result<Self> {
        Ok(Self::Bind {
            source: c_string(source)?,
            at: c_string(at)?,
            attributes: attributes(rights),
            by_user,
            opened: OnceCell::new(),
        })
    }

    /// What it binds, once the child has opened it.
    pub(super) fn opened(&self) -> Option<&OwnedFd> {
        match self {
            Self::Bind { opened, .. } => opened.get(),
            _ => None,
        }
    }
}

/// How many files a folder in memory may have, whose size says nothing of empty ones: so many, and one for so many bytes.
const FEWEST_ENTRIES: u64 = 1024;
const BYTES_AN_ENTRY: u64 = 1024;

/// Which part of the work failed, as the child tells it: one of these, or `STEPS` and the number of the step.
pub(super) const IDS: u32 = 1;
pub(super) const ROOT: u32 = 2;
pub(super) const LEAVE: u32 = 3;
pub(super) const RIGHTS: u32 = 4;
pub(super) const STEPS: u32 = 5;

impl Plan {
    pub(crate) fn new(confinement: &Confinement) -> Result<Self, Refusal> {
        let mut tree = Tree::default();
        for entry in &confinement.entries {
            tree.add(entry).map_err(|source| Refusal {
                step: name(entry),
                source,
            })?;
        }
        let ids = Ids::choose(confinement).map_err(|source| Refusal {
            step: "choose a user".into(),
            source,
        })?;
        let system = confinement.system.as_ref().map(SystemPlan::new).transpose();
        let system = system.map_err(|source| Refusal {
            step: "make a system of its own".into(),
            source,
        })?;
        Ok(Self {
            ids,
            steps: tree.steps,
            system,
            keeps_network: confinement.keeps_network,
            names: tree.names,
        })
    }

    /// The namespaces that the child begins in (`clone(2)`).
    pub(crate) fn namespaces(&self) -> c_int {
        let mut flags = libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
        if !self.keeps_network {
            flags |= libc::CLONE_NEWNET;
        }
        let needs_user_namespace = match &self.system {
            Some(system) => system.has_user_namespace(),
            None => !self.ids.privileged,
        };
        if needs_user_namespace {
            flags |= libc::CLONE_NEWUSER;
        }
        flags
    }

    /// What the child needs open until it is confined.
    pub(crate) fn kept_open(&self) -> Option<&OwnedFd> {
        self.system.as_ref().and_then(SystemPlan::kept_open)
    }

    /// For the parent: what the child, which was just forked, cannot do by itself and waits for.
    ///
    /// # Errors
    /// The child has to be ended.
    pub(crate) fn help(&self, pid: u32) -> Result<(), Refusal> {
        let Some(system) = &self.system else {
            return Ok(());
        };
        system.map(pid).map_err(|source| Refusal {
            step: "map a range of ids".into(),
            source,
        })
    }

    /// What the child tells, as an error.
    pub(crate) fn refusal(&self, part: u32, source: io::Error) -> Refusal {
        let step = match part {
            IDS => "become a user of its own",
            ROOT => "make a root of its own",
            LEAVE => "leave the host's root",
            RIGHTS => "give its rights up",
            part => part
                .checked_sub(STEPS)
                .and_then(|number| self.names.get(usize::try_from(number).ok()?))
                .map_or("be confined", String::as_str),
        };
        Refusal {
            step: step.into(),
            source,
        }
    }
}

/// What an error says of an entry.
fn name(entry: &Entry) -> String {
    match &entry.what {
        What::Bound { source, .. } => format!("show {}", source.display()),
        What::Link { .. } | What::Scratch { .. } | What::Processes | What::Terminals => {
            format!("make {}", entry.at.display())
        }
    }
}

/// The new root while it is being planned.
#[derive(Default)]
struct Tree {
    steps: Vec<Step>,
    /// For each step, what an error says of it.
    names: Vec<String>,
    folders: BTreeSet<PathBuf>,
    /// Folders of the host: nothing is made in them.
    bound: Vec<PathBuf>,
}

impl Tree {
    fn add(&mut self, entry: &Entry) -> io::Result<()> {
        let at = inside(&entry.at)?;
        let name = name(entry);
        let covered = self.bound.iter().any(|bound| at.starts_with(bound));
        if !covered {
            self.folders_to(at.parent().unwrap_or(Path::new("")), &name)?;
        }
        let target = c_string(&at)?;
        match &entry.what {
            What::Bound {
                source,
                rights,
                by_user,
            } => {
                let folder = source.metadata()?.is_dir();
                if folder && !covered {
                    self.folders_to(&at, &name)?;
                } else if !covered {
                    self.push(Step::File(target.clone()), &name);
                }
                self.push(Step::bind(source, &at, *rights, *by_user)?, &name);
                if folder {
                    self.bound.push(at);
                }
            }
            What::Link { to } => {
                let to = c_string(to)?;
                self.push(Step::Link { at: target, to }, &name);
            }
            What::Scratch { bytes, mode } => {
                if !covered {
                    self.folders_to(&at, &name)?;
                }
                let size = CString::new(bytes.to_string())?;
                let entries = CString::new((FEWEST_ENTRIES + bytes / BYTES_AN_ENTRY).to_string())?;
                let step = Step::Scratch {
                    at: target,
                    size,
                    entries,
                    mode,
                };
                self.push(step, &name);
            }
            What::Processes => {
                self.folders_to(&at, &name)?;
                self.push(Step::Processes { at: target }, &name);
            }
            What::Terminals => {
                self.folders_to(&at, &name)?;
                self.push(Step::Terminals { at: target }, &name);
            }
        }
        Ok(())
    }

    fn folders_to(&mut self, path: &Path, name: &str) -> io::Result<()> {
        let mut folder = PathBuf::new();
        for component in path.components() {
            folder.push(component);
            if self.folders.insert(folder.clone()) {
                self.push(Step::Folder(c_string(&folder)?), name);
            }
        }
        Ok(())
    }

    fn push(&mut self, step: Step, name: &str) {
        self.steps.push(step);
        self.names.push(name.into());
    }
}

fn attributes(rights: Rights) -> MountAttrFlags {
    let safe = MountAttrFlags::MOUNT_ATTR_NOSUID;
    let no_program = safe | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    match rights {
        Rights::Read => safe | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_RDONLY,
        Rights::Write => no_program | MountAttrFlags::MOUNT_ATTR_NODEV,
        Rights::Own => safe | MountAttrFlags::MOUNT_ATTR_NODEV,
        // A device is opened for writing all the same; its owner and its mode stay as they are.
        Rights::Device => no_program | MountAttrFlags::MOUNT_ATTR_RDONLY,
    }
}

/// An absolute path of the new root, relative to it.
fn inside(path: &Path) -> io::Result<PathBuf> {
    let mut components = path.components();
    let plain = components.next() == Some(Component::RootDir)
        && components.all(|component| matches!(component, Component::Normal(_)));
    match path.strip_prefix("/") {
        Ok(relative) if plain && relative != Path::new("") => Ok(relative.to_owned()),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

fn c_string(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_inside_are_absolute_and_plain() {
        assert_eq!(inside(Path::new("/a/b")).unwrap(), Path::new("a/b"));
        for bad in ["", "/", "a", "./a", "/..", "/a/../b", "../a"] {
            assert!(inside(Path::new(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn each_folder_is_made_once_and_before_what_lies_in_it() {
        let mut confinement = Confinement::new(0);
        confinement
            .show("/dev/null", "/a/b/file")
            .scratch("/a/b/scratch", 1)
            .show("/", "/a/host");
        let plan = Plan::new(&confinement).unwrap();
        let made: Vec<String> = plan.steps.iter().map(|step| format!("{step:?}")).collect();
        let folders = made.iter().filter(|step| step.starts_with("Folder"));
        assert_eq!(
            folders.collect::<Vec<_>>(),
            [
                "Folder(\"a\")",
                "Folder(\"a/b\")",
                "Folder(\"a/b/scratch\")",
                "Folder(\"a/host\")"
            ]
        );
    }

    #[test]
    fn what_is_not_there_is_named() {
        let mut confinement = Confinement::new(0);
        confinement.show("/nowhere/at-all", "/a");
        let refusal = Plan::new(&confinement).unwrap_err();
        assert_eq!(refusal.to_string(), "cannot show /nowhere/at-all");
        let mut confinement = Confinement::new(0);
        confinement.scratch("relative", 1);
        let refusal = Plan::new(&confinement).unwrap_err();
        assert_eq!(refusal.to_string(), "cannot make relative");
    }
}
