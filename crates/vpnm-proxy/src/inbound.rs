//! The other end: servers that flows come out of.

mod egress;
mod relay;
pub mod vless;

pub use egress::{Direct, Egress, EgressFuture, NameFuture, Names};
