//! `banger image register`: the file is the daemon's to read; what boots it, if it is the user's, is sent.

use std::path::Path;

use api::client::{Action, Client};
use api::{BootWay, ImportKernel, RegisterImage};
use rootfs::kernel::KernelFolder;

use super::super::bundle::one_line;
use super::super::operation::ending;
use super::super::pieces;
use super::operate;
use crate::cli::RegisterArgs;
use crate::daemon::Place;
use crate::failure::Failure;
use crate::render;
use crate::terminal::{Signals, exit_code};

pub(super) async fn register(place: &Place, args: RegisterArgs) -> Result<u8, Failure> {
    let mut register = RegisterImage {
        rootfs: absolute(&args.rootfs)?,
        kernel: args.kernel_ref,
        boot: BootWay::Overlay,
        work_seed: args.work_seed.as_deref().map(absolute).transpose()?,
    };
    let name = args.name.to_string();
    let Some(kernel) = args.kernel else {
        return operate(
            place,
            &Action::Register(name.clone(), register),
            &name,
            args.progress,
        )
        .await;
    };
    if args.initrd.is_some() {
        register.boot = BootWay::Direct;
    }
    let parts = KernelFolder::of_parts(&kernel, args.initrd.as_deref(), args.modules.as_deref())
        .map_err(|error| Failure::new(one_line(&error)))?;
    let client = place.connect().await?;
    send(&client, &name, parts).await?;
    register.kernel = Some(name.clone());
    let registered = operate(
        place,
        &Action::Register(name.clone(), register),
        &name,
        args.progress,
    )
    .await;
    if registered.is_err()
        && let Err(error) = client.delete_kernel(&name).await
    {
        // The failure that counts is told by its own line.
        render::note(&format!("the kernel `{name}` stays: {error}\n"));
    }
    registered
}

/// The daemon's working directory is not the user's.
fn absolute(file: &Path) -> Result<String, Failure> {
    let path = file
        .canonicalize()
        .map_err(|error| Failure::new(format!("cannot read {}: {error}", file.display())))?;
    match path.into_os_string().into_string() {
        Ok(path) => Ok(path),
        Err(path) => Err(Failure::usage(format!(
            "the path of {} is not UTF-8",
            path.display()
        ))),
    }
}

async fn send(client: &Client, name: &str, parts: KernelFolder) -> Result<(), Failure> {
    let request = ImportKernel {
        distro: None,
        of_image: true,
    };
    let mut signals = Signals::for_commands()?;
    let sending = pieces::send(
        move |out| parts.pack(out).map_err(|error| one_line(&error)),
        |body| client.import_kernel(name, &request, body),
    );
    tokio::select! {
        sent = sending => Ok(sent.map(drop)?),
        signal = ending(&mut signals) => Err(Failure::quiet(exit_code(signal))),
    }
}
