//! Texts that mean no good to whoever reads them.

/// Titles, colours, screens that are cleared, a clipboard that is filled, lines that are made up, text that runs
/// backwards and text that shows nothing.
pub const ESCAPES: &str =
    "\u{1b}]0;evil\u{7}\u{1b}[2J\u{1b}]52;c;aGk=\u{7}\r\n\nbanger: evil\u{202e}\u{200b}\u{9b}31m\u{7f}\u{8}";

/// As long as an answer may be, about.
pub(super) fn long() -> String {
    "A".repeat(400_000)
}
