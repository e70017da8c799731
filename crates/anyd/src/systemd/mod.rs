//! What a service manager offers, without a library of its own: sockets it has
//! opened, the notifications it waits for, its watchdog, its store of
//! descriptors (sd_listen_fds(3), sd_notify(3)). Everything does nothing
//! where there is no service manager.
//!
//! [`Daemon::run`](crate::Daemon::run) takes a socket that the manager passes,
//! says READY and STOPPING, and feeds the watchdog by itself. The store keeps
//! what must survive the daemon:
//!
//! ```no_run
//! # fn open_tun() -> std::io::Result<std::os::fd::OwnedFd> { Ok(std::fs::File::open("/dev/net/tun")?.into()) }
//! # fn main() -> std::io::Result<()> {
//! let tun = match anyd::systemd::stored_fd("tun") {
//!     Some(tun) => tun, // of the daemon before us
//!     None => {
//!         let tun = open_tun()?;
//!         anyd::systemd::store_fd("tun", &tun)?;
//!         tun
//!     }
//! };
//! # Ok(())
//! # }
//! ```

mod inherited;
mod notify;

#[cfg(feature = "server")]
pub(crate) use inherited::take_listener;
pub use inherited::{stored_fd, stored_fds};
#[cfg(feature = "server")]
pub(crate) use notify::{alive, watchdog};
pub use notify::{barrier, notify, ready, reloading, remove_fd, status, stopping, store_fd};
