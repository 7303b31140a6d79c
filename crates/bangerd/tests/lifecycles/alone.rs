//! The life of a VM that one client alone works with: what it was told is held against what it finds.

use std::time::Instant;

use api::client::{Action, ClientError};
use api::{CreateVm, ErrorCode, KillSignal, SetVm, Vm, VmState};
use guest::frames::Exit;
use testkit::Dice;

use crate::host::{Host, PATIENCE, assert_free};
use crate::told::{Ran, Told, assert_explained, begin_and_watch, carry_out, run_command};

/// How many things are done to a VM before it is deleted, at most.
const ACTS: usize = 5;

/// Makes a VM, does things to it and deletes it.
pub async fn live(host: &Host, mut dice: Dice) {
    let number = host.number();
    let name = format!("own-{number}");
    let port = dice.once_in(4).then(|| host.own_port(number, dice.once_in(2)));
    let create = CreateVm {
        name: Some(name.clone()),
        start: !dice.once_in(4),
        publish: port.into_iter().collect(),
        ..CreateVm::default()
    };
    let mut one = Alone {
        host,
        dice,
        name,
        told: Vec::new(),
        left: false,
    };
    if !one.create(create).await {
        return;
    }
    for _ in 0..one.dice.below(ACTS) {
        one.act().await;
    }
    one.delete().await;
    if let Some(port) = port {
        for endpoint in port.endpoints() {
            assert_free(port.protocol == guest::Protocol::Udp, endpoint).await;
        }
    }
}

struct Alone<'a> {
    host: &'a Host,
    dice: Dice,
    name: String,
    /// What was done and what came of it, for the account of a failure.
    told: Vec<String>,
    /// Whether a client has left in the middle: its request lies in the daemon's socket, and may be carried out after
    /// those that came later.
    left: bool,
}

impl Alone<'_> {
    /// Whether there is, or may be, a VM to go on with.
    async fn create(&mut self, create: CreateVm) -> bool {
        let starts = create.start;
        match self.carry_out(Action::Create(Box::new(create))).await {
            Told::Done(vm) => {
                let vm = vm.expect("a VM that was made");
                if starts {
                    self.assert_runs(&vm).await;
                }
                true
            }
            Told::Refused(error) => {
                // What it refused, or took back, is not there, whether or not the daemon has died since.
                assert!(!self.there().await, "{} is there after {error:?}", self.name);
                false
            }
            Told::Lost => self.there().await,
        }
    }

    async fn act(&mut self) {
        let name = self.name.clone();
        let told = match self.dice.below(10) {
            0 | 1 => self.carry_out(Action::Start(name)).await,
            2 => self.carry_out(Action::Restart(name)).await,
            3 => self.carry_out(Action::Stop(name)).await,
            4 => {
                let signal = *self
                    .dice
                    .one_of(&[KillSignal::Kill, KillSignal::Term, KillSignal::Int]);
                self.carry_out(Action::Kill(name, signal)).await
            }
            5 => {
                let change = SetVm {
                    disk_size: Some((256 + 4 * self.dice.below(16) as u64) << 20),
                    ..SetVm::default()
                };
                self.carry_out(Action::Set(name, change)).await
            }
            6 => return self.leave_in_the_middle(Action::Restart(name)).await,
            7 => return self.leave_in_the_middle(Action::Start(name)).await,
            8 => return self.ask().await,
            _ => return self.run_command().await,
        };
        match told {
            Told::Done(vm) => {
                let vm = vm.expect("a VM that nobody has deleted");
                if vm.state == VmState::Running && self.dice.once_in(2) {
                    self.assert_runs(&vm).await;
                }
            }
            Told::Refused(error) => self.assert_not_lost(&error),
            Told::Lost => {}
        }
    }

    async fn carry_out(&mut self, action: Action) -> Told {
        let client = self.host.client().await;
        let told = match self.dice.once_in(3) {
            true => begin_and_watch(self.host, &client, &action).await,
            false => carry_out(self.host, &client, &action).await,
        };
        let verb = format!("{action:?}");
        let verb = verb.split('(').next().unwrap_or_default();
        self.host.tally.count(match &told {
            Told::Done(_) => format!("{verb}: done"),
            Told::Refused(error) => format!("{verb}: {:?}", error.code),
            Told::Lost => format!("{verb}: the daemon died"),
        });
        self.told.push(format!("{action:?}: {told:?}"));
        told
    }

    /// Begins something and goes away: what was begun goes on, or is taken back.
    async fn leave_in_the_middle(&mut self, action: Action) {
        let client = self.host.client().await;
        let after = self.dice.millis(0..60);
        self.left = true;
        let _ = tokio::time::timeout(after, carry_out(self.host, &client, &action)).await;
        self.host.tally.count("clients that left in the middle");
        self.told.push(format!("{action:?}: left after {after:?}"));
    }

    async fn ask(&mut self) {
        let client = self.host.client().await;
        let answer = match self.dice.below(4) {
            0 => client.vm(&self.name).await.map(drop),
            1 => client.vms().await.map(drop),
            2 => client.stats(&self.name).await.map(drop),
            _ => client.ping(&self.name).await.map(drop),
        };
        match answer {
            Ok(()) => {}
            Err(ClientError::Api(error)) => {
                assert_explained(&error);
                self.assert_not_lost(&error);
            }
            Err(error) => self.host.assert_gone(&error),
        }
    }

    async fn run_command(&mut self) {
        match run_command(self.host, &self.name, &self.name).await {
            Ran::Ended(output, exit) => {
                assert_eq!(String::from_utf8_lossy(&output), format!("{}\n", self.name));
                assert_eq!(exit, Exit::Code(3));
                self.host.tally.count("commands that ran");
            }
            Ran::Refused(error) => self.assert_not_lost(&error),
            Ran::Broke => {}
        }
    }

    /// A VM that is said to run runs commands, until its machine dies.
    async fn assert_runs(&mut self, vm: &Vm) {
        assert!(vm.pid.is_some() || vm.state != VmState::Running, "{vm:?}");
        self.run_command().await;
        let since = Instant::now();
        loop {
            match self.host.client().await.vm(&self.name).await {
                // Its machine has just ended, and is being cleared away.
                Ok(now) if now.state == VmState::Running && now.pid.is_none() => {}
                Ok(now) if now.state == VmState::Running => {
                    let same = self.left || now.boot_id == vm.boot_id;
                    return assert!(same, "nobody has started it, {vm:?} {now:?}: {:#?}", self.told);
                }
                Ok(now) => {
                    let off = matches!(now.state, VmState::Stopped | VmState::Created | VmState::Error);
                    return assert!(off || self.left, "nobody works on {now:?}: {:#?}", self.told);
                }
                Err(ClientError::Api(error)) => return self.assert_not_lost(&error),
                Err(error) => return self.host.assert_gone(&error),
            }
            assert!(since.elapsed() < PATIENCE, "{} runs without a machine", self.name);
        }
    }

    /// What was told to exist does, until its deletion is asked for.
    fn assert_not_lost(&self, error: &api::ApiError) {
        assert_ne!(
            error.code,
            ErrorCode::VmNotFound,
            "{} was made and is gone: {:#?}",
            self.name,
            self.told
        );
    }

    async fn there(&self) -> bool {
        loop {
            match self.host.client().await.vm(&self.name).await {
                Ok(_) => return true,
                Err(ClientError::Api(error)) if error.code == ErrorCode::VmNotFound => return false,
                Err(error) => self.host.assert_gone(&error),
            }
        }
    }

    /// Deletes it, again and again where the daemon dies.
    async fn delete(&mut self) {
        let since = Instant::now();
        let mut asked = false;
        loop {
            match self.carry_out(Action::Delete(self.name.clone())).await {
                Told::Done(_) => break,
                Told::Refused(error) if error.code == ErrorCode::VmNotFound => {
                    assert!(asked, "{} was made and is gone: {:#?}", self.name, self.told);
                    break;
                }
                // By chance: nothing was done.
                Told::Refused(error) if error.code == ErrorCode::Internal => {}
                Told::Refused(error) => panic!("{} cannot be deleted: {error:?}", self.name),
                Told::Lost => asked = true,
            }
            assert!(since.elapsed() < PATIENCE, "{} cannot be deleted", self.name);
        }
        assert!(!self.there().await, "{} is there after its deletion", self.name);
    }
}
