//! Several queues of one device.

use std::num::NonZeroU32;

use super::{Device, Options, TunError, attached, lengthen_queue, link_named, refused, steering};
use crate::netlink::Failure;
use crate::sys::{bpf, tun as sys};

/// The queues of a device, in the order in which the kernel counts them.
#[derive(Debug)]
pub struct Queues {
    /// At least one.
    pub devices: Vec<Device>,
    /// Whether the kernel puts each packet into the queue that it belongs to
    /// ([`vpnm_wire::Affinity`]). Otherwise it spreads them by itself, and those who
    /// read them sort them.
    pub steered: bool,
}

/// As [`open_named`](super::open_named), with several queues. A device that exists and was
/// made with one has no more.
///
/// The packets of a device that exists are spread as they were before.
///
/// # Errors
/// As [`open_named`](super::open_named).
pub fn open_queues(name: &str, owner: u32, count: NonZeroU32) -> Result<Queues, TunError> {
    if !(1..=15).contains(&name.len()) {
        return Err(TunError::Foreign);
    }
    let existed = link_named(name).map_err(netlink_failed)?.is_some();
    let options = Options {
        owner,
        multi_queue: count.get() > 1,
    };
    let mut devices = Vec::new();
    let options = match attached(name, options) {
        Ok(first) => {
            devices.push(first);
            options
        }
        // A device must be opened as it was made.
        Err(TunError::Foreign) if existed => {
            let other = Options {
                multi_queue: !options.multi_queue,
                ..options
            };
            devices.push(attached(name, other)?);
            other
        }
        Err(error) => return Err(error),
    };
    if options.multi_queue {
        for _ in 1..count.get() {
            devices.push(attached(name, options)?);
        }
    }
    lengthen_queue(name).map_err(netlink_failed)?;
    let steered = match devices.first() {
        Some(first) if devices.len() > 1 && !existed => steer(first),
        Some(_) | None => false,
    };
    Ok(Queues { devices, steered })
}

/// Teaches the kernel which queue a packet belongs to, where it lets us.
fn steer(device: &Device) -> bool {
    let taught =
        bpf::load(&steering::program()).and_then(|program| sys::set_steering(&device.fd, &program));
    if let Err(error) = &taught {
        tracing::debug!(%error, "the kernel spreads packets by itself");
    }
    taught.is_ok()
}

fn netlink_failed(failure: Failure) -> TunError {
    refused("set up the queues of")(failure.into_io())
}
