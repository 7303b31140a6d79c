//! An Ethernet card for a process that is in a network of its own, and the far end of its wire for another one.
//!
//! ```text
//!  the process's own network namespace
//!    vm0 ── bridge ── out0 ··· descriptor ···▶ whoever holds the other end of a socket
//!     ▲
//!    attached by name, without any right: `TUNSETOWNER` says whose it is
//! ```
//!
//! Made by the child between fork and exec, while it still has the rights to its own namespaces: so it takes no root,
//! nobody ever enters a namespace that is there already, and all of it is gone with the last process that uses it.
//! Nothing of it can be seen on the host.
//!
//! The bridge knows no addresses and learns none: what comes in on one side goes out on the other. It is there for
//! what a VMM leaves to the kernel, since a card may hand over segments of 64 KiB without checksums; the far end
//! is of a card that does neither, so the kernel cuts and sums on the way to it.

mod lay;
mod messages;

use std::os::fd::OwnedFd;

pub(crate) use lay::lay;
use messages::{Message, joining};

use crate::Refusal;
use crate::confine::Broken;

/// What the process finds its card by.
pub const CARD: &str = "vm0";

/// Which part of the work failed, as the child tells it.
pub(crate) const FIRST_PART: u32 = 1 << 16;
const DEVICE: u32 = FIRST_PART;
const MAKE: u32 = FIRST_PART + 1;
const JOIN: u32 = FIRST_PART + 2;
const HAND_OVER: u32 = FIRST_PART + 3;

/// A card and its wire, to be laid for a program that is started: [`crate::Launch::wire`].
#[derive(Debug)]
pub struct Wire {
    to: OwnedFd,
    mtu: u32,
    owner: Option<u32>,
}

impl Wire {
    /// One whose far end is sent over the Unix socket `to`, in one message of one byte with two descriptors: that of a
    /// tap without offloads and without a header before its frames (non-blocking), and one of the process (a pidfd),
    /// by which the receiver sees its end. `mtu` is the longest packet in bytes.
    pub fn new(to: OwnedFd, mtu: u32) -> Self {
        Self { to, mtu, owner: None }
    }

    /// Lets that user attach the card, for a program that changes its user itself. By default it is who a confined
    /// process becomes.
    #[must_use]
    pub fn owned_by(self, user: u32) -> Self {
        Self {
            owner: Some(user),
            ..self
        }
    }
}

/// A wire made ready for the child, which can neither allocate nor look anything up.
#[derive(Debug)]
pub(crate) struct WirePlan {
    pub(crate) to: OwnedFd,
    owner: Option<u32>,
    messages: Vec<Message>,
}

impl WirePlan {
    pub(crate) fn new(wire: Wire) -> Self {
        Self {
            to: wire.to,
            owner: wire.owner,
            messages: joining(wire.mtu),
        }
    }

    /// What the child tells, as an error.
    pub(crate) fn refusal(part: u32, source: std::io::Error) -> Refusal {
        let step = match part {
            DEVICE => "open /dev/net/tun",
            MAKE => "make a network card",
            JOIN => "join two network cards",
            _ => "hand a network card over",
        };
        Refusal {
            step: step.into(),
            source,
        }
    }
}
