//! The words of a command that a setting names, and which files they may be, whatever a shell makes of them.

/// Most bytes of a word: no path is longer.
const LONGEST: usize = 4096;

/// What a word may stand for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning<'a> {
    /// A path, seen from one of the folders where git runs commands.
    Path(&'a [u8]),
    /// What paths end with: the command may go to any folder first.
    End(Vec<u8>),
    /// A path behind something that only a shell knows, the tree's top or a folder above or below it.
    Tail(Vec<u8>),
}

/// All that the words of a setting's value may mean.
pub(super) fn words(value: &[u8]) -> Vec<Meaning<'_>> {
    let mut all = Vec::new();
    let goes = split(value).any(|(_, word)| GOING.contains(&word));
    for (before, word) in split(value).filter(|(_, word)| word.len() <= LONGEST) {
        match before {
            None | Some(b'!' | b';' | b'|' | b'&' | b'(' | b'<' | b'>' | b'=' | b',' | b':') => {}
            Some(byte) if byte.is_ascii_whitespace() => {}
            // The name of a variable goes up to the first slash.
            Some(b'$') => {
                let slash = word.iter().position(|byte| *byte == b'/');
                all.extend(slash.and_then(|slash| plain(&word[slash..])).map(Meaning::Tail));
                continue;
            }
            Some(_) => {
                let behind = word.starts_with(b"/").then(|| plain(word)).flatten();
                all.extend(behind.map(Meaning::Tail));
                continue;
            }
        }
        all.push(Meaning::Path(word));
        let relative = !word.starts_with(b"/") && !word.starts_with(b"~");
        if relative && (goes || word.contains(&b'/')) {
            all.extend(plain(word).map(Meaning::End));
        }
    }
    all
}

/// Words of commands that go on in another folder.
const GOING: &[&[u8]] = &[b"cd", b"pushd", b"-C", b"--chdir", b"--directory"];

/// The words, each with what stands before it, quotes left out.
fn split(value: &[u8]) -> impl Iterator<Item = (Option<u8>, &[u8])> {
    let ends = |byte: &u8| byte.is_ascii_whitespace() || b"'\"`!;|&()<>=,$:{}".contains(byte);
    let mut at = 0;
    value.split(ends).filter_map(move |word| {
        let start = at;
        at += word.len() + 1;
        let quote = |byte: &&u8| !matches!(byte, b'\'' | b'"');
        let before = value[..start].iter().rev().find(quote).copied();
        (!word.is_empty()).then_some((before, word))
    })
}

/// A path without what stands for no folder, and without those that are left again.
fn plain(path: &[u8]) -> Option<Vec<u8>> {
    let mut names: Vec<&[u8]> = Vec::new();
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    (!names.is_empty()).then(|| names.join(&b'/'))
}
