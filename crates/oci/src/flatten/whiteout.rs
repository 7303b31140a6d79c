//! Names by which a layer hides what older layers hold (image specification, "Whiteouts").

use crate::fault::Fault;

const PREFIX: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// What aufs has left in old images: files and folders of its own, at the root.
const AUFS: &[u8] = b".wh..wh.";

/// What a path of a layer means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning<'p> {
    /// An entry with these names on its path.
    Entry(Vec<&'p [u8]>),
    /// Everything that older layers have in the folder is hidden.
    Opaque(Vec<&'p [u8]>),
    /// This path of older layers is hidden.
    Hidden(Vec<&'p [u8]>),
    /// Nothing.
    Nothing,
}

/// Whether a path may be a whiteout.
pub(super) fn is_whiteout(path: &[u8]) -> bool {
    let last = path.rsplit(|byte| *byte == b'/').find(|name| !name.is_empty());
    last.is_some_and(|name| name.starts_with(PREFIX))
}

/// Tells what the names of a path mean.
pub(super) fn meaning(mut names: Vec<&[u8]>) -> Result<Meaning<'_>, Fault> {
    if names
        .first()
        .is_some_and(|name| name.starts_with(AUFS) && *name != OPAQUE)
    {
        return Ok(Meaning::Nothing);
    }
    let Some((last, parents)) = names.split_last() else {
        return Ok(Meaning::Entry(names));
    };
    if parents.iter().any(|name| name.starts_with(PREFIX)) {
        return Err(Fault::BadWhiteout);
    }
    let Some(hidden) = last.strip_prefix(PREFIX) else {
        return Ok(Meaning::Entry(names));
    };
    let opaque = *last == OPAQUE;
    names.pop();
    if opaque {
        return Ok(Meaning::Opaque(names));
    }
    match hidden {
        // They would hide the folder itself, or the one above.
        b"" | b"." | b".." => Err(Fault::BadWhiteout),
        hidden => {
            names.push(hidden);
            Ok(Meaning::Hidden(names))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        let names = |path: &'static str| path.split('/').map(str::as_bytes).collect::<Vec<_>>();
        for (path, expected) in [
            ("a/b", Ok(Meaning::Entry(names("a/b")))),
            ("a/.wh.b", Ok(Meaning::Hidden(names("a/b")))),
            ("a/.wh..wh..opq", Ok(Meaning::Opaque(names("a")))),
            (".wh..wh..opq", Ok(Meaning::Opaque(vec![]))),
            (".wh..wh.plnk", Ok(Meaning::Nothing)),
            (".wh..wh.plnk/1.2", Ok(Meaning::Nothing)),
            ("a/.wh..b", Ok(Meaning::Hidden(names("a/.b")))),
            ("a/.wh.", Err(())),
            ("a/.wh..", Err(())),
            ("a/.wh...", Err(())),
            ("a/.wh.b/c", Err(())),
        ] {
            assert_eq!(meaning(names(path)).map_err(drop), expected, "{path}");
        }
    }
}
