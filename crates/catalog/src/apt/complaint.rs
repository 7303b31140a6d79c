//! What apt's complaints mean.

use std::path::PathBuf;

use crate::error::CatalogError;

/// What the program was about.
pub(crate) struct Context {
    /// The release.
    pub suite: String,
    /// Where it worked.
    pub folder: PathBuf,
}

const DISK_FULL: [&str; 3] = [
    "No space left on device",
    "Disk quota exceeded",
    "You don't have enough free space",
];
const UNREACHABLE: [&str; 11] = [
    "Could not connect",
    "Unable to connect",
    "Cannot initiate the connection",
    "Connection failed",
    "Connection timed out",
    "Connection refused",
    "Could not resolve",
    "Temporary failure resolving",
    "Something wicked happened resolving",
    "Error reading from server",
    "Could not handshake",
];
const UNVERIFIED: [&str; 15] = [
    "Hash Sum mismatch",
    "File has unexpected size",
    "is not signed",
    "NO_PUBKEY",
    "BADSIG",
    "EXPKEYSIG",
    "REVKEYSIG",
    "invalid signature",
    "signatures couldn't be verified",
    "signatures were invalid",
    "Clearsigned file isn't valid",
    "is expired (invalid since",
    "is not valid yet",
    "cannot be authenticated",
    "Unable to find expected entry",
];
const SUITE_MISSING: [&str; 2] = ["does not have a Release file", "no longer has a Release file"];
const PACKAGE_MISSING: [&str; 5] = [
    "Unable to locate package ",
    "Couldn't find any package by glob ",
    "Couldn't find any package by regex ",
    "Can't find a source to download version",
    "No packages found",
];

/// Finds the cause in a program's last lines, if it is a known one. What stands in the way most comes first: a mirror
/// that is out of reach has no release and no signature either.
pub(crate) fn classify(lines: &[String], context: &Context) -> Option<CatalogError> {
    let find = |words: &[&str]| {
        lines
            .iter()
            .find(|line| words.iter().any(|word| line.contains(word)))
    };
    if find(&DISK_FULL).is_some() {
        return Some(CatalogError::DiskFull {
            path: context.folder.clone(),
        });
    }
    if let Some(line) = find(&UNREACHABLE) {
        let (address, reason) = fetch_failure(line).unwrap_or(("", line));
        let mirror = if address.is_empty() {
            "of the apt sources"
        } else {
            mirror_of(address)
        };
        return Some(CatalogError::MirrorUnreachable {
            mirror: mirror.to_owned(),
            reason: trimmed(reason),
        });
    }
    if let Some(line) = find(&UNVERIFIED) {
        return Some(CatalogError::Unverified {
            reason: trimmed(line),
        });
    }
    if let Some(line) = find(&SUITE_MISSING) {
        return Some(CatalogError::SuiteMissing {
            reason: trimmed(line),
        });
    }
    let line = lines.iter().find(|line| missing_package(line).is_some())?;
    let package = missing_package(line)?.to_owned();
    Some(CatalogError::PackageMissing {
        package,
        suite: context.suite.clone(),
    })
}

/// The name of a package that is not there; empty where apt does not say it.
fn missing_package(line: &str) -> Option<&str> {
    let unquoted = |text: &'_ str| -> usize { text.find(['\'', ' ', ',']).unwrap_or(text.len()) };
    if let Some((_, after)) = PACKAGE_MISSING.iter().find_map(|word| line.split_once(word)) {
        let after = after.trim_start_matches('\'');
        return Some(&after[..unquoted(after)]);
    }
    for (before, ends) in [
        ("Package '", "' has no installation candidate"),
        ("Package ", " is not available"),
        ("Version '", "' was not found"),
    ] {
        if let Some((_, after)) = line.split_once(before)
            && let Some((inside, _)) = after.split_once(ends)
        {
            // Version 'x' for 'package' was not found
            return Some(inside.rsplit('\'').next().unwrap_or(inside));
        }
    }
    None
}

/// `Failed to fetch <address>  <reason>`
fn fetch_failure(line: &str) -> Option<(&str, &str)> {
    let (_, after) = line.split_once("Failed to fetch ")?;
    after.trim_start().split_once(' ')
}

/// What of an address a person knows as the mirror.
fn mirror_of(address: &str) -> &str {
    let end = address
        .find("/dists/")
        .or_else(|| address.find("/pool/"))
        .unwrap_or(address.len());
    &address[..end]
}

/// Without apt's own mark before it.
fn trimmed(line: &str) -> String {
    let line = line.trim();
    let line = ["E: ", "W: "]
        .iter()
        .find_map(|mark| line.strip_prefix(mark))
        .unwrap_or(line);
    line.trim().to_owned()
}

/// The line that says best why a program failed: its last error, or its last line.
pub(crate) fn last_error(lines: &[String]) -> Option<String> {
    lines
        .iter()
        .rfind(|line| line.starts_with("E: "))
        .or_else(|| lines.last())
        .map(|line| trimmed(line))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(lines: &[&str]) -> Option<String> {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        let context = Context {
            suite: "bookworm".into(),
            folder: "/work".into(),
        };
        classify(&lines, &context).map(|error| error.to_string())
    }

    #[test]
    fn each_kind_of_trouble_is_told_apart() {
        for (line, wanted) in [
            (
                "E: Failed to fetch http://m:1/debian/dists/bookworm/InRelease  Could not connect to m:1 (127.0.0.1). - connect (111: Connection refused)",
                "cannot reach the mirror http://m:1/debian: Could not connect to m:1 (127.0.0.1). - connect (111: Connection refused)",
            ),
            (
                "E: Failed to fetch http://m.invalid/debian/dists/bookworm/InRelease  Temporary failure resolving 'm.invalid'",
                "cannot reach the mirror http://m.invalid/debian: Temporary failure resolving 'm.invalid'",
            ),
            (
                "E: The repository 'http://m/debian nosuch Release' does not have a Release file.",
                "the mirror has no such release: The repository 'http://m/debian nosuch Release' does not have a Release file.",
            ),
            (
                "E: The repository 'http://m/debian bookworm InRelease' is not signed.",
                "the archive could not be verified: The repository 'http://m/debian bookworm InRelease' is not signed.",
            ),
            (
                "E: Failed to fetch http://m/pool/a.deb  Hash Sum mismatch",
                "the archive could not be verified: Failed to fetch http://m/pool/a.deb  Hash Sum mismatch",
            ),
            (
                "E: Unable to locate package nosuch",
                "there is no package nosuch in bookworm",
            ),
            (
                "E: Package 'nosuch' has no installation candidate",
                "there is no package nosuch in bookworm",
            ),
            (
                "E: Version '1' for 'nosuch' was not found",
                "there is no package nosuch in bookworm",
            ),
            (
                "E: Couldn't find any package by glob 'nosuch'",
                "there is no package nosuch in bookworm",
            ),
            (
                "cp: error writing 'x': No space left on device",
                "no space left on the device that holds /work",
            ),
        ] {
            assert_eq!(
                told(&["something else", line, "E: Sub-process returned an error code"]).as_deref(),
                Some(wanted)
            );
        }
        assert_eq!(
            told(&["E: Sub-process /usr/bin/dpkg returned an error code (1)"]),
            None
        );
    }

    #[test]
    fn a_mirror_out_of_reach_comes_before_what_follows_from_it() {
        let told = told(&[
            "W: The repository 'http://m/debian bookworm Release' does not have a Release file.",
            "E: Failed to fetch http://m/debian/dists/bookworm/InRelease  Could not resolve 'm'",
        ]);
        assert_eq!(
            told.as_deref(),
            Some("cannot reach the mirror http://m/debian: Could not resolve 'm'")
        );
    }

    proptest! {
        #[test]
        fn no_lines_make_it_panic(lines in prop::collection::vec("(E: |Failed to fetch |Package |'| is not available|Could not connect|\\PC){0,12}", 0..5)) {
            let context = Context { suite: "s".into(), folder: "/w".into() };
            let _ = classify(&lines, &context);
            let _ = last_error(&lines);
        }
    }
}
