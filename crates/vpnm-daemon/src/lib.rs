//! The control plane of vpnm: tunnel state machine, journal, supervisor.
//!
//! [`run`] is the daemon: it reads the [`journal`], secures the machine if it is
//! to be secured, starts the engine, and answers clients on `/run/vpnm/vpnmd.sock`
//! until it is told to end. What is decided is decided in [`tsm`], which is pure;
//! everything else here carries out and reports.
//!
//! ```text
//!  clients ─▶ service ─▶ ┌───────┐ ─ effects ─▶ host_lane ─▶ journal, vpnm-host
//!                        │ actor │                (a thread)
//!  kernel ─▶ reconcile ─▶│  tsm  │ ─ effects ─▶ engine ─▶ the data plane's process
//!                        └───────┘ ◀─ outcomes, exits, health ─┘
//! ```
//!
//! The daemon parses no byte that came from the network: the engine does, in a
//! process without rights, and what it says is typed and bounded.

mod actor;
mod cause;
mod checks;
mod cleanup;
mod clock;
mod crc32;
mod daemon;
mod engine;
mod error;
mod failpoint;
mod host_lane;
pub mod journal;
mod keep;
pub mod leak;
mod lock;
mod options;
mod permitted;
mod pulse;
mod reconcile;
mod redirect;
mod request;
mod resolver_lane;
mod service;
pub mod settings;
mod start;
pub mod tsm;
mod uplink;

pub use cleanup::{CleanupError, cleanup};
pub use daemon::{block, run};
pub use error::DaemonError;
pub use keep::{HoldError, hold_filter};
pub use lock::LockError;
pub use options::Options;
