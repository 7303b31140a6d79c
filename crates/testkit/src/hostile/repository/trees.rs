//! Working trees whose files are called or lie where they should not, and what they say to this program.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::Trap;
use super::ground::{Ground, clear, header, name, setting, write};
use crate::Dice;

/// Names of files.
const NAMES: [&[u8]; 12] = [
    b"a\nbanger: evil",
    b"a\x1b[31m\x1b]0;evil\x07",
    b"a\rb",
    b"\xff\xfe.txt",
    b"--upload-pack=x",
    b"-rf",
    b":(attr:filter=lfs)",
    b"a\xe2\x80\xaetxt.exe",
    b"a\xe2\x80\x8bb",
    b"\"quoted\"\\",
    b" ",
    b"*",
];

/// Names that some file system takes for `.git`.
const REPOSITORIES: [&[u8]; 5] = [
    b".GIT/config",
    b"sub/.Git/hooks/post-checkout",
    b"git~1",
    b".g\xe2\x80\x8cit",
    b".git \xc2\xa0/config",
];

/// What `.banger.toml` says.
const WISHES: [&str; 6] = [
    "image = \"/etc/passwd\"\n",
    "image = \"\\u001b[31m\\nbanger: evil\"\n",
    "setup = [\"CANARY\", \"\\u001b]0;evil\\u0007\"]\n",
    "env_file = \"../home/.netrc\"\n",
    "publish = [\"0.0.0.0:22:22\"]\n",
    "[[[\u{1b}[31m",
];

pub(super) fn plant(trap: Trap, ground: &Ground, dice: &mut Dice) -> io::Result<()> {
    let site = ground.site();
    let git = |arguments: &[&str]| ground.git(arguments).map(drop);
    match trap {
        Trap::FileNames => {
            fs::create_dir_all(site.join("odd"))?;
            fs::create_dir_all(site.join("new-odd"))?;
            for bytes in NAMES {
                fs::write(site.join("odd").join(name(bytes)), "text\n")?;
                fs::write(site.join("new-odd").join(name(bytes)), "text\n")?;
            }
            git(&["add", "odd"])?;
            git(&["commit", "-qm", "names"])?;
            let edited = name(NAMES[dice.below(NAMES.len())]);
            fs::write(site.join("odd").join(edited), "edited\n")
        }
        Trap::LongNames => {
            write(&site.join("long").join("n".repeat(255)), "text\n")?;
            let deep: String = "d/".repeat(400);
            write(&site.join("long").join(deep).join("file"), "text\n")?;
            if dice.once_in(2) {
                git(&["add", "long"])?;
            }
            Ok(())
        }
        Trap::RepositoryNames => {
            for bytes in REPOSITORIES {
                write(&site.join(name(bytes)), "[core]\n\tfsmonitor = evil\n")?;
            }
            if dice.once_in(2) {
                // git itself takes these where it is said not to mind.
                let unprotected = ["-c", "core.protectNTFS=false", "-c", "core.protectHFS=false"];
                let rest = ["add", "git~1", ".g\u{200c}it"];
                return git(&[&unprotected[..], &rest].concat());
            }
            Ok(())
        }
        Trap::LinksOut => {
            let targets = ["../secret", "../private", "/dev/zero", "link", "/", ".git/config"];
            for (number, target) in targets.into_iter().enumerate() {
                symlink(target, site.join(format!("link{number}")))?;
                symlink(target, site.join(format!("tracked{number}")))?;
                git(&["add", &format!("tracked{number}")])?;
            }
            clear(&site.join("src/old.c"))?;
            symlink(dice.one_of(&targets), site.join("src/old.c"))
        }
        Trap::FolderBehindLink => {
            clear(&site.join("docs"))?;
            symlink(dice.one_of(&["../private", "../home", "/dev"]), site.join("docs"))
        }
        Trap::NoFiles => {
            mkfifo(&site.join("pipe"), Mode::S_IRUSR | Mode::S_IWUSR)?;
            clear(&site.join("docs/key"))?;
            mkfifo(&site.join("docs/key"), Mode::S_IRUSR | Mode::S_IWUSR)?;
            // Its file stays when the listener goes. A path of a socket is short.
            let short = tempfile::tempdir()?;
            let socket = short.path().join("socket");
            drop(UnixListener::bind(&socket)?);
            fs::rename(&socket, site.join("socket")).or(Ok(()))
        }
        Trap::Hole => fs::File::create(site.join("hole"))?.set_len(1 << 40),
        Trap::Encodings => {
            let attributes = "README text eol=crlf ident working-tree-encoding=UTF-16\n\
                 src/* text working-tree-encoding=UTF-7 export-subst\n* -diff whitespace=evil\n";
            ground.append(".gitattributes", attributes.as_bytes())?;
            ground.append(".gitattributes", &[b"x".repeat(4000), b" y\n".to_vec()].concat())
        }
        Trap::Patterns => {
            let stars = "*a".repeat(40);
            let text = format!("{stars}b\n**/{stars}**/b\n[{}\n!{stars}\n", "[".repeat(500));
            ground.append(".gitignore", text.as_bytes())?;
            ground.append(".gitattributes", format!("{stars}b text\n").as_bytes())?;
            write(&site.join("docs").join("a".repeat(200)), "text\n")
        }
        Trap::Submodule => submodule(ground),
        Trap::ModuleSettings => modules(ground),
        Trap::NestedRepository => {
            let nested = site.join("vendor");
            fs::create_dir_all(&nested)?;
            ground.git_in(&nested, &["init", "-q"])?;
            runs(ground, &nested.join(".git/config"), None)
        }
        Trap::BareFolder => {
            let bare = site.join("bare");
            for (path, text) in [
                ("HEAD", "ref: refs/heads/main\n"),
                ("objects/x", ""),
                ("refs/x", ""),
            ] {
                write(&bare.join(path), text)?;
            }
            runs(ground, &bare.join("config"), Some(".."))
        }
        Trap::Wishes => {
            let path = site.join(".banger.toml");
            let canary = ground.canary().display().to_string();
            match dice.below(WISHES.len() + 3) {
                number if number < WISHES.len() => fs::write(path, WISHES[number].replace("CANARY", &canary)),
                number if number == WISHES.len() => symlink("../secret", path),
                number if number == WISHES.len() + 1 => Ok(mkfifo(&path, Mode::S_IRUSR)?),
                _ => fs::write(path, "# x\n".repeat(100_000)),
            }
        }
        _ => Ok(()),
    }
}

/// A submodule that is checked out, whose own settings run a program.
fn submodule(ground: &Ground) -> io::Result<()> {
    let part = ground.site().join("part");
    fs::create_dir_all(&part)?;
    ground.git_in(&part, &["init", "-q", "-b", "main"])?;
    fs::write(part.join("file"), "text\n")?;
    ground.git_in(&part, &["add", "-A"])?;
    ground.git_in(&part, &["commit", "-qm", "part"])?;
    let commit = ground.git_in(&part, &["rev-parse", "HEAD"])?;
    let entry = format!("160000,{commit},part");
    ground.git(&["update-index", "--add", "--cacheinfo", &entry])?;
    let canary = ground.canary();
    let text = format!(
        "[submodule \"part\"]\n\tpath = part\n\turl = ext::{}\n\tignore = none\n",
        canary.display()
    );
    fs::write(ground.site().join(".gitmodules"), text)?;
    ground.set("submodule.recurse", "true")?;
    ground.set("submodule.part.update", &format!("!{}", canary.display()))?;
    runs(ground, &part.join(".git/config"), None)
}

/// Submodules whose names, paths and addresses are commands, options or places of the user's.
fn modules(ground: &Ground) -> io::Result<()> {
    let canary = ground.canary().display().to_string();
    let commit = ground.git(&["rev-parse", "HEAD"])?;
    let mut text = String::new();
    for (module, path, url) in [
        ("plain", "plain", "--upload-pack=CANARY"),
        ("helper", "helper", "ext::CANARY"),
        ("-c", "-c", "ssh://-oProxyCommand=CANARY/x"),
        ("../../up", "--", "file:///etc"),
        ("hooks/x", "hooks", "../../private"),
        ("a\u{1b}[31m", "e\u{1b}", "https://example.com/\u{1b}]0;x\u{7}"),
    ] {
        let url = url.replace("CANARY", &canary);
        text.push_str(&format!(
            "[submodule \"{module}\"]\n\tpath = {path}\n\turl = {url}\n\tupdate = !{canary}\n"
        ));
        let entry = format!("160000,{commit},{path}");
        ground.git(&["update-index", "--add", "--cacheinfo", &entry])?;
        ground.set(&format!("submodule.{module}.url"), &url)?;
        ground.set(&format!("submodule.{module}.update"), &format!("!{canary}"))?;
        write(
            &ground.site().join(path).join(".git"),
            "gitdir: ../../private/.git\n",
        )?;
    }
    fs::write(ground.site().join(".gitmodules"), text)
}

/// Has git run the program in the repository with these settings.
fn runs(ground: &Ground, settings: &std::path::Path, tree: Option<&str>) -> io::Result<()> {
    let mut text = fs::read(settings).unwrap_or_default();
    header(&mut text, "core", None);
    setting(&mut text, "fsmonitor", &ground.canary().display().to_string());
    if let Some(tree) = tree {
        setting(&mut text, "repositoryFormatVersion", "0");
        setting(&mut text, "bare", "false");
        setting(&mut text, "worktree", tree);
    }
    fs::write(settings, text)
}

/// The folder of the tree in which the trap works.
pub(super) fn folder(trap: Trap) -> &'static str {
    match trap {
        Trap::NestedRepository => "vendor",
        Trap::BareFolder => "bare",
        _ => "",
    }
}

/// Arguments of a plain git that runs the program.
pub(super) fn shown_by(trap: Trap) -> Option<&'static [&'static str]> {
    Some(match trap {
        Trap::Submodule => &["status"],
        Trap::NestedRepository => &["-C", "vendor", "status"],
        Trap::BareFolder => &["-C", "bare", "status"],
        _ => return None,
    })
}
