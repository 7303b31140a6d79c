//! The grammar of a patch (gitformat-diff(5), "Generating patch text with -p"), as strict as what our script prints.

use std::collections::HashSet;
use std::io::BufRead;

use super::bounds::{Budget, Count, OF_A_FILE, OF_A_HUNK, OF_A_LINE};
use super::delta::Delta;
use super::lines::Lines;
use super::{Change, FileMode, Patch, binary, name, quoted};
use crate::breaking;
use crate::error::{WorkspaceError, shown};

/// Most bytes of a link's target.
const TARGET: usize = 4096;

/// Reads a patch to its end.
///
/// # Errors
/// [`WorkspaceError::Patch`] with the first line that does not belong.
pub fn parse(source: impl BufRead) -> Result<Patch, WorkspaceError> {
    let mut lines = Lines::of(source);
    let mut changes: Vec<Change> = Vec::new();
    let mut deltas = Vec::new();
    let mut seen = HashSet::new();
    let (mut budget, mut count) = (Budget::default(), Count::default());
    while let Some(header) = lines.next()? {
        breaking::check()?;
        let path = header.strip_prefix(b"diff --git ").map(quoted::both);
        let path = match path {
            Some(Some(path)) => path,
            Some(None) => return Err(lines.bad("the two names of a file differ or cannot be read")),
            None => return Err(lines.bad("`diff --git` was expected")),
        };
        if let Err(why) = name::check(&path) {
            return Err(lines.bad(format!("`{}` {why}", shown(&path))));
        }
        if let Err(why) = count.add(&path) {
            return Err(lines.bad(format!("`{}` {why}", shown(&path))));
        }
        budget.spend(OF_A_FILE, &path)?;
        let again = !seen.insert(path.clone());
        let change = file(&mut lines, &mut budget, &mut deltas, path)?;
        if !again {
            changes.push(change);
            continue;
        }
        // A file that becomes a link is deleted, then made.
        match changes.last_mut() {
            Some(last) if last.path == change.path && last.after.is_none() && change.before.is_none() => {
                last.after = change.after;
                last.target = change.target;
                last.size = change.size;
                let sum = |(a, b): (u64, u64), (c, d): (u64, u64)| (a + c, b + d);
                last.lines = last.lines.zip(change.lines).map(|(one, other)| sum(one, other));
            }
            _ => return Err(lines.bad(format!("`{}` comes twice", change.shown()))),
        }
    }
    check_folders(&changes)?;
    Ok(Patch { changes, deltas })
}

/// A path that is a file cannot be a folder too: what is written through it could lie anywhere.
pub(super) fn check_folders(changes: &[Change]) -> Result<(), WorkspaceError> {
    let made = changes.iter().filter(|change| change.after.is_some());
    let files: HashSet<&[u8]> = made.clone().map(|change| change.path.as_slice()).collect();
    for change in made {
        let slashes = change.path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        for (slash, _) in slashes {
            if files.contains(&change.path[..slash]) {
                let why = format!("`{}` lies below a file", change.shown());
                return Err(WorkspaceError::Patch { line: 0, why });
            }
        }
    }
    Ok(())
}

/// One file's headers and what follows them.
fn file<R: BufRead>(
    lines: &mut Lines<R>,
    budget: &mut Budget,
    deltas: &mut Vec<Delta>,
    path: Vec<u8>,
) -> Result<Change, WorkspaceError> {
    let mode = |lines: &Lines<R>, text: &[u8]| {
        FileMode::parse(text).map_err(|why| lines.bad(format!("`{}`: {why}", shown(&path))))
    };
    let (mut before, mut after) = (None, None);
    let mut headers = true;
    if let Some(text) = lines.after(b"old mode ")? {
        before = Some(mode(lines, &text)?);
        let Some(text) = lines.after(b"new mode ")? else {
            return Err(lines.bad("`new mode` was expected"));
        };
        after = Some(mode(lines, &text)?);
    } else if let Some(text) = lines.after(b"new file mode ")? {
        after = Some(mode(lines, &text)?);
    } else if let Some(text) = lines.after(b"deleted file mode ")? {
        before = Some(mode(lines, &text)?);
    } else {
        headers = false;
    }
    let mut change = Change {
        path,
        before,
        after,
        lines: Some((0, 0)),
        size: None,
        target: None,
    };
    let Some(index) = lines.after(b"index ")? else {
        // Only the mode changes.
        if headers && before.is_some() && after.is_some() {
            return Ok(change);
        }
        return Err(lines.bad("`index` was expected"));
    };
    let Some((ids, kept)) = ids(&index, !headers) else {
        return Err(lines.bad("the ids of the file's versions cannot be read"));
    };
    if let Some(kept) = kept {
        let kept = FileMode::parse(kept).map_err(|why| lines.bad(why))?;
        (change.before, change.after) = (Some(kept), Some(kept));
    }
    let zero = |id: &[u8]| id.iter().all(|byte| *byte == b'0');
    if zero(ids.0) != change.before.is_none() || zero(ids.1) != change.after.is_none() {
        return Err(lines.bad("the ids say something else than the modes"));
    }
    if lines
        .after(b"GIT binary patch")?
        .is_some_and(|rest| rest.is_empty())
    {
        change.lines = None;
        let made = (!zero(ids.1)).then_some(ids.1);
        let (size, delta) = binary::read(lines, budget, &change.path, made)?;
        change.size = Some(size);
        deltas.extend(delta.map(|data| Delta::of(&change.path, ids, data)));
    } else if let Some(old) = lines.after(b"--- ")? {
        let Some(new) = lines.after(b"+++ ")? else {
            return Err(lines.bad("`+++` was expected"));
        };
        let matches = |text: &[u8], prefix: &[u8], there: bool| match quoted::path(text) {
            Some(text) if there => text.strip_prefix(prefix) == Some(&change.path),
            Some(text) => text == b"/dev/null",
            None => false,
        };
        if !matches(&old, b"a/", change.before.is_some()) || !matches(&new, b"b/", change.after.is_some()) {
            return Err(lines.bad("the names of the file's versions are not those of the file"));
        }
        hunks(lines, budget, &mut change)?;
    }
    Ok(change)
}

/// `ID..ID`, then the mode of a file that keeps it.
#[expect(clippy::type_complexity, reason = "read in one place")]
fn ids(text: &[u8], with_mode: bool) -> Option<((&[u8], &[u8]), Option<&[u8]>)> {
    let (ids, mode) = match text.iter().position(|byte| *byte == b' ') {
        Some(space) => (&text[..space], Some(&text[space + 1..])),
        None => (text, None),
    };
    let dots = ids.windows(2).position(|pair| pair == b"..")?;
    let (old, new) = (&ids[..dots], &ids[dots + 2..]);
    let sound = |id: &[u8]| matches!(id.len(), 40 | 64) && id.iter().all(u8::is_ascii_hexdigit);
    (sound(old) && sound(new) && with_mode == mode.is_some()).then_some(((old, new), mode))
}

/// Hunks until the next file.
fn hunks<R: BufRead>(
    lines: &mut Lines<R>,
    budget: &mut Budget,
    change: &mut Change,
) -> Result<(), WorkspaceError> {
    let (mut added, mut removed, mut hunks) = (0_u64, 0_u64, 0_u64);
    let link = change.after == Some(FileMode::Link);
    let mut data = Vec::new();
    while let Some(head) = lines.after(b"@@ -")? {
        hunks += 1;
        budget.spend(OF_A_HUNK, &change.path)?;
        let Some((mut old, mut new)) = counts(&head) else {
            return Err(lines.bad("the numbers of a hunk cannot be read"));
        };
        while old > 0 || new > 0 {
            let Some(line) = lines.next_of_file()? else {
                return Err(lines.bad("it ends in the middle of a hunk"));
            };
            let (old_lines, new_lines) = match line.first() {
                Some(b' ') => (1, 1),
                Some(b'-') => (1, 0),
                Some(b'+') => (0, 1),
                // "\ No newline at end of file" in mid hunk: of the old version.
                Some(b'\\') => (0, 0),
                _ => return Err(lines.bad("a hunk has a line that is none")),
            };
            if link && new_lines == 1 && data.len() + line.len() <= TARGET {
                data.extend_from_slice(&line[1..]);
                data.push(b'\n');
            }
            budget.spend(OF_A_LINE, &change.path)?;
            added += u64::from((old_lines, new_lines) == (0, 1));
            removed += u64::from((old_lines, new_lines) == (1, 0));
            let (Some(old_left), Some(new_left)) = (old.checked_sub(old_lines), new.checked_sub(new_lines))
            else {
                return Err(lines.bad("a hunk has more lines than it says"));
            };
            (old, new) = (old_left, new_left);
        }
        // After the last line: the new version's.
        let unended = lines.after(b"\\")?.is_some();
        if unended {
            data.truncate(data.len().saturating_sub(1));
        }
    }
    if hunks == 0 {
        return Err(lines.bad("a hunk was expected"));
    }
    change.lines = Some((added, removed));
    // A target of several lines may not be all in the patch.
    change.target = (link && !data.contains(&b'\n')).then_some(data);
    Ok(())
}

/// The line counts of `12,3 +14,5 @@ …`.
fn counts(head: &[u8]) -> Option<(u64, u64)> {
    let head = std::str::from_utf8(head.split(|byte| *byte == b'@').next()?).ok()?;
    let (old, new) = head.strip_suffix(' ')?.split_once(" +")?;
    let count = |range: &str| {
        let (start, count) = range.split_once(',').unwrap_or((range, "1"));
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse::<u64>().ok()).flatten()
        };
        number(start)?;
        number(count)
    };
    let counts = (count(old)?, count(new)?);
    (counts != (0, 0)).then_some(counts)
}
