//! What happens to VMs and operations, told to whoever listens. Nobody who tells ever waits for a listener.

use std::sync::Arc;

use api::{Happening, Notice};
use jiff::Timestamp;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Receiver, Sender};

/// How many notices are kept for those that are behind; they share them.
const KEPT: usize = 256;

/// Where notices are told. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Notices(Sender<Arc<Notice>>);

impl Default for Notices {
    fn default() -> Self {
        Self(Sender::new(KEPT))
    }
}

impl Notices {
    pub(crate) fn tell(&self, what: Happening) {
        // Nobody may listen.
        let _ = self.0.send(Arc::new(now(what)));
    }

    pub(crate) fn listen(&self) -> Listener {
        Listener {
            notices: self.0.subscribe(),
            begun: false,
        }
    }
}

fn now(what: Happening) -> Notice {
    Notice {
        at: Timestamp::now(),
        what,
    }
}

/// One who listens: hears [`Happening::Listening`] first, then all there is.
#[derive(Debug)]
pub struct Listener {
    notices: Receiver<Arc<Notice>>,
    begun: bool,
}

impl Listener {
    /// The next notice; [`Happening::Missed`] in the place of those that were dropped since the last call.
    pub async fn next(&mut self) -> Option<Arc<Notice>> {
        if !self.begun {
            self.begun = true;
            return Some(Arc::new(now(Happening::Listening)));
        }
        match self.notices.recv().await {
            Ok(notice) => Some(notice),
            Err(RecvError::Lagged(lines)) => Some(Arc::new(now(Happening::Missed { lines }))),
            Err(RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deleted(number: usize) -> Happening {
        Happening::VmDeleted {
            id: number.to_string(),
            name: "a".into(),
        }
    }

    #[tokio::test]
    async fn a_listener_that_is_behind_is_told_how_much_it_missed_and_goes_on() {
        let notices = Notices::default();
        let mut slow = notices.listen();
        assert_eq!(slow.next().await.unwrap().what, Happening::Listening);
        for number in 0..KEPT + 100 {
            notices.tell(deleted(number));
        }
        assert_eq!(slow.next().await.unwrap().what, Happening::Missed { lines: 100 });
        for number in 100..KEPT + 100 {
            assert_eq!(slow.next().await.unwrap().what, deleted(number));
        }
        notices.tell(deleted(7));
        assert_eq!(slow.next().await.unwrap().what, deleted(7));
    }

    #[tokio::test]
    async fn what_happens_between_the_beginning_and_the_first_line_is_told() {
        let notices = Notices::default();
        notices.tell(deleted(1));
        let mut listener = notices.listen();
        notices.tell(deleted(2));
        assert_eq!(listener.next().await.unwrap().what, Happening::Listening);
        assert_eq!(listener.next().await.unwrap().what, deleted(2));
        drop(notices);
        assert!(listener.next().await.is_none());
    }
}
