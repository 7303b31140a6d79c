//! Which files a program consists of that lies outside of the folders that every confined program sees.
//!
//! A program in a folder of the user's is shown by itself, not with its folder: beside it may lie anything.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use process::Confinement;

use super::Host;
use crate::config::Settings;
use crate::error::WorkspaceError;

/// A file or folder, and where a confined program finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) source: PathBuf,
    pub(crate) at: PathBuf,
}

/// The first file of that name that can be executed.
pub(super) fn find(name: &OsStr, path: &OsStr) -> Option<PathBuf> {
    let folders = std::env::split_paths(path).filter(|folder| folder.is_absolute());
    folders
        .map(|folder| folder.join(name))
        .find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    file.metadata()
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// Whether a path and what it leads to are seen anyway.
fn is_seen(path: &Path, canonical: &Path) -> bool {
    let parent = path.parent().and_then(|parent| parent.canonicalize().ok());
    Confinement::is_shown_with_programs(canonical)
        && parent.is_some_and(|parent| Confinement::is_shown_with_programs(&parent))
}

/// A program, as far as it has to be shown.
fn shown(path: &Path) -> Vec<Program> {
    let Ok(source) = path.canonicalize() else {
        return Vec::new();
    };
    if is_seen(path, &source) {
        return Vec::new();
    }
    let mut programs = vec![Program {
        source: source.clone(),
        at: source.clone(),
    }];
    if path != source {
        programs.push(Program {
            source,
            at: path.to_owned(),
        });
    }
    programs
}

/// git's own parts: its file, the folder of its commands, the libraries that it is linked with.
pub(super) fn of_git(host: &Host) -> Result<Vec<Program>, WorkspaceError> {
    let mut parts = shown(&host.git);
    if parts.is_empty() {
        return Ok(parts);
    }
    let output = host.run(&["--exec-path"])?;
    let folder = PathBuf::from(OsStr::from_bytes(output.stdout.trim_ascii_end()));
    let own = folder.canonicalize().ok().filter(|folder| {
        let whole_home = host.home.as_ref().is_some_and(|home| home.starts_with(folder));
        folder.is_dir() && folder.parent().is_some() && !whole_home
    });
    if let Some(source) = own.filter(|source| !is_seen(&folder, source)) {
        parts.push(Program {
            source: source.clone(),
            at: source.clone(),
        });
        if folder != source {
            parts.push(Program { source, at: folder });
        }
    }
    parts.extend(libraries(&host.git));
    Ok(parts)
}

/// What the loader says that it would load: the user's own git, which runs anyway.
fn libraries(program: &Path) -> Vec<Program> {
    let listed = Command::new(program)
        .arg("version")
        .env("LD_TRACE_LOADED_OBJECTS", "1")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let Ok(listed) = listed else {
        return Vec::new();
    };
    let text = String::from_utf8_lossy(&listed.stdout);
    let paths = text.lines().filter_map(|line| {
        let line = line.split_once(" => ").map_or(line, |(_, path)| path).trim();
        let path = line.split_once(" (0x").map_or(line, |(path, _)| path);
        path.starts_with('/').then(|| PathBuf::from(path))
    });
    paths
        .filter(|path| path.is_file())
        .flat_map(|path| shown(&path))
        .collect()
}

/// The programs that filters name, with their interpreters.
pub(super) fn of_filters(settings: &Settings, path: &OsStr, home: Option<&Path>) -> Vec<Program> {
    let commands = ["clean", "smudge", "process"]
        .into_iter()
        .flat_map(|name| settings.each("filter", name).map(|(_, command)| command));
    let mut programs: Vec<Program> = Vec::new();
    for command in commands {
        if let Some(file) = first_word(command).and_then(|word| located(&word, path, home)) {
            add(&file, path, 3, &mut programs);
        }
    }
    programs
}

/// Adds a program, and the one that its first line names.
fn add(file: &Path, path: &OsStr, deeper: usize, programs: &mut Vec<Program>) {
    for program in shown(file) {
        if !programs.contains(&program) {
            programs.push(program);
        }
    }
    for word in interpreter(file).unwrap_or_default().iter().take(2) {
        if let Some(file) = located(word, path, None).filter(|_| deeper > 0) {
            add(&file, path, deeper - 1, programs);
        }
    }
}

/// The words of a script's first line, if it is one.
fn interpreter(file: &Path) -> Option<Vec<OsString>> {
    let mut begin = Vec::new();
    std::fs::File::open(file)
        .ok()?
        .take(256)
        .read_to_end(&mut begin)
        .ok()?;
    let line = begin.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let words = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    Some(words.map(|word| OsStr::from_bytes(word).to_owned()).collect())
}

/// The file that a word of a shell's stands for.
fn located(word: &OsStr, path: &OsStr, home: Option<&Path>) -> Option<PathBuf> {
    let file = match (word.as_bytes().strip_prefix(b"~/"), home) {
        (Some(rest), Some(home)) => home.join(OsStr::from_bytes(rest)),
        _ if word.as_bytes().contains(&b'/') => word.into(),
        _ => return find(word, path),
    };
    Some(file).filter(|file| file.is_absolute() && is_program(file))
}

/// The program of a shell's command, where it is a plain word or a quoted one.
fn first_word(command: &[u8]) -> Option<OsString> {
    let command = command.trim_ascii_start();
    let word = match command.first()? {
        quote @ (b'"' | b'\'') => {
            let rest = &command[1..];
            &rest[..rest.iter().position(|byte| byte == quote)?]
        }
        _ => command
            .split(|byte| byte.is_ascii_whitespace() || b";&|<>()".contains(byte))
            .next()?,
    };
    (!word.is_empty()).then(|| OsStr::from_bytes(word).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Setting;

    #[test]
    fn the_first_word_of_a_command_is_its_program() {
        for (command, expected) in [
            ("git-lfs clean -- %f", Some("git-lfs")),
            ("  '/opt/my tools/clean' %f", Some("/opt/my tools/clean")),
            ("\"~/bin/x\"", Some("~/bin/x")),
            ("cat; rm", Some("cat")),
            ("", None),
            ("'open", None),
        ] {
            let found = first_word(command.as_bytes());
            assert_eq!(found.as_deref(), expected.map(OsStr::new), "{command}");
        }
    }

    #[test]
    fn a_program_of_the_users_is_shown_by_itself_with_its_interpreter_and_its_link() {
        let home = tempfile::tempdir().unwrap();
        let bin = home.path().canonicalize().unwrap().join("bin");
        std::fs::create_dir(&bin).unwrap();
        for (name, text) in [
            ("interpreter", "#!/bin/sh\n"),
            ("clean", "#!/usr/bin/env interpreter\n"),
        ] {
            std::fs::write(bin.join(name), text).unwrap();
            std::fs::set_permissions(bin.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        std::os::unix::fs::symlink("clean", bin.join("link")).unwrap();
        let command = Setting::of_key(b"filter.\xff.clean", Some(b"link %f".to_vec())).unwrap();
        let path = std::env::join_paths([&bin, Path::new("/usr/bin")]).unwrap();
        let found = of_filters(&Settings(vec![command]), &path, None);
        let at: Vec<_> = found
            .iter()
            .map(|program| program.at.strip_prefix(&bin).unwrap())
            .collect();
        assert_eq!(
            at,
            [Path::new("clean"), Path::new("link"), Path::new("interpreter")]
        );
        let system = Setting::of_key(b"filter.x.clean", Some(b"cat".to_vec())).unwrap();
        assert_eq!(of_filters(&Settings(vec![system]), &path, None), []);
    }
}
