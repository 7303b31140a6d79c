//! What a VM uses: the guest's word, and what the host sees of its VMM. And whether its init has booted.

use std::fs;
use std::time::Duration;

use api::{Booted, HostUse, VmStats};
use jiff::Timestamp;

use super::{Vms, layer_path};
use crate::EngineError;

/// How long a guest's own figures are waited for.
const ANSWER: Duration = Duration::from_secs(5);
/// How long an agent that is not linked right now is waited for by who waits for a boot.
const LINKED: Duration = Duration::from_secs(30);
/// How long an image's init may take to boot.
const BOOT: Duration = Duration::from_secs(900);
/// Clock ticks a second in what the kernel shows to programs (`USER_HZ`).
const TICKS: u64 = 100;

impl Vms {
    /// What a VM uses. A guest that does not answer costs its own figures only.
    ///
    /// # Errors
    /// No or several VMs answer to the reference.
    pub async fn stats(&self, reference: &str) -> Result<VmStats, EngineError> {
        let (row, task) = self.task(reference).await?;
        let (pid, link) = {
            let live = task.live.borrow();
            let agent = live.link.as_ref().and_then(|link| link.borrow().agent.clone());
            (live.pid, agent)
        };
        // One that stands still does not answer.
        let link = link.filter(|_| task.pause.reason().is_none());
        let guest = match link {
            Some(agent) => tokio::time::timeout(ANSWER, agent.stats())
                .await
                .ok()
                .and_then(Result::ok),
            None => None,
        };
        let folder = self.shared.paths.vm(&row.id);
        Ok(VmStats {
            disk_allocated: rootfs::layer::allocated(&layer_path(&folder)).unwrap_or(0),
            host: pid.and_then(host_use),
            guest,
            sampled_at: Timestamp::now(),
            state: row.state,
            id: row.id,
            name: row.name,
            vcpu: row.vcpu,
            memory_mib: row.memory_mib,
            disk_size: row.disk_size,
        })
    }

    /// Waits until the init of a running VM's image has finished booting.
    ///
    /// # Errors
    /// The VM does not run, or ends meanwhile, or its agent cannot tell.
    pub async fn boot(&self, reference: &str) -> Result<Booted, EngineError> {
        let (row, agent) = self.agent(reference, "wait for the boot of", LINKED).await?;
        let boot = tokio::time::timeout(BOOT, agent.boot())
            .await
            .map_err(|_| EngineError::AgentSilent {
                waited: BOOT,
                console: None,
            })?
            .map_err(EngineError::Agent)?;
        Ok(Booted {
            id: row.id,
            name: row.name,
            state: boot.state,
        })
    }
}

/// Processor time that a process has had so far; `None` if it is gone.
pub(crate) fn processor_time(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    cpu_ms(&stat).map(Duration::from_millis)
}

/// What a process takes; `None` if it is gone.
fn host_use(pid: u32) -> Option<HostUse> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(HostUse {
        cpu_ms: cpu_ms(&stat)?,
        memory: resident(&status)?,
    })
}

/// User and system time of `/proc/PID/stat`. The program's name may hold anything, parentheses and spaces too.
fn cpu_ms(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(11);
    let user: u64 = times.next()?.parse().ok()?;
    let system: u64 = times.next()?.parse().ok()?;
    Some(user.saturating_add(system).saturating_mul(1000 / TICKS))
}

/// Resident memory of `/proc/PID/status`, in bytes.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kib.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processs_use_is_read_whatever_it_is_called() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 4 0 100 0 0";
        assert_eq!(cpu_ms(stat), Some(2_000));
        assert_eq!(cpu_ms("42 (x"), None);
        assert_eq!(resident("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2 << 20));
        assert!(host_use(std::process::id()).unwrap().memory > 0);
        assert_eq!(host_use(u32::MAX), None);
    }
}
