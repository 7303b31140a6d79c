//! Files that a command writes: made beside the one that was named, which they replace once they are whole.

use std::path::Path;

use crate::failure::Failure;

/// Refuses a device, a pipe or a socket, whose place a file would take: as root, that of the whole machine's /dev/null.
///
/// # Errors
/// It is one.
pub fn replaceable(output: &Path) -> Result<(), Failure> {
    match output.metadata() {
        Ok(found) if !found.is_file() && !found.is_dir() => Err(Failure::new(format!(
            "{} is a device, a pipe or a socket, and no file takes its place",
            output.display()
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        replaceable(&file).unwrap();
        std::fs::write(&file, "").unwrap();
        replaceable(&file).unwrap();
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        for bad in [Path::new("/dev/null"), &socket, &link] {
            let refused = replaceable(bad).unwrap_err();
            assert!(
                refused.message().contains("no file takes its place"),
                "{}",
                refused.message()
            );
        }
    }
}
