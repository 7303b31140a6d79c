//! Watches the room on the host's disk while VMs run: those that write are paused below the reserve, and go on by
//! themselves when there is room again.
//!
//! ```text
//!  free ──────────────────────────────────────────────► 0
//!        looked at each second   more often │ reserve    │ half of it
//!                                 go on ◄───┤ pause      │ a VM that is being shut down is killed
//! ```
//!
//! A VM writes if its disk has grown on the host since the last look: what it writes over takes no room. Where that cannot
//! be said of the file system, it writes if it has changed its disk at all ([`rootfs::written`]).

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::future::join_all;
use rootfs::written::{self, Written};

use super::pause::FULL_DISK;
use super::{Shared, Task, layer_path, view};
use crate::room::Room;

/// Time between two looks where there is much room, and where there is none.
const SELDOM: Duration = Duration::from_secs(1);
const OFTEN: Duration = Duration::from_millis(50);
/// Bytes a second that guests together are expected to write at most: the closer the reserve, the sooner the next look.
const FASTEST: u64 = 4 << 30;
/// What has to be free beyond the reserve before VMs go on: this part of it, at most so much.
const BEYOND: u64 = 4;
const MOST_BEYOND: u64 = 256 << 20;

/// Begins to watch, for as long as there is something to watch.
pub(crate) fn watch(shared: &Arc<Shared>) {
    let shared = Arc::downgrade(shared);
    tokio::spawn(async move { look_again_and_again(&shared).await });
}

async fn look_again_and_again(shared: &Weak<Shared>) {
    let mut seen = HashMap::new();
    let mut rest = SELDOM;
    loop {
        tokio::time::sleep(rest).await;
        let Some(shared) = shared.upgrade() else { return };
        rest = look(&shared, &mut seen).await;
    }
}

/// Looks once; `seen` is how each VM's disk was the last time. Gives the time until the next look.
async fn look(shared: &Shared, seen: &mut HashMap<String, Written>) -> Duration {
    let running = shared.running();
    if running.is_empty() {
        seen.clear();
        return SELDOM;
    }
    let vms = shared.paths.vms();
    let room = shared.reserve.of(&vms);
    let mut now = HashMap::new();
    for (id, _) in &running {
        let disk = layer_path(&shared.paths.vm(id));
        now.insert(id.clone(), Written::of(&disk).unwrap_or_default());
    }
    if room.is_short() {
        let in_place = written::is_in_place(&vms);
        // Of one that is seen for the first time that is not known yet.
        let writes = |id: &str| Some(now.get(id)?.takes_room_since(*seen.get(id)?, in_place));
        let writers = running.iter().filter(|(id, _)| writes(id) == Some(true));
        join_all(writers.map(|(id, task)| hold(shared, id, task, room))).await;
    } else if room.free
        >= room
            .reserve
            .saturating_add((room.reserve / BEYOND).min(MOST_BEYOND))
    {
        let paused = running.iter().filter(|(_, task)| task.pause.reason().is_some());
        join_all(paused.map(|(id, task)| let_go(shared, id, task))).await;
    }
    *seen = now;
    next(room)
}

/// When the reserve could be reached at the earliest, and not too soon.
fn next(Room { free, reserve }: Room) -> Duration {
    let left = free.saturating_sub(reserve);
    Duration::from_secs_f64(left as f64 / FASTEST as f64).clamp(OFTEN, SELDOM)
}

/// Pauses a VM that writes; kills one that writes on while it is shut down, and takes what is left.
async fn hold(shared: &Shared, id: &str, task: &Task, room: Room) {
    let Some(machine) = task.live.borrow().machine.clone() else {
        return;
    };
    if task.pause.is_exempt() {
        if room.free < room.reserve / 2 {
            tracing::warn!(
                vm = id,
                free = room.free,
                "it fills the disk while it is shut down"
            );
            task.hurry.now();
        }
        return;
    }
    match task.pause.pause(&machine).await {
        Ok(true) => tell(shared, id, Some(FULL_DISK), room).await,
        Ok(false) => {}
        Err(error) => tracing::error!(vm = id, %error, "a VM that fills the disk cannot be paused"),
    }
}

async fn let_go(shared: &Shared, id: &str, task: &Task) {
    let Some(machine) = task.live.borrow().machine.clone() else {
        return;
    };
    match task.pause.resume(&machine).await {
        Ok(true) => {
            let room = shared.reserve.of(&shared.paths.vms());
            tell(shared, id, None, room).await;
        }
        Ok(false) => {}
        Err(error) => tracing::warn!(vm = id, %error, "a paused VM does not go on; trying again"),
    }
}

/// Those who listen hear of it as of a state.
async fn tell(shared: &Shared, id: &str, reason: Option<&str>, room: Room) {
    tracing::warn!(
        vm = id,
        free = room.free,
        reserve = room.reserve,
        paused = reason.is_some(),
        "room on the disk"
    );
    if let Ok(Some(mut row)) = shared.store.vms().get(id).await {
        row.reason = reason.map(str::to_owned);
        shared.notices.tell(view::happening(&row));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_look_is_the_sooner_the_less_room_there_is() {
        let after = |free| {
            next(Room {
                free,
                reserve: 1 << 30,
            })
        };
        assert_eq!(after(0), OFTEN);
        assert_eq!(after(1 << 30), OFTEN);
        assert_eq!(after(3 << 30), Duration::from_millis(500));
        assert_eq!(after(100 << 30), SELDOM);
        assert_eq!(
            next(Room {
                free: u64::MAX,
                reserve: 0
            }),
            SELDOM
        );
    }
}
