//! What outlives the daemon: the TUN and the socket that owns the packet filter.
//!
//! Both are in the service manager's store, where there is one. Without one the TUN
//! goes with the daemon and the block remains; the socket is held by a process that
//! does nothing else.

mod address;
mod filter;
mod keeper;
mod linux;
mod passing;
mod process;
mod store;
mod sys;
pub(crate) mod tun;
mod unit;

pub(crate) use filter::FilterKeep;
pub(crate) use linux::Linux;
pub use process::{HoldError, hold_filter};

use std::io;

/// Says that the service manager did not take what it was told.
fn report(told: io::Result<bool>) {
    if let Err(error) = told {
        tracing::warn!(%error, "the service manager's store cannot be used");
    }
}
