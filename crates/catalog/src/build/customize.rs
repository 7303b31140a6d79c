//! What a build does to the tree after the packages: a fixed script, and the recipe's values in files beside it.
//!
//! No value ever stands in a script: words are separated by zero bytes and handed over by xargs(1), files come as a tar
//! archive that is unpacked by the tree's own tar inside the tree, so that no link in it leads out.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::apt::sources::{DEBIAN_KEYRING, Source, render};
use crate::error::CatalogError;
use crate::recipe::Recipe;
use crate::workdir::WorkDir;

/// Sources of the build; mmdebstrap puts `0000` before the name and `clean.sh` removes it.
pub(super) const SOURCES: &str = "catalog.sources";
/// The image's own sources.
const GUEST_SOURCES: &str = "/etc/apt/sources.list.d/debian.sources";

/// Writes script and values; gives the script's path.
pub(super) fn write(
    folder: &WorkDir,
    recipe: &Recipe,
    sources: &[Source],
    date: Timestamp,
) -> Result<PathBuf, CatalogError> {
    folder.folder("customize/commands")?;
    folder.file("customize/clean.sh", include_str!("clean.sh"))?;
    for (file, units) in [
        ("customize/enable", &recipe.units.enable),
        ("customize/disable", &recipe.units.disable),
        ("customize/mask", &recipe.units.mask),
    ] {
        folder.file(file, words(units.iter().map(|unit| &unit.0)))?;
    }
    for (index, command) in recipe.commands.iter().enumerate() {
        folder.file(
            &format!("customize/commands/{index:04}"),
            words(command.run.iter()),
        )?;
    }
    let archive = archive(recipe, sources, date)
        .map_err(|source| CatalogError::file("write", folder.path(), source))?;
    folder.file("customize/files.tar", archive)?;
    let hook = folder.file("customize/hook", include_str!("hook.sh"))?;
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o700))
        .map_err(|source| CatalogError::file("make executable", &hook, source))?;
    Ok(hook)
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

/// Words for `xargs --null`.
fn words<'a>(words: impl Iterator<Item = &'a String>) -> Vec<u8> {
    words.flat_map(|word| word.bytes().chain([0])).collect()
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
    fn words_keep_whatever_is_in_them() {
        let all = ["a b".to_owned(), String::new(), "$(x)\n'\"".to_owned()];
        assert_eq!(words(all.iter()), b"a b\0\0$(x)\n'\"\0");
        assert_eq!(words([].iter()), b"");
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
