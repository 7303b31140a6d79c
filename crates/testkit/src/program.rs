//! Where a program of this workspace is that a test starts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// A program that cargo builds, of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program<'a> {
    /// `src/bin` or `src/main.rs`.
    Binary(&'a str, &'a str),
    /// `examples`.
    Example(&'a str, &'a str),
}

impl Program<'_> {
    /// The program that was built beside the running test; built where it is missing or older than its sources: cargo
    /// builds no other package's programs when only one package's tests are asked for.
    ///
    /// # Panics
    /// Where it is not there and cannot be built.
    #[must_use]
    pub fn locate(self) -> PathBuf {
        let test = std::env::current_exe().expect("a running test has an executable");
        // `target/debug/deps/a_test-0123` and `target/debug/examples/a` lie below the folder of the binaries.
        let mut folders = test.ancestors().skip(1).take(2);
        let found = folders.find_map(|folder| Some(self.below(folder)).filter(|program| is_current(program)));
        found.unwrap_or_else(|| self.build(&test))
    }

    fn below(self, folder: &Path) -> PathBuf {
        match self {
            Self::Binary(_, name) => folder.join(name),
            Self::Example(_, name) => folder.join("examples").join(name),
        }
    }

    fn build(self, test: &Path) -> PathBuf {
        let (package, kind, name) = match self {
            Self::Binary(package, name) => (package, "--bin", name),
            Self::Example(package, name) => (package, "--example", name),
        };
        let target = test
            .ancestors()
            .nth(3)
            .expect("tests lie in target/<profile>/deps");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command
            .args(["build", "--quiet", "--package", package, kind, name])
            .arg("--target-dir")
            .arg(target)
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        assert!(
            command.status().is_ok_and(|status| status.success()),
            "`cargo build -p {package} {kind} {name}` failed: nothing to test with"
        );
        let built = self.below(&target.join("debug"));
        assert!(built.is_file(), "{} was built and is not there", built.display());
        built
    }
}

/// Whether a program is there and no source of it has changed since it was built. The sources are in the list that
/// cargo writes beside each program, in make's syntax.
fn is_current(program: &Path) -> bool {
    let changed = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
    let Some(built) = changed(program) else {
        return false;
    };
    let list = fs::read_to_string(program.with_extension("d")).unwrap_or_default();
    let sources = list.split_once(": ").map_or("", |(_, sources)| sources);
    // A space within a name has a backslash before it.
    let sources = sources.trim_end().replace("\\ ", "\0");
    let is_older = |source: &str| {
        let modified = changed(Path::new(&source.replace('\0', " ")));
        modified.is_some_and(|modified: SystemTime| modified <= built)
    };
    sources
        .split(' ')
        .filter(|source| !source.is_empty())
        .all(is_older)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_program_is_current_until_a_source_of_it_changes_or_goes() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        assert!(!is_current(&file("program")), "it is not there");
        let start = SystemTime::now() - Duration::from_secs(60);
        let write = |name: &str, text: &str, after: u64| {
            fs::write(file(name), text).unwrap();
            let file = fs::File::options().write(true).open(file(name)).unwrap();
            file.set_modified(start + Duration::from_secs(after)).unwrap();
        };
        write("one.rs", "", 1);
        write("of two.rs", "", 2);
        write("program", "", 2);
        assert!(is_current(&file("program")), "no list: as cargo left it");
        let [one, two] = ["one.rs", "of two.rs"].map(|name| file(name).display().to_string());
        let list = format!(
            "{}: {one} {}\n",
            file("program").display(),
            two.replace(' ', "\\ ")
        );
        write("program.d", &list, 3);
        assert!(is_current(&file("program")));
        write("of two.rs", "", 4);
        assert!(!is_current(&file("program")), "a source is newer");
        write("program", "", 5);
        assert!(is_current(&file("program")), "built again");
        fs::remove_file(file("one.rs")).unwrap();
        assert!(!is_current(&file("program")), "a source is gone");
    }
}
