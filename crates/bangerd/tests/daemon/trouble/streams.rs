//! Streams whose one end stalls or dies.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;
use std::time::Duration;

use api::KillSignal;
use api::client::{Action, ClientError};
use guest::Exec;
use guest::files::ReadFiles;
use guest::frames::Frame;

use super::until;
use crate::simulated::Simulated;

/// Most that may lie between a command and its reader: the agent's pipe and buffers, sockets, the daemon's buffers.
const BETWEEN: u64 = 8 << 20;

/// Bytes that a process has written so far (proc_pid_io(5)).
fn written(pid: &str) -> u64 {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("wchar: "));
    line.unwrap().parse().unwrap()
}

fn exec(script: &str) -> Exec {
    Exec {
        argv: ["sh", "-c", script].map(str::to_owned).into(),
        ..Exec::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_prints_without_end_to_a_reader_that_stalls_is_stopped_and_disturbs_nobody() {
    let host = Simulated::start().await;
    host.run("a").await;
    let mut stalled = host
        .client
        .exec("a", &exec("echo $$; exec cat /dev/zero"))
        .await
        .unwrap();
    let Some(Frame::Stdout(bytes)) = Frame::read(&mut stalled).await.unwrap() else {
        panic!("no output")
    };
    let said = String::from_utf8(bytes).unwrap();
    let pid = said.lines().next().unwrap().to_owned();
    // It is stopped when it writes no more: nothing is read here.
    let (mut before, mut same) = (0, 0);
    until("the stop of the writer", || {
        let now = written(&pid);
        assert!(
            now < BETWEEN,
            "{now} bytes lie between the command and its reader"
        );
        same = if now == before && now > 0 { same + 1 } else { 0 };
        before = now;
        same > 50
    })
    .await;
    // Others in the same VM are served meanwhile.
    let mut other = host.client.exec("a", &exec("echo there")).await.unwrap();
    assert_eq!(
        Frame::read(&mut other).await.unwrap(),
        Some(Frame::Stdout(b"there\n".to_vec()))
    );
    host.client.ping("a").await.unwrap();
    // And it goes on as soon as it is read.
    let mut heard = 0;
    while heard < 2 * BETWEEN {
        match Frame::read(&mut stalled).await.unwrap() {
            Some(Frame::Stdout(bytes)) => heard += bytes.len() as u64,
            other => panic!("{other:?}"),
        }
    }
    drop(stalled);
    until("the end of the command", || {
        !fs::exists(format!("/proc/{pid}")).unwrap()
    })
    .await;
    host.delete("a").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_goes_away_ends_what_is_printed_for_it() {
    let host = Simulated::start().await;
    host.run("a").await;
    let script = "echo $$; exec cat /dev/zero";
    let mut client = host
        .banger(&["vm", "exec", "a", "--", "sh", "-c", script])
        .spawn()
        .unwrap();
    let mut pid = String::new();
    let mut out = BufReader::new(client.stdout.take().unwrap());
    out.read_line(&mut pid).unwrap();
    drop(out);
    let ended = tokio::task::spawn_blocking(|| client.wait_with_output().unwrap());
    let ended = tokio::time::timeout(Duration::from_secs(60), ended)
        .await
        .unwrap()
        .unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(!testkit::panicked(&said) && said.lines().count() <= 1, "{said}");
    until("the end of the command", || {
        !fs::exists(format!("/proc/{}", pid.trim())).unwrap()
    })
    .await;
    // A listing that nobody reads is no failure to tell of.
    let mut client = host.banger(&["vm", "list", "--json"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = client.stdout(writer).output().unwrap();
    assert_eq!(String::from_utf8(ended.stderr).unwrap(), "");
    host.delete("a").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_dies_in_mid_copy_is_no_end_of_the_copy() {
    let host = Simulated::start().await;
    let vm = host.run("a").await;
    let large = host.folder().join("large");
    fs::write(&large, vec![7; 64 << 20]).unwrap();
    // By the API.
    let query = ReadFiles {
        path: large.to_str().unwrap().into(),
        ..ReadFiles::default()
    };
    let mut chunks = host.client.read_files("a", &query).await.unwrap();
    assert!(chunks.next().await.unwrap().is_some());
    // By the command line, out of the guest and into it.
    let target = host.folder().join("target");
    let mut out = host
        .banger(&["vm", "cp", &format!("a:{}", large.display()), "-"])
        .spawn()
        .unwrap();
    let mut first = [0; 512];
    out.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    let mut into = host.banger(&["vm", "cp", "-", &format!("a:{}", host.folder().display())]);
    let mut into = into.stdin(Stdio::piped()).spawn().unwrap();
    let mut tar = tar_head("target", 1 << 20);
    tar.resize(64 << 10, 1);
    into.stdin.as_mut().unwrap().write_all(&tar).unwrap();
    host.carry_out(Action::Kill(vm.id, KillSignal::Kill))
        .await
        .unwrap();
    let broke = loop {
        match chunks.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("half a file looks like a whole one"),
            Err(error) => break error,
        }
    };
    assert!(matches!(broke, ClientError::Broke(_)), "{broke:?}");
    for client in [out, into] {
        let ended = tokio::task::spawn_blocking(|| client.wait_with_output().unwrap());
        let ended = tokio::time::timeout(Duration::from_secs(60), ended)
            .await
            .unwrap()
            .unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{said}");
        assert!(
            said.starts_with("banger: ") && said.lines().count() <= 2,
            "{said}"
        );
    }
    assert!(!target.exists(), "half a file has its final name");
    host.delete("a").await;
}

/// The head of a member of a tar stream (POSIX ustar).
fn tar_head(name: &str, size: u64) -> Vec<u8> {
    let mut head = vec![0; 512];
    head[..name.len()].copy_from_slice(name.as_bytes());
    head[100..107].copy_from_slice(b"0000644");
    head[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    head[156] = b'0';
    head[257..265].copy_from_slice(b"ustar\x0000");
    head[148..156].fill(b' ');
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    head[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    head
}
