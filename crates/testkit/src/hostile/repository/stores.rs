//! Indexes, objects, packs, refs and settings that are broken, larger than they look, or hold what git itself would not make.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use sha1::{Digest, Sha1};

use super::Trap;
use super::ground::{Ground, clear, name, write};
use crate::Dice;

/// Paths that no index of git's own making holds.
const PATHS: [&str; 7] = [
    "../secret",
    "./../secret",
    "../private/key",
    "/etc/passwd",
    ".git/config",
    ".GIT/config",
    "docs/../.git/config",
];

/// Names of a tree's entries that no file may have.
const ENTRIES: [&[u8]; 6] = [b"..", b".git", b".GIT", b"../secret", b"a/../../b", b"git~1"];

/// Names of refs, as files below `refs/heads`.
const REFS: [&[u8]; 7] = [
    b"--all",
    b"-c",
    b"a\x1b[31m\x1b]0;evil\x07",
    b"a\nbanger: evil",
    b"\xff\xfe",
    b"a\xe2\x80\xaeb",
    b"a..b",
];

pub(super) fn plant(trap: Trap, ground: &Ground, dice: &mut Dice) -> io::Result<()> {
    let git = |arguments: &[&str]| ground.git(arguments).map(drop);
    let index = ground.own("index");
    match trap {
        Trap::IndexWithoutEnd => hole(index, 3 << 30),
        Trap::IndexOfMillions => {
            // Entries that are counted and not there, and a sum that says not to check it.
            let text = [b"DIRC\0\0\0\x02\x7f\xff\xff\xff".as_slice(), &[0; 4096]].concat();
            fs::write(index, text)
        }
        Trap::IndexBroken => break_bytes(index, dice),
        Trap::IndexPacked => git(&["update-index", "--index-version", "4"]),
        Trap::IndexSplit => git(&["update-index", "--split-index"]),
        Trap::IndexExtended => {
            let canary = format!("core.fsmonitor={}", ground.canary().display());
            git(&["-c", &canary, "update-index", "--fsmonitor"])?;
            git(&["update-index", "--force-untracked-cache"])?;
            git(&["status"])?;
            ground.clear_marks()
        }
        Trap::IndexPaths => index_paths(ground, dice),
        Trap::TreePaths => tree_paths(ground, dice),
        Trap::TreeWide => tree_wide(ground),
        Trap::FileBomb => {
            // 16 MiB, which are 16 KiB.
            let blob = ground.git_with(
                &ground.site(),
                &["hash-object", "-w", "--stdin"],
                &vec![0; 16 << 20],
            )?;
            git(&[
                "update-index",
                "--add",
                "--cacheinfo",
                &format!("100644,{blob},bomb"),
            ])?;
            git(&["commit", "-qm", "bomb"])
        }
        Trap::DeltaChain => delta_chain(ground),
        Trap::ObjectLies => object_lies(ground, dice),
        Trap::ObjectEmpty => {
            let object = *dice.one_of(&["HEAD", "HEAD^{tree}", "HEAD:src/old.c"]);
            let path = loose(ground, object)?;
            clear(&path)?;
            fs::write(path, "")
        }
        Trap::PackBroken => {
            git(&["repack", "-adqb"])?;
            git(&["multi-pack-index", "write"])?;
            break_one(ground, "objects/pack", dice)
        }
        Trap::CommitGraphBroken => {
            git(&["commit-graph", "write", "--reachable"])?;
            break_one(ground, "objects/info", dice)
        }
        Trap::ManyRefs => {
            let commit = ground.git(&["rev-parse", "HEAD"])?;
            let mut text = String::from("# pack-refs with: peeled fully-peeled sorted \n");
            for number in 0..20_000 {
                text.push_str(&format!("{commit} refs/tags/t{number:08}\n"));
            }
            fs::write(ground.own("packed-refs"), text)?;
            (0..300).try_for_each(|number| {
                write(
                    &ground.own(&format!("refs/heads/many/{number}")),
                    format!("{commit}\n"),
                )
            })
        }
        Trap::RefNames => {
            let commit = ground.git(&["rev-parse", "HEAD"])?;
            let heads = ground.own("refs/heads");
            for bytes in REFS {
                fs::write(heads.join(name(bytes)), format!("{commit}\n"))?;
            }
            let head = [b"ref: refs/heads/", *dice.one_of(&REFS), b"\n"].concat();
            fs::write(ground.own("HEAD"), head)
        }
        Trap::RefsBroken => {
            let text = match dice.below(3) {
                0 => vec![0; 100_000],
                1 => "x".repeat(5 << 20).into_bytes(),
                _ => b"ref: refs/heads/main\n^^^\n../../secret refs/heads/main\n".to_vec(),
            };
            clear(&ground.own("refs/heads/main"))?;
            fs::write(ground.own("packed-refs"), text)
        }
        Trap::RefLoop => {
            fs::write(ground.own("refs/heads/main"), "ref: refs/heads/other\n")?;
            fs::write(ground.own("refs/heads/other"), "ref: refs/heads/main\n")
        }
        Trap::ReplaceRefs => git(&["replace", "HEAD:src/old.c", "HEAD:docs/key"]),
        Trap::Grafts => {
            let commit = ground.git(&["rev-parse", "HEAD"])?;
            write(
                &ground.own("info/grafts"),
                format!("{commit} {}\n", "1".repeat(40)),
            )
        }
        Trap::Shallow => {
            let commit = ground.git(&["rev-parse", "HEAD"])?;
            let text = match dice.below(3) {
                0 => format!("{commit}\n").into_bytes(),
                1 => format!("{}\n", "1".repeat(40)).repeat(5000).into_bytes(),
                _ => b"\x1b[31m\nbanger: evil\n\xff".to_vec(),
            };
            fs::write(ground.own("shallow"), text)
        }
        Trap::Locks => ["index.lock", "HEAD.lock", "packed-refs.lock", "config.lock"]
            .into_iter()
            .try_for_each(|lock| fs::write(ground.own(lock), "")),
        Trap::Reftable => {
            ground.set("core.repositoryFormatVersion", "1")?;
            ground.set("extensions.refStorage", "reftable")?;
            write(
                &ground.own("reftable/tables.list"),
                "../../../secret\n0x1-0x1-1.ref\n",
            )?;
            fs::write(ground.own("reftable/0x1-0x1-1.ref"), b"REFT\x01\xff\xff\xff")
        }
        Trap::UnknownFormat => {
            ground.set("core.repositoryFormatVersion", "1")?;
            match dice.below(3) {
                0 => ground.set("core.repositoryFormatVersion", "99"),
                1 => ground.set("extensions.evil\u{200b}", "1"),
                _ => ground.set("extensions.objectFormat", "\u{1b}[31mmd5"),
            }
        }
        Trap::SettingsBroken => {
            let text: &[u8] = match dice.below(5) {
                0 => b"[core\n\tfsmonitor = x\n",
                1 => b"[core]\n\tfsmonitor = \"\x1b[31m\nbanger: evil\n",
                2 => b"\0\0\0\xff\xfe[core]\n",
                3 => b"[filter \"a\nb\"]\n\tclean = x\n",
                _ => b"[a]\n\tb = \\q\n",
            };
            ground.append(".git/config", text)
        }
        Trap::SettingsWithoutEnd => {
            let text = match dice.below(3) {
                0 => "[a]\n\tb = c\n".repeat(900_000),
                1 => format!("[a]\n\tb = {}\n", "x".repeat(9 << 20)),
                _ => "[include]\n\tpath = config\n".to_owned(),
            };
            ground.append(".git/config", text.as_bytes())
        }
        Trap::Conditions => {
            let pattern = format!("{}b", "*a**/".repeat(40));
            for key in ["gitdir", "gitdir/i", "onbranch", "hasconfig:remote.*.url"] {
                ground.set(&format!("includeIf.{key}:{pattern}.path"), "../tools/none")?;
            }
            let branch = format!("refs/heads/{}", "a/a".repeat(60));
            fs::write(ground.own("HEAD"), format!("ref: {branch}\n"))?;
            let commit = ground.git(&["rev-parse", "refs/heads/main"])?;
            write(&ground.own(&branch), format!("{commit}\n"))
        }
        Trap::Records => records(ground),
        _ => Ok(()),
    }
}

/// A file without anything in it that says to be large.
fn hole(path: PathBuf, length: u64) -> io::Result<()> {
    clear(&path)?;
    fs::File::create(path)?.set_len(length)
}

/// Changes some bytes of a file.
fn break_bytes(path: PathBuf, dice: &mut Dice) -> io::Result<()> {
    let mut bytes = fs::read(&path)?;
    for _ in 0..8 {
        let place = dice.below(bytes.len());
        if let Some(byte) = bytes.get_mut(place) {
            *byte = byte.wrapping_add(1 + u8::try_from(dice.below(255)).unwrap_or_default());
        }
    }
    if dice.once_in(3) {
        bytes.truncate(dice.below(bytes.len()));
    }
    clear(&path)?;
    fs::write(path, bytes)
}

/// The same of one of the files in a folder.
fn break_one(ground: &Ground, folder: &str, dice: &mut Dice) -> io::Result<()> {
    let mut files: Vec<PathBuf> = fs::read_dir(ground.own(folder))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(io::Error::other(format!("{folder} has no file to break")));
    }
    break_bytes(dice.one_of(&files).clone(), dice)
}

/// An index that names a file outside of the tree, or of the repository's own.
fn index_paths(ground: &Ground, dice: &mut Dice) -> io::Result<()> {
    let blob = ground.git(&["rev-parse", "HEAD:docs/key"])?;
    let wanted = *dice.one_of(&PATHS);
    let placeholder = format!("xx/{}", "p".repeat(wanted.len() - 3));
    ground.git(&["update-index", "--index-version", "2"])?;
    let entry = format!("100644,{blob},{placeholder}");
    ground.git(&["update-index", "--add", "--cacheinfo", &entry])?;
    let path = ground.own("index");
    let mut bytes = fs::read(&path)?;
    let place = bytes
        .windows(placeholder.len())
        .position(|found| found == placeholder.as_bytes());
    let place = place.ok_or_else(|| io::Error::other("an index without what was put there"))?;
    bytes[place..place + wanted.len()].copy_from_slice(wanted.as_bytes());
    let end = bytes.len() - 20;
    let sum = Sha1::digest(&bytes[..end]);
    bytes[end..].copy_from_slice(&sum);
    fs::write(path, bytes)
}

/// A commit of a tree that names a file outside of it, or a repository's own.
fn tree_paths(ground: &Ground, dice: &mut Dice) -> io::Result<()> {
    let blob = ground.git(&["rev-parse", "HEAD:docs/key"])?;
    let id: Vec<u8> = (0..blob.len() / 2)
        .filter_map(|byte| u8::from_str_radix(blob.get(byte * 2..byte * 2 + 2)?, 16).ok())
        .collect();
    let tree = [b"100644 ", *dice.one_of(&ENTRIES), b"\0", &id].concat();
    let tree = ground.git_with(
        &ground.site(),
        &["hash-object", "-t", "tree", "-w", "--literally", "--stdin"],
        &tree,
    )?;
    let commit = ground.git(&["commit-tree", "-p", "HEAD", "-m", "paths", &tree])?;
    fs::write(ground.own("refs/heads/main"), format!("{commit}\n"))
}

/// A commit of some thousand folders and files that are five objects.
fn tree_wide(ground: &Ground) -> io::Result<()> {
    let mut entry = format!("100644 blob {}", ground.git(&["rev-parse", "HEAD:docs/key"])?);
    for _ in 0..4 {
        let list: String = (0..9).map(|number| format!("{entry}\t{number}\n")).collect();
        let tree = ground.git_with(&ground.site(), &["mktree"], list.as_bytes())?;
        entry = format!("040000 tree {tree}");
    }
    let tree = entry.trim_start_matches("040000 tree ").to_owned();
    let commit = ground.git(&["commit-tree", "-p", "HEAD", "-m", "wide", &tree])?;
    ground.git(&["read-tree", &commit])?;
    fs::write(ground.own("refs/heads/main"), format!("{commit}\n"))
}

/// A file that is made from another one, which is made from another one, some thousand times.
fn delta_chain(ground: &Ground) -> io::Result<()> {
    let mut stream = String::new();
    let mut text: String = (0..100).map(|line| format!("line {line} of it\n")).collect();
    for number in 1..3000 {
        text.push_str(&format!("{number}\n"));
        let tail = &text[text.len().saturating_sub(2000)..];
        stream.push_str(&format!("blob\nmark :{number}\ndata {}\n{tail}\n", tail.len()));
    }
    let parent = ground.git(&["rev-parse", "HEAD"])?;
    stream.push_str(&format!(
        "commit refs/heads/main\ncommitter A <a@b> 1 +0000\ndata 4\ndeep\nfrom {parent}\nM 100644 :2999 deep\n\n"
    ));
    let arguments = ["fast-import", "--quiet", "--depth=4000"];
    ground.git_with(&ground.site(), &arguments, stream.as_bytes())?;
    ground.git(&["reset", "-q", "--hard"]).map(drop)
}

/// Where an object lies that is in no pack.
fn loose(ground: &Ground, object: &str) -> io::Result<PathBuf> {
    let id = ground.git(&["rev-parse", object])?;
    let (folder, file) = id.split_at(2);
    Ok(ground.own("objects").join(folder).join(file))
}

/// An object that is longer than it says, or says to be longer than any disk.
fn object_lies(ground: &Ground, dice: &mut Dice) -> io::Result<()> {
    let path = loose(ground, "HEAD:src/old.c")?;
    let heads: [&[u8]; 5] = [
        b"blob 99999999999999\0x",
        b"blob 1\0",
        b"tree 18446744073709551615\0",
        b"evil\x1b[31m 4\0evil",
        b"blob -1\0",
    ];
    let head = heads[dice.below(heads.len())];
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(head)?;
    if dice.once_in(2) {
        encoder.write_all(&vec![0; 4 << 20])?;
    }
    clear(&path)?;
    fs::write(path, encoder.finish()?)
}

/// What this program itself would leave in a repository.
fn records(ground: &Ground) -> io::Result<()> {
    let stage = ground.own(".banger-apply-x");
    write(&stage.join("old/0"), "evil")?;
    write(
        &stage.join("record"),
        "banger apply 2\0file 1 - ../../secret\0end\0",
    )?;
    symlink("../../../home", stage.join("new"))?;
    write(&ground.own("banger/settled"), "evil")?;
    write(&ground.own("banger-objects/pack/incoming"), "evil")?;
    let commit = ground.git(&["rev-parse", "HEAD"])?;
    for record in ["prepared", "base", "index", "replaced"] {
        write(
            &ground.own(&format!("refs/banger/{record}")),
            format!("{commit}\n"),
        )?;
    }
    Ok(())
}
