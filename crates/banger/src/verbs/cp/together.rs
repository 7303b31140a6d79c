//! Several SRC of one copy: each goes into DST, which is a folder that is there, under a name of its own.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use archive::Top;

use crate::cli::End;
use crate::failure::Failure;

/// Refuses what only one SRC can be copied to or from, and two that would get one name.
pub(super) fn check(sources: &[End], target: &End) -> Result<(), Failure> {
    if *target == End::Stream || sources.contains(&End::Stream) {
        return Err(Failure::usage("`-` is one tar stream: it goes with one SRC"));
    }
    let mut names = HashSet::new();
    for source in sources {
        let path = match source {
            End::Here(path) => path.as_path(),
            End::There { path, .. } => Path::new(OsStr::from_bytes(path)),
            End::Stream => continue,
        };
        if let Top::Named(name) = Top::of(path)
            && !names.insert(name.clone())
        {
            let name = String::from_utf8_lossy(&name).into_owned();
            return Err(Failure::usage(format!(
                "two SRC are called `{name}`: one would replace the other"
            ))
            .with_hint("copy them one by one, each to a DST of its own"));
        }
    }
    Ok(())
}

/// DST is none that several can go into.
pub(super) fn no_folder(target: &str) -> Failure {
    Failure::new(format!(
        "`{target}` is not a folder that is there: several SRC go into one"
    ))
}
