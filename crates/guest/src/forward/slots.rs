//! How many connections to ports of guests this process carries: each takes descriptors, and the process needs others.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::client::MAX_FORWARDS;

/// Most connections at a time, however many descriptors there are: each has buffers, too.
const MOST: usize = 4096;

/// Rest between two lines of the log about refused connections.
const QUIET: Duration = Duration::from_secs(10);

/// Slots for connections, over all ports and VMs. Cheap to clone.
///
/// A connection takes up to two descriptors, so all slots together take half of the process's descriptors. A VM gets half
/// of the slots at most, so that a crowd at its ports leaves slots for others, and no more than its agent carries: a
/// connection that waits for the agent would hold its slot meanwhile.
#[derive(Clone, Debug)]
pub struct Slots {
    total: Arc<Semaphore>,
    per_vm: usize,
    /// Lowest number of a descriptor that shows that too many are in use. The kernel gives the lowest free one.
    reserve: u64,
    vms: Arc<Mutex<HashMap<String, Weak<OneVm>>>>,
}

/// What all holders of one VM's slots share.
#[derive(Debug)]
struct OneVm {
    name: String,
    free: Arc<Semaphore>,
    refused: Mutex<Refused>,
}

/// Connections refused: in all, and since the last line of the log about it.
#[derive(Debug, Default)]
struct Refused {
    total: u64,
    count: u64,
    logged: Option<Instant>,
}

/// How many of a VM's slots are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Connections that are carried now.
    pub open: usize,
    /// At so many of them the next is refused.
    pub most: usize,
    /// How many were refused since the ports are there.
    pub refused: u64,
}

impl Slots {
    /// As many as this process's limit of open files allows now.
    #[must_use]
    pub fn of_process() -> Self {
        Self::of_limit(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX))
    }

    fn of_limit(descriptors: u64) -> Self {
        let total = usize::try_from(descriptors / 4).unwrap_or(MOST).clamp(2, MOST);
        Self {
            total: Arc::new(Semaphore::new(total)),
            per_vm: (total / 2).min(MAX_FORWARDS),
            reserve: descriptors - descriptors / 4,
            vms: Arc::default(),
        }
    }

    /// How many slots of the VM of that id are taken; `None` where no port of it is open to connections.
    #[must_use]
    pub fn usage(&self, id: &str) -> Option<Usage> {
        let vms = self.vms.lock().unwrap_or_else(PoisonError::into_inner);
        let vm = vms.get(id)?.upgrade()?;
        let refused = vm.refused.lock().unwrap_or_else(PoisonError::into_inner).total;
        Some(Usage {
            open: self.per_vm.saturating_sub(vm.free.available_permits()),
            most: self.per_vm,
            refused,
        })
    }

    /// The slots of one VM, `name` in the log; shared by all callers with the same `id`.
    #[must_use]
    pub fn for_vm(&self, id: &str, name: &str) -> VmSlots {
        let mut vms = self.vms.lock().unwrap_or_else(PoisonError::into_inner);
        vms.retain(|_, vm| vm.strong_count() > 0);
        let vm = vms.get(id).and_then(Weak::upgrade).unwrap_or_else(|| {
            let vm = Arc::new(OneVm {
                name: name.to_owned(),
                free: Arc::new(Semaphore::new(self.per_vm)),
                refused: Mutex::default(),
            });
            vms.insert(id.to_owned(), Arc::downgrade(&vm));
            vm
        });
        VmSlots {
            vm,
            all: self.clone(),
        }
    }
}

/// Slots for the connections of one VM. Cheap to clone.
#[derive(Clone, Debug)]
pub struct VmSlots {
    vm: Arc<OneVm>,
    all: Slots,
}

impl VmSlots {
    /// Number of slots that the VM has.
    #[must_use]
    pub fn most(&self) -> usize {
        self.all.per_vm
    }

    /// A free slot, if there is one. A refusal is counted, and logged now and then.
    #[must_use]
    pub fn take(&self) -> Option<Slot> {
        let take = |free: &Arc<Semaphore>| Arc::clone(free).try_acquire_owned().ok();
        let permits = take(&self.vm.free).and_then(|own| Some([own, take(&self.all.total)?]));
        if permits.is_none() {
            self.vm.count_refusal();
        }
        permits.map(|permits| Slot {
            _permits: permits,
            _vm: Arc::clone(&self.vm),
        })
    }

    /// A slot for an accepted connection: none either if its number shows that most descriptors are in use.
    #[must_use]
    pub fn take_for(&self, connection: impl AsFd) -> Option<Slot> {
        let number = connection.as_fd().as_raw_fd();
        if u64::try_from(number).is_ok_and(|number| number >= self.all.reserve) {
            self.vm.count_refusal();
            return None;
        }
        self.take()
    }
}

impl OneVm {
    fn count_refusal(&self) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.total += 1;
        refused.count += 1;
        if refused.logged.is_none_or(|logged| logged.elapsed() >= QUIET) {
            tracing::warn!(
                vm = self.name,
                refused = refused.count,
                "too many connections to ports of VMs; resetting new ones"
            );
            (refused.count, refused.logged) = (0, Some(Instant::now()));
        }
    }
}

/// Permission for one connection, until it is dropped.
#[derive(Debug)]
pub struct Slot {
    _permits: [OwnedSemaphorePermit; 2],
    /// Keeps the VM's entry for as long as one of its slots is taken.
    _vm: Arc<OneVm>,
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn take_all(slots: &VmSlots) -> Vec<Slot> {
        std::iter::from_fn(|| slots.take()).collect()
    }

    #[test]
    fn all_connections_leave_half_of_the_descriptors_and_one_vm_leaves_half_of_the_slots() {
        for (descriptors, total) in [
            (1024, 256),
            (4096, 1024),
            (1 << 20, MOST),
            (u64::MAX, MOST),
            (0, 2),
        ] {
            let slots = Slots::of_limit(descriptors);
            let mut crowds = Vec::new();
            for vm in 0..32 {
                let crowd = take_all(&slots.for_vm(&vm.to_string(), "a"));
                // All callers share the VM's slots.
                assert!(slots.for_vm(&vm.to_string(), "a").take().is_none());
                crowds.push(crowd);
            }
            assert_eq!(crowds[0].len(), (total / 2).min(MAX_FORWARDS), "{descriptors}");
            assert_eq!(crowds.iter().map(Vec::len).sum::<usize>(), total, "{descriptors}");
            crowds.remove(0);
            assert!(slots.for_vm("other", "a").take().is_some());
        }
    }

    #[test]
    fn no_connection_is_taken_with_one_of_the_last_descriptors() {
        let file = File::open("/dev/null").unwrap();
        let number = u64::try_from(file.as_raw_fd()).unwrap();
        for (reserve, taken) in [(number, false), (number + 1, true)] {
            let slots = Slots {
                reserve,
                ..Slots::of_limit(1024)
            };
            assert_eq!(slots.for_vm("a", "a").take_for(&file).is_some(), taken);
        }
    }

    #[test]
    fn refusals_are_counted_over_all_callers_and_seldom_logged() {
        let slots = Slots::of_limit(0);
        // Ends with the first refusal, which is logged.
        let _taken = take_all(&slots.for_vm("a", "a"));
        for _ in 0..1_000 {
            assert!(slots.for_vm("a", "a").take().is_none());
        }
        let vm = slots.for_vm("a", "a").vm;
        assert_eq!(vm.refused.lock().unwrap().count, 1_000);
        let usage = Usage {
            open: 1,
            most: 1,
            refused: 1_001,
        };
        assert_eq!(slots.usage("a"), Some(usage));
        assert_eq!(slots.usage("b"), None);
    }
}
