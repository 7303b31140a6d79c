//! User mode over a stream of frames, as QEMU has it.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use net::{NetError, stop, user_plan};
use process::{Identity, Signal};

use crate::support::apart::{is_root_of_the_machine, own_folder, run_apart};
use crate::support::guest::{Answer, Guest};
use crate::support::host::{ADDRESS, ip, on_a_host};
use crate::support::names::ask_the_resolver;
use crate::support::network::{
    GREETING, LOCAL_RESOLVER, bind, has_a_client, listen, reach_the_host, recorded, running, start,
    start_with, status,
};

#[test]
fn the_guest_reaches_the_hosts_network() {
    on_a_host(LOCAL_RESOLVER, || async {
        let folder = tempfile::tempdir().unwrap();
        let mut guest = Guest::new(start(folder.path()).await.unwrap());
        reach_the_host(&mut guest);
        let own = guest.connect(ADDRESS, 9);
        assert_eq!(
            guest.wait_for(ADDRESS, own),
            Answer::Refused,
            "nobody listens there"
        );
    });
}

#[test]
fn passt_relay_and_filter_have_no_rights_and_see_no_files() {
    on_a_host(LOCAL_RESOLVER, || async {
        let folder = tempfile::tempdir().unwrap();
        let _network = start(folder.path()).await.unwrap();
        for identity in recorded(folder.path()) {
            let pid = identity.pid;
            assert_eq!(status(pid, "CapEff"), "0000000000000000");
            assert_eq!(status(pid, "NoNewPrivs"), "1");
            let namespace = |of: String, kind: &str| fs::read_link(format!("/proc/{of}/ns/{kind}")).unwrap();
            for kind in ["mnt", "ipc", "uts"] {
                assert_ne!(
                    namespace(pid.to_string(), kind),
                    namespace("self".into(), kind),
                    "{kind}"
                );
            }
            for hidden in ["home", "root", "proc", "run", "tmp", "var", "etc/passwd"] {
                assert!(
                    !Path::new(&format!("/proc/{pid}/root/{hidden}")).exists(),
                    "{hidden}"
                );
            }
            if is_root_of_the_machine() {
                // Nor `nobody`, whose other processes could end it.
                let user = status(pid, "Uid");
                let user: u32 = user.split_whitespace().next().unwrap().parse().unwrap();
                assert!(user != 0 && user != 65534, "{user}");
                assert!(status(pid, "Gid").starts_with(&user.to_string()));
            }
        }
        let [passt, relay, filter] = &recorded(folder.path())[..] else {
            panic!("three processes");
        };
        let network = |of: &str| fs::read_link(format!("/proc/{of}/ns/net")).unwrap();
        for ours in [relay, filter] {
            assert!(status(ours.pid, "NSpid").ends_with("\t1"));
            let open = fs::read_dir(format!("/proc/{}/fd", ours.pid)).unwrap();
            for descriptor in open.map(|entry| fs::read_link(entry.unwrap().path()).unwrap()) {
                let name = descriptor.to_string_lossy().into_owned();
                let is_known = [
                    "socket:",
                    "anon_inode:[eventpoll]",
                    "/dev/null",
                    "/memfd:passt-messages",
                ]
                .iter()
                .any(|known| name.starts_with(known));
                // To look into, not to write.
                let is_list = ours.pid == relay.pid && descriptor == folder.path().join("resolvers");
                assert!(is_known || is_list, "{name}");
            }
        }
        // Every thread of each is filtered, and of what a filter is on top of, none is taken off.
        for identity in [passt, relay, filter] {
            for thread in fs::read_dir(format!("/proc/{}/task", identity.pid)).unwrap() {
                let thread: u32 = thread.unwrap().file_name().to_str().unwrap().parse().unwrap();
                assert_eq!(status(thread, "Seccomp"), "2");
            }
        }
        assert_ne!(network(&filter.pid.to_string()), network("self"));
        assert_eq!(network(&relay.pid.to_string()), network("thread-self"));
        stop(folder.path()).await.unwrap();
    });
}

#[test]
fn the_end_of_any_part_of_a_network_is_noticed() {
    on_a_host(LOCAL_RESOLVER, || async {
        for (ended, name) in ["passt", "the relay of datagrams", "the frame filter"]
            .into_iter()
            .enumerate()
        {
            let folder = tempfile::tempdir().unwrap();
            let _network = start(folder.path()).await.unwrap();
            let parts = net::parts(folder.path());
            let soon = tokio::time::timeout(Duration::from_millis(100), parts.ended()).await;
            assert!(soon.is_err(), "{soon:?}");
            running(folder.path())[ended].kill(Signal::KILL).unwrap();
            let first = parts.ended().await;
            // The others end with it, and may be found first.
            assert!(ended > 0 || first == name, "{first}");
            // The next daemon finds what is left.
            net::parts(folder.path()).ended().await;
            stop(folder.path()).await.unwrap();
        }
        let none = net::parts(tempfile::tempdir().unwrap().path());
        let soon = tokio::time::timeout(Duration::from_millis(100), none.ended()).await;
        assert!(soon.is_err(), "{soon:?}");
    });
}

#[test]
fn a_host_with_a_default_route_serves_as_well_as_one_without() {
    on_a_host(LOCAL_RESOLVER, || async {
        ip("route add default via 198.51.100.254");
        let folder = tempfile::tempdir().unwrap();
        let mut guest = Guest::new(start(folder.path()).await.unwrap());
        reach_the_host(&mut guest);
    });
}

#[test]
fn the_resolver_of_the_plan_is_the_hosts_wherever_that_is() {
    for resolver in [LOCAL_RESOLVER, Ipv4Addr::LOCALHOST, ADDRESS] {
        on_a_host(resolver, move || async move {
            let socket = bind(resolver, 53);
            let folder = tempfile::tempdir().unwrap();
            let mut guest = Guest::new(start(folder.path()).await.unwrap());
            ask_the_resolver(&mut guest, &socket);
        });
    }
}

#[test]
fn no_address_leads_the_guest_to_the_hosts_loopback() {
    on_a_host(LOCAL_RESOLVER, || async {
        let folder = tempfile::tempdir().unwrap();
        let mut guest = Guest::new(start(folder.path()).await.unwrap());
        let (local, port) = listen(Ipv4Addr::LOCALHOST);
        let local_datagrams = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        let (resolver, dns) = (
            TcpListener::bind((LOCAL_RESOLVER, 53)).unwrap(),
            user_plan().dns[0],
        );
        let IpAddr::V4(dns) = dns else {
            panic!("user mode is IPv4")
        };
        let zero = Ipv4Addr::UNSPECIFIED;
        for to in [
            Ipv4Addr::LOCALHOST,
            zero,
            user_plan().gateway,
            user_plan().address,
            dns,
            LOCAL_RESOLVER,
        ] {
            let own = guest.connect(to, port);
            assert_eq!(guest.wait_for(to, own), Answer::Prohibited, "{to}");
            let own = guest.send_datagram(to, port, GREETING);
            assert_eq!(guest.wait_for(to, own), Answer::Prohibited, "{to}");
        }
        let own = guest.connect(LOCAL_RESOLVER, 53);
        assert_eq!(guest.wait_for(LOCAL_RESOLVER, own), Answer::Prohibited);
        // That ends at the relay, which asks on once there is a question.
        let own = guest.connect(dns, 53);
        assert_eq!(guest.wait_for(dns, own), Answer::Accepted);
        // passt takes frames in order: had one gone through, it would be there before this one.
        reach_the_host(&mut guest);
        assert!(!has_a_client(&local) && !has_a_client(&resolver));
        local_datagrams.set_nonblocking(true).unwrap();
        assert_eq!(
            local_datagrams.recv(&mut [0]).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
    });
}

#[test]
fn the_processes_end_when_the_vmms_end_closes() {
    on_a_host(LOCAL_RESOLVER, || async {
        let folder = tempfile::tempdir().unwrap();
        let network = start(folder.path()).await.unwrap();
        let running = running(folder.path());
        assert_eq!(running.len(), 3);
        drop(network);
        for process in running {
            process.wait().await.unwrap();
        }
        stop(folder.path()).await.unwrap();
        assert_eq!(recorded(folder.path()), []);
    });
}

#[test]
fn no_process_stays_without_the_others() {
    on_a_host(LOCAL_RESOLVER, || async {
        let folder = tempfile::tempdir().unwrap();
        for victim in 0..3 {
            let guest = Guest::new(start(folder.path()).await.unwrap());
            let running = running(folder.path());
            running[victim].kill(Signal::KILL).unwrap();
            for process in &running {
                process.wait().await.unwrap();
            }
            guest.wait_for_the_end();
        }
    });
}

#[test]
fn stop_ends_the_processes_and_may_be_called_again() {
    on_a_host(LOCAL_RESOLVER, || async {
        let folder = tempfile::tempdir().unwrap();
        stop(folder.path()).await.expect("nothing was started");
        let guest = Guest::new(start(folder.path()).await.unwrap());
        let running = recorded(folder.path());
        assert_eq!(running.len(), 3);
        stop(folder.path()).await.unwrap();
        assert!(!running.iter().any(Identity::is_alive));
        guest.wait_for_the_end();
        assert_eq!(recorded(folder.path()), []);
        stop(folder.path()).await.unwrap();
        stop(&folder.path().join("never made")).await.unwrap();
    });
}

#[test]
fn a_second_start_takes_the_place_of_the_first() {
    on_a_host(LOCAL_RESOLVER, || async {
        let folder = tempfile::tempdir().unwrap();
        let first = Guest::new(start(folder.path()).await.unwrap());
        let mut second = Guest::new(start(folder.path()).await.unwrap());
        first.wait_for_the_end();
        reach_the_host(&mut second);
    });
}

#[test]
fn a_start_that_fails_says_why_in_a_line_and_leaves_nothing() {
    on_a_host(LOCAL_RESOLVER, || async {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = Path::new("/nowhere/passt");
        let error = start_with(folder.path(), nowhere, &[]).await.unwrap_err();
        assert!(
            matches!(&error, NetError::Start { passt, .. } if passt == nowhere),
            "{error}"
        );
        assert_eq!(recorded(folder.path()), []);

        // It takes none of passt's options.
        let error = start_with(folder.path(), Path::new("/bin/cat"), &[])
            .await
            .unwrap_err();
        let text = "passt ended at its start (exit code 1): Try '/bin/cat --help' for more information.";
        assert_eq!(error.to_string(), text);
        assert_eq!(recorded(folder.path()), []);
    });
}

#[test]
fn a_passt_that_is_another_program_fills_no_memory_with_what_it_says() {
    on_a_host(LOCAL_RESOLVER, || async {
        let folder = tempfile::tempdir().unwrap();
        let talks = folder.path().join("talks");
        fs::write(&talks, "#!/bin/sh\nexec head -c 64000000 /dev/zero\n").unwrap();
        fs::set_permissions(&talks, Permissions::from_mode(0o755)).unwrap();
        let error = start_with(folder.path(), &talks, &[]).await.unwrap_err();
        assert!(error.to_string().contains("(SIGXFSZ)"), "{error}");
        assert_eq!(recorded(folder.path()), []);
    });
}

#[test]
fn a_script_in_passts_place_leaves_no_child_when_the_start_fails() {
    on_a_host(LOCAL_RESOLVER, || async {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script");
        // It closes the socket, by which the start fails.
        fs::write(
            &script,
            "#!/bin/bash\neval \"exec $2>&-\"\nsleep 1000 & echo $! > child; exit 3\n",
        )
        .unwrap();
        fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
        let error = start_with(folder.path(), &script, &[]).await.unwrap_err();
        assert!(matches!(error, NetError::PasstDied { .. }), "{error}");
        let child = fs::read_to_string(folder.path().join("child")).unwrap();
        let child: u32 = child.trim().parse().unwrap();
        while Identity::of(child).is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(recorded(folder.path()), []);
    });
}

#[tokio::test]
#[ignore = "run by it_works_for_a_user_without_rights"]
async fn as_a_user_without_rights() {
    let folder = own_folder();
    assert!(!rustix::process::geteuid().is_root());
    let mut guest = Guest::new(start(&folder).await.unwrap());
    reach_the_host(&mut guest);
    stop(&folder).await.unwrap();
    assert_eq!(recorded(&folder), []);
}

#[test]
fn it_works_for_a_user_without_rights() {
    on_a_host(LOCAL_RESOLVER, || async {
        if !is_root_of_the_machine() {
            // Then every test here is one.
            return;
        }
        let mut command = Command::new("env");
        command.uid(1000).gid(1000).env_remove("RUST_BACKTRACE");
        run_apart(command, "user::as_a_user_without_rights", 1000);
    });
}

#[tokio::test]
#[ignore = "run by a_host_that_forbids_the_sandbox_is_named_as_the_reason"]
async fn where_no_user_namespace_can_be_made() {
    let folder = own_folder();
    let error = start(&folder).await.unwrap_err();
    let text = error.to_string();
    assert!(
        matches!(error, NetError::PasstDied { .. })
            && text.contains("user namespace")
            && !text.contains('\n'),
        "{text}"
    );
    assert_eq!(recorded(&folder), []);
}

#[test]
fn a_host_that_forbids_the_sandbox_is_named_as_the_reason() {
    on_a_host(LOCAL_RESOLVER, || async {
        // The limit is set in a user namespace of its own, so that nobody else meets it.
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "sh", "-euc"]);
        command.args(["echo 0 > /proc/sys/user/max_user_namespaces; exec \"$@\"", "sh"]);
        run_apart(command, "user::where_no_user_namespace_can_be_made", 0);
    });
}
