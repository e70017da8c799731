//! Packets, addresses, checksums and buffers.
//!
//! The bottom of the workspace: values that every other crate speaks in. Nothing
//! here performs IO, reads a clock or draws randomness.

#![forbid(unsafe_code)]

mod target;

pub use target::{Domain, Host, HostError, Target, TargetError};
