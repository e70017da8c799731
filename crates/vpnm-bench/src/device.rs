//! The device, as vpnm opens it, for engines that this program itself is.

use vpnm_host::tun::{self, Device, Options, TunError};

use crate::place::DEVICE;

/// Creates the device; it lives as long as its descriptor does.
pub(crate) fn open() -> Result<Device, TunError> {
    let options = Options {
        owner: 0,
        multi_queue: false,
    };
    tun::open_named(DEVICE, options)
}
