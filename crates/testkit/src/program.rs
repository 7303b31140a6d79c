//! Where a program of this workspace is that a test starts.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A program that cargo builds, of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program<'a> {
    /// `src/bin` or `src/main.rs`.
    Binary(&'a str, &'a str),
    /// `examples`.
    Example(&'a str, &'a str),
}

impl Program<'_> {
    /// The program that was built beside the running test; built where only another package's tests were asked for.
    ///
    /// # Panics
    /// Where it is not there and cannot be built.
    #[must_use]
    pub fn locate(self) -> PathBuf {
        let test = std::env::current_exe().expect("a running test has an executable");
        // `target/debug/deps/a_test-0123` and `target/debug/examples/a` lie below the folder of the binaries.
        let mut folders = test.ancestors().skip(1).take(2);
        let found = folders.find_map(|folder| Some(self.below(folder)).filter(|program| program.is_file()));
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
        let status = Command::new(cargo)
            .args([
                "build",
                "--quiet",
                "--package",
                package,
                kind,
                name,
                "--target-dir",
            ])
            .arg(target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "`cargo build -p {package} {kind} {name}` failed: nothing to test with"
        );
        let built = self.below(&target.join("debug"));
        assert!(built.is_file(), "{} was built and is not there", built.display());
        built
    }
}
