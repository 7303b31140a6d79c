//! `banger vm ssh` and `banger ssh-config`.

use std::ffi::OsString;

use clap::Args;

use super::BootArgs;

/// `banger vm ssh`.
#[derive(Debug, Args)]
pub struct SshArgs {
    #[command(flatten)]
    pub boot: BootArgs,
    /// VM: name, id or beginning of an id; then whatever ssh takes.
    // One list, so that nothing after the VM is read as banger's, `--` included.
    #[arg(
        required = true,
        num_args = 1..,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "REF"
    )]
    pub words: Vec<OsString>,
}

/// `banger ssh-config`.
#[derive(Debug, Args)]
pub struct SshConfigArgs {
    /// Have ~/.ssh/config include the settings.
    #[arg(long, conflicts_with = "uninstall")]
    pub install: bool,
    /// Remove what --install added.
    #[arg(long)]
    pub uninstall: bool,
}
