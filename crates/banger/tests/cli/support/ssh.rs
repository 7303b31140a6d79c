//! Ssh into a guest: its sshd says what it hears in capitals, and has the last word.

use std::sync::Arc;

use api::{ErrorCode, SshAccess, SshFiles};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, UPGRADE};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::daemon::State;
use super::routes::{Answer, failure, find, find_running, json, whole};

pub fn files(state: &State) -> SshFiles {
    let path = |name: &str| state.folder().join(name).display().to_string();
    SshFiles {
        identity_file: path("id_ed25519"),
        known_hosts: path("known_hosts"),
    }
}

pub fn access(state: &State, reference: &str) -> Answer {
    state.note(format!("ssh access {reference}"));
    match find_running(state, reference, "reach by ssh") {
        Ok(_) if state.refuses("ssh") => failure(
            ErrorCode::CommandNotFound,
            "`box` has no sshd",
            Some("`banger vm shell box` needs none; else install openssh-server in it"),
        ),
        Ok(vm) => json(&SshAccess {
            name: vm.name,
            host_key: "ssh-ed25519 AAAA".into(),
            files: files(state),
        }),
        Err(failure) => *failure,
    }
}

pub fn connect(state: &Arc<State>, reference: &str, mut request: Request<Incoming>) -> Answer {
    state.note(format!("ssh {reference}"));
    if let Err(failure) = find(state, reference) {
        return *failure;
    }
    let upgrade = hyper::upgrade::on(&mut request);
    let state = Arc::clone(state);
    tokio::spawn(async move {
        let mut stream = TokioIo::new(upgrade.await.unwrap());
        let mut bytes = vec![0; 8 << 10];
        while let Ok(count @ 1..) = stream.read(&mut bytes).await {
            let said = bytes[..count].to_ascii_uppercase();
            if stream.write_all(&said).await.is_err() {
                break;
            }
        }
        let _ = stream.write_all(b"bye\n").await;
        let _ = stream.shutdown().await;
        state.note("ssh ended");
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "upgrade")
        .header(UPGRADE, "banger-ssh")
        .body(whole(""))
        .unwrap()
}
