//! What is measured, in which order, and what has to be there for it.

use clap::ValueEnum;

use crate::error::BenchError;
use crate::openssh::OpenSsh;
use crate::sandbox::{Sandbox, Shown};
use crate::section::Section;
use crate::{
    Arguments, boot, copies, creating, datagrams, erofs, firecracker, forward, import, many, openssh, ways,
    workspace,
};

/// The VM that measurements look at and work in.
pub const REFERENCE: &str = "reference";

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// A cold `vm run`.
    Cold,
    /// Commands in a VM that runs.
    Commands,
    /// Files in and out.
    Files,
    /// A repository in and out.
    Repository,
    /// A forwarded port.
    Forward,
    /// Twenty VMs at once.
    AtOnce,
    /// A listing of five hundred.
    Listing,
    /// Making a VM by the size of its image.
    Creating,
    /// Memory of daemon and agent.
    Memory,
    /// A tar archive to EROFS.
    Erofs,
    /// A container image.
    Import,
    /// A Firecracker's start and snapshot.
    Firecracker,
    /// A guest's datagrams.
    Datagrams,
}

/// What came of it.
pub struct Measured {
    /// The VM that it was measured with, where one was needed.
    pub vm: Option<Shown>,
    /// In the order of the page.
    pub sections: Vec<Section>,
}

/// How often is measured what takes minutes, for ten runs of the rest.
fn seldom(runs: usize) -> usize {
    runs.div_ceil(4)
}

/// Measures what the arguments ask for.
pub fn measure(arguments: &Arguments) -> Result<Measured, BenchError> {
    let wanted = |what| arguments.only.is_empty() || arguments.only.contains(&what);
    let needs_vm = |what: &What| !matches!(what, What::Firecracker | What::Datagrams) && wanted(*what);
    let mut measured = Measured {
        vm: None,
        sections: Vec::new(),
    };
    if What::value_variants().iter().any(needs_vm) {
        let sandbox = Sandbox::new(&arguments.bin)?;
        let done = with_vm(&sandbox, arguments, &wanted);
        // Also after a failure; what failed first is what is told.
        let closed = sandbox.close();
        measured = done?;
        closed?;
    }
    if wanted(What::Firecracker) {
        eprintln!("a Firecracker");
        let sections = firecracker::measure(&arguments.bin, &arguments.firecracker, arguments.runs)?;
        measured.sections.extend(sections);
    }
    if wanted(What::Datagrams) {
        eprintln!("a guest's datagrams");
        measured
            .sections
            .push(datagrams::measure(&arguments.datagrams, arguments.runs)?);
    }
    Ok(measured)
}

fn with_vm(
    sandbox: &Sandbox,
    arguments: &Arguments,
    wanted: &impl Fn(What) -> bool,
) -> Result<Measured, BenchError> {
    let runs = arguments.runs;
    eprintln!("fetching the kernel, building the image");
    let port = openssh::free_port()?;
    let published = format!("127.0.0.1:{port}:22");
    sandbox.run(&["vm", "run", "--name", REFERENCE, "-d", "--publish", &published])?;
    let vm = sandbox.show(REFERENCE)?;
    let mut last = Vec::new();
    if wanted(What::Erofs) || wanted(What::Import) {
        erofs::archive(sandbox, REFERENCE)?;
    }
    if wanted(What::Erofs) {
        eprintln!("tar to EROFS");
        last.push(erofs::measure(sandbox, &arguments.writer, runs)?);
    }
    if wanted(What::Import) {
        eprintln!("a container image");
        let root = sandbox.folder().join(erofs::ROOT);
        last.push(import::measure(sandbox, &root, seldom(runs))?);
    }
    let mut inside = Vec::new();
    let compared = [What::Commands, What::Files, What::Repository, What::Forward];
    if compared.into_iter().any(wanted) {
        inside = inside_vm(sandbox, &vm, port, arguments, wanted)?;
    }
    let mut sections = Vec::new();
    // The VM is stopped for it, so it comes after what works in the VM; on the page it is the first.
    if wanted(What::Cold) {
        eprintln!("cold runs");
        sections.push(boot::measure(sandbox, &vm, &arguments.floor, runs)?);
    }
    sections.extend(inside);
    if wanted(What::AtOnce) {
        eprintln!("twenty VMs");
        sections.push(many::at_once(sandbox, seldom(runs))?);
    }
    if wanted(What::Listing) {
        eprintln!("five hundred VMs");
        sections.push(many::listing(sandbox, runs)?);
    }
    if wanted(What::Creating) {
        eprintln!("VMs of a large image");
        sections.push(creating::measure(sandbox, runs)?);
    }
    if wanted(What::Memory) {
        eprintln!("memory");
        sections.push(many::memory(sandbox)?);
    }
    sections.extend(last);
    Ok(Measured {
        vm: Some(vm),
        sections,
    })
}

/// What is compared with ssh into the same guest.
fn inside_vm(
    sandbox: &Sandbox,
    vm: &Shown,
    port: u16,
    arguments: &Arguments,
    wanted: &impl Fn(What) -> bool,
) -> Result<Vec<Section>, BenchError> {
    let runs = arguments.runs;
    eprintln!("installing what the guest needs to be compared with");
    let install = "apt-get update -q && apt-get install -q -y --no-install-recommends git rsync iperf3";
    sandbox.run(&["vm", "exec", REFERENCE, "--", "sh", "-c", install])?;
    let ssh = OpenSsh::into(sandbox, REFERENCE, port)?;
    let mut sections = Vec::new();
    if wanted(What::Commands) {
        eprintln!("commands");
        sections.push(ways::measure(sandbox, REFERENCE, &ssh, runs)?);
    }
    if wanted(What::Files) {
        eprintln!("files");
        sections.push(copies::measure(sandbox, REFERENCE, &ssh, seldom(runs))?);
    }
    if wanted(What::Repository) {
        eprintln!("a repository");
        let files = arguments.repository_files;
        sections.push(workspace::measure(sandbox, REFERENCE, &ssh, files, seldom(runs))?);
    }
    if wanted(What::Forward) {
        eprintln!("a forwarded port");
        sections.push(forward::measure(sandbox, REFERENCE, vm, &ssh, seldom(runs))?);
    }
    Ok(sections)
}
