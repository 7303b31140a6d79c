//! The one binary inside a guest: `/init` of the initramfs, then the agent.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use banger_vsock_agent::{init, run_agent};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    let arguments: Vec<OsString> = arguments.collect();
    if name == "/init" && std::process::id() == 1 {
        init::boot();
    }
    if name == init::DIRECT_INIT && std::process::id() == 1 {
        init::boot_directly();
    }
    if name == init::LAST_PROGRAM && std::process::id() == 1 {
        init::end_for_systemd(&arguments);
    }
    if name == init::AGENT_NAME {
        return ended(init::enter(c"banger-agent", &arguments).and_then(run_agent));
    }
    if name == init::KEEPER_NAME {
        return ended(init::keep(&arguments));
    }
    if name == init::BESIDE_NAME {
        return ended(init::beside());
    }
    if arguments == ["--version"] {
        println!("banger-vsock-agent {}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    eprintln!(
        "banger-vsock-agent is what banger runs inside a guest: /init of its initramfs, then the agent"
    );
    ExitCode::from(2)
}

fn ended(outcome: io::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // In one write: stderr is the kernel's log, where each is an entry of its own.
            let line = format!("banger-vsock-agent: {error}\n");
            let _ = io::stderr().write_all(line.as_bytes());
            ExitCode::FAILURE
        }
    }
}
