//! The TUN, in the service manager's store.
//!
//! With it the interface stays while one daemon is dead and the next has not begun:
//! what was led into it waits there.

use std::os::fd::OwnedFd;

use anyd::systemd;
use vpnm_host::tun;

use super::report;

const TUN: &str = "tun";

/// Takes the TUN out of the store; `None` if there is none of use.
pub(crate) fn take(options: tun::Options) -> Option<OwnedFd> {
    match tun::adopt(systemd::stored_fd(TUN)?, options) {
        Ok(device) => {
            tracing::info!("the interface of the daemon before is taken over");
            Some(device.fd)
        }
        Err(error) => {
            tracing::warn!(%error, "the interface that was kept is of no use");
            forget();
            None
        }
    }
}

/// Puts the TUN into the store, as far as there is one.
pub(crate) fn store(tun: &OwnedFd) {
    // The store would keep another one of the same name beside the first.
    report(systemd::remove_fd(TUN).and_then(|_| systemd::store_fd(TUN, tun)));
}

/// Takes it out of the store and closes it: the interface is to go.
pub(crate) fn forget() {
    while systemd::stored_fd(TUN).is_some() {}
    report(systemd::remove_fd(TUN));
}
