//! Starting a network's own programs: the frame filter between VMM and passt, and the relay beside it.
//!
//! Both are the program that starts them, executed once more ([`crate::serve_network_if_asked`]): a release has no other
//! binary to spare for them, what they share with the daemon is in memory already, and they stand on the same libraries.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use process::{Confinement, Launch, Limits, Started};

use crate::NetError;
use crate::inside::{FILTER, RELAY};
use crate::messages::Messages;
use crate::policy::Policy;
use crate::relay::{flows, names};

/// Descriptors that a program of these has besides those of flows.
const DESCRIPTORS: u64 = 32;
/// Far more than they come to.
const DATA: u64 = 128 << 20;
/// Of messages.
const FILE: u64 = 1 << 20;

/// What both need to be started.
#[derive(Clone, Copy)]
pub(crate) struct Programs<'a> {
    /// The program.
    pub(crate) program: &'a Path,
    /// The VM's folder.
    pub(crate) folder: &'a Path,
    /// What is closed to the guest and what is open.
    pub(crate) policy: &'a Policy,
}

impl Programs<'_> {
    /// Starts the filter; it ends when the other end of any socket closes.
    pub(crate) async fn filter(
        self,
        record: &Path,
        messages: &Messages,
        (vmm, passt, relay): (UnixStream, UnixStream, OwnedFd),
    ) -> Result<Started, NetError> {
        let mut launch = self.launch(record, messages, FILTER, DESCRIPTORS)?;
        for side in [vmm.into(), passt.into(), relay] {
            let number = launch.pass(side);
            launch.argument(number.to_string());
        }
        launch.arguments(self.policy.arguments());
        launch.confine(self.confinement()?);
        launch.start().await.map_err(NetError::FilterStart)
    }

    /// Starts the relay, with the list of the host's resolvers; it ends when the other end of its socket closes.
    pub(crate) async fn relay(
        self,
        record: &Path,
        messages: &Messages,
        filter: OwnedFd,
        resolvers: File,
    ) -> Result<Started, NetError> {
        let descriptors = DESCRIPTORS + (flows::LIMIT + names::LIMIT) as u64;
        let mut launch = self.launch(record, messages, RELAY, descriptors)?;
        for descriptor in [filter, resolvers.into()] {
            let number = launch.pass(descriptor);
            launch.argument(number.to_string());
        }
        launch.arguments(self.policy.arguments());
        let mut confinement = self.confinement()?;
        confinement.keep_network();
        launch.confine(confinement);
        launch.start().await.map_err(NetError::RelayStart)
    }

    fn launch(
        self,
        record: &Path,
        messages: &Messages,
        verb: &str,
        descriptors: u64,
    ) -> Result<Launch, NetError> {
        // Where they run there is no path to it.
        let program = File::open(self.program).map_err(NetError::Program)?;
        let mut launch = Launch::of_opened(program.into(), self.program, self.folder, record);
        launch.output(messages.writer().map_err(NetError::Messages)?);
        launch.argument(verb).limit(Limits {
            data: Some(DATA),
            file_size: Some(FILE),
            open_files: Some(descriptors),
            ..Limits::default()
        });
        Ok(launch)
    }

    /// They read what guests send: they see nothing of the host but the libraries that they are linked with, and have the
    /// sockets that they are handed.
    fn confinement(self) -> Result<Confinement, NetError> {
        let mut confinement = Confinement::new(number_of(self.folder).map_err(NetError::Program)?);
        confinement.show_programs();
        Ok(confinement)
    }
}

/// What stands for a VM where ids are chosen.
pub(crate) fn number_of(folder: &Path) -> io::Result<u32> {
    Ok((folder.metadata()?.ino() % u64::from(u32::MAX)) as u32)
}
