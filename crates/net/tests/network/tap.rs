//! User mode for a VMM that attaches a tap by itself, as Firecracker does.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use net::stop;
use process::{Identity, Signal};

use crate::support::apart::{is_root_of_the_machine, own_folder, run_apart};
use crate::support::guest::Answer;
use crate::support::host::{ADDRESS, INTERNET, in_the_internet, ip_says, on_a_host};
use crate::support::names::ask_the_resolver;
use crate::support::network::{
    GREETING, LOCAL_RESOLVER, answer_in_capitals, bind, has_a_client, listen, reach_the_host, recorded,
    running, start, start_open_to,
};
use crate::support::vmm;

#[test]
#[ignore = "run by the others, confined"]
fn what_a_vmm_does() {
    vmm::attach_and_wait();
}

#[test]
fn a_guest_on_a_tap_reaches_the_internet_and_is_kept_from_the_host() {
    on_a_host(LOCAL_RESOLVER, || async {
        let ((listener, port), echo) = in_the_internet(|| (listen(INTERNET), bind(INTERNET, 0)));
        let resolver = bind(LOCAL_RESOLVER, 53);
        let folder = tempfile::tempdir().unwrap();
        let network = start_open_to(folder.path(), &[]).await.unwrap();
        let vmm = vmm::join(network, folder.path()).await;
        let mut guest = vmm.guest();

        let own = guest.connect(INTERNET, port);
        assert_eq!(guest.wait_for(INTERNET, own), Answer::Accepted);
        assert!(has_a_client(&listener));
        let own = guest.send_datagram(INTERNET, echo.local_addr().unwrap().port(), GREETING);
        answer_in_capitals(&echo);
        let answer = Answer::Datagram(GREETING.to_ascii_uppercase());
        assert_eq!(guest.wait_for(INTERNET, own), answer);
        ask_the_resolver(&mut guest, &resolver);

        let (of_the_host, port) = listen(Ipv4Addr::UNSPECIFIED);
        let closed = [[127, 0, 0, 1], [0, 0, 0, 0], [10, 0, 0, 1], [169, 254, 169, 254]];
        for to in closed.map(Ipv4Addr::from).into_iter().chain([ADDRESS]) {
            let own = guest.connect(to, port);
            assert_eq!(guest.wait_for(to, own), Answer::Prohibited, "{to}");
        }
        assert!(!has_a_client(&of_the_host));
        vmm.end().await;
        stop(folder.path()).await.unwrap();
    });
}

#[test]
fn all_of_it_ends_with_the_vmm() {
    on_a_host(LOCAL_RESOLVER, || async {
        let folder = tempfile::tempdir().unwrap();
        let network = start(folder.path()).await.unwrap();
        let running = running(folder.path());
        let vmm = vmm::join(network, folder.path()).await;
        assert!(recorded(folder.path()).iter().all(Identity::is_alive));
        reach_the_host(&mut vmm.guest());
        vmm.end().await;
        for process in running {
            process.wait().await.unwrap();
        }
        stop(folder.path()).await.unwrap();
        assert_eq!(recorded(folder.path()), []);
    });
}

#[test]
fn no_process_stays_without_the_others_on_a_tap() {
    on_a_host(LOCAL_RESOLVER, || async {
        let folder = tempfile::tempdir().unwrap();
        for victim in 0..3 {
            let network = start(folder.path()).await.unwrap();
            let vmm = vmm::join(network, folder.path()).await;
            let running = running(folder.path());
            running[victim].kill(Signal::KILL).unwrap();
            for process in &running {
                process.wait().await.unwrap();
            }
            vmm.end().await;
        }
    });
}

#[test]
fn stop_ends_the_network_of_a_vmm_that_runs() {
    on_a_host(LOCAL_RESOLVER, || async {
        let folder = tempfile::tempdir().unwrap();
        let network = start(folder.path()).await.unwrap();
        let vmm = vmm::join(network, folder.path()).await;
        let running = recorded(folder.path());
        assert_eq!(running.len(), 3);
        stop(folder.path()).await.unwrap();
        assert!(!running.iter().any(Identity::is_alive));
        assert!(vmm.process().is_alive());
        vmm.end().await;
    });
}

/// The network namespaces of all processes that may be looked at.
fn namespaces() -> Vec<PathBuf> {
    let processes = fs::read_dir("/proc").unwrap().map(Result::unwrap);
    processes
        .filter_map(|process| fs::read_link(process.path().join("ns/net")).ok())
        .collect()
}

fn namespace_of(pid: u32) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/ns/net")).unwrap()
}

#[test]
fn fifty_networks_leave_nothing() {
    on_a_host(LOCAL_RESOLVER, || async {
        let before = ip_says("link");
        let mut used = Vec::new();
        let mut processes = Vec::new();
        for _ in 0..50 {
            let folder = tempfile::tempdir().unwrap();
            let network = start(folder.path()).await.unwrap();
            let vmm = vmm::join(network, folder.path()).await;
            assert_eq!(ip_says("link"), before, "none of it is the host's");
            processes.extend(recorded(folder.path()));
            // Open, it keeps its number, which the system would give to the next.
            let namespace = fs::File::open(format!("/proc/{}/ns/net", vmm.process().pid)).unwrap();
            used.push((namespace_of(vmm.process().pid), namespace));
            vmm.end().await;
            stop(folder.path()).await.unwrap();
        }
        assert_eq!(ip_says("link"), before);
        assert!(!processes.iter().any(Identity::is_alive));
        let left = namespaces();
        assert!(!used.iter().any(|(namespace, _)| left.contains(namespace)));
    });
}

#[tokio::test]
#[ignore = "run by a_user_without_rights_needs_none_for_a_tap"]
async fn as_a_user_without_rights() {
    let folder = own_folder();
    assert!(!rustix::process::geteuid().is_root());
    let network = start(&folder).await.unwrap();
    let vmm = vmm::join(network, &folder).await;
    reach_the_host(&mut vmm.guest());
    vmm.end().await;
    stop(&folder).await.unwrap();
    assert_eq!(recorded(&folder), []);
}

#[test]
fn a_user_without_rights_needs_none_for_a_tap() {
    on_a_host(LOCAL_RESOLVER, || async {
        if !is_root_of_the_machine() {
            // Then every test here is one.
            return;
        }
        let mut command = Command::new("env");
        command.uid(1000).gid(1000).env_remove("RUST_BACKTRACE");
        run_apart(command, "tap::as_a_user_without_rights", 1000);
    });
}
