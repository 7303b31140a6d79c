//! Operations: what a lifecycle verb does, as a row, a stream of events and a way to cancel it.

mod run;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use api::{Event, Happening, Operation, OperationState, StageState};
use jiff::Timestamp;
use store::Store;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::EngineError;
use crate::error::one_line;
use crate::notices::Notices;

pub(crate) use run::caught;

/// Rest before the second try to record the end of an operation; twice as long before each further one.
const AGAIN: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// How many ended operations are kept with their events; older ones remain as rows.
const KEPT_ENDED: usize = 64;

/// All operations since the daemon started.
#[derive(Clone, Debug)]
pub struct Operations {
    store: Store,
    notices: Notices,
    live: Arc<Mutex<Live>>,
    running: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Live {
    by_id: HashMap<String, OperationHandle>,
    ended: VecDeque<String>,
}

/// One operation; cheap to clone.
#[derive(Clone, Debug)]
pub struct OperationHandle {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    id: String,
    kind: &'static str,
    started_at: Timestamp,
    cancel: CancellationToken,
    /// Cancelled since the disk has too little room.
    out_of_room: AtomicBool,
    log: Mutex<Log>,
    changed: watch::Sender<u64>,
}

#[derive(Debug)]
struct Log {
    events: VecDeque<(u64, Event)>,
    next: u64,
    vm: Option<String>,
    ended_at: Option<Timestamp>,
}

impl Operations {
    pub(crate) fn new(store: Store, notices: Notices) -> Self {
        Self {
            store,
            notices,
            live: Arc::default(),
            running: watch::Sender::new(0),
        }
    }

    /// Begins an operation; its row is on disk when this returns.
    pub(crate) async fn begin(
        &self,
        kind: &'static str,
        vm: Option<String>,
    ) -> Result<OperationHandle, EngineError> {
        let handle = OperationHandle {
            inner: Arc::new(Inner {
                id: uuid::Uuid::now_v7().simple().to_string(),
                kind,
                started_at: Timestamp::now(),
                cancel: CancellationToken::new(),
                out_of_room: AtomicBool::new(false),
                log: Mutex::new(Log {
                    events: VecDeque::new(),
                    next: 1,
                    vm: vm.clone(),
                    ended_at: None,
                }),
                changed: watch::Sender::new(0),
            }),
        };
        let row = store::OperationRow {
            id: handle.id().to_owned(),
            kind: kind.to_owned(),
            vm,
            state: OperationState::Running,
            error: None,
            started_at: handle.inner.started_at,
            ended_at: None,
        };
        self.store.operations().insert(row).await?;
        lock(&self.live)
            .by_id
            .insert(handle.id().to_owned(), handle.clone());
        self.running.send_modify(|count| *count += 1);
        handle.push(Event::Started {
            operation: handle.id().to_owned(),
        });
        self.tell(&handle);
        Ok(handle)
    }

    /// Ends an operation: row first, then the event that readers wait for.
    pub(crate) async fn end(&self, handle: &OperationHandle, outcome: Result<Option<api::Vm>, &EngineError>) {
        let (state, event) = match outcome {
            Ok(vm) => (
                OperationState::Succeeded,
                Event::Succeeded { vm: vm.map(Box::new) },
            ),
            Err(EngineError::Cancelled) => (OperationState::Cancelled, Event::Cancelled),
            Err(error) => {
                tracing::warn!(operation = handle.id(), error = %one_line(error), "failed");
                let mut told = error.to_api();
                told.operation = Some(handle.id().to_owned());
                (OperationState::Failed, Event::Failed { error: told })
            }
        };
        let error = match &event {
            Event::Failed { error } => serde_json::to_string(error).ok(),
            _ => None,
        };
        let ended_at = Timestamp::now();
        self.record_end(handle.id(), state, error, ended_at).await;
        lock(&handle.inner.log).ended_at = Some(ended_at);
        handle.push(event);
        self.tell(handle);
        let mut live = lock(&self.live);
        live.ended.push_back(handle.id().to_owned());
        if live.ended.len() > KEPT_ENDED
            && let Some(oldest) = live.ended.pop_front()
        {
            live.by_id.remove(&oldest);
        }
        drop(live);
        self.running.send_modify(|count| *count -= 1);
        crate::memory::give_back();
    }

    /// Records an end; where the store fails, as soon as that works again.
    async fn record_end(&self, id: &str, state: OperationState, error: Option<String>, ended_at: Timestamp) {
        let rows = self.store.operations();
        let Err(failure) = rows.finish(id, state, error.clone(), ended_at).await else {
            return;
        };
        tracing::error!(operation = id, error = %failure, "cannot record the end of an operation; trying on");
        let id = id.to_owned();
        tokio::spawn(async move {
            let mut rest = AGAIN;
            // Until it is recorded, also by the next daemon.
            while let Err(error) = rows.finish(&id, state, error.clone(), ended_at).await
                && !matches!(
                    error,
                    store::StoreError::NotFound { .. } | store::StoreError::Closed
                )
            {
                tokio::time::sleep(rest).await;
                rest = (rest * 2).min(LONGEST);
            }
        });
    }

    fn tell(&self, handle: &OperationHandle) {
        let operation = handle.view();
        self.notices.tell(Happening::Operation { operation });
    }

    /// The operation of that id, as long as its events are kept.
    ///
    /// # Errors
    /// [`EngineError::OperationNotFound`].
    pub fn get(&self, id: &str) -> Result<OperationHandle, EngineError> {
        lock(&self.live)
            .by_id
            .get(id)
            .cloned()
            .ok_or_else(|| EngineError::OperationNotFound { id: id.to_owned() })
    }

    /// The operations whose events are kept, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<Operation> {
        let mut all: Vec<_> = lock(&self.live)
            .by_id
            .values()
            .map(OperationHandle::view)
            .collect();
        all.sort_by(|a, b| (a.started_at, &a.id).cmp(&(b.started_at, &b.id)));
        all
    }

    /// How many operations are under way, and a way to wait for a change.
    #[must_use]
    pub fn running(&self) -> watch::Receiver<usize> {
        self.running.subscribe()
    }
}

impl OperationHandle {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// What it does: `create`, `start`, `stop`, `restart`, `kill`, `set`, `delete`; `reboot` where the guest did.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.inner.kind
    }

    /// Asks it to stop and take back what it did. It ends by itself then.
    pub fn cancel(&self) {
        self.inner.cancel.cancel();
    }

    /// Cancels it since the disk has too little room: what it would keep for another try goes, too.
    pub(crate) fn give_up_for_room(&self) {
        self.inner.out_of_room.store(true, Ordering::Release);
        self.cancel();
    }

    /// Whether that is why it was cancelled.
    pub(crate) fn is_out_of_room(&self) -> bool {
        self.inner.out_of_room.load(Ordering::Acquire)
    }

    pub(crate) fn cancellation(&self) -> &CancellationToken {
        &self.inner.cancel
    }

    pub(crate) fn warn(&self, message: impl Into<String>) {
        self.push(Event::Warning {
            message: message.into(),
        });
    }

    /// Says how long a step took.
    pub(crate) fn timing(&self, step: &str, took: Duration) {
        self.push(Event::Timing {
            name: step.to_owned(),
            elapsed_ms: in_milliseconds(took),
        });
    }

    /// Begins a stage; it ends as done by [`Stage::done`], as failed when dropped before.
    pub(crate) fn stage(&self, name: &'static str, detail: impl Into<String>) -> Stage {
        let stage = Stage {
            operation: self.clone(),
            name,
            detail: detail.into(),
            since: Instant::now(),
            open: true,
        };
        stage.report(StageState::Running, &stage.detail, None, None);
        stage
    }

    pub(crate) fn push(&self, event: Event) {
        let mut log = lock(&self.inner.log);
        // Progress of one stage replaces what it said before: the log stays small however long a stage takes.
        if let (
            Some((
                _,
                Event::Stage {
                    name: last,
                    state: StageState::Running,
                    ..
                },
            )),
            Event::Stage { name, .. },
        ) = (log.events.back(), &event)
            && last == name
        {
            log.events.pop_back();
        }
        let seq = log.next;
        log.next += 1;
        log.events.push_back((seq, event));
        drop(log);
        self.inner.changed.send_replace(seq);
    }

    /// The operation as the API shows it.
    #[must_use]
    pub fn view(&self) -> Operation {
        let log = lock(&self.inner.log);
        let (state, error) = match log.events.back() {
            Some((_, Event::Succeeded { .. })) => (OperationState::Succeeded, None),
            Some((_, Event::Failed { error })) => (OperationState::Failed, Some(error.clone())),
            Some((_, Event::Cancelled)) => (OperationState::Cancelled, None),
            _ => (OperationState::Running, None),
        };
        Operation {
            id: self.inner.id.clone(),
            kind: self.inner.kind.to_owned(),
            vm: log.vm.clone(),
            state,
            started_at: self.inner.started_at,
            ended_at: log.ended_at,
            error,
        }
    }

    /// A reader of the events from the first one on.
    #[must_use]
    pub fn events(&self) -> Events {
        Events {
            operation: self.clone(),
            changed: self.inner.changed.subscribe(),
            after: 0,
            ended: false,
        }
    }

    /// Waits for the end and gives the VM after it.
    ///
    /// # Errors
    /// What the operation failed with.
    pub async fn wait(&self) -> Result<Option<api::Vm>, api::ApiError> {
        let mut events = self.events();
        while let Some(event) = events.next().await {
            match event {
                Event::Succeeded { vm } => return Ok(vm.map(|vm| *vm)),
                Event::Failed { error } => return Err(error),
                Event::Cancelled => return Err(EngineError::Cancelled.to_api()),
                _ => {}
            }
        }
        Err(EngineError::Internal("an operation ended without saying how".into()).to_api())
    }
}

/// A reader of one operation's events.
#[derive(Debug)]
pub struct Events {
    operation: OperationHandle,
    changed: watch::Receiver<u64>,
    after: u64,
    ended: bool,
}

impl Events {
    /// The next event; `None` after the last.
    pub async fn next(&mut self) -> Option<Event> {
        while !self.ended {
            self.changed.borrow_and_update();
            let next = {
                let log = lock(&self.operation.inner.log);
                log.events.iter().find(|(seq, _)| *seq > self.after).cloned()
            };
            if let Some((seq, event)) = next {
                self.after = seq;
                self.ended = event.is_end();
                return Some(event);
            }
            self.changed.changed().await.ok()?;
        }
        None
    }
}

/// One stage of an operation, from its beginning to its end.
#[derive(Debug)]
pub(crate) struct Stage {
    operation: OperationHandle,
    name: &'static str,
    detail: String,
    since: Instant,
    open: bool,
}

impl Stage {
    /// Says how far it is.
    pub(crate) fn progress(&self, detail: &str, done: Option<u64>, total: Option<u64>) {
        self.report(StageState::Running, detail, done, total);
    }

    /// Says a line that the user should read, and the daemon's log keeps.
    pub(crate) fn warn(&self, line: &str) {
        tracing::warn!(operation = self.operation.id(), "{line}");
        self.operation.warn(line);
    }

    /// Ends it well.
    pub(crate) fn done(mut self, detail: &str) {
        self.open = false;
        self.report(StageState::Done, detail, None, None);
    }

    fn report(&self, state: StageState, detail: &str, done: Option<u64>, total: Option<u64>) {
        self.operation.push(Event::Stage {
            name: self.name.to_owned(),
            state,
            detail: detail.to_owned(),
            done,
            total,
            elapsed_ms: in_milliseconds(self.since.elapsed()),
        });
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if self.open {
            self.report(StageState::Failed, &self.detail, None, None);
        }
    }
}

fn in_milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Locks a mutex whose holders cannot panic while they hold it.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
