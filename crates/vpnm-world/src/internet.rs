//! The embedded internet.

mod authority;

pub use authority::{Authority, Identity};
