//! What makes one guest differ from another.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use guest::{Configure, GuestIpv6, GuestNetwork};
use model::NetworkMode;
use store::VmRow;

use crate::EngineError;
use crate::artefacts::container;

/// Bytes of entropy that a guest gets with its identity.
const ENTROPY: usize = 64;

/// The identity of one VM.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    name: String,
    machine_id: String,
    network: Option<GuestNetwork>,
    environment: BTreeMap<String, String>,
    ca_certificates: Option<String>,
}

impl Identity {
    pub(crate) fn of(row: &VmRow, ca_certificates: Option<String>) -> Self {
        let network = match row.network {
            NetworkMode::None => None,
            NetworkMode::User => {
                let (plan, host) = (net::user_plan(), net::HostResolver::read());
                Some(GuestNetwork {
                    address: plan.address,
                    prefix: plan.prefix,
                    gateway: plan.gateway,
                    dns: plan.dns,
                    search: host.search,
                    ndots: host.ndots,
                    mtu: Some(plan.mtu),
                    ipv6: None,
                })
            }
        };
        // What the VM was made with comes over what its image says.
        let image = container::config_of(row.image_config.as_deref()).unwrap_or_default();
        let mut environment: BTreeMap<_, _> = image.env.into_iter().collect();
        environment.extend(row.env.clone());
        Self {
            name: row.name.clone(),
            machine_id: row.machine_id.clone(),
            network,
            environment,
            ca_certificates,
        }
    }

    /// The same with what its network has of IPv6.
    pub(crate) fn with_ipv6(mut self, plan: Option<net::Ipv6Plan>) -> Self {
        if let Some(network) = &mut self.network {
            network.ipv6 = plan.map(|plan| GuestIpv6 {
                address: plan.address,
                prefix: plan.prefix,
                gateway: plan.gateway,
            });
        }
        self
    }

    /// The VM's name, also the guest's host name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The request that gives it to a guest, with the time and the entropy of now.
    pub(crate) fn configure(&self) -> Result<Configure, EngineError> {
        let mut entropy = [0u8; ENTROPY];
        let mut filled = 0;
        while filled < ENTROPY {
            filled += rustix::rand::getrandom(&mut entropy[filled..], rustix::rand::GetRandomFlags::empty())
                .map_err(|error| EngineError::Internal(format!("no entropy: {error}")))?;
        }
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_err(|_| EngineError::Internal("the host's clock is before 1970".into()))?;
        Ok(Configure {
            hostname: self.name.clone(),
            machine_id: self.machine_id.clone(),
            network: self.network.clone(),
            unix_time_ns: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),
            entropy: entropy.iter().map(|byte| format!("{byte:02x}")).collect(),
            environment: self.environment.clone(),
            ca_certificates: self.ca_certificates.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_told_of_ipv6_only_where_its_network_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity {
            name: "a".into(),
            machine_id: "0".repeat(32),
            network: Some(GuestNetwork {
                address: [10, 0, 2, 15].into(),
                prefix: 24,
                gateway: [10, 0, 2, 2].into(),
                dns: Vec::new(),
                search: Vec::new(),
                ndots: None,
                mtu: None,
                ipv6: None,
            }),
            environment: BTreeMap::new(),
            ca_certificates: None,
        };
        let told = |plan| {
            let configure = identity.clone().with_ipv6(plan).configure().unwrap();
            serde_json::to_value(configure).unwrap()["network"]["ipv6"].clone()
        };
        // Left out, not null: an agent that knows nothing of it refuses it.
        assert!(told(None).is_null());
        let plain = serde_json::to_string(&identity.configure().unwrap()).unwrap();
        assert!(!plain.contains("ipv6"), "{plain}");
        std::fs::write(folder.path().join("ipv6"), "").unwrap();
        let told = told(net::ipv6_plan(folder.path()));
        assert_eq!(told["address"], "fd62:616e:6765:72::15");
        assert_eq!(told["gateway"], "fd62:616e:6765:72::2");
    }
}
