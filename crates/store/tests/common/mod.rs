//! Rows and stores for the tests.
#![expect(dead_code, reason = "each test file uses some of it")]
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use model::{BootWay, NetworkMode, OperationState, VmState};
use store::{OperationRow, PublishedPort, Store, VmRow};

/// A store in a folder of its own.
pub struct Fresh {
    /// Removed at the end.
    pub folder: tempfile::TempDir,
    /// The store.
    pub store: Store,
}

impl Fresh {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("banger.db")).await.unwrap();
        Self { folder, store }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("banger.db")
    }
}

pub fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap()
}

pub fn vm(id: &str, name: &str) -> VmRow {
    VmRow {
        id: id.to_owned(),
        name: name.to_owned(),
        state: VmState::Created,
        reason: None,
        pending: None,
        image: "debian-minimal".to_owned(),
        image_digest: String::new(),
        image_config: None,
        kernel: "debian-cloud".to_owned(),
        kernel_version: String::new(),
        vcpu: 2,
        memory_mib: 2048,
        disk_size: 8 << 30,
        network: NetworkMode::User,
        env: BTreeMap::from([("A".to_owned(), "b = \"c\"\nd".to_owned())]),
        publish: vec![PublishedPort {
            udp: true,
            address: Some("::1".parse().unwrap()),
            host: 5353,
            guest: 53,
        }],
        ephemeral: false,
        vmm: String::new(),
        vmm_reason: String::new(),
        machine_id: "ffff".to_owned(),
        boot_id: None,
        process: None,
        created_at: at(1_700_000_000_000),
        started_at: None,
        boot: BootWay::Overlay,
        work_seed: None,
        reboots: None,
        crashed_at: None,
    }
}

pub fn operation(id: &str, started_at: i64) -> OperationRow {
    OperationRow {
        id: id.to_owned(),
        kind: "create".to_owned(),
        vm: None,
        state: OperationState::Running,
        error: None,
        started_at: at(started_at),
        ended_at: None,
    }
}
