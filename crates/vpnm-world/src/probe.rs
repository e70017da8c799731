//! Probes: everything a program of the client might try, to see what of it
//! gets out.

mod class;
mod kind;
mod payload;
mod prober;
mod shot;
mod uplinks;

pub use class::Class;
pub use kind::Kind;
pub use prober::{Attempts, Plan, Prober};
