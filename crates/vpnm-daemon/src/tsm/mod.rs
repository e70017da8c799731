//! The tunnel state machine: decides what is done next, does nothing itself.
//!
//! It is level-triggered. Events change what is wanted ([`Record`]) or what is
//! known (`Facts`); after each of them the machine compares the two and orders
//! the one next effect of each lane. What order things must happen in is therefore
//! not a script but conditions: nothing is blocked before it is remembered, no
//! interface before the block, no engine before the interface, no traffic into
//! the tunnel before an answer came back through it. The same comparison serves
//! a command, a crash, a change by others and a restart.
//!
//! Two lanes run at the same time: `host` (the journal and the kernel) and
//! `engine` (the data plane, whose effects can take seconds). Each carries out
//! one effect at a time, so that a foreign change is repaired while a server is
//! slow to answer.
//!
//! ```text
//! Disconnected ─connect▶ Connecting ─verified▶ Connected ─lost▶ Reconnecting
//!      ▲                     │ failed              │  ▲              │
//!      │                     ▼                     │  └──verified────┘
//!      └── Disconnecting ◀─ Blocked ◀──lockdown────┘
//! ```
//!
//! Contract of the caller: carry out every [`Output::Run`] and report it with
//! [`Event::Done`] under its ticket, exactly once, also when it failed; a new order
//! in a lane means that the effect running there is to be aborted. Call
//! [`Machine::step`] with [`Event::Timer`] no later than [`Machine::poll_timeout`].

mod command;
mod complete;
mod decide;
mod effect;
mod event;
mod facts;
mod holes;
mod lanes;
mod loss;
mod machine;
mod moment;
mod record;
mod retry;
mod view;
mod waiting;

#[cfg(test)]
mod tests;

pub use effect::{Effect, HostWant, Lane};
pub use event::{Command, CommandId, Event, Outcome, Output, Ticket};
pub use holes::Holes;
pub use machine::{Config, Loaded, Machine};
pub use moment::Moment;
pub use record::Record;
