//! Packets, addresses, checksums and buffers.
//!
//! The bottom of the workspace: values that every other crate speaks in. Nothing
//! here performs IO, reads a clock or draws randomness.

#![forbid(unsafe_code)]

mod buffer;
mod datagrams;
mod target;
mod vnet;

pub use buffer::{Buffer, BufferPool, Chunk, LARGE, SMALL};
pub use datagrams::Datagrams;
pub use target::{Domain, Host, HostError, Target, TargetError};
pub use vnet::{ChecksumState, LENGTH as VNET_LENGTH, Segmentation, VnetHeader};
