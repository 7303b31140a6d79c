//! For `scripts/test-kvm`: whether guests execute on this host's KVM. `guests_execute FIRECRACKER` says why not, and ends
//! with 1 then.

#[path = "../tests/elf/mod.rs"]
mod elf;
#[path = "../tests/executes/mod.rs"]
mod executes;

use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(firecracker) = std::env::args_os().nth(1) else {
        eprintln!("guests_execute: which Firecracker?");
        return ExitCode::FAILURE;
    };
    let usable = vmm::kvm::usable().map_err(|reason| reason.to_string());
    match usable.and_then(|()| executes::guests_execute(firecracker.as_ref())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}
