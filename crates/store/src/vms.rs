//! Table `vms`: one row a VM.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use model::{BootWay, NetworkMode, Reboots, VmState};
use rusqlite::{OptionalExtension, Row, Transaction, named_params};
use serde::{Deserialize, Serialize};

use crate::sql::{
    JobError, Word, json_list, json_list_of, json_map, json_of, millis, name_taken, optional_time,
    optional_word, signed, time, unsigned, word,
};
use crate::{Store, StoreError};

/// What is under way with a VM, for a later daemon to undo or to finish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pending {
    /// It is being made: undone.
    Create,
    /// It is being deleted: finished.
    Delete,
}

impl Word for Pending {
    fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::Create, Self::Delete]
            .into_iter()
            .find(|pending| pending.word() == word)
    }
}

/// A port of the host that leads into a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// Datagrams rather than connections.
    pub udp: bool,
    /// Address of the host; none is `localhost`.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// Port of the host.
    pub host: u16,
    /// Port of the guest.
    pub guest: u16,
}

/// A VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmRow {
    /// Id, never used again.
    pub id: String,
    /// Name, unique.
    pub name: String,
    /// State; changed by [`Vms::transition`] only.
    pub state: VmState,
    /// Why it is in that state, one line.
    pub reason: Option<String>,
    /// What is under way with it.
    pub pending: Option<Pending>,
    /// Name of the image.
    pub image: String,
    /// Digest of the image's root file system; empty until it is known.
    pub image_digest: String,
    /// What the image says about running it, as JSON, if it says anything.
    pub image_config: Option<String>,
    /// Name of the kernel.
    pub kernel: String,
    /// Version of the kernel; empty until it is known.
    pub kernel_version: String,
    /// Virtual processors.
    pub vcpu: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Size of the writable layer in bytes.
    pub disk_size: u64,
    /// Network mode.
    pub network: NetworkMode,
    /// Variables that every command starts with.
    pub env: BTreeMap<String, String>,
    /// Ports of the host that lead into it.
    pub publish: Vec<PublishedPort>,
    /// Deleted when the client that made it goes.
    pub ephemeral: bool,
    /// VMM that runs it; empty until it is chosen.
    pub vmm: String,
    /// Why that one.
    pub vmm_reason: String,
    /// The guest's machine-id.
    pub machine_id: String,
    /// The guest's boot id while it runs.
    pub boot_id: Option<String>,
    /// The process of its VMM while it runs, as JSON.
    pub process: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last started.
    pub started_at: Option<Timestamp>,
    /// How it boots.
    pub boot: BootWay,
    /// Digest of the archive that its `/root` gets at its first start; none once it has it.
    pub work_seed: Option<String>,
    /// Boots of its guest's own since it was started.
    pub reboots: Option<Reboots>,
    /// When it crashed, if it is off since then.
    pub crashed_at: Option<Timestamp>,
}

impl model::Subject for VmRow {
    fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> &str {
        &self.id
    }
}

/// What becomes of a column that may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// It stays.
    #[default]
    Keep,
    /// It becomes empty.
    Clear,
    /// It gets this value.
    Set(T),
}

impl<T> Change<T> {
    /// Whether the column changes, and to what.
    fn into_parts(self) -> (bool, Option<T>) {
        match self {
            Self::Keep => (false, None),
            Self::Clear => (true, None),
            Self::Set(value) => (true, Some(value)),
        }
    }
}

/// What changes together with a VM's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transition {
    /// Why it is in the new state; replaces the old reason, also with none.
    pub reason: Option<String>,
    /// The guest's boot id.
    pub boot_id: Change<String>,
    /// The process of its VMM, as JSON.
    pub process: Change<String>,
    /// When it was last started.
    pub started_at: Change<Timestamp>,
    /// A further boot of the guest's own, when and why; or that there was none.
    pub rebooted: Change<(Timestamp, String)>,
    /// When it crashed.
    pub crashed_at: Change<Timestamp>,
    /// What is under way with it.
    pub pending: Change<Pending>,
}

/// What is learned or chosen about a VM apart from its state; `None` keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VmUpdate {
    /// Digest of the image's root file system.
    pub image_digest: Option<String>,
    /// What the image says about running it, as JSON.
    pub image_config: Option<String>,
    /// Version of the kernel.
    pub kernel_version: Option<String>,
    /// Virtual processors.
    pub vcpu: Option<u32>,
    /// Memory in MiB.
    pub memory_mib: Option<u64>,
    /// Size of the writable layer in bytes.
    pub disk_size: Option<u64>,
    /// VMM that runs it.
    pub vmm: Option<String>,
    /// Why that one.
    pub vmm_reason: Option<String>,
    /// The process of its VMM, as JSON.
    pub process: Change<String>,
    /// How it boots.
    pub boot: Option<BootWay>,
    /// Digest of the archive that its `/root` gets at its next start.
    pub work_seed: Change<String>,
    /// What is under way with it.
    pub pending: Change<Pending>,
}

/// The table.
#[derive(Clone, Debug)]
pub struct Vms(Store);

impl Vms {
    pub(crate) fn new(store: Store) -> Self {
        Self(store)
    }

    /// Adds a VM.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`] where another VM has the name.
    pub async fn insert(&self, row: VmRow) -> Result<(), StoreError> {
        self.0
            .write("add a VM", move |transaction| insert(transaction, &row))
            .await
    }

    /// A VM by its id.
    ///
    /// # Errors
    /// [`StoreError`] where the store fails.
    pub async fn get(&self, id: &str) -> Result<Option<VmRow>, StoreError> {
        let id = id.to_owned();
        self.0
            .read("read a VM", move |transaction| Ok(select(transaction, &id)?))
            .await
    }

    /// Every VM, oldest first.
    ///
    /// # Errors
    /// [`StoreError`] where the store fails.
    pub async fn list(&self) -> Result<Vec<VmRow>, StoreError> {
        let job = |transaction: &Transaction<'_>| {
            let mut statement = transaction.prepare_cached("SELECT * FROM vms ORDER BY created_at, id")?;
            Ok(statement.query_map([], read)?.collect::<Result<_, _>>()?)
        };
        self.0.read("list the VMs", job).await
    }

    /// Moves a VM from one of the states `from` to `to`, in one step: of two that try, one finds it moved.
    ///
    /// # Errors
    /// [`StoreError::NotInState`] where it is in none of `from`, [`StoreError::NotFound`] where it is gone.
    pub async fn transition(
        &self,
        id: &str,
        from: &[VmState],
        to: VmState,
        change: Transition,
    ) -> Result<VmRow, StoreError> {
        let (id, from) = (id.to_owned(), from.to_vec());
        let job = move |transaction: &Transaction<'_>| {
            if let Some(row) = transition(transaction, &id, &from, to, change)? {
                return Ok(row);
            }
            Err(match select(transaction, &id)? {
                Some(row) => StoreError::NotInState {
                    id,
                    state: row.state,
                    wanted: from,
                },
                None => StoreError::NotFound {
                    table: "vms",
                    key: id,
                },
            }
            .into())
        };
        self.0.write("change a VM's state", job).await
    }

    /// Writes down what was learned or chosen about a VM.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where it is gone.
    pub async fn update(&self, id: &str, update: VmUpdate) -> Result<VmRow, StoreError> {
        let id = id.to_owned();
        let job = move |transaction: &Transaction<'_>| match update_row(transaction, &id, update)? {
            Some(row) => Ok(row),
            None => Err(StoreError::NotFound {
                table: "vms",
                key: id,
            }
            .into()),
        };
        self.0.write("update a VM", job).await
    }

    /// Takes a VM's row away; says whether there was one.
    ///
    /// # Errors
    /// [`StoreError`] where the store fails.
    pub async fn delete(&self, id: &str) -> Result<bool, StoreError> {
        let id = id.to_owned();
        let job = move |transaction: &Transaction<'_>| {
            Ok(transaction
                .prepare_cached("DELETE FROM vms WHERE id = ?1")?
                .execute([id])?
                > 0)
        };
        self.0.write("delete a VM", job).await
    }
}

fn insert(transaction: &Transaction<'_>, row: &VmRow) -> Result<(), JobError> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO vms (id, name, state, reason, image, image_digest, kernel, kernel_version, vcpu, memory_mib,
                          disk_size, network, env, publish, ephemeral, vmm, vmm_reason, machine_id, boot_id,
                          created_at, started_at, image_config, boot, work_seed, reboots, rebooted_at,
                          reboot_reason, crashed_at, process, pending)
         VALUES (:id, :name, :state, :reason, :image, :image_digest, :kernel, :kernel_version, :vcpu, :memory_mib,
                 :disk_size, :network, :env, :publish, :ephemeral, :vmm, :vmm_reason, :machine_id, :boot_id,
                 :created_at, :started_at, :image_config, :boot, :work_seed, :reboots, :rebooted_at,
                 :reboot_reason, :crashed_at, :process, :pending)",
    )?;
    let inserted = statement.execute(named_params! {
        ":id": row.id,
        ":name": row.name,
        ":state": row.state.word(),
        ":reason": row.reason,
        ":image": row.image,
        ":image_digest": row.image_digest,
        ":kernel": row.kernel,
        ":kernel_version": row.kernel_version,
        ":vcpu": row.vcpu,
        ":memory_mib": signed(row.memory_mib)?,
        ":disk_size": signed(row.disk_size)?,
        ":network": row.network.word(),
        ":env": json_of(&row.env),
        ":publish": json_list_of(&row.publish)?,
        ":ephemeral": row.ephemeral,
        ":vmm": row.vmm,
        ":vmm_reason": row.vmm_reason,
        ":machine_id": row.machine_id,
        ":boot_id": row.boot_id,
        ":created_at": millis(row.created_at),
        ":started_at": row.started_at.map(millis),
        ":image_config": row.image_config,
        ":boot": row.boot.word(),
        ":work_seed": row.work_seed,
        ":reboots": row.reboots.as_ref().map_or(0, |reboots| reboots.times),
        ":rebooted_at": row.reboots.as_ref().map(|reboots| millis(reboots.at)),
        ":reboot_reason": row.reboots.as_ref().map(|reboots| &reboots.reason),
        ":crashed_at": row.crashed_at.map(millis),
        ":process": row.process,
        ":pending": row.pending.map(Word::word),
    });
    inserted
        .map(|_| ())
        .map_err(|error| name_taken(error, "vms.name", &row.name))
}

fn select(transaction: &Transaction<'_>, id: &str) -> rusqlite::Result<Option<VmRow>> {
    transaction
        .prepare_cached("SELECT * FROM vms WHERE id = ?1")?
        .query_row([id], read)
        .optional()
}

/// The one place that writes a state; the condition and the change are one statement.
fn transition(
    transaction: &Transaction<'_>,
    id: &str,
    from: &[VmState],
    to: VmState,
    change: Transition,
) -> rusqlite::Result<Option<VmRow>> {
    let from = serde_json::Value::from_iter(from.iter().map(|state| state.word())).to_string();
    let (boot_changes, boot_id) = change.boot_id.into_parts();
    let (process_changes, process) = change.process.into_parts();
    let (start_changes, started_at) = change.started_at.into_parts();
    let (reboot_changes, rebooted) = change.rebooted.into_parts();
    let (rebooted_at, reboot_reason) = rebooted.unzip();
    let (crash_changes, crashed_at) = change.crashed_at.into_parts();
    let (pending_changes, pending) = change.pending.into_parts();
    let mut statement = transaction.prepare_cached(
        "UPDATE vms SET state = :to, reason = :reason, boot_id = iif(:boot_changes, :boot_id, boot_id),
                        process = iif(:process_changes, :process, process),
                        started_at = iif(:start_changes, :started_at, started_at),
                        reboots = iif(:reboot_changes, iif(:rebooted_at IS NULL, 0, reboots + 1), reboots),
                        rebooted_at = iif(:reboot_changes, :rebooted_at, rebooted_at),
                        reboot_reason = iif(:reboot_changes, :reboot_reason, reboot_reason),
                        crashed_at = iif(:crash_changes, :crashed_at, crashed_at),
                        pending = iif(:pending_changes, :pending, pending)
         WHERE id = :id AND state IN (SELECT value FROM json_each(:from))
         RETURNING *",
    )?;
    let values = named_params! {
        ":to": to.word(),
        ":reason": change.reason,
        ":boot_changes": boot_changes,
        ":boot_id": boot_id,
        ":process_changes": process_changes,
        ":process": process,
        ":start_changes": start_changes,
        ":started_at": started_at.map(millis),
        ":reboot_changes": reboot_changes,
        ":rebooted_at": rebooted_at.map(millis),
        ":reboot_reason": reboot_reason,
        ":crash_changes": crash_changes,
        ":crashed_at": crashed_at.map(millis),
        ":pending_changes": pending_changes,
        ":pending": pending.map(Word::word),
        ":id": id,
        ":from": from,
    };
    statement.query_row(values, read).optional()
}

fn update_row(transaction: &Transaction<'_>, id: &str, update: VmUpdate) -> rusqlite::Result<Option<VmRow>> {
    let (process_changes, process) = update.process.into_parts();
    let (seed_changes, work_seed) = update.work_seed.into_parts();
    let (pending_changes, pending) = update.pending.into_parts();
    let mut statement = transaction.prepare_cached(
        "UPDATE vms SET image_digest = coalesce(:image_digest, image_digest),
                        kernel_version = coalesce(:kernel_version, kernel_version), vmm = coalesce(:vmm, vmm),
                        vmm_reason = coalesce(:vmm_reason, vmm_reason),
                        vcpu = coalesce(:vcpu, vcpu), memory_mib = coalesce(:memory_mib, memory_mib),
                        disk_size = coalesce(:disk_size, disk_size),
                        process = iif(:process_changes, :process, process),
                        image_config = coalesce(:image_config, image_config), boot = coalesce(:boot, boot),
                        work_seed = iif(:seed_changes, :work_seed, work_seed),
                        pending = iif(:pending_changes, :pending, pending)
         WHERE id = :id
         RETURNING *",
    )?;
    let values = named_params! {
        ":vcpu": update.vcpu,
        ":memory_mib": update.memory_mib.map(signed).transpose()?,
        ":disk_size": update.disk_size.map(signed).transpose()?,
        ":image_digest": update.image_digest,
        ":image_config": update.image_config,
        ":kernel_version": update.kernel_version,
        ":vmm": update.vmm,
        ":vmm_reason": update.vmm_reason,
        ":process_changes": process_changes,
        ":process": process,
        ":boot": update.boot.map(BootWay::word),
        ":seed_changes": seed_changes,
        ":work_seed": work_seed,
        ":pending_changes": pending_changes,
        ":pending": pending.map(Word::word),
        ":id": id,
    };
    statement.query_row(values, read).optional()
}

fn reboots(row: &Row<'_>) -> rusqlite::Result<Option<Reboots>> {
    let (at, reason): (_, Option<String>) = (optional_time(row, "rebooted_at")?, row.get("reboot_reason")?);
    let times = row.get("reboots")?;
    Ok(at.zip(reason).map(|(at, reason)| Reboots { times, at, reason }))
}

fn read(row: &Row<'_>) -> rusqlite::Result<VmRow> {
    Ok(VmRow {
        id: row.get("id")?,
        name: row.get("name")?,
        state: word(row, "state")?,
        reason: row.get("reason")?,
        pending: optional_word(row, "pending")?,
        image: row.get("image")?,
        image_digest: row.get("image_digest")?,
        image_config: row.get("image_config")?,
        kernel: row.get("kernel")?,
        kernel_version: row.get("kernel_version")?,
        vcpu: row.get("vcpu")?,
        memory_mib: unsigned(row, "memory_mib")?,
        disk_size: unsigned(row, "disk_size")?,
        network: word(row, "network")?,
        env: json_map(row, "env")?,
        publish: json_list(row, "publish")?,
        ephemeral: row.get("ephemeral")?,
        vmm: row.get("vmm")?,
        vmm_reason: row.get("vmm_reason")?,
        machine_id: row.get("machine_id")?,
        boot_id: row.get("boot_id")?,
        process: row.get("process")?,
        created_at: time(row, "created_at")?,
        started_at: optional_time(row, "started_at")?,
        boot: word(row, "boot")?,
        work_seed: row.get("work_seed")?,
        reboots: reboots(row)?,
        crashed_at: optional_time(row, "crashed_at")?,
    })
}
