//! Answer of `GET /v1/ports`: what listens in the guest.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{Protocol, text};

/// A process of the guest, as the guest tells it: the name is whatever the process chose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Process {
    /// Its id in the guest.
    pub pid: u32,
    /// Its short name (`/proc/<pid>/comm`).
    #[serde(deserialize_with = "text::word")]
    pub name: String,
}

/// A port that something listens on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Listener {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The address of the guest that it is bound to.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// Who listens; none for a socket of the kernel's own.
    pub process: Option<Process>,
    /// Whether it answered in HTTP when it was asked.
    pub http: bool,
}

/// The ports that something listens on, lowest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listeners {
    /// Up to some hundred of them.
    pub listeners: Vec<Listener>,
    /// Whether there are more.
    pub more: bool,
}
