//! Many at once.

use std::collections::BTreeSet;

use guest::Exec;
use guest::frames::{Exit, Frame};

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
