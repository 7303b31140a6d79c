//! Where the program `simulated-vmm` is.

use std::path::{Path, PathBuf};
use std::process::Command;

const NAME: &str = "simulated-vmm";

/// The program beside the running test's executable; built where only another crate's tests were asked for.
pub fn locate() -> PathBuf {
    let test = std::env::current_exe().expect("a running test has an executable");
    // `target/debug/deps/a_test-0123` lies beside `target/debug/simulated-vmm`.
    let mut folders = test.ancestors().skip(1).take(2);
    if let Some(found) = folders.find_map(|folder| Some(folder.join(NAME)).filter(|binary| binary.is_file()))
    {
        return found;
    }
    build(&test)
}

fn build(test: &Path) -> PathBuf {
    let profile = test
        .parent()
        .and_then(Path::parent)
        .expect("tests lie in target/<profile>/deps");
    let target = profile.parent().expect("tests lie in target/<profile>/deps");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--package",
            "testkit",
            "--bin",
            NAME,
            "--target-dir",
        ])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "`cargo build -p testkit` failed: no {NAME} to test with"
    );
    let built = target.join("debug").join(NAME);
    assert!(built.is_file(), "{} was built and is not there", built.display());
    built
}
