//! A machine as a host process, for tests: see `testkit::simulated`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use testkit::simulated::{Ended, Options, RESET, run};

const USAGE: &str = "usage: simulated-vmm --folder DIR [--boot-delay-ms N] [--ready-descriptor N]";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(options) = options(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(options).await {
        Ok(Ended::PoweredOff) => ExitCode::SUCCESS,
        Ok(Ended::Reset) => ExitCode::from(u8::try_from(RESET).unwrap_or(u8::MAX)),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn options(mut arguments: impl Iterator<Item = String>) -> Option<Options> {
    let mut options = Options {
        folder: PathBuf::new(),
        boot_delay: Duration::ZERO,
        ready_descriptor: None,
    };
    while let Some(flag) = arguments.next() {
        let value = arguments.next()?;
        match flag.as_str() {
            "--folder" => options.folder = PathBuf::from(value),
            "--boot-delay-ms" => options.boot_delay = Duration::from_millis(value.parse().ok()?),
            "--ready-descriptor" => options.ready_descriptor = Some(value.parse().ok()?),
            _ => return None,
        }
    }
    options.folder.is_absolute().then_some(options)
}
