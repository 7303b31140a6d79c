//! The frame filter: a process of ours between VMM, passt and relay, in a network of its own without anything in it. It
//! judges what a guest sends, gives passt the connections and the relay the datagrams, and tells the guest of the rest.

pub(crate) mod answers;
pub(crate) mod carry;
mod frames;
mod handover;
mod judge;
mod neighbours;
mod refusal;
mod repeats;
