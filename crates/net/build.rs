//! Builds the frame filter, a program that `net` carries inside: it runs beside each VM, and a release has no
//! binary to spare for it. It uses the standard library only, so the compiler alone makes it.

use std::env;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=src/filter");
    println!("cargo::rerun-if-changed=src/addresses.rs");
    println!("cargo::rerun-if-changed=src/subnet.rs");
    println!("cargo::rerun-if-changed=build.rs");
    let variable = |name: &str| env::var_os(name).unwrap_or_else(|| panic!("cargo sets {name}"));
    let mut rustc = Command::new(variable("RUSTC"));
    rustc.args([
        "--edition",
        "2024",
        "--crate-name",
        "frame_filter",
        "--crate-type",
        "bin",
        "--target",
    ]);
    rustc.arg(variable("TARGET"));
    rustc.args([
        "-C",
        "opt-level=2",
        "-C",
        "panic=abort",
        "-C",
        "strip=symbols",
        "-C",
        "codegen-units=1",
    ]);
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        let mut option = OsStr::new("linker=").to_owned();
        option.push(linker);
        rustc.arg("-C").arg(option);
    }
    rustc
        .arg("-o")
        .arg(PathBuf::from(variable("OUT_DIR")).join("frame-filter"));
    rustc.arg("src/filter/main.rs");
    match rustc.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cannot run {rustc:?}: {error}");
            ExitCode::FAILURE
        }
    }
}
