//! The kernel's command line, as far as it is the same on every VMM.

/// For every guest. A serial console that prints, and devices that are probed and not there, cost boot time.
const FOR_ALL: &str = "console=ttyS0 quiet loglevel=3 reboot=k panic=1 i8042.noaux i8042.nomux i8042.dumbkbd \
     8250.nr_uarts=1 random.trust_cpu=on net.ifnames=0 cryptomgr.notests";

/// What every guest gets, then what it gets on this VMM, then what is particular to the VM.
pub(crate) fn command_line(on_this_vmm: &str, particular: &str) -> String {
    let parts = [FOR_ALL, on_this_vmm, particular.trim()];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(" ")
}
