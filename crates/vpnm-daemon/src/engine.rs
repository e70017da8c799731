//! The engine's lane: the data plane's process, and what it is asked.
//!
//! The process is the daemon's own program, started as a user without rights
//! and with nothing but one end of a socket pair. It gets duplicates of the TUN
//! and of the listeners; the originals stay here, so that its death loses neither.

mod identity;
mod lane;
mod link;
mod log;
mod process;
mod sys;

pub(crate) use identity::Identity;
pub(crate) use lane::{EngineLane, Report};
pub(crate) use process::{spawn_as, spawn_to_stay};
