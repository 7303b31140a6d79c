//! The link to a running guest's agent: kept up by a task of its own for as long as the machine lives.
//!
//! A link that breaks (the guest rebooted, the agent was restarted) is made anew. A guest that has no identity
//! yet gets it here, after a cold boot, a reboot and a restore alike.

use std::sync::Arc;
use std::time::{Duration, Instant};

use guest::{Agent, Channel, Configure, Shutdown};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::clock::ClockCheck;
use crate::EngineError;
use crate::error::one_line;
use crate::identity::Identity;
use crate::memory;

/// How long one answer of the agent may take while the link is made.
const ANSWER: Duration = Duration::from_secs(10);
/// Pause between two tries.
const RETRY: Duration = Duration::from_millis(30);
/// A link that broke sooner is made again later each time, up to the same: an agent that does nothing but break links, or
/// say another boot id on each, is not to keep the daemon busy.
const STEADY: Duration = Duration::from_secs(2);

/// What is known of the link.
#[derive(Clone, Debug, Default)]
pub(crate) struct LinkState {
    /// The agent, while it answers.
    pub(crate) agent: Option<Agent>,
    /// When the guest's clock is looked at next.
    pub(crate) clock: Arc<ClockCheck>,
    /// The boot that it answered from last.
    pub(crate) boot_id: Option<String>,
    /// What the guest of that boot said it was about to end with, and when.
    pub(crate) word: Option<(Shutdown, Instant)>,
    /// Why the last try failed.
    pub(crate) trouble: Option<String>,
}

/// A link; dropping it ends its task.
#[derive(Debug)]
pub(crate) struct Link {
    state: watch::Receiver<LinkState>,
    task: AbortHandle,
}

impl Link {
    /// Begins to keep up a link over `channel`.
    pub(crate) fn keep(channel: vmm::Channel, identity: Identity) -> Self {
        let (sender, state) = watch::channel(LinkState::default());
        let channel = match channel {
            vmm::Channel::VirtioSerial { socket } => Channel::VirtioSerial { socket },
            vmm::Channel::Vsock { socket } => Channel::Vsock { socket },
        };
        let task = tokio::spawn(keep_up(channel, identity, sender)).abort_handle();
        Self { state, task }
    }

    /// Follows the link's state.
    pub(crate) fn state(&self) -> watch::Receiver<LinkState> {
        self.state.clone()
    }

    /// What the guest said it was about to end with.
    pub(crate) fn word(&self) -> Option<Shutdown> {
        self.state.borrow().word.map(|(how, _)| how)
    }

    /// Whether something is carried over it.
    pub(crate) fn is_used(&self) -> bool {
        let state = self.state.borrow();
        state
            .agent
            .as_ref()
            .is_some_and(|agent| agent.activity().open > 0)
    }

    /// The agent as soon as it answers.
    pub(crate) async fn agent(&self) -> Result<(Agent, String), EngineError> {
        let mut state = self.state();
        loop {
            if let LinkState {
                agent: Some(agent),
                boot_id: Some(boot_id),
                ..
            } = &*state.borrow_and_update()
            {
                return Ok((agent.clone(), boot_id.clone()));
            }
            state
                .changed()
                .await
                .map_err(|_| EngineError::Internal("the link's task ended".into()))?;
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep_up(channel: Channel, identity: Identity, state: watch::Sender<LinkState>) {
    let mut rest = RETRY;
    loop {
        match make(&channel, &identity).await {
            Ok((agent, boot_id)) => {
                let made = Instant::now();
                state.send_modify(|state| {
                    let same = state.boot_id.as_ref() == Some(&boot_id);
                    *state = LinkState {
                        agent: Some(agent.clone()),
                        clock: Arc::default(),
                        boot_id: Some(boot_id),
                        word: state.word.filter(|_| same),
                        trouble: None,
                    };
                });
                tokio::select! {
                    () = agent.closed() => {}
                    () = hear(&agent, &state) => agent.closed().await,
                }
                tracing::debug!(
                    vm = identity.name(),
                    "the link to the agent broke; making it anew"
                );
                state.send_modify(|state| state.agent = None);
                drop(agent);
                memory::give_back();
                rest = match made.elapsed() < STEADY {
                    true => (rest * 2).min(STEADY),
                    false => RETRY,
                };
            }
            Err(error) => {
                let trouble = one_line(&error);
                tracing::debug!(vm = identity.name(), %trouble, "no link to the agent yet");
                state.send_if_modified(|state| {
                    let changed = state.trouble.as_ref() != Some(&trouble);
                    state.trouble = Some(trouble);
                    changed
                });
            }
        }
        tokio::time::sleep(rest).await;
    }
}

/// Takes the guest's last word, once. An agent that does not know the question, or answers it with nonsense, has none.
async fn hear(agent: &Agent, state: &watch::Sender<LinkState>) {
    if let Ok(how) = agent.shutdown().await {
        state.send_modify(|state| {
            state.word.get_or_insert((how, Instant::now()));
        });
        // It waits for this; that it has gone on is as well.
        let _ = agent.saw_shutdown().await;
    }
}

async fn make(channel: &Channel, identity: &Identity) -> Result<(Agent, String), EngineError> {
    // No bound here: a guest takes as long to boot as it takes, and whoever waits for it has a deadline.
    let agent = Agent::connect(channel).await.map_err(EngineError::Agent)?;
    let health = answer(agent.health()).await?;
    if !health.configured {
        let settings: Configure = identity.configure()?;
        answer(agent.configure(&settings)).await?;
    }
    Ok((agent, health.boot_id))
}

async fn answer<T>(call: impl Future<Output = Result<T, guest::AgentError>>) -> Result<T, EngineError> {
    match tokio::time::timeout(ANSWER, call).await {
        Ok(outcome) => outcome.map_err(EngineError::Agent),
        Err(_) => Err(EngineError::AgentSilent {
            waited: ANSWER,
            console: None,
        }),
    }
}
