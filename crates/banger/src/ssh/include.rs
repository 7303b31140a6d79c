//! The one block of banger's in the text of `~/.ssh/config`: putting it in and taking it out again.
//!
//! It goes to the top: ssh takes an `Include` that follows a `Host` line for a part of that host's section.

/// First line of the block.
const BEGIN: &str = "# >>> banger >>> (made by `banger ssh-config --install`, removed by --uninstall)";

/// Last line of the block.
const END: &str = "# <<< banger <<<";

/// Why a text is left alone: its markers do not make one block. Holds the line, from 1, of the first that is amiss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged(pub usize);

/// The text with the block in it, where it was, else at the top.
pub fn with_block(text: &[u8], include: &str) -> Result<Vec<u8>, Damaged> {
    let block = format!("{BEGIN}\n{include}\n{END}\n");
    let (before, after) = match find(text)? {
        Some((start, end)) => (&text[..start], &text[end..]),
        None => (&text[..0], text),
    };
    Ok([before, block.as_bytes(), after].concat())
}

/// The text without the block.
pub fn without_block(text: &[u8]) -> Result<Vec<u8>, Damaged> {
    Ok(match find(text)? {
        Some((start, end)) => [&text[..start], &text[end..]].concat(),
        None => text.to_vec(),
    })
}

/// Where the block begins and ends.
fn find(text: &[u8]) -> Result<Option<(usize, usize)>, Damaged> {
    let (mut begin, mut found, mut at) = (None, None, 0);
    for (index, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let (start, damaged) = (at, Damaged(index + 1));
        at += line.len();
        let line = line.trim_ascii();
        if line == BEGIN.as_bytes() {
            if found.is_some() || begin.is_some() {
                return Err(damaged);
            }
            begin = Some((start, damaged));
        } else if line == END.as_bytes() {
            let (start, _) = begin.take().ok_or(damaged)?;
            found = Some((start, at));
        }
    }
    match begin {
        Some((_, damaged)) => Err(damaged),
        None => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INCLUDE: &str = "Include \"/state/ssh/config\"";

    fn block(include: &str) -> String {
        format!("{BEGIN}\n{include}\n{END}\n")
    }

    fn installed(text: &str) -> Result<String, Damaged> {
        with_block(text.as_bytes(), INCLUDE).map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn the_block_comes_first_and_once() {
        let block = block(INCLUDE);
        for text in [
            "",
            "Host a\n  User b\n",
            "Host a",
            "\r\n\r\nHost a\r\n",
            "# ünïcode\n\n\n",
        ] {
            let with = installed(text).unwrap();
            assert_eq!(with, format!("{block}{text}"));
            assert_eq!(installed(&with).unwrap(), with, "again");
            assert_eq!(without_block(with.as_bytes()).unwrap(), text.as_bytes());
        }
    }

    #[test]
    fn a_block_that_the_user_has_moved_stays_there_and_gets_the_new_path() {
        let old = format!("Host first\n  User x\n{}Host last\n", block("Include /old"));
        let new = format!("Host first\n  User x\n{}Host last\n", block(INCLUDE));
        assert_eq!(installed(&old).unwrap(), new);
        assert_eq!(
            without_block(new.as_bytes()).unwrap(),
            b"Host first\n  User x\nHost last\n"
        );
        // As an editor of another system leaves it.
        let crlf = old.replace('\n', "\r\n");
        assert_eq!(
            without_block(crlf.as_bytes()).unwrap(),
            b"Host first\r\n  User x\r\nHost last\r\n"
        );
    }

    #[test]
    fn markers_that_make_no_block_are_left_to_the_user() {
        let whole = block(INCLUDE);
        for (text, line) in [
            (format!("{BEGIN}\nHost a\n"), 1),
            (format!("Host a\n{END}\n"), 2),
            (format!("{END}\n{BEGIN}\n"), 1),
            (format!("{BEGIN}\n{whole}"), 2),
            (format!("{whole}{whole}"), 4),
            (format!("{whole}{END}"), 4),
        ] {
            assert_eq!(installed(&text), Err(Damaged(line)), "{text}");
            assert_eq!(without_block(text.as_bytes()), Err(Damaged(line)), "{text}");
        }
    }

    proptest! {
        #[test]
        fn taking_it_out_gives_the_text_that_it_was_put_into(
            pieces in proptest::collection::vec(prop_oneof![
                any::<Vec<u8>>(),
                Just(b"\n".to_vec()),
                Just(BEGIN.as_bytes().to_vec()),
                Just(END.as_bytes().to_vec()),
            ], 0..12),
        ) {
            let text = pieces.concat();
            match (find(&text), with_block(&text, INCLUDE)) {
                (Ok(None), Ok(with)) => prop_assert_eq!(without_block(&with).unwrap(), text),
                (Ok(Some(_)), Ok(with)) => prop_assert_eq!(with_block(&with, INCLUDE).unwrap(), with),
                (Err(_), with) => prop_assert!(with.is_err()),
                (Ok(_), Err(_)) => prop_assert!(false, "refused without a reason"),
            }
        }
    }
}
