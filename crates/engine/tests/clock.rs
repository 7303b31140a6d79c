//! Clocks of guests that have stood still, over simulated machines.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod support;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use guest::{Agent, Channel, SetClock};
use support::{Host, delete, run};
use testkit::MachineFaults;
use vmm::Backend as _;

const HOUR: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(60);

/// What the clock is ahead of this host's, in whole seconds.
async fn ahead(agent: &Agent) -> i64 {
    let clock = agent.clock().await.unwrap();
    let host = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let ahead = i128::from(clock.unix_time_ns) - i128::try_from(host.as_nanos()).unwrap();
    i64::try_from((ahead + 500_000_000).div_euclid(1_000_000_000)).unwrap()
}

async fn agent(host: &Host, id: &str) -> Agent {
    let machine = host.backend.find(&host.paths.vm(id)).await.unwrap().unwrap();
    let (vmm::Channel::Vsock { socket } | vmm::Channel::VirtioSerial { socket }) = machine.channel();
    Agent::connect(&Channel::Vsock { socket }).await.unwrap()
}

#[tokio::test]
async fn a_clock_that_stood_still_is_right_on_the_next_contact_and_the_guests_own_is_left() {
    let host = Host::new();
    let engine = host.engine().await;
    let vm = run(&engine, "a").await;
    let folder = host.paths.vm(&vm.id);
    let watcher = agent(&host, &vm.id).await;
    assert_eq!(ahead(&watcher).await, 0);
    let stands_still = async |stood_still: Duration, before: i64, after: i64| {
        let faults = MachineFaults {
            stood_still_ms: u64::try_from(stood_still.as_millis()).unwrap(),
            ..MachineFaults::default()
        };
        faults.write(&folder).unwrap();
        assert_eq!(ahead(&watcher).await, before);
        // A contact of a moment ago stands for the next.
        let right = async {
            while ahead(&watcher).await != after {
                engine.vms().ping("a").await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, right).await.unwrap();
    };
    stands_still(HOUR, -3600, 0).await;
    stands_still(HOUR * 2, -3600, 0).await;
    // The guest's own time service thinks better of it.
    let own_ns = 90_000_000_000;
    let set = SetClock {
        step_ns: own_ns,
        own_ns,
    };
    watcher.set_clock(&set).await.unwrap();
    stands_still(HOUR * 3, 90 - 3600, 90).await;
    delete(&engine, "a").await;
}
