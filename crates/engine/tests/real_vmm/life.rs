//! Start, stop, restart; a daemon that ends; a guest that ends by itself.

use api::{CreateVm, Event, NetworkMode, StageState, VmState};
use engine::{Engine, OperationHandle};
use guest::frames::Exit;
use process::Signal;

use crate::host::{Host, Vmm, becomes, delete, output, run, script};
use crate::network::Service;
use crate::still;

/// systemd refuses requests until it listens, some seconds after the agent does.
const LISTENS: &str = "until [ -S /run/systemd/private ]; do sleep 0.2; done;";

/// How a stop went, and its warnings.
async fn told(stop: &OperationHandle) -> (Vec<String>, Vec<String>) {
    let (mut how, mut warnings) = (Vec::new(), Vec::new());
    let mut events = stop.events();
    while let Some(event) = events.next().await {
        match event {
            Event::Stage {
                name,
                state: StageState::Done,
                detail,
                ..
            } if name == "stop" => how.push(detail),
            Event::Warning { message } => warnings.push(message),
            _ => {}
        }
    }
    (how, warnings)
}

async fn stop_in_order(engine: &Engine) {
    let stop = engine.vms().stop("a").await.unwrap();
    let stopped = stop.wait().await.unwrap().unwrap();
    assert_eq!(stopped.state, VmState::Stopped);
    assert_eq!(told(&stop).await, (vec!["shut down".into()], Vec::new()));
}

async fn power_off(engine: &Engine) {
    // The connection may end before the command does.
    let powered_off = engine
        .vms()
        .exec("a", &script(&format!("{LISTENS} poweroff")))
        .await
        .unwrap();
    let stopped = becomes(engine, "the power-off", |vm| vm.state == VmState::Stopped).await;
    drop(powered_off);
    assert!(
        stopped.reason.is_some_and(|reason| reason.contains("power")),
        "why it is off"
    );
}

async fn reboot(engine: &Engine, before: Option<String>) {
    let rebooted = engine
        .vms()
        .exec("a", &script(&format!("{LISTENS} reboot")))
        .await
        .unwrap();
    let after = becomes(engine, "another boot", |vm| {
        vm.state == VmState::Running && vm.boot_id.is_some() && vm.boot_id != before
    })
    .await;
    drop(rebooted);
    let boot_id = output(engine, "cat /proc/sys/kernel/random/boot_id").await.0;
    assert_eq!(Some(boot_id.trim()), after.boot_id.as_deref());
}

pub fn a_vm_starts_runs_commands_stops_in_order_and_starts_again_with_what_was_written(vmm: Vmm) {
    let host = Host::new(vmm);
    host.daemon(async |engine| {
        let leaks = host.leaks();
        let first = run(engine, CreateVm::default()).await;
        assert_eq!(
            (first.state, first.vmm.as_str()),
            (VmState::Running, host.backend.name())
        );
        let printed = output(engine, "echo out; echo kept > /root/kept; exit 3").await;
        assert_eq!(printed, ("out\n".into(), Exit::Code(3)));

        stop_in_order(engine).await;
        let start = engine.vms().start("a").await.unwrap();
        let second = start.wait().await.unwrap().unwrap();
        assert_eq!(
            output(engine, "cat /root/kept").await,
            ("kept\n".into(), Exit::Code(0))
        );
        let restart = engine.vms().restart("a").await.unwrap();
        let third = restart.wait().await.unwrap().unwrap();
        assert_eq!(
            output(engine, "cat /root/kept").await,
            ("kept\n".into(), Exit::Code(0))
        );
        let boots = [&first, &second, &third].map(|vm| vm.boot_id.clone().unwrap());
        assert!(
            boots[0] != boots[1] && boots[1] != boots[2] && boots[0] != boots[2],
            "{boots:?}"
        );
        delete(engine).await;
        leaks.assert_none_since().await;
    });
}

pub fn the_next_daemon_finds_a_running_vm_and_one_whose_vmm_was_killed(vmm: Vmm) {
    let host = Host::new(vmm);
    let before = host.daemon(async |engine| {
        let before = run(engine, CreateVm::default()).await;
        output(engine, "echo kept > /root/kept; sync").await;
        before
    });
    host.daemon(async |engine| {
        let after = becomes(engine, "the machine", |vm| vm.state == VmState::Running).await;
        assert_eq!((&after.pid, &after.boot_id), (&before.pid, &before.boot_id));
        let boot_id = output(engine, "cat /proc/sys/kernel/random/boot_id").await.0;
        assert_eq!(Some(boot_id.trim()), before.boot_id.as_deref());
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let machine = vmm::find(&host.paths.vm(&before.id)).await.unwrap().unwrap();
        machine.signal(Signal::KILL).unwrap();
        machine.wait().await;
    });
    host.daemon(async |engine| {
        let after = engine.vms().show("a").await.unwrap();
        assert_eq!(after.state, VmState::Stopped);
        let reason = after.reason.unwrap();
        assert!(reason.contains("while no daemon was there"), "{reason}");
        engine.vms().start("a").await.unwrap().wait().await.unwrap();
        assert_eq!(
            output(engine, "cat /root/kept").await,
            ("kept\n".into(), Exit::Code(0))
        );
        delete(engine).await;
    });
}

pub fn a_power_off_that_no_daemon_hears_is_no_reboot(vmm: Vmm) {
    let host = Host::new(vmm);
    let vm = host.daemon(async |engine| {
        let vm = run(engine, CreateVm::default()).await;
        let later = format!("{LISTENS} systemd-run --on-active=3 systemctl poweroff");
        assert_eq!(output(engine, &later).await.1, Exit::Code(0));
        vm
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        // Already gone where it was quick.
        if let Some(machine) = vmm::find(&host.paths.vm(&vm.id)).await.unwrap() {
            machine.wait().await;
        }
    });
    host.daemon(async |engine| {
        let stopped = engine.vms().show("a").await.unwrap();
        assert_eq!(
            (stopped.state, stopped.reason.as_deref()),
            (VmState::Stopped, Some("the guest powered off"))
        );
        assert_eq!(engine.vms().running(), 0);
        delete(engine).await;
    });
}

pub fn a_stop_during_which_the_kernel_fails_says_so(vmm: Vmm) {
    let host = Host::new(vmm);
    host.daemon(async |engine| {
        run(engine, CreateVm::default()).await;
        let fails = "echo 0 > /proc/sys/kernel/panic; echo 1 > /proc/sys/kernel/sysrq; \
                     trap 'echo c > /proc/sysrq-trigger' TERM HUP; while :; do sleep 0.2; done";
        let failing = engine.vms().exec("a", &script(fails)).await.unwrap();
        // The trap is set.
        output(
            engine,
            "until [ \"$(cat /proc/sys/kernel/panic)\" = 0 ]; do sleep 0.1; done; sleep 1",
        )
        .await;
        let stop = engine.vms().stop("a").await.unwrap();
        let stopped = stop.wait().await.unwrap().unwrap();
        drop(failing);
        let panicked = "the guest's kernel panicked: sysrq triggered crash";
        assert_eq!(stopped.reason.as_deref(), Some(panicked));
        let warning =
            format!("it ended before it had shut down ({panicked}); what it had not synced is lost");
        assert_eq!(
            told(&stop).await,
            (vec!["ended without a shutdown".into()], vec![warning])
        );
        delete(engine).await;
    });
}

pub fn a_guest_that_powers_off_is_stopped_and_one_that_reboots_boots_again(vmm: Vmm) {
    let host = Host::new(vmm);
    host.daemon(async |engine| {
        let leaks = host.leaks();
        run(engine, CreateVm::default()).await;
        power_off(engine).await;
        let start = engine.vms().start("a").await.unwrap();
        let before = start.wait().await.unwrap().unwrap().boot_id;
        reboot(engine, before).await;
        delete(engine).await;
        leaks.assert_none_since().await;
    });
}

/// In three boots what the other tests do in eight.
pub fn one_vm_is_used_paused_rebooted_stopped_started_and_powered_off(vmm: Vmm) {
    let (mut host, service) = (Host::new(vmm), Service::new());
    host.open = vec![service.subnet()];
    host.daemon(async |engine| {
        let leaks = host.leaks();
        let request = CreateVm {
            network: Some(NetworkMode::User),
            ..CreateVm::default()
        };
        let vm = run(engine, request).await;
        service.answer_a_guest(engine).await;
        still::pause_and_resume(engine, &host, &vm).await;
        reboot(engine, vm.boot_id).await;
        output(engine, "echo kept > /root/kept").await;
        stop_in_order(engine).await;
        engine.vms().start("a").await.unwrap().wait().await.unwrap();
        assert_eq!(
            output(engine, "cat /root/kept").await,
            ("kept\n".into(), Exit::Code(0))
        );
        power_off(engine).await;
        delete(engine).await;
        leaks.assert_none_since().await;
    });
}
