//! `banger vm forward` and `banger vm ports`: their flags.

use api::PortForward;
use clap::Args;

use super::JsonArgs;
use super::vm::ReferenceArgs;

/// `banger vm forward`.
#[derive(Debug, Args)]
pub struct ForwardArgs {
    #[command(flatten)]
    pub vm: ReferenceArgs,
    /// Ports: [ADDRESS:]HOST:GUEST[/udp], or one number for both sides.
    ///
    /// localhost is bound unless an address is given: 127.0.0.1 and ::1. Host port 0 takes one that is free.
    #[arg(required = true, value_name = "HOST:GUEST", value_parser = parse)]
    pub ports: Vec<PortForward>,
    #[command(flatten)]
    pub output: JsonArgs,
}

/// `banger vm ports`.
#[derive(Debug, Args)]
pub struct PortsArgs {
    #[command(flatten)]
    pub vm: ReferenceArgs,
    #[command(flatten)]
    pub output: JsonArgs,
}

/// A forwarded port, as a person writes it.
pub fn parse(text: &str) -> Result<PortForward, api::PortForwardError> {
    text.parse()
}
