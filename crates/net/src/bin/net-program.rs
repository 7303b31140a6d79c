//! The frame filter and the relay of the networks that tests start.

use std::process::ExitCode;

fn main() -> ExitCode {
    net::serve_network_if_asked().unwrap_or(ExitCode::FAILURE)
}
