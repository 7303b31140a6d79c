//! Waiting for the disks: their drivers may find them after the modules are loaded.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::InitError;
use super::parameters::Device;

const STEP: Duration = Duration::from_millis(1);

/// Far more than a disk that is there takes under the slowest emulation.
const LONGEST: Duration = Duration::from_secs(10);

/// Returns once the device is there, which it mostly is at once.
pub(super) fn wait(what: &'static str, device: &Device) -> Result<(), InitError> {
    wait_until(what, device, LONGEST)
}

fn wait_until(what: &'static str, device: &Device, longest: Duration) -> Result<(), InitError> {
    let path = Path::new(device.path());
    if path.exists() {
        return Ok(());
    }
    let deadline = Instant::now() + longest;
    while Instant::now() < deadline {
        sleep(STEP);
        if path.exists() {
            return Ok(());
        }
    }
    Err(InitError::Disk {
        what,
        device: device.path().to_owned(),
        waited: longest,
    })
}

#[cfg(test)]
mod tests {
    use super::super::parameters::Parameters;
    use super::*;

    #[test]
    fn a_disk_that_never_comes_is_named() {
        let device = Parameters::parse("banger.layer=/dev/bangernone").unwrap().layer;
        let error = wait_until("the layer", &device, Duration::from_millis(3)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the layer /dev/bangernone did not appear within 3ms"
        );
    }
}
