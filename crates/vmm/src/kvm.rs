//! Whether this host can run machines in hardware.

use std::fs::{self, File};
use std::io;

use rustix::io::Errno;

/// Why machines cannot run in hardware here, as text for people.
#[derive(Debug, thiserror::Error)]
pub enum NoKvm {
    /// The processor, or the hypervisor around this host, offers none.
    #[error("no KVM: the CPU offers no virtualisation")]
    Processor,
    /// The kernel has no KVM, or its module is not loaded.
    #[error("no KVM: there is no /dev/kvm")]
    NoDevice,
    /// The device is there before the module that it belongs to.
    #[error("no KVM: the module of this processor's kind is not loaded")]
    NoModule,
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
        Err(error) => Err(why(error)),
    }
}

fn why(error: io::Error) -> NoKvm {
    match error.kind() {
        io::ErrorKind::NotFound => NoKvm::NoDevice,
        io::ErrorKind::PermissionDenied => NoKvm::Forbidden,
        _ if Errno::from_io_error(&error) == Some(Errno::NODEV) => NoKvm::NoModule,
        _ => NoKvm::Device(error),
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
    fn a_device_without_its_module_is_told_from_one_that_is_not_there_or_not_open() {
        let told = |errno: Errno| why(errno.into()).to_string();
        assert_eq!(told(Errno::NOENT), "no KVM: there is no /dev/kvm");
        assert_eq!(
            told(Errno::NODEV),
            "no KVM: the module of this processor's kind is not loaded"
        );
        assert_eq!(told(Errno::ACCESS), "no KVM: /dev/kvm is not open to this user");
        assert!(told(Errno::BUSY).starts_with("no KVM: /dev/kvm does not open: "));
    }

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
