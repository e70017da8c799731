//! What outlives the daemon: the TUN and the listeners beside it, in the service
//! manager's store.
//!
//! With it the interface stays while one daemon is dead and the next has not begun:
//! what was led into it waits there. Without a service manager nothing is kept, the
//! interface goes with the daemon and the block remains.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use anyd::systemd;
use vpnm_host::tun;

use crate::redirect::Redirect;

const TUN: &str = "tun";
/// The listeners in their order: UDP and TCP on 127.0.0.1, then on `::1`.
const LISTENERS: [&str; 4] = ["dns-udp4", "dns-tcp4", "dns-udp6", "dns-tcp6"];

/// What the daemon before this one left.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) tun: OwnedFd,
    pub(crate) redirect: Redirect,
}

/// Takes it out of the store; `None` if there is nothing of use.
pub(crate) fn take(options: tun::Options) -> Option<Kept> {
    let fd = systemd::stored_fd(TUN);
    let listeners = LISTENERS.into_iter().map_while(systemd::stored_fd);
    let redirect = Redirect::adopt(listeners.collect());
    let device = fd.map(|fd| tun::adopt(fd, options));
    match (device, redirect) {
        (Some(Ok(device)), Some(redirect)) => {
            tracing::info!("the interface of the daemon before is taken over");
            Some(Kept {
                tun: device.fd,
                redirect,
            })
        }
        (None, None) => None,
        (device, redirect) => {
            let (device, redirect) = (device.map(|d| d.is_ok()), redirect.is_some());
            tracing::warn!(?device, redirect, "what was kept is of no use");
            forget();
            None
        }
    }
}

/// Puts it into the store, as far as there is one.
pub(crate) fn store(tun: &OwnedFd, redirect: &Redirect) {
    report(keep(TUN, tun));
    for (name, listener) in LISTENERS.into_iter().zip(&redirect.listeners) {
        report(keep(name, listener));
    }
}

/// Empties the store, and closes what was not taken out of it: the interface is to go.
pub(crate) fn forget() {
    drop(systemd::stored_fds());
    for name in std::iter::once(TUN).chain(LISTENERS) {
        report(systemd::remove_fd(name));
    }
}

fn keep(name: &str, fd: impl AsFd) -> io::Result<bool> {
    // The store would keep a second one of the same name beside the first.
    systemd::remove_fd(name)?;
    systemd::store_fd(name, fd)
}

fn report(told: io::Result<bool>) {
    if let Err(error) = told {
        tracing::warn!(%error, "the service manager's store cannot be used");
    }
}
