//! The resolver of vpnm as a state machine: messages, cache, upstream choice, recovery.
//!
//! Nothing here opens a socket, reads a clock or draws randomness. The shell hands
//! in queries, answers, connection events and the time; the core hands back
//! answers and actions (dial, send, ping, close). After any `handle_*` drain
//! [`Resolver::poll_answer`] and [`Resolver::poll_action`], then sleep until
//! [`Resolver::poll_timeout`].
//!
//! Layers, bottom up: [`wire`] walks untrusted messages without allocating;
//! the cache keeps responses in wire form; the exchanges coalesce identical
//! queries and give each its deadline; the upstreams choose a connection, notice
//! a dead one by the first late answer, and race a new one against it.

#![forbid(unsafe_code)]

mod cache;
mod exchange;
mod fleet;
mod link;
mod locality;
mod resolver;
mod reverse;
mod round_trip;
mod sieve;
mod special;
mod upstream;
pub mod wire;

pub use exchange::ExchangeId;
pub use fleet::Action;
pub use link::LinkId;
pub use locality::{LocalDomains, Locality};
pub use resolver::{
    Answer, Carriage, Config, LocalId, LocalQuery, Path, Resolver, Statistics, Wake,
};
pub use reverse::ReverseMap;
pub use upstream::UpstreamId;
