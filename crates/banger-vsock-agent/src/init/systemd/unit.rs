//! An image's own units, as far as they matter before systemd reads them.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Where units lie, the one that counts first.
const PLACES: [&str; 3] = [
    "etc/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];

/// A unit is a page of text.
const MAX_UNIT: u64 = 64 * 1024;

/// The text of a unit; none if there is no such unit, or it is masked.
pub(super) fn read(root: &Path, name: &str) -> Option<String> {
    let path = places(root)
        .map(|place| place.join(name))
        .find(|path| exists(path))?;
    let mut text = String::new();
    let mut file = File::open(path).ok()?.take(MAX_UNIT);
    file.read_to_string(&mut text).ok()?;
    Some(text).filter(|text| !text.is_empty())
}

/// Whether a target starts this unit.
pub(super) fn is_wanted(root: &Path, target: &str, name: &str) -> bool {
    places(root).any(|place| exists(&place.join(format!("{target}.wants")).join(name)))
}

/// The values of a setting, in their order, without those that a later empty one took back.
pub(super) fn values<'a>(text: &'a str, setting: &str) -> Vec<&'a str> {
    let given = text
        .lines()
        .filter_map(|line| line.trim().split_once('='))
        .filter(|(name, _)| name.trim_end() == setting)
        .map(|(_, value)| value.trim());
    given.fold(Vec::new(), |mut values, value| {
        if value.is_empty() {
            values.clear();
        } else {
            values.push(value);
        }
        values
    })
}

fn places(root: &Path) -> impl Iterator<Item = PathBuf> {
    PLACES.iter().map(move |place| root.join(place))
}

/// A link to nowhere is there, too: it may lead somewhere below another root.
fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn root(units: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in units {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn the_administrators_unit_counts_before_the_distributions() {
        let root = root(&[
            ("usr/lib/systemd/system/a.service", "vendor"),
            ("lib/systemd/system/a.service", "older"),
        ]);
        assert_eq!(read(root.path(), "a.service").as_deref(), Some("vendor"));
        let own = root.path().join("etc/systemd/system");
        fs::create_dir_all(&own).unwrap();
        fs::write(own.join("a.service"), "own").unwrap();
        assert_eq!(read(root.path(), "a.service").as_deref(), Some("own"));
        assert_eq!(read(root.path(), "b.service"), None);
    }

    #[test]
    fn a_masked_unit_is_none() {
        let root = root(&[("usr/lib/systemd/system/tmp.mount", "[Mount]\n")]);
        let own = root.path().join("etc/systemd/system");
        fs::create_dir_all(&own).unwrap();
        symlink("/dev/null", own.join("tmp.mount")).unwrap();
        assert_eq!(read(root.path(), "tmp.mount"), None);
    }

    #[test]
    fn a_unit_is_wanted_from_either_place() {
        let wants = "usr/lib/systemd/system/local-fs.target.wants/tmp.mount";
        let root = root(&[(wants, "")]);
        assert!(is_wanted(root.path(), "local-fs.target", "tmp.mount"));
        assert!(!is_wanted(root.path(), "sysinit.target", "tmp.mount"));
    }

    #[test]
    fn an_empty_setting_takes_back_what_came_before() {
        let text =
            "[Service]\nExecStart=one\nExecStartPre=other\nExecStart=\n ExecStart = two \nExecStart=three\n";
        assert_eq!(values(text, "ExecStart"), ["two", "three"]);
        assert!(values(text, "ExecStop").is_empty());
    }
}
