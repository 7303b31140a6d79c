//! The kernel's own word that it powers off, where it cannot: it comes back from that, and the machine lives on without
//! its devices' consent (`echo o > /proc/sysrq-trigger`).

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};

use rustix::io::Errno;

use crate::descriptor::Descriptor;

/// Longer than any entry is; a shorter buffer gets none.
const ENTRY: usize = 8192;

/// What the kernel says at the end of `kernel_power_off`.
const POWER_DOWN: &str = "reboot: Power down";

/// Ends when the kernel has said that it powers off.
///
/// # Errors
/// The log cannot be followed.
pub(crate) async fn powered_down() -> io::Result<()> {
    let mut log = File::open("/dev/kmsg")?;
    // What was said before was said by whoever lives on.
    log.seek(SeekFrom::End(0))?;
    let log = Descriptor::new(log.into())?;
    let mut entry = vec![0; ENTRY];
    loop {
        match log.read(&mut entry).await {
            Ok(count) if is_power_down(entry.get(..count).unwrap_or_default()) => return Ok(()),
            Ok(_) => {}
            // Entries that were not read in time are gone.
            Err(error) if error.raw_os_error() == Some(Errno::PIPE.raw_os_error()) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reads `0,711,5280000,-;reboot: Power down\n`: level and facility, which processes cannot give as the kernel's (0).
fn is_power_down(entry: &[u8]) -> bool {
    let entry = String::from_utf8_lossy(entry);
    let Some((head, text)) = entry.split_once(';') else {
        return false;
    };
    let kind: Option<u32> = head.split(',').next().and_then(|kind| kind.parse().ok());
    kind.is_some_and(|kind| kind >> 3 == 0) && text.lines().next() == Some(POWER_DOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_kernels_own_word_counts() {
        for (entry, expected) in [
            ("0,711,5280000,-;reboot: Power down\n", true),
            (
                "6,711,5280000,-,caller=T1;reboot: Power down\n SUBSYSTEM=x\n",
                true,
            ),
            // Of a process: its facility is never the kernel's.
            ("12,711,5280000,-;reboot: Power down\n", false),
            ("0,711,5280000,-;reboot: Power down, not\n", false),
            ("0,711,5280000,-;reboot: System halted\n", false),
            (";reboot: Power down\n", false),
            ("reboot: Power down", false),
            ("", false),
        ] {
            assert_eq!(is_power_down(entry.as_bytes()), expected, "{entry:?}");
        }
    }
}
