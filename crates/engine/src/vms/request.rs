//! A request for a new VM: checked, filled up with defaults, made into a row.

use api::CreateVm;
use jiff::Timestamp;
use model::{BootWay, DiskSize, MemorySize, VcpuCount, VmName, VmState};
use store::{Pending, VmRow};

use super::publish;
use crate::{Defaults, EngineError};

/// Most ports that a VM is published on: each is a descriptor of the daemon's.
const MAX_PORTS: usize = 64;
/// What all variables together may take, names and values.
const MAX_ENVIRONMENT: usize = 256 << 10;

/// Checks `request` and makes a row of it, with a made-up name where it has none.
pub(crate) fn to_row(request: CreateVm, kernel: String, defaults: &Defaults) -> Result<VmRow, EngineError> {
    let name = match request.name {
        Some(name) => parse_name(&name)?,
        None => made_up_name()?,
    };
    let vcpu = request.vcpu.unwrap_or(defaults.vcpu);
    check_vcpu(vcpu)?;
    let memory_mib = request.memory_mib.unwrap_or(defaults.memory_mib);
    check_memory(memory_mib)?;
    let disk_size = request.disk_size.unwrap_or(defaults.disk_size);
    check_disk(disk_size)?;
    check_environment(&request.env)?;
    check_ports(&request.publish)?;
    Ok(VmRow {
        id: uuid::Uuid::new_v4().simple().to_string(),
        name,
        state: VmState::Created,
        reason: None,
        pending: Some(Pending::Create),
        image: request.image.unwrap_or_else(|| defaults.image.clone()),
        image_digest: String::new(),
        image_config: None,
        kernel,
        kernel_version: String::new(),
        vcpu,
        memory_mib,
        disk_size: whole_mib(disk_size),
        network: request.network.unwrap_or(defaults.network),
        publish: publish::to_row(&request.publish),
        env: request.env,
        ephemeral: request.ephemeral,
        vmm: String::new(),
        vmm_reason: String::new(),
        machine_id: uuid::Uuid::new_v4().simple().to_string(),
        boot_id: None,
        process: None,
        created_at: Timestamp::now(),
        started_at: None,
        boot: BootWay::Overlay,
        work_seed: None,
        reboots: None,
        crashed_at: None,
    })
}

pub(crate) fn check_vcpu(vcpu: u32) -> Result<(), EngineError> {
    within("vcpu", vcpu.into(), 1, VcpuCount::MOST.into(), "")
}

pub(crate) fn check_memory(mib: u64) -> Result<(), EngineError> {
    let (least, most) = (MemorySize::SMALLEST_MIB, MemorySize::LARGEST_MIB);
    within("memory", mib, least, most, " MiB")
}

pub(crate) fn check_disk(size: u64) -> Result<(), EngineError> {
    let (least, most) = (DiskSize::SMALLEST >> 20, DiskSize::LARGEST >> 20);
    within("disk size", size >> 20, least, most, " MiB")
}

/// A file system has no use for less.
pub(crate) fn whole_mib(size: u64) -> u64 {
    size >> 20 << 20
}

/// A name nobody chose: `adjective-noun`.
pub(crate) fn made_up_name() -> Result<String, EngineError> {
    petname::petname(2, "-").ok_or_else(|| EngineError::Internal("the list of names is empty".into()))
}

fn parse_name(text: &str) -> Result<String, EngineError> {
    VmName::parse(text)
        .map(|name| name.to_string())
        .map_err(|error| EngineError::Invalid {
            what: "name",
            value: text.to_owned(),
            why: error.to_string(),
        })
}

fn within(what: &'static str, value: u64, least: u64, most: u64, unit: &str) -> Result<(), EngineError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(EngineError::Invalid {
        what,
        value: format!("{value}{unit}"),
        why: format!("it must be from {least} to {most}{unit}"),
    })
}

fn check_ports(ports: &[api::PortForward]) -> Result<(), EngineError> {
    let invalid = |value: String, why: String| EngineError::Invalid {
        what: "port to publish",
        value,
        why,
    };
    if let Some(port) = ports.iter().find(|port| port.guest == 0) {
        return Err(invalid(port.to_string(), "a guest has no port 0".into()));
    }
    if ports.len() > MAX_PORTS {
        let why = format!("a VM is published on at most {MAX_PORTS} ports");
        return Err(invalid(ports.len().to_string(), why));
    }
    for (index, port) in ports.iter().enumerate() {
        if let Some(other) = ports[..index].iter().find(|other| other.clashes_with(port)) {
            let why = format!("{other} has that port of this host");
            return Err(invalid(port.to_string(), why));
        }
    }
    Ok(())
}

fn check_environment(env: &std::collections::BTreeMap<String, String>) -> Result<(), EngineError> {
    let invalid = |name: &str, why: &str| EngineError::Invalid {
        what: "environment variable",
        value: name.to_owned(),
        why: why.to_owned(),
    };
    let mut size = 0;
    for (name, value) in env {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(invalid(name, "a name is not empty and has no `=` and no NUL"));
        }
        if value.contains('\0') {
            return Err(invalid(name, "its value has a NUL byte"));
        }
        size += name.len() + value.len();
        if size > MAX_ENVIRONMENT {
            return Err(invalid(name, "with it the environment is larger than 256 KiB"));
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn defaults() -> Defaults {
        Defaults {
            image: "img".into(),
            vcpu: 2,
            memory_mib: 1024,
            disk_size: 8 << 30,
            network: api::NetworkMode::User,
        }
    }

    /// A row for tests, with that name and id.
    pub(crate) fn row(name: &str, id: &str) -> VmRow {
        let request = CreateVm {
            name: Some(name.into()),
            ..CreateVm::default()
        };
        VmRow {
            id: id.into(),
            ..to_row(request, "k".into(), &defaults()).unwrap()
        }
    }

    #[test]
    fn what_is_left_out_takes_the_default() {
        let made = to_row(CreateVm::default(), "k".into(), &defaults()).unwrap();
        assert_eq!((made.vcpu, made.memory_mib, made.disk_size), (2, 1024, 8 << 30));
        assert!(VmName::parse(&made.name).is_ok(), "{}", made.name);
    }

    #[test]
    fn bad_names_sizes_and_shapes_are_refused_with_the_value() {
        let base = CreateVm::default;
        let cases = [
            (
                CreateVm {
                    name: Some("Bad".into()),
                    ..base()
                },
                "name `Bad`",
            ),
            (
                CreateVm {
                    name: Some("-a".into()),
                    ..base()
                },
                "name `-a`",
            ),
            (
                CreateVm {
                    name: Some(String::new()),
                    ..base()
                },
                "name ``",
            ),
            (
                CreateVm {
                    vcpu: Some(0),
                    ..base()
                },
                "vcpu `0`: it must be from 1 to 64",
            ),
            (
                CreateVm {
                    vcpu: Some(65),
                    ..base()
                },
                "vcpu `65`",
            ),
            (
                CreateVm {
                    memory_mib: Some(1),
                    ..base()
                },
                "memory `1 MiB`",
            ),
            (
                CreateVm {
                    memory_mib: Some(u64::MAX),
                    ..base()
                },
                "memory `18446744073709551615 MiB`",
            ),
            (
                CreateVm {
                    disk_size: Some(1),
                    ..base()
                },
                "disk size `0 MiB`",
            ),
            (
                CreateVm {
                    disk_size: Some(u64::MAX),
                    ..base()
                },
                "disk size `",
            ),
            (
                CreateVm {
                    env: [("A=B".into(), "1".into())].into(),
                    ..base()
                },
                "environment variable `A=B`",
            ),
            (
                CreateVm {
                    env: [("A".into(), "\0".into())].into(),
                    ..base()
                },
                "environment variable `A`",
            ),
            (
                CreateVm {
                    env: [("A".into(), "x".repeat(300 << 10))].into(),
                    ..base()
                },
                "environment variable `A`",
            ),
        ];
        for (request, beginning) in cases {
            let error = to_row(request, "k".into(), &defaults()).unwrap_err();
            assert!(error.to_string().starts_with(beginning), "{error}");
        }
    }
}
