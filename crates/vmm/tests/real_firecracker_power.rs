//! How guests that execute end their machines in the real Firecracker.
//!
//! Needs a KVM that executes guests, which a host may lack though it has `/dev/kvm`: left out by default, and run by
//! `cargo nextest run --run-ignored only -E 'binary(real_firecracker_power)'` where there is one.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod common;
mod elf;

use std::sync::Arc;

use common::{Lab, firecracker, in_time, until};
use elf::{printing_kernel, resetting_kernel};
use vmm::{Backend, How, Machine};

async fn start(lab: &Lab, kernel: &[u8]) -> Arc<dyn Machine> {
    in_time(firecracker().start(&lab.spec(kernel))).await.unwrap()
}

#[tokio::test]
#[ignore = "needs a KVM that executes guests"]
async fn a_guest_reset_ends_the_machine_and_is_reported_as_one() {
    let lab = Lab::new();
    let machine = start(&lab, &resetting_kernel("boot.")).await;
    let end = in_time(machine.wait()).await;
    assert_eq!(
        (end.how, end.reason.as_str()),
        (How::Reset, "the guest reset its machine")
    );
    assert_eq!(vmm::console_end(&lab.folder, 5).unwrap(), b"boot.");
    in_time(machine.kill()).await.unwrap();
    assert_eq!(lab.left(), Vec::<String>::new());
}

#[tokio::test]
#[ignore = "needs a KVM that executes guests"]
async fn a_guest_that_halts_leaves_its_vmm_idle_until_it_is_ended() {
    let lab = Lab::new();
    let machine = start(&lab, &printing_kernel("halted")).await;
    until(|| {
        let end = vmm::console_end(&lab.folder, 6).ok()?;
        (end == b"halted").then_some(())
    })
    .await;
    let ended = tokio::time::timeout(std::time::Duration::from_secs(1), machine.wait()).await;
    assert!(ended.is_err(), "{ended:?}");
    in_time(machine.kill()).await.unwrap();
    assert_eq!(in_time(machine.wait()).await.how, How::Other);
    assert_eq!(lab.left(), Vec::<String>::new());
}
