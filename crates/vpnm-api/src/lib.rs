//! The contract between vpnm, its daemon and its engine.
//!
//! Two interfaces: [`tunnel`] is what a program on this machine may ask of the
//! daemon, [`engine`] is what the daemon asks of the data plane it started. Every
//! parameter is valid by construction: a value that reaches a handler has passed
//! its `TryFrom`. Names in the serialised form are stable; one that changed its
//! meaning would take another interface.
//!
//! Nothing here performs IO or reads a clock.

#![forbid(unsafe_code)]

pub mod engine;
mod failure;
pub mod leak_check;
mod note;
mod server;
mod server_name;
mod share_link;
mod state;
mod status;
pub mod tunnel;
mod unkept;
mod upstream;

pub use failure::{Code, Failure};
pub use note::Note;
pub use server::Server;
pub use server_name::{ServerName, ServerNameError};
pub use share_link::ShareLink;
pub use state::{Connected, State, Step};
pub use status::{Goal, Repairs, Status, Traffic, Verified};
pub use unkept::Unkept;
pub use upstream::{Upstream, UpstreamError, UpstreamPath};

pub use vpnm_profile::{LinkError, Profile};
pub use vpnm_wire::{Domain, Host, Target};
