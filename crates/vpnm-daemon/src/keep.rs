//! What outlives the daemon: the TUN, in the service manager's store.
//!
//! With it the interface stays while one daemon is dead and the next has not begun:
//! what was led into it waits there. Without a service manager nothing is kept, the
//! interface goes with the daemon and the block remains.

use std::io;
use std::os::fd::OwnedFd;

use anyd::systemd;
use vpnm_host::tun;

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

/// Empties the store, and closes what was not taken out of it: the interface is to go.
pub(crate) fn forget() {
    drop(systemd::stored_fds());
    report(systemd::remove_fd(TUN));
}

fn report(told: io::Result<bool>) {
    if let Err(error) = told {
        tracing::warn!(%error, "the service manager's store cannot be used");
    }
}
