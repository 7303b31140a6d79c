//! Clients that are told to end, at every stage of what they do.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::simulated::Simulated;

/// Ctrl-C, a closed terminal, a polite end.
const SIGNALS: [Signal; 3] = [Signal::SIGINT, Signal::SIGHUP, Signal::SIGTERM];

fn signal(client: &Child, signal: Signal) {
    kill(Pid::from_raw(client.id().cast_signed()), signal).unwrap();
}

/// The exit code and what was said on stderr.
async fn end_of(client: Child) -> (Option<i32>, String) {
    let ended = tokio::task::spawn_blocking(|| client.wait_with_output().unwrap())
        .await
        .unwrap();
    (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_told_to_end_at_any_stage_of_a_start_leaves_nothing() {
    let host = Simulated::start().await;
    host.run("first").await;
    let stages = host.points.hits();
    host.delete("first").await;
    assert!(stages.len() >= 6, "{stages:?}");
    let leaks = host.leaks();
    for stage in &stages {
        for told in SIGNALS {
            let hold = host.points.hold(stage);
            let mut client = host
                .banger(&["vm", "run", "--name", "a", "--", "true"])
                .spawn()
                .unwrap();
            hold.reached().await;
            // The client knows that there is something to cancel when it has said what it makes.
            let mut err = BufReader::new(client.stderr.take().unwrap());
            let mut said = String::new();
            err.read_line(&mut said).unwrap();
            assert!(said.starts_with("a · "), "{said}");
            signal(&client, told);
            err.read_to_string(&mut said).unwrap();
            let code = tokio::task::spawn_blocking(move || client.wait().unwrap().code())
                .await
                .unwrap();
            assert_eq!(code, Some(128 + told as i32), "{stage} {told}: {said}");
            assert!(
                said.contains("cancelled: what was begun is undone\n"),
                "{stage} {told}: {said}"
            );
            assert!(host.client.vms().await.unwrap().is_empty(), "{stage} {told}");
            leaks.assert_none_since().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_told_to_end_hands_the_signal_on_and_deletes_what_is_its_own() {
    let host = Simulated::start().await;
    host.run("first").await;
    host.delete("first").await;
    let leaks = host.leaks();
    for told in SIGNALS {
        let script =
            format!("trap 'echo {told}; exit 7' INT HUP TERM; echo ready; while :; do sleep 0.01; done");
        let mut client = host
            .banger(&["vm", "run", "--rm", "--", "sh", "-c", &script])
            .spawn()
            .unwrap();
        let mut out = BufReader::new(client.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        signal(&client, told);
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        let (code, said) = end_of(client).await;
        // Nobody is there to hear the code of a command whose terminal was closed.
        let expected = if told == Signal::SIGHUP {
            128 + told as i32
        } else {
            7
        };
        assert_eq!((code, rest), (Some(expected), format!("{told}\n")), "{said}");
        assert!(host.client.vms().await.unwrap().is_empty(), "{told}");
        leaks.assert_none_since().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_before_the_answer_leaves_no_vm_that_nobody_drives() {
    let host = Simulated::start().await;
    host.run("first").await;
    host.delete("first").await;
    let leaks = host.leaks();
    for number in 0..60 {
        let body = format!("{{\"name\": \"vm-{number}\"}}");
        let request = format!(
            "POST /v1/vms HTTP/1.1\r\nhost: banger\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = UnixStream::connect(host.client.socket()).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        tokio::time::sleep(Duration::from_micros(100 * number)).await;
    }
    let ends = async {
        while host
            .client
            .operations()
            .await
            .unwrap()
            .iter()
            .any(|one| one.ended_at.is_none())
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ends)
        .await
        .expect("each operation has an end");
    for vm in host.client.vms().await.unwrap() {
        host.delete(&vm.id).await;
    }
    leaks.assert_none_since().await;
}
