//! User-space termination of IP, TCP, UDP and ICMP without any IO.

#![forbid(unsafe_code)]

mod config;
mod event;
mod packet;
mod stack;

pub use config::Config;
pub use event::{Cause, Echo, Event, FlowId, Received, Refusal, Sent, Taken};
pub use packet::{Ingress, Transmit};
pub use stack::{Stack, Wake};
