//! What a program of a network does: the daemon's own binary, executed once more as frame filter or as relay.

use std::io;
use std::os::fd::AsFd;
use std::process::ExitCode;

use crate::filter::carry::{self, Sides};
use crate::policy::Policy;
use crate::relay::Relay;
use crate::{calls, channel, passed};

/// What the program is to be, its first argument; and what `ps` shows.
pub(crate) const FILTER: &str = "banger-frames";
pub(crate) const RELAY: &str = "banger-relay";

/// Does the work of a network's program and gives its exit code, if this process was started as one.
///
/// Call it first of all in `main` of a program that starts networks.
#[must_use]
pub fn serve_network_if_asked() -> Option<ExitCode> {
    let arguments: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let (verb, arguments) = arguments.split_first()?;
    let work = match verb.as_str() {
        FILTER => filter,
        RELAY => relay,
        _ => return None,
    };
    Some(match work(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    })
}

/// `VMM PASST RELAY NETWORK…`: three descriptors, and what [`Policy::parse`] reads.
fn filter(arguments: &[String]) -> io::Result<()> {
    call_it(FILTER);
    let sides = Sides {
        vmm: passed::take(arguments.first())?.into(),
        passt: passed::take(arguments.get(1))?.into(),
        relay: passed::take(arguments.get(2))?,
    };
    let policy = policy(arguments.get(3..))?;
    let calls = calls::filter()?;
    carry::run(&sides, &policy, || calls.enforce().map_err(io::Error::other))
}

/// `FILTER RESOLVERS NETWORK…`: two descriptors, and what [`Policy::parse`] reads.
fn relay(arguments: &[String]) -> io::Result<()> {
    call_it(RELAY);
    let channel = passed::take(arguments.first())?;
    let resolvers = passed::take(arguments.get(1))?;
    let policy = policy(arguments.get(2..))?;
    let relay = Relay::new(channel.as_fd(), &policy, resolvers.into())?;
    calls::relay()?.enforce().map_err(io::Error::other)?;
    channel::say_ready(&channel)?;
    relay.run()
}

fn policy(arguments: Option<&[String]>) -> io::Result<Policy> {
    Policy::parse(arguments.unwrap_or_default()).map_err(io::Error::other)
}

/// What `ps` shows; only a convenience.
fn call_it(name: &str) {
    if let Ok(name) = std::ffi::CString::new(name) {
        let _ = rustix::thread::set_name(&name);
    }
}
