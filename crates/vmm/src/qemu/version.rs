//! Which version of QEMU a binary is.

use std::path::Path;

use crate::VmmError;
use crate::version::ask_once;

/// The version of QEMU's `binary`, such as `7.2.22`. Asked once for each file.
///
/// # Errors
/// It is missing, cannot be executed, or does not answer as QEMU does.
pub fn version(binary: &Path) -> Result<String, VmmError> {
    ask_once(binary, "QEMU", parse)
}

/// Reads `QEMU emulator version 7.2.22 (Debian …)`.
fn parse(line: &str) -> Option<String> {
    let version = line
        .strip_prefix("QEMU emulator version ")?
        .split_whitespace()
        .next()?;
    let is_version = version.starts_with(|first: char| first.is_ascii_digit())
        && version
            .chars()
            .all(|part| part.is_ascii_alphanumeric() || matches!(part, '.' | '-' | '+'));
    is_version.then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_version_is_the_number_alone() {
        let debian = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)";
        assert_eq!(parse(debian).as_deref(), Some("7.2.22"));
        assert_eq!(
            parse("QEMU emulator version 10.1.0-rc1").as_deref(),
            Some("10.1.0-rc1")
        );
        for other in [
            "",
            "QEMU emulator version",
            "QEMU emulator version \u{1b}[31m",
            "cat 9.1",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_no_qemu_is_refused_and_what_is_missing_is_named() {
        let error = version(Path::new("/bin/true")).unwrap_err();
        assert!(matches!(error, VmmError::Spawn { .. }), "{error}");
        let error = version(Path::new("/nowhere/qemu")).unwrap_err();
        assert_eq!(error.to_string(), "/nowhere/qemu was not found");
    }

    proptest! {
        #[test]
        fn no_line_makes_the_parser_panic(line: String) {
            let _ = parse(&line);
        }
    }
}
