//! Many at once.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use guest::frames::{Exit, Frame};
use guest::{Exec, UPGRADE_EXEC};

use crate::simulated::Simulated;

#[tokio::test(flavor = "multi_thread")]
async fn twenty_clients_at_once_each_get_a_vm_of_their_own() {
    let host = Simulated::start().await;
    // Kernel and image are there from here on.
    host.run("first").await;
    host.delete("first").await;
    let leaks = host.leaks();
    let clients: Vec<_> = (0..20)
        .map(|number| {
            let say = format!("echo {number}");
            host.banger(&["vm", "run", "--rm", "-q", "--", "sh", "-c", &say])
                .spawn()
                .unwrap()
        })
        .collect();
    for (number, client) in clients.into_iter().enumerate() {
        let ran = tokio::task::spawn_blocking(|| client.wait_with_output().unwrap())
            .await
            .unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        assert_eq!(ran.stdout, format!("{number}\n").into_bytes());
    }
    assert!(host.client.vms().await.unwrap().is_empty());
    leaks.assert_none_since().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_commands_run_in_one_vm_at_once() {
    let host = Simulated::start().await;
    host.run("a").await;
    let mut streams = Vec::new();
    for number in 0..100 {
        let exec = Exec {
            argv: ["sh", "-c", &format!("echo {number}; read line; echo $line")]
                .map(str::to_owned)
                .into(),
            stdin: true,
            ..Exec::default()
        };
        streams.push(host.client.exec("a", &exec).await.unwrap());
    }
    let mut heard = BTreeSet::new();
    for stream in &mut streams {
        let Some(Frame::Stdout(bytes)) = Frame::read(stream).await.unwrap() else {
            panic!("no output")
        };
        heard.insert(String::from_utf8(bytes).unwrap().trim().parse::<usize>().unwrap());
    }
    assert_eq!(heard, (0..100).collect(), "all of them run, and none has ended");
    for (number, stream) in streams.iter_mut().enumerate() {
        let line = format!("{}\n", number * 7).into_bytes();
        Frame::Stdin(line.clone()).write(stream).await.unwrap();
        assert_eq!(Frame::read(stream).await.unwrap(), Some(Frame::Stdout(line)));
        assert_eq!(
            Frame::read(stream).await.unwrap(),
            Some(Frame::Exit(Exit::Code(0)))
        );
    }
    host.delete("a").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_wait_for_their_turn_are_not_run_once_their_clients_have_left() {
    let host = Simulated::start().await;
    host.run("a").await;
    let exec = |script: &str| Exec {
        argv: ["sh", "-c", script].map(str::to_owned).into(),
        stdin: true,
        ..Exec::default()
    };
    let mut running = Vec::new();
    for _ in 0..256 {
        running.push(host.client.exec("a", &exec("read line")).await.unwrap());
    }
    let place = tempfile::tempdir().unwrap();
    for number in 0..20 {
        let file = place.path().join(number.to_string());
        let body = serde_json::to_string(&exec(&format!("touch {}", file.display()))).unwrap();
        let request = format!(
            "POST /v1/vms/a/exec HTTP/1.1\r\nhost: banger\r\nconnection: upgrade\r\nupgrade: {UPGRADE_EXEC}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = UnixStream::connect(host.client.socket()).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(running);
    // Those that wait have their turns in the order in which they came.
    let mut last = host.client.exec("a", &exec("echo last")).await.unwrap();
    while let Some(frame) = Frame::read(&mut last).await.unwrap() {
        if matches!(frame, Frame::Exit(_)) {
            break;
        }
    }
    assert_eq!(place.path().read_dir().unwrap().count(), 0);
}
