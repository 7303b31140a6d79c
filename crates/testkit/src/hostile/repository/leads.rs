//! Repositories that lead elsewhere: by a link, a pipe or a device where git looks for a file, by a path that a file or a
//! setting says.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::Trap;
use super::ground::{Ground, clear, write};
use crate::Dice;

/// What `HEAD` says.
const HEADS: [&str; 7] = [
    "ref: refs/../../../secret",
    "ref: ../../secret",
    "ref: /etc/passwd",
    "ref: refs/heads/../../../private/.git/refs/heads/main",
    "ref: refs/heads/\u{1b}[31mmain",
    "what",
    "",
];

/// Settings that name a file, and one of the user's.
const ELSEWHERE: [(&str, &str); 6] = [
    ("core.excludesFile", "SECRET"),
    ("core.excludesFile", "~/.netrc"),
    ("core.attributesFile", "../secret"),
    ("include.path", "SECRET"),
    ("include.path", "../../secret"),
    ("includeIf.gitdir:/**.path", "~/.netrc"),
];

/// Where git looks for a file or folder below `.git`.
fn place(trap: Trap) -> Option<&'static str> {
    Some(match trap {
        Trap::LinkedHead => "HEAD",
        Trap::LinkedSettings => "config",
        Trap::LinkedIndex => "index",
        Trap::LinkedPackedRefs => "packed-refs",
        Trap::LinkedShallow => "shallow",
        Trap::LinkedSparsePatterns => "info/sparse-checkout",
        Trap::LinkedExclude => "info/exclude",
        Trap::LinkedAttributes => "info/attributes",
        Trap::LinkedAlternates => "objects/info/alternates",
        Trap::LinkedCommitGraph => "objects/info/commit-graph",
        Trap::LinkedObject => "objects/00/11111111111111111111111111111111111111",
        Trap::LinkedPack => "objects/pack/pack-1111111111111111111111111111111111111111.pack",
        Trap::LinkedPackIndex => "objects/pack/multi-pack-index",
        Trap::LinkedRef => "refs/heads/other",
        Trap::LinkedReplaceRef => "refs/replace/1111111111111111111111111111111111111111",
        Trap::LinkedSharedIndex => "sharedindex.1111111111111111111111111111111111111111",
        Trap::LinkedCommonFolder => "commondir",
        Trap::LinkedRefs => "refs",
        Trap::LinkedHeads => "refs/heads",
        Trap::LinkedObjects => "objects",
        Trap::LinkedPacks => "objects/pack",
        Trap::LinkedInfo => "info",
        Trap::LinkedObjectsInfo => "objects/info",
        Trap::LinkedLogs => "logs",
        Trap::LinkedModules => "modules",
        Trap::LinkedWorktrees => "worktrees",
        _ => return None,
    })
}

pub(super) fn plant(trap: Trap, ground: &Ground, dice: &mut Dice) -> io::Result<()> {
    let site = ground.site();
    let private = ground.private().join(".git");
    let text = |path: &str| ground.beside(path).display().to_string();
    if let Some(place) = place(trap) {
        return lead(ground, place, dice);
    }
    match trap {
        Trap::GitLink => {
            clear(&ground.own(""))?;
            symlink(&private, site.join(".git"))
        }
        Trap::GitFile => {
            clear(&ground.own(""))?;
            let path = match dice.once_in(2) {
                true => "../private/.git".to_owned(),
                false => text("private/.git"),
            };
            fs::write(site.join(".git"), format!("gitdir: {path}\n"))
        }
        Trap::ForeignWorktree => {
            // A linked working tree of the other repository, which knows nothing of it.
            let admin = site.join("tools/worktree");
            fs::create_dir_all(&admin)?;
            fs::write(admin.join("HEAD"), "ref: refs/heads/main\n")?;
            fs::write(admin.join("commondir"), private.as_os_str().as_encoded_bytes())?;
            fs::write(admin.join("gitdir"), text("site/.git"))?;
            clear(&ground.own(""))?;
            fs::write(site.join(".git"), "gitdir: tools/worktree\n")
        }
        Trap::CommonFolder => fs::write(ground.own("commondir"), private.as_os_str().as_encoded_bytes()),
        Trap::Alternates => {
            let objects = text("private/.git/objects");
            let list = match dice.below(3) {
                0 => format!("{objects}\n"),
                1 => format!("# x\n{objects}/../objects\n"),
                _ => "../../../private/.git/objects\n".to_owned(),
            };
            write(&ground.own("objects/info/alternates"), list)?;
            theirs(ground)
        }
        Trap::HeadText => fs::write(ground.own("HEAD"), dice.one_of(&HEADS)),
        Trap::WorkingTree => {
            let path = dice.one_of(&["../../private", "/", "../..", "../../home"]);
            ground.set("core.worktree", path)
        }
        Trap::PipedRules => {
            let name = dice.one_of(&[
                ".gitignore",
                ".gitattributes",
                "docs/.gitignore",
                "docs/.gitattributes",
            ]);
            let path = site.join(name);
            clear(&path)?;
            Ok(mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR)?)
        }
        Trap::LinkedRules => {
            let name = dice.one_of(&[".gitignore", ".gitattributes", ".gitmodules"]);
            let to = dice.one_of(&["../secret", "/dev/zero", "../private/key"]);
            clear(&site.join(name))?;
            symlink(to, site.join(name))
        }
        Trap::FileElsewhere => {
            let (key, value) = dice.one_of(&ELSEWHERE);
            ground.set(key, &value.replace("SECRET", &text("secret")))
        }
        _ => Ok(()),
    }
}

/// A link to something of the user's, to itself or without end, or a pipe, in the place of what git reads.
fn lead(ground: &Ground, place: &str, dice: &mut Dice) -> io::Result<()> {
    let path = ground.own(place);
    // The patterns count, and where the other repository's objects can be had, its commit is the one.
    ground.set("core.sparseCheckout", "true")?;
    if place.starts_with("objects") {
        theirs(ground)?;
    }
    fs::create_dir_all(path.parent().unwrap_or(&path))?;
    let is_folder = path.is_dir() || matches!(place, "logs" | "modules" | "worktrees");
    clear(&path)?;
    let theirs = ground.private().join(".git").join(place);
    let targets: Vec<PathBuf> = match is_folder {
        true => vec![theirs, ground.beside("home"), "/dev".into(), ".".into()],
        false => vec![
            theirs,
            ground.beside("secret"),
            relative(place).join("secret"),
            "/dev/zero".into(),
            path.file_name().unwrap_or_default().into(),
        ],
    };
    match dice.below(targets.len() + 1) {
        number if number < targets.len() => symlink(&targets[number], &path),
        _ => Ok(mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR)?),
    }
}

/// The way from what lies at a place below `.git` to what lies beside the repository.
fn relative(place: &str) -> PathBuf {
    let depth = place.split('/').count() + 1;
    (0..depth).map(|_| "..").collect()
}

/// The other repository's commit is checked out.
fn theirs(ground: &Ground) -> io::Result<()> {
    let commit = ground.git_in(&ground.private(), &["rev-parse", "HEAD"])?;
    fs::write(ground.own("HEAD"), format!("{commit}\n"))
}
