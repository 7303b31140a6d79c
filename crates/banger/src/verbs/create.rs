//! `banger vm create`.

use api::CreateVm;
use api::client::Action;

use super::boot;
use super::file_sync::Synced;
use super::operation::{self, follow};
use super::registry;
use crate::cli::{CreateArgs, Shape};
use crate::daemon::Place;
use crate::failure::Failure;
use crate::render::{self, Progress};
use crate::terminal::{Signals, exit_code};

/// Makes a VM and prints its name.
///
/// # Errors
/// What it failed with; nothing of the VM is left then.
pub async fn create(place: &Place, args: &CreateArgs) -> Result<u8, Failure> {
    let mut request = CreateVm {
        start: !args.no_start,
        ..request(&args.shape)?
    };
    let synced = if args.no_start {
        Synced::default()
    } else {
        Synced::gather()?
    };
    let mut signals = Signals::for_commands()?;
    let client = place.connect().await?;
    registry::prepare(&client, &mut request, args.shape.plain_http).await?;
    let mut progress = Progress::of(args.progress);
    let action = Action::Create(Box::new(request));
    let done = follow(&client, &action, &mut progress, &mut signals).await?;
    let Some(vm) = done.vm else { return Err(no_vm()) };
    if let Some(signal) = done.too_late {
        operation::delete(&client, &vm.id, &mut signals).await?;
        return Err(Failure::new("cancelled: what was begun is undone").with_code(exit_code(signal)));
    }
    if !args.no_start
        && let Err(failure) = boot::finish(
            &client,
            &vm.id,
            synced,
            args.wait.wait,
            &mut progress,
            &mut signals,
        )
        .await
    {
        operation::delete(&client, &vm.id, &mut signals).await?;
        return Err(failure);
    }
    progress.clear();
    render::output(&format!("{}\n", render::one_line(&vm.name)))?;
    Ok(0)
}

/// The daemon says that a VM was made, and not which.
pub fn no_vm() -> Failure {
    Failure::new("the daemon does not say which VM it has made").with_hint("`banger ps -a` lists all")
}

/// What the command line asks for; everything else takes the daemon's defaults.
///
/// # Errors
/// Variables that cannot be read.
pub fn request(shape: &Shape) -> Result<CreateVm, Failure> {
    Ok(CreateVm {
        name: shape.name.as_ref().map(|name| name.as_str().to_owned()),
        image: shape.image.clone(),
        kernel: shape.kernel.clone(),
        vcpu: shape.vcpu.map(|count| count.get()),
        memory_mib: shape.memory.map(|size| size.mib()),
        disk_size: shape.disk_size.map(|size| size.bytes()),
        network: shape.network,
        publish: shape.publish.clone(),
        env: shape.environment.resolve(|name| std::env::var_os(name))?,
        ..CreateVm::default()
    })
}
