//! `banger kernel …`.

use api::client::Action;
use api::{ImportKernel, PullKernel};
use jiff::Timestamp;
use rootfs::kernel::KernelFolder;

use super::bundle::one_line;
use super::operation::{ending, follow};
use super::pieces;
use crate::cli::{ImportKernelArgs, KernelCommand, ListKernelsArgs, PullKernelArgs};
use crate::daemon::Place;
use crate::failure::Failure;
use crate::render::{self, Progress};
use crate::terminal::{Signals, exit_code};

/// Carries out one of its verbs.
///
/// # Errors
/// What the verb failed with.
pub async fn run(place: &Place, command: KernelCommand) -> Result<u8, Failure> {
    match command {
        KernelCommand::List(args) => list(place, &args).await,
        KernelCommand::Pull(args) => pull(place, args).await,
        KernelCommand::Import(args) => import(place, args).await,
        KernelCommand::Show(args) => {
            let kernel = place.connect().await?.kernel(&args.kernel).await?;
            if args.output.json {
                render::json(&kernel)?;
            } else {
                render::output(&render::kernel(&kernel))?;
            }
            Ok(0)
        }
        KernelCommand::Rm(args) => remove(place, &args.kernels).await,
    }
}

async fn list(place: &Place, args: &ListKernelsArgs) -> Result<u8, Failure> {
    let client = place.connect().await?;
    let names = if args.available {
        let kernels = client.catalog_kernels().await?;
        if args.output.json {
            render::json(&kernels)?;
            return Ok(0);
        }
        if !args.quiet {
            render::output(&render::catalog_kernels(&kernels))?;
            return Ok(0);
        }
        kernels.into_iter().map(|kernel| kernel.name).collect::<Vec<_>>()
    } else {
        let kernels = client.kernels().await?;
        if args.output.json {
            render::json(&kernels)?;
            return Ok(0);
        }
        if !args.quiet {
            render::output(&render::kernels(&kernels, Timestamp::now()))?;
            return Ok(0);
        }
        kernels.into_iter().map(|kernel| kernel.name).collect()
    };
    let lines: String = names
        .iter()
        .map(|name| format!("{}\n", render::one_line(name)))
        .collect();
    render::output(&lines)?;
    Ok(0)
}

async fn pull(place: &Place, args: PullKernelArgs) -> Result<u8, Failure> {
    let mut signals = Signals::for_commands()?;
    let mut progress = Progress::of(args.progress);
    let client = place.connect().await?;
    let action = Action::PullKernel(PullKernel {
        name: args.name.clone(),
        force: args.force,
    });
    let done = follow(&client, &action, &mut progress, &mut signals).await?;
    progress.clear();
    render::output(&format!("{}\n", render::one_line(&args.name)))?;
    match done.too_late {
        None => Ok(0),
        Some(signal) => Err(
            Failure::new(format!("too late to cancel: `{}` is here", args.name)).with_code(exit_code(signal)),
        ),
    }
}

async fn import(place: &Place, args: ImportKernelArgs) -> Result<u8, Failure> {
    let Some(name) = args.name.or(args.by_flag) else {
        return Err(Failure::usage("a kernel needs a name"));
    };
    // Looked at before anybody is asked: a folder that holds no kernel is the likeliest mistake.
    let folder = KernelFolder::open(&args.from).map_err(|error| Failure::new(one_line(&error)))?;
    let request = ImportKernel {
        distro: args.distro.map(|distro| distro.to_string()),
        of_image: false,
    };
    let mut signals = Signals::for_commands()?;
    let client = place.connect().await?;
    let sending = pieces::send(
        move |out| folder.pack(out).map_err(|error| one_line(&error)),
        |body| client.import_kernel(name.as_str(), &request, body),
    );
    let kernel = tokio::select! {
        kernel = sending => kernel.map_err(|error| Failure::from(error).of_file(&args.from))?,
        signal = ending(&mut signals) => return Err(Failure::quiet(exit_code(signal))),
    };
    if !args.quiet {
        render::note(&render::imported(&kernel));
    }
    render::output(&format!("{}\n", render::one_line(&kernel.name)))?;
    Ok(0)
}

async fn remove(place: &Place, kernels: &[String]) -> Result<u8, Failure> {
    let client = place.connect().await?;
    let mut code = 0;
    for kernel in kernels {
        match client.delete_kernel(kernel).await {
            Ok(()) => render::output(&format!("{}\n", render::one_line(kernel)))?,
            Err(error) => code = code.max(Failure::from(error).report()),
        }
    }
    Ok(code)
}
