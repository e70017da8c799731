//! Probes: everything a program of the client might try, to see what of it
//! gets out.

mod kind;
mod payload;
mod prober;
mod shot;

pub use kind::Kind;
pub use prober::{Attempts, Plan, Prober};
