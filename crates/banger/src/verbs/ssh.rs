//! `banger vm ssh`, `banger ssh-config`, and the proxy that ssh itself runs.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use config::Environment;
use nix::unistd::{Uid, User};
use tokio::io::{AsyncReadExt, AsyncWriteExt, split};

use super::started::started;
use crate::cli::{SshArgs, SshConfigArgs};
use crate::daemon::Place;
use crate::failure::Failure;
use crate::render;
use crate::ssh::{Change, SUFFIX, Settings, UserFile, address, quote_command};
use crate::terminal::{Input, Output, Piece, Signals};

/// Bytes of output that are passed on at a time.
const PIECE: usize = 64 << 10;

/// Becomes `ssh` with the way into a VM. Returns only if that fails.
///
/// # Errors
/// The VM cannot be reached by ssh, or there is no `ssh` here.
pub async fn ssh(place: &Place, args: SshArgs) -> Result<u8, Failure> {
    let mut words = args.words.into_iter();
    let reference = words.next().unwrap_or_default();
    let reference = reference.to_string_lossy();
    if reference.starts_with('-') {
        return Err(Failure::usage(format!("`{reference}` is no VM"))
            .with_hint("ssh's own options follow the VM: banger vm ssh NAME -L 8080:localhost:80"));
    }
    let client = place.connect().await?;
    if args.boot.start {
        // Caught only here: ssh, which this program becomes, has its own way with signals.
        let mut signals = Signals::ending()?;
        started(&client, name_of(&reference), true, false, &mut signals).await?;
    }
    let access = client.ssh_access(name_of(&reference)).await?;
    let settings = Settings::new(&access.files, &own_path()?)?;
    let mut command = std::process::Command::new("ssh");
    command
        .arg("-F")
        .arg(settings.write()?)
        .arg(address(&access.name))
        .args(quote_command(words.collect()));
    if let Place::Fixed(socket) = place {
        let socket = std::path::absolute(socket)
            .map_err(|error| Failure::new(format!("cannot tell where {} is: {error}", socket.display())))?;
        command.env("BANGER_SOCKET", socket);
    }
    let error = command.exec();
    let failure = Failure::new(format!("cannot run ssh: {error}"));
    Err(match error.kind() {
        std::io::ErrorKind::NotFound => {
            failure.with_hint("install it (on Debian: apt-get install openssh-client)")
        }
        _ => failure,
    })
}

/// Prints the settings, or changes `~/.ssh/config`.
///
/// # Errors
/// The daemon cannot be asked, or the file not be changed.
pub async fn ssh_config(place: &Place, args: &SshConfigArgs) -> Result<u8, Failure> {
    if args.uninstall {
        let file = user_file()?;
        let gone = file.change(Change::Uninstall)?;
        let what = if gone {
            "is as it was without banger"
        } else {
            "has nothing of banger's"
        };
        render::note(&format!("{} {what}", file.path().display()));
        return Ok(0);
    }
    let files = place.connect().await?.ssh_files().await?;
    let settings = Settings::new(&files, &own_path()?)?;
    if !args.install {
        render::output(settings.text())?;
        return Ok(0);
    }
    let file = user_file()?;
    let changed = file.change(Change::Install(settings.write()?))?;
    let what = if changed { "now" } else { "already" };
    render::note(&format!(
        "{} {what} includes the settings for VMs: ssh NAME{SUFFIX}",
        file.path().display()
    ));
    Ok(0)
}

/// Joins stdin and stdout, which are ssh's, to the sshd of a VM.
///
/// # Errors
/// The VM cannot be reached by ssh.
pub async fn proxy(place: &Place, host: &str) -> Result<u8, Failure> {
    let client = place.connect().await?;
    let stream = client.ssh(name_of(host)).await?;
    let (mut reader, mut writer) = split(stream);
    let mut input = Input::open()?;
    let output = Output::open()?;
    // Not waited for: ssh may well be silent while the guest speaks, also after the guest's last word.
    let sender = tokio::spawn(async move {
        while let Some(bytes) = input.next().await {
            if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
                return;
            }
        }
        let _ = writer.shutdown().await;
    });
    let mut bytes = vec![0; PIECE];
    // A stream that breaks is an end like any other here: ssh's own protocol tells them apart.
    while let Ok(count @ 1..) = reader.read(&mut bytes).await {
        if !output.write(Piece::Out(bytes[..count].to_vec())).await {
            break;
        }
    }
    sender.abort();
    output.finish().await.map_err(|error| Failure::output(&error))?;
    Ok(0)
}

/// The VM that an ssh client means.
fn name_of(host: &str) -> &str {
    host.strip_suffix(SUFFIX).unwrap_or(host)
}

/// This program, for ssh to run.
pub(super) fn own_path() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(|error| Failure::new(format!("cannot tell where banger is: {error}")))
}

/// The file of whoever runs this; a word of warning where ssh will not look there.
fn user_file() -> Result<UserFile, Failure> {
    let environment = Environment::of_process();
    let home = home(&environment)?;
    let recorded = User::from_uid(Uid::from_raw(environment.uid())).ok().flatten();
    if let Some(user) = recorded.filter(|user| !is_same(&user.dir, &home)) {
        render::warning(&format!(
            "HOME is {}, and ssh looks in {}",
            home.display(),
            user.dir.display()
        ));
    }
    Ok(UserFile::below(&home, environment.uid()))
}

/// The home of whoever runs this.
pub(super) fn home(environment: &Environment) -> Result<PathBuf, Failure> {
    environment
        .absolute_path("HOME")
        .ok_or_else(|| Failure::new("HOME is not set to an absolute path"))
}

fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    real(one) == real(other)
}
