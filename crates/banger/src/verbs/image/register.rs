//! `banger image register`: the file is the daemon's to read; what boots it, if it is the user's, is sent.

use std::path::Path;

use api::client::Action;
use api::{BootWay, RegisterImage};

use super::{operate, own_kernel};
use crate::cli::RegisterArgs;
use crate::daemon::Place;
use crate::failure::Failure;

pub(super) async fn register(place: &Place, args: RegisterArgs) -> Result<u8, Failure> {
    let mut register = RegisterImage {
        rootfs: absolute(&args.rootfs)?,
        kernel: args.kernel_ref,
        boot: BootWay::Overlay,
        work_seed: args.work_seed.as_deref().map(absolute).transpose()?,
    };
    let name = args.name.to_string();
    let Some(kernel) = args.own.kernel else {
        let action = Action::Register(name.clone(), register);
        return operate(place, &action, &name, args.progress).await;
    };
    if args.initrd.is_some() {
        register.boot = BootWay::Direct;
    }
    let parts = own_kernel::parts(&kernel, args.initrd.as_deref(), args.own.modules.as_deref())?;
    register.kernel = Some(name.clone());
    let action = Action::Register(name.clone(), register);
    let registering = operate(place, &action, &name, args.progress);
    own_kernel::before(place, &name, parts, registering).await
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
