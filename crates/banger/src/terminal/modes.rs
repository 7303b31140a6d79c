//! What a guest's programs have switched on in the user's terminal, so that it can be switched off again where they
//! were not left the time: an editor's screen, a hidden cursor, reports of the mouse.
//!
//! Followed are DEC private modes, `ESC [ ? n ; n … h` and `l` (ECMA-48 control sequences; the numbers are xterm's).

/// Modes that somebody may be left with, and whether they are on in a terminal at rest.
const MODES: [(u16, bool); 12] = [
    (1, false),    // cursor keys send application sequences
    (7, true),     // lines wrap
    (25, true),    // the cursor is shown
    (1000, false), // mouse buttons are reported
    (1002, false), // and movements between them
    (1003, false), // and all movements
    (1004, false), // so is the focus
    (1005, false), // in an old encoding
    (1006, false), // in a newer one
    (1049, false), // the alternate screen
    (2004, false), // what is pasted comes in brackets
    (2026, false), // drawing waits
];

/// Longest sequence that is followed; longer ones set nothing that is known here.
const LONGEST: usize = 64;

/// Follows the modes through a program's output, however it is cut into pieces.
#[derive(Debug, Default)]
pub struct Modes {
    /// A sequence that has begun, without its escape.
    sequence: Option<Vec<u8>>,
    /// Whether a mode of [`MODES`] is as it is not at rest.
    changed: [bool; MODES.len()],
}

impl Modes {
    /// Notes what this output changes.
    pub fn follow(&mut self, output: &[u8]) {
        for byte in output {
            match (&mut self.sequence, byte) {
                (_, 0x1b) => self.sequence = Some(Vec::new()),
                (None, _) => {}
                (Some(sequence), b'[') if sequence.is_empty() => sequence.push(b'['),
                (Some(sequence), b'?') if sequence == b"[" => sequence.push(b'?'),
                (Some(sequence), b'0'..=b'9' | b';') if sequence.starts_with(b"[?") => {
                    sequence.push(*byte);
                    if sequence.len() > LONGEST {
                        self.sequence = None;
                    }
                }
                (Some(sequence), b'h' | b'l') if sequence.starts_with(b"[?") => {
                    let numbers = String::from_utf8_lossy(&sequence[2..]).into_owned();
                    self.sequence = None;
                    self.set(&numbers, *byte == b'h');
                }
                // A full reset (ESC c).
                (Some(sequence), b'c') if sequence.is_empty() => *self = Self::default(),
                _ => self.sequence = None,
            }
        }
    }

    fn set(&mut self, numbers: &str, on: bool) {
        for number in numbers.split(';').filter_map(|number| number.parse::<u16>().ok()) {
            for ((mode, at_rest), changed) in MODES.iter().zip(&mut self.changed) {
                if *mode == number {
                    *changed = on != *at_rest;
                }
            }
        }
    }

    /// What puts the terminal at rest again; empty if it is.
    pub fn restore(&self) -> String {
        let changed = MODES.iter().zip(self.changed).filter(|(_, changed)| *changed);
        changed
            .map(|((mode, at_rest), _)| format!("\x1b[?{mode}{}", if *at_rest { 'h' } else { 'l' }))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn after(output: &str) -> String {
        let mut modes = Modes::default();
        modes.follow(output.as_bytes());
        modes.restore()
    }

    #[test]
    fn what_was_switched_on_and_not_off_again_is_restored() {
        for (output, restored) in [
            ("plain text", ""),
            ("\x1b[?1049h vim \x1b[?1049l", ""),
            ("\x1b[?1049h vim", "\x1b[?1049l"),
            ("\x1b[?25l\x1b[31m", "\x1b[?25h"),
            ("\x1b[?25l\x1b[?25h", ""),
            ("\x1b[?1000;1006;2004h", "\x1b[?1000l\x1b[?1006l\x1b[?2004l"),
            ("\x1b[?1049h\x1bc", ""),
            ("\x1b[1049h \x1b[?1049x \x1b?1049h [?1049h \x1b[?9999h", ""),
            ("\x1b[?99999999999999999999h\x1b[?1h", "\x1b[?1l"),
        ] {
            assert_eq!(after(output), restored, "{output:?}");
        }
    }

    proptest! {
        #[test]
        fn modes_are_found_wherever_the_output_is_cut(bytes in proptest::collection::vec(
            prop_oneof![Just(0x1b), Just(b'['), Just(b'?'), Just(b'h'), Just(b'l'), Just(b'1'), Just(b'7'), any::<u8>()],
            0..200,
        ), at in any::<prop::sample::Index>()) {
            let (mut whole, mut cut) = (Modes::default(), Modes::default());
            whole.follow(&bytes);
            let (before, after) = bytes.split_at(at.index(bytes.len() + 1));
            cut.follow(before);
            cut.follow(after);
            prop_assert_eq!(whole.restore(), cut.restore());
        }
    }
}
