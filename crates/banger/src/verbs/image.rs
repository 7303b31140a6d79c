//! `banger image …`.

mod build;
mod own_kernel;
mod register;
mod upload;

use api::client::Action;
use api::{PullImage, UploadFormat, UploadImage};
use jiff::Timestamp;
use oci::Reference;

use build::build;
use register::register;

use super::bundle::{self, Draft, Received};
use super::operation::{ending, follow, watch};
use super::registry;
use crate::cli::{
    CacheCommand, CachePruneArgs, ExportArgs, ImageCommand, ListingArgs, ProgressArgs, PullArgs,
};
use crate::daemon::Place;
use crate::failure::Failure;
use crate::render::{self, Progress};
use crate::terminal::{Signals, exit_code};

/// Carries out one of its verbs.
///
/// # Errors
/// What the verb failed with.
pub async fn run(place: &Place, command: ImageCommand) -> Result<u8, Failure> {
    match command {
        ImageCommand::Pull(args) => pull(place, args).await,
        ImageCommand::List(args) => list(place, &args.listing).await,
        ImageCommand::Show(args) => {
            let image = place.connect().await?.image(&args.image).await?;
            if args.output.json {
                render::json(&image)?;
            } else {
                render::output(&render::image(&image))?;
            }
            Ok(0)
        }
        ImageCommand::Register(args) => register(place, args).await,
        ImageCommand::Promote(args) => {
            let action = Action::Promote(args.image.clone());
            operate(place, &action, &args.image, args.progress).await
        }
        ImageCommand::Build(args) => build(place, args).await,
        ImageCommand::Export(args) => export(place, &args).await,
        ImageCommand::Delete(args) => delete(place, &args.images).await,
        ImageCommand::Cache(group) => match group.command {
            CacheCommand::Prune(args) => prune(place, &args).await,
        },
    }
}

/// Pulls an image, with a kernel of its own if it is given one.
async fn pull(place: &Place, mut args: PullArgs) -> Result<u8, Failure> {
    let (Some(kernel), Some(name)) = (args.own.kernel.take(), &args.name) else {
        return pull_image(place, args).await;
    };
    let name = name.to_string();
    let parts = own_kernel::parts(&kernel, None, args.own.modules.as_deref())?;
    args.kernel_ref = Some(name.clone());
    own_kernel::before(place, &name, parts, pull_image(place, args)).await
}

async fn pull_image(place: &Place, args: PullArgs) -> Result<u8, Failure> {
    let reference = Reference::parse(&args.reference).map_err(|error| Failure::usage(error.to_string()))?;
    let name = args.name.as_ref().map(|name| name.as_str().to_owned());
    if args.plain_http && !matches!(reference, Reference::Registry(_)) {
        return Err(Failure::usage("--plain-http is for registries; this is a file"));
    }
    if args.trust_realm.is_some() && !matches!(reference, Reference::Registry(_)) {
        return Err(Failure::usage("--trust-realm is for registries; this is a file"));
    }
    let mut signals = Signals::for_commands()?;
    let mut progress = Progress::of(args.progress);
    let (done, client, lookup) = match reference {
        Reference::Registry(registry_reference) => {
            let access =
                registry::access(&registry_reference, args.plain_http, args.trust_realm.as_deref()).await?;
            let client = place.connect().await?;
            let action = Action::Pull(Box::new(PullImage {
                reference: args.reference.clone(),
                name: name.clone(),
                kernel: args.kernel_ref,
                registry: access,
            }));
            let done = follow(&client, &action, &mut progress, &mut signals).await?;
            (done, client, name.unwrap_or(args.reference))
        }
        Reference::Layout { folder, tag } => {
            let name = file_name(name, &folder)?;
            let source = upload::Source::Layout(folder);
            let request = UploadImage {
                format: UploadFormat::OciLayout,
                tag,
                kernel: args.kernel_ref,
            };
            let client = place.connect().await?;
            let sending = upload::send(&client, &name, &request, source);
            let done = watch(&client, sending, &mut progress, &mut signals).await?;
            (done, client, name)
        }
        Reference::OciArchive { file } | Reference::DockerArchive { file } => {
            let (file, tag) = oci::split_archive(&file, |path| path.is_file());
            let name = file_name(name, &file)?;
            let source = upload::Source::Archive(file);
            let request = UploadImage {
                format: match args.reference.starts_with("oci-archive:") {
                    true => UploadFormat::OciLayout,
                    false => UploadFormat::DockerArchive,
                },
                tag,
                kernel: args.kernel_ref,
            };
            let client = place.connect().await?;
            let sending = upload::send(&client, &name, &request, source);
            let done = watch(&client, sending, &mut progress, &mut signals).await?;
            (done, client, name)
        }
    };
    progress.clear();
    let image = client.image(&lookup).await?;
    render::output(&format!("{}\n", render::one_line(&image.name)))?;
    match done.too_late {
        None => Ok(0),
        Some(signal) => Err(
            Failure::new(format!("too late to cancel: `{}` is here", image.name))
                .with_code(exit_code(signal)),
        ),
    }
}

/// The name that a file gives its image: what comes before the first dot.
fn file_name(name: Option<String>, path: &std::path::Path) -> Result<String, Failure> {
    if let Some(name) = name {
        return Ok(name);
    }
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = file.split('.').next().unwrap_or_default();
    model::VmName::parse(stem)
        .map(|name| name.to_string())
        .map_err(|error| {
            Failure::usage(format!("`{}` gives the image no name: {error}", path.display()))
                .with_hint("name it yourself: --name NAME")
        })
}

async fn list(place: &Place, args: &ListingArgs) -> Result<u8, Failure> {
    let images = place.connect().await?.images().await?;
    if args.json {
        render::json(&images)?;
    } else if args.quiet {
        let names: String = images
            .iter()
            .map(|image| format!("{}\n", render::one_line(&image.name)))
            .collect();
        render::output(&names)?;
    } else {
        render::output(&render::images(&images, Timestamp::now()))?;
    }
    Ok(0)
}

/// Follows an operation on an image to its end, and prints the image's name.
async fn operate(place: &Place, action: &Action, name: &str, progress: ProgressArgs) -> Result<u8, Failure> {
    let mut signals = Signals::for_commands()?;
    let mut progress = Progress::of(progress);
    let client = place.connect().await?;
    let done = follow(&client, action, &mut progress, &mut signals).await?;
    progress.clear();
    render::output(&format!("{}\n", render::one_line(name)))?;
    match done.too_late {
        None => Ok(0),
        Some(signal) => {
            Err(Failure::new(format!("too late to cancel: `{name}` is done")).with_code(exit_code(signal)))
        }
    }
}

async fn export(place: &Place, args: &ExportArgs) -> Result<u8, Failure> {
    let mut signals = Signals::for_commands()?;
    let client = place.connect().await?;
    let image = client.image(&args.image).await?;
    let mut draft = Draft::new(&args.output)?;
    let mut received = Received::default();
    let receiving = async {
        let mut pieces = client.export_image(&image.name).await?;
        while let Some(piece) = pieces.next().await? {
            received
                .write(&piece, draft.out())
                .map_err(|error| Failure::new(format!("cannot write {}: {error}", args.output.display())))?;
        }
        Ok::<_, Failure>(())
    };
    tokio::select! {
        received = receiving => received?,
        signal = ending(&mut signals) => return Err(Failure::quiet(exit_code(signal))),
    }
    let written = received.written();
    let path = draft.publish(&image.name, "amd64", &written)?;
    if args.json.json {
        let bundle = bundle::reference(&path, &written);
        render::json(&serde_json::json!({
            "name": image.name, "kernel": image.kernel, "file": path, "bundle": bundle,
        }))?;
    } else {
        render::note(&format!("sha256 {}, {} bytes", written.sha256, written.bytes));
        render::output(&format!("{}\n", path.display()))?;
    }
    Ok(0)
}

async fn delete(place: &Place, images: &[String]) -> Result<u8, Failure> {
    let client = place.connect().await?;
    let mut code = 0;
    for image in images {
        match client.delete_image(image).await {
            Ok(()) => render::output(&format!("{}\n", render::one_line(image)))?,
            Err(error) => code = code.max(Failure::from(error).report()),
        }
    }
    Ok(code)
}

async fn prune(place: &Place, args: &CachePruneArgs) -> Result<u8, Failure> {
    let pruned = place.connect().await?.prune_cache(args.dry_run).await?;
    if args.output.json {
        render::json(&pruned)?;
    } else {
        render::note(&render::pruned(&pruned, args.dry_run));
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_its_image_what_comes_before_the_first_dot() {
        let name = |path: &str| file_name(None, path.as_ref()).ok();
        assert_eq!(name("/tmp/app.tar.gz").as_deref(), Some("app"));
        assert_eq!(name("build/layout").as_deref(), Some("layout"));
        assert_eq!(name("My_App.tar"), None);
        assert_eq!(name(".."), None);
        assert_eq!(file_name(Some("x".into()), "..".as_ref()).unwrap(), "x");
    }
}
