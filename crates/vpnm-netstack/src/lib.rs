//! User-space termination of IP, TCP, UDP and ICMP without any IO.
//!
//! A [`Stack`] is fed the packets of a link and the time, and says what happened and
//! what to send. Applications on the link believe to talk to whatever address they
//! chose; the user of the stack gets their bytes and decides where they really go.
//!
//! Connections are shaped for a link that is this machine's own memory: super-packets
//! in both directions, received bytes handed over in the buffer they arrived in, one
//! acknowledgement per batch. They survive the packets of other hosts, too, which get
//! lost and reordered: selective acknowledgements both ways, loss told from lateness by
//! time, congestion control, a bounded queue beyond holes.
//!
//! Everything is bounded: flows, half-open flows, what each of them buffers, all of
//! them together, fragments, and what waits for a link that takes nothing. Half-open flows
//! beyond their bound are served without being remembered (SYN cookies).

#![forbid(unsafe_code)]

mod config;
mod event;
mod fragment;
mod keyed_hash;
mod outbox;
mod packet;
mod path;
#[cfg(test)]
mod simulation;
mod slab;
mod stack;
mod table;
mod tcp;
mod timer;
mod udp;
mod wake;

pub use config::Config;
pub use event::{Cause, Echo, Event, FlowId, Received, Refusal, Sent, Taken};
pub use packet::{Ingress, Transmit};
pub use stack::Stack;
pub use wake::Wake;
