//! Whether this host can run machines in hardware.

use std::fs::{self, File};
use std::io;

/// Why machines cannot run in hardware here, as text for people.
#[derive(Debug, thiserror::Error)]
pub enum NoKvm {
    /// The processor, or the hypervisor around this host, offers none.
    #[error("no KVM: the CPU offers no virtualisation")]
    Processor,
    /// The kernel has no KVM, or its module is not loaded.
    #[error("no KVM: there is no /dev/kvm")]
    NoDevice,
    /// This user may not use it.
    #[error("no KVM: /dev/kvm is not open to this user")]
    Forbidden,
    /// It does not open.
    #[error("no KVM: /dev/kvm does not open: {0}")]
    Device(#[source] io::Error),
}

/// Whether machines can run in hardware: the CPU's flags, and `/dev/kvm` opens for reading and writing.
///
/// # Errors
/// [`NoKvm`] says what is missing.
pub fn usable() -> Result<(), NoKvm> {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    if !offers_virtualisation(&processors) {
        return Err(NoKvm::Processor);
    }
    match File::options().read(true).write(true).open("/dev/kvm") {
        Ok(_) => Ok(()),
        Err(error) => Err(match error.kind() {
            io::ErrorKind::NotFound => NoKvm::NoDevice,
            io::ErrorKind::PermissionDenied => NoKvm::Forbidden,
            _ => NoKvm::Device(error),
        }),
    }
}

/// Whether `/proc/cpuinfo` lists Intel's or AMD's extension.
fn offers_virtualisation(processors: &str) -> bool {
    processors
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(key, _)| key.trim_end() == "flags")
        .flat_map(|(_, flags)| flags.split_ascii_whitespace())
        .any(|flag| matches!(flag, "vmx" | "svm"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_flags_of_a_processor_count() {
        assert!(offers_virtualisation("processor\t: 0\nflags\t\t: fpu vmx sse\n"));
        assert!(offers_virtualisation("flags\t\t: fpu svm\n"));
        for without in [
            "",
            "flags\t\t: fpu svm_lock\n",
            "vmx flags\t: ept vmx\nmodel name: vmx svm\n",
        ] {
            assert!(!offers_virtualisation(without), "{without}");
        }
    }
}
