//! The engine over real VMMs with guests that execute: a Debian with systemd, started, stopped, found again.
//!
//! `make test-kvm` runs these where KVM runs guests, as a plain user and, with `BANGER_TEST_JAILED`, as root with jails;
//! with `BANGER_TEST_QEMU_KVM` QEMU has KVM. They need `build/bin` (`make build`) or `BANGER_TEST_BIN`.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod host;
mod life;
mod network;
mod still;

mod firecracker {
    use crate::host::Vmm;
    use crate::{life, network, still};

    #[test]
    #[ignore = "needs guests that execute on KVM: make test-kvm"]
    fn a_vm_starts_runs_commands_stops_in_order_and_starts_again_with_what_was_written() {
        life::a_vm_starts_runs_commands_stops_in_order_and_starts_again_with_what_was_written(
            Vmm::Firecracker,
        );
    }

    #[test]
    #[ignore = "needs guests that execute on KVM: make test-kvm"]
    fn the_next_daemon_finds_a_running_vm_and_one_whose_vmm_was_killed() {
        life::the_next_daemon_finds_a_running_vm_and_one_whose_vmm_was_killed(Vmm::Firecracker);
    }

    #[test]
    #[ignore = "needs guests that execute on KVM: make test-kvm"]
    fn a_guest_that_powers_off_is_stopped_and_one_that_reboots_boots_again() {
        life::a_guest_that_powers_off_is_stopped_and_one_that_reboots_boots_again(Vmm::Firecracker);
    }

    #[test]
    #[ignore = "needs guests that execute on KVM: make test-kvm"]
    fn a_guest_reaches_what_is_open_to_it() {
        network::a_guest_reaches_what_is_open_to_it(Vmm::Firecracker);
    }

    #[test]
    #[ignore = "needs guests that execute on KVM: make test-kvm"]
    fn a_paused_guest_does_nothing_and_goes_on() {
        still::a_paused_guest_does_nothing_and_goes_on(Vmm::Firecracker);
    }

    #[test]
    #[ignore = "needs guests that execute on KVM: make test-kvm"]
    fn a_power_off_that_no_daemon_hears_is_no_reboot() {
        life::a_power_off_that_no_daemon_hears_is_no_reboot(Vmm::Firecracker);
    }

    #[test]
    #[ignore = "needs guests that execute on KVM: make test-kvm"]
    fn a_stop_during_which_the_kernel_fails_says_so() {
        life::a_stop_during_which_the_kernel_fails_says_so(Vmm::Firecracker);
    }

    #[test]
    #[ignore = "needs guests that execute on KVM: make test-kvm ARGS=short"]
    fn one_vm_is_used_paused_rebooted_stopped_started_and_powered_off() {
        life::one_vm_is_used_paused_rebooted_stopped_started_and_powered_off(Vmm::Firecracker);
    }
}

/// But for a pause, which takes the one control connection that QEMU has: `conformance` pauses its guests.
mod qemu {
    use crate::host::Vmm;
    use crate::{life, network};

    #[test]
    #[ignore = "boots real guests: make test-kvm"]
    fn a_vm_starts_runs_commands_stops_in_order_and_starts_again_with_what_was_written() {
        life::a_vm_starts_runs_commands_stops_in_order_and_starts_again_with_what_was_written(Vmm::Qemu);
    }

    #[test]
    #[ignore = "boots real guests: make test-kvm"]
    fn the_next_daemon_finds_a_running_vm_and_one_whose_vmm_was_killed() {
        life::the_next_daemon_finds_a_running_vm_and_one_whose_vmm_was_killed(Vmm::Qemu);
    }

    #[test]
    #[ignore = "boots real guests: make test-kvm"]
    fn a_guest_that_powers_off_is_stopped_and_one_that_reboots_boots_again() {
        life::a_guest_that_powers_off_is_stopped_and_one_that_reboots_boots_again(Vmm::Qemu);
    }

    #[test]
    #[ignore = "boots real guests: make test-kvm"]
    fn a_guest_reaches_what_is_open_to_it() {
        network::a_guest_reaches_what_is_open_to_it(Vmm::Qemu);
    }
}

#[test]
#[ignore = "needs guests that execute on KVM: make test-kvm"]
fn a_guest_goes_on_from_its_snapshot_in_another_vm() {
    still::a_guest_goes_on_from_its_snapshot_in_another_vm();
}
