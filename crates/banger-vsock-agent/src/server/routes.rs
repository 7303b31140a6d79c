//! The routes: decoding what was asked, and answering.

use std::sync::{Arc, Mutex, PoisonError};

use guest::{
    Exec, Forward, GENERATION, Grown, Health, Power, PowerAction, Problem, ProblemCode, ShuttingDown,
    SshServer, UPGRADE_EXEC, UPGRADE_FORWARD, UPGRADE_FORWARD_FRAMED, UPGRADE_SSH, UPGRADE_SSH_FRAMED,
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue, UPGRADE};
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;

use super::answer::{self, Answer};
use super::files;
use super::halves::Halves;
use crate::ports;
use crate::problem::{bad_request, internal, problem};
use crate::system::System;

/// Most bytes of a request's body.
const MAX_BODY: usize = 1 << 20;

/// Answers one request. `power` takes the action that is to follow the answer.
pub(super) async fn route(
    request: Request<Incoming>,
    system: Arc<dyn System>,
    power: &Mutex<Option<PowerAction>>,
) -> Result<Answer, Problem> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/v1/health") => Ok(answer::json(StatusCode::OK, &health(&*system))),
        (&Method::PUT, "/v1/configure") => {
            let wanted = decode(request).await?;
            tokio::task::spawn_blocking(move || system.configure(&wanted))
                .await
                .map_err(|error| internal("cannot configure", error))??;
            Ok(answer::empty(StatusCode::NO_CONTENT))
        }
        (&Method::POST, "/v1/power") => {
            let Power { action } = decode(request).await?;
            *power.lock().unwrap_or_else(PoisonError::into_inner) = Some(action);
            Ok(answer::empty(StatusCode::NO_CONTENT))
        }
        (&Method::GET, "/v1/shutdown") => {
            let how = system.farewell().wait().await;
            Ok(answer::json(StatusCode::OK, &ShuttingDown { how }))
        }
        (&Method::POST, "/v1/shutdown") => {
            system.farewell().seen();
            Ok(answer::empty(StatusCode::NO_CONTENT))
        }
        (&Method::GET, "/v1/clock") => Ok(answer::json(StatusCode::OK, &system.clock().read())),
        (&Method::PUT, "/v1/clock") => {
            let step = decode(request).await?;
            system
                .clock()
                .step(step)
                .map_err(|error| internal("cannot set the clock", error))?;
            Ok(answer::empty(StatusCode::NO_CONTENT))
        }
        (&Method::POST, "/v1/disk/grow") => {
            let disk_size = tokio::task::spawn_blocking(move || system.grow_disk())
                .await
                .map_err(|error| internal("cannot grow the disk's file system", error))??;
            Ok(answer::json(StatusCode::OK, &Grown { disk_size }))
        }
        (&Method::GET, "/v1/stats") => {
            let stats = tokio::task::spawn_blocking(crate::stats::read)
                .await
                .map_err(|error| internal("cannot read what the machine uses", error))?
                .map_err(|error| internal("cannot read what the machine uses", error))?;
            Ok(answer::json(StatusCode::OK, &stats))
        }
        (&Method::GET, "/v1/boot") => Ok(answer::json(StatusCode::OK, &system.boot().await?)),
        (&Method::POST, "/v1/exec") => exec(request, &*system).await,
        (&Method::GET, "/v1/ports") => Ok(answer::json(
            StatusCode::OK,
            &ports::list(system.asks_ports()).await?,
        )),
        (&Method::POST, "/v1/forward") => forward(request, &*system).await,
        (&Method::GET, "/v1/ssh") => {
            let sshd = system.ssh().sshd().map(|path| path.display().to_string());
            Ok(answer::json(StatusCode::OK, &SshServer { sshd }))
        }
        (&Method::POST, "/v1/ssh") => ssh(request, system).await,
        (&Method::GET, "/v1/files") => files::read(&request).await,
        (&Method::PUT, "/v1/files") => files::write(request).await,
        (method, path) => Err(problem(
            ProblemCode::NotFound,
            format!(
                "generation {GENERATION} of the agent has no `{method} {}`",
                path.escape_default()
            ),
        )),
    }
}

fn health(system: &dyn System) -> Health {
    Health {
        generation: GENERATION,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        boot_id: system.boot_id(),
        uptime_ms: u64::try_from(system.uptime().as_millis()).unwrap_or(u64::MAX),
        configured: system.is_configured(),
    }
}

async fn exec(mut request: Request<Incoming>, system: &dyn System) -> Result<Answer, Problem> {
    let upgrade = upgrade(&mut request, UPGRADE_EXEC)?;
    let exec: Exec = decode(request).await?;
    // Started before the answer, so that what keeps it from starting is the answer.
    let running = system.commands().start(&exec).await?;
    tokio::spawn(async move {
        match upgrade.await {
            Ok(stream) => running.attend(TokioIo::new(stream)).await,
            Err(_) => running.hang_up().await,
        }
    });
    Ok(switching(UPGRADE_EXEC))
}

async fn forward(mut request: Request<Incoming>, system: &dyn System) -> Result<Answer, Problem> {
    let halves = Halves::of(&mut request, [UPGRADE_FORWARD, UPGRADE_FORWARD_FRAMED])?;
    let forward: Forward = decode(request).await?;
    let answer = switching(halves.protocol);
    // As with a command: what cannot be connected to is answered so.
    halves.join(system.forwards().connect(&forward).await?);
    Ok(answer)
}

async fn ssh(mut request: Request<Incoming>, system: Arc<dyn System>) -> Result<Answer, Problem> {
    let halves = Halves::of(&mut request, [UPGRADE_SSH, UPGRADE_SSH_FRAMED])?;
    let wanted = decode(request).await?;
    let answer = switching(halves.protocol);
    halves.join(system.ssh().connect(system.commands(), wanted).await?);
    Ok(answer)
}

pub(super) fn asks_for(request: &Request<Incoming>, protocol: &str) -> bool {
    let wanted = request.headers().get(UPGRADE).map(HeaderValue::as_bytes);
    wanted.is_some_and(|wanted| wanted.eq_ignore_ascii_case(protocol.as_bytes()))
}

/// The stream that the request's connection becomes, if it asks for this protocol.
pub(super) fn upgrade(request: &mut Request<Incoming>, protocol: &str) -> Result<OnUpgrade, Problem> {
    if asks_for(request, protocol) {
        return Ok(hyper::upgrade::on(request));
    }
    Err(bad_request(format!(
        "{} needs `Upgrade: {protocol}`",
        request.uri().path().trim_start_matches("/v1/")
    )))
}

fn switching(protocol: &'static str) -> Answer {
    let mut answer = answer::empty(StatusCode::SWITCHING_PROTOCOLS);
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(protocol));
    answer
}

async fn decode<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Problem> {
    let body = Limited::new(request.into_body(), MAX_BODY)
        .collect()
        .await
        .map_err(|error| {
            if error.is::<LengthLimitError>() {
                bad_request(format!("the body is longer than {MAX_BODY} bytes"))
            } else {
                bad_request(format!("the body cannot be read: {error}"))
            }
        })?;
    serde_json::from_slice(&body.to_bytes()).map_err(|error| bad_request(format!("bad body: {error}")))
}
