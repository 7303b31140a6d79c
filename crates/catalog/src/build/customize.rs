//! What a build does to the tree after the packages: files, units, commands, clean-up, each as one program in the tree.
//!
//! No value ever stands in a script: words are arguments, and files come as a tar archive that the tree's own tar unpacks
//! in the tree, whose links lead nowhere else.

use std::fs::{self, File};
use std::path::Path;

use jiff::Timestamp;

use crate::apt::sources::{DEBIAN_KEYRING, Source, render};
use crate::error::CatalogError;
use crate::recipe::{Recipe, Unit};
use crate::workdir::WorkDir;

/// Sources of the build; mmdebstrap puts `0000` before the name and `clean.sh` removes it.
pub(super) const SOURCES: &str = "catalog.sources";
/// The image's own sources.
const GUEST_SOURCES: &str = "/etc/apt/sources.list.d/debian.sources";
/// Letters of a command that are told.
const TOLD: usize = 200;

/// A program that runs in the tree.
#[derive(Debug)]
pub(super) struct Step {
    /// What it is, for a person.
    pub name: String,
    /// Program and arguments.
    pub words: Vec<String>,
    /// What it reads.
    pub input: Option<File>,
}

/// All steps, in their order.
pub(super) fn steps(
    folder: &WorkDir,
    recipe: &Recipe,
    sources: &[Source],
    date: Timestamp,
) -> Result<Vec<Step>, CatalogError> {
    let archive = archive(recipe, sources, date)
        .map_err(|source| CatalogError::file("write", folder.path(), source))?;
    let mut steps = vec![Step {
        name: "files".into(),
        words: words(&[
            "tar",
            "--extract",
            "--file=-",
            "--directory=/",
            "--numeric-owner",
            "--same-owner",
            "--same-permissions",
            "--keep-directory-symlink",
        ]),
        input: Some(input(folder, "files.tar", &archive)?),
    }];
    for (verb, units) in [
        ("enable", &recipe.units.enable),
        ("disable", &recipe.units.disable),
        ("mask", &recipe.units.mask),
    ] {
        if !units.is_empty() {
            let units = units.iter().map(|Unit(unit)| unit.clone());
            let systemctl = words(&["systemctl", "--quiet", verb, "--"]);
            steps.push(Step {
                name: format!("units to {verb}"),
                words: systemctl.into_iter().chain(units).collect(),
                input: None,
            });
        }
    }
    for command in &recipe.commands {
        let told = command.run.join(" ").replace(char::is_control, " ");
        steps.push(Step {
            name: format!("command `{}`", told.chars().take(TOLD).collect::<String>()),
            words: command.run.clone(),
            input: None,
        });
    }
    steps.push(Step {
        name: "clean-up".into(),
        words: words(&["sh", "-s"]),
        input: Some(input(folder, "clean.sh", include_bytes!("clean.sh"))?),
    });
    Ok(steps)
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn input(folder: &WorkDir, name: &str, content: &[u8]) -> Result<File, CatalogError> {
    let path = folder.file(name, content)?;
    File::open(&path).map_err(|source| CatalogError::file("read", path, source))
}

/// What the build's apt is told; the same as the one that fetched the release files.
pub(super) fn apt_options(host: &str) -> String {
    format!(
        "{host}Acquire::AllowInsecureRepositories \"false\";\n\
         APT::Get::AllowUnauthenticated \"false\";\n\
         Dir::Etc::netrc \"/etc/apt/auth.conf\";\n\
         Dir::Etc::netrcparts \"/etc/apt/auth.conf.d/\";\n\
         Acquire::PDiffs \"false\";\n\
         Dpkg::Use-Pty \"false\";\n"
    )
}

/// The recipe's files, after those that make the image's own apt work.
fn archive(recipe: &Recipe, sources: &[Source], date: Timestamp) -> std::io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |path: &str, mode: u32, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(date.as_second().max(0).unsigned_abs());
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, path.trim_start_matches('/'), content)
    };
    let guest = guest_sources(sources)?;
    for (path, content) in &guest.keys {
        add(path, 0o644, content)?;
    }
    add(GUEST_SOURCES, 0o644, render(&guest.sources).as_bytes())?;
    for file in &recipe.files {
        add(&file.path, file.mode, file.content.as_bytes())?;
    }
    builder.into_inner()
}

struct GuestSources {
    sources: Vec<Source>,
    keys: Vec<(String, Vec<u8>)>,
}

/// The sources that the image itself uses: the same mirrors, but those in the host's files; keys that are in a file of
/// the host come along.
fn guest_sources(sources: &[Source]) -> std::io::Result<GuestSources> {
    let mut guest = GuestSources {
        sources: Vec::new(),
        keys: Vec::new(),
    };
    for source in sources {
        if !source.uri.starts_with("http://") && !source.uri.starts_with("https://") {
            continue;
        }
        let mut source = source.clone();
        source.uri = without_login(&source.uri);
        if let Some(path) = source
            .signed_by
            .as_deref()
            .filter(|path| path.starts_with('/') && *path != DEBIAN_KEYRING)
        {
            let end = Path::new(path)
                .extension()
                .and_then(|end| end.to_str())
                .filter(|end| *end == "asc")
                .unwrap_or("gpg");
            let inside = format!("/etc/apt/keyrings/mirror-{}.{end}", guest.keys.len());
            let content = fs::read(path)?;
            match guest.keys.iter().find(|(_, other)| *other == content) {
                Some((other, _)) => source.signed_by = Some(other.clone()),
                None => {
                    guest.keys.push((inside.clone(), content));
                    source.signed_by = Some(inside);
                }
            }
        }
        guest.sources.push(source);
    }
    Ok(guest)
}

/// An address without the user and password in it: an image is read by each of its guests, and goes to others.
fn without_login(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else {
        return uri.to_owned();
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn source(uri: &str, signed_by: Option<&str>) -> Source {
        Source {
            uri: uri.into(),
            suite: "bookworm".into(),
            components: vec!["main".into()],
            signed_by: signed_by.map(str::to_owned),
            check_valid_until: None,
        }
    }

    #[test]
    fn each_command_is_its_own_words_and_is_told_in_one_short_line() {
        let folder = tempfile::tempdir().unwrap();
        let folder = WorkDir::new(folder.path()).unwrap();
        let recipe = format!(
            "suite = \"s\"\ncomponents = [\"main\"]\npackages = []\n[units]\nmask = [\"a.timer\", \"b.timer\"]\n\
             [[commands]]\nrun = [\"sh\", \"-c\", \"a  b\", \"\", \"$(x)\\n'\"]\n[[commands]]\nrun = [\"{}\"]\n",
            "x".repeat(300)
        );
        let recipe = Recipe::parse(&recipe, "r.toml").unwrap();
        let steps = steps(&folder, &recipe, &[], Timestamp::UNIX_EPOCH).unwrap();
        let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
        let long = format!("command `{}`", "x".repeat(200));
        assert_eq!(
            names,
            [
                "files",
                "units to mask",
                "command `sh -c a  b  $(x) '`",
                &long,
                "clean-up"
            ]
        );
        assert_eq!(steps[1].words[3..], ["--", "a.timer", "b.timer"]);
        assert_eq!(steps[2].words, ["sh", "-c", "a  b", "", "$(x)\n'"]);
        assert!(steps[0].input.is_some() && steps[2].input.is_none());
    }

    #[test]
    fn the_image_gets_the_mirrors_with_their_keys_but_no_folder_of_the_host() {
        let folder = tempfile::tempdir().unwrap();
        let keyring = folder.path().join("k.asc");
        fs::write(&keyring, "key").unwrap();
        let keyring = keyring.to_str().unwrap();
        let guest = guest_sources(&[
            source("http://a/", Some(keyring)),
            source("http://b/", Some(keyring)),
            source("http://c/", Some(DEBIAN_KEYRING)),
            source("http://d/", None),
            source("file:///mirror", None),
        ])
        .unwrap();
        let with_login = [
            source("http://me:se@cret@e:80/debian/", None),
            source("https://me@f", None),
            source("http://g/x@y", None),
        ];
        let shown = guest_sources(&with_login).unwrap().sources;
        let shown: Vec<_> = shown.iter().map(|source| source.uri.as_str()).collect();
        assert_eq!(shown, ["http://e:80/debian/", "https://f", "http://g/x@y"]);
        let signed_by: Vec<_> = guest
            .sources
            .iter()
            .map(|source| source.signed_by.as_deref())
            .collect();
        let inside = "/etc/apt/keyrings/mirror-0.asc";
        assert_eq!(
            signed_by,
            [Some(inside), Some(inside), Some(DEBIAN_KEYRING), None]
        );
        assert_eq!(guest.keys, [(inside.to_owned(), b"key".to_vec())]);
    }

    #[test]
    fn files_come_with_mode_time_and_owner_whatever_their_path_is_like() {
        let long = format!("/opt/{}/x", "d".repeat(200));
        let recipe = format!(
            "suite = \"s\"\ncomponents = [\"main\"]\npackages = []\n\
             [[files]]\npath = \"/etc/a b\"\ncontent = \"x\"\nmode = \"0600\"\n[[files]]\npath = \"{long}\"\ncontent = \"y\"\n"
        );
        let recipe = Recipe::parse(&recipe, "r.toml").unwrap();
        let bytes = archive(
            &recipe,
            &[source("http://a/", None)],
            Timestamp::from_second(1000).unwrap(),
        )
        .unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut seen = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let header = entry.header();
            assert_eq!(
                (
                    header.mtime().unwrap(),
                    header.uid().unwrap(),
                    header.gid().unwrap()
                ),
                (1000, 0, 0)
            );
            let mode = header.mode().unwrap();
            let path = entry.path().unwrap().to_str().unwrap().to_owned();
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            seen.push((path, mode, content));
        }
        assert_eq!(seen[0].0, "etc/apt/sources.list.d/debian.sources");
        assert_eq!(seen[1], ("etc/a b".to_owned(), 0o600, "x".to_owned()));
        assert_eq!(seen[2], (long[1..].to_owned(), 0o644, "y".to_owned()));
    }
}
