//! What the lab found, for people and for machines.

mod cell;
mod line;
mod service;
mod table;

pub use cell::{Cell, cells};
pub use line::{Compared, Line, attempted, json, leaked, unaccounted};
pub use service::{PAIRS, Service};
pub use table::table;
