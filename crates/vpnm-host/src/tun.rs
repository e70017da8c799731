//! The tunnel device.

mod queues;
mod steering;

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::names::LINK;
use crate::netlink::{Failure, Protocol, Socket};
use crate::rtnl::{self, Link};
use crate::sys::tun as sys;
pub use queues::{Queues, open_queues};

/// Packets the device's queue holds before it drops; a queue entry may be a
/// 64 KiB super-packet.
pub const QUEUE_LENGTH: u32 = 4096;
/// The MTU programs see.
pub const MTU: u32 = 1500;

/// Length of `struct virtio_net_hdr` without merged buffers.
const HEADER: u8 = 10;

/// How to open the device.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The uid that may attach to the device besides root; the engine's.
    pub owner: u32,
    /// Whether further queues can be attached ([`attach_queue`]).
    pub multi_queue: bool,
}

/// Why the tunnel device could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum TunError {
    /// /dev/net/tun does not exist.
    #[error(
        "/dev/net/tun does not exist: load the kernel module tun, or give the container this device"
    )]
    NoDevice,
    /// The process may not open it or may not create links.
    #[error("no permission to create the link vpnm0: this needs root (CAP_NET_ADMIN)")]
    NotPermitted,
    /// Another process has vpnm0 open: a second daemon, or an engine about to exit.
    #[error("another process has vpnm0 open")]
    Busy,
    /// A link of that name exists and is no tunnel device of ours.
    #[error("a network interface named vpnm0 exists that vpnm did not create")]
    Foreign,
    /// The kernel refused.
    #[error("cannot {action} the tunnel device")]
    Refused {
        /// What was being done.
        action: &'static str,
        /// The error number.
        #[source]
        source: io::Error,
    },
}

/// The opened device. The link lives as long as one duplicate of `fd` does.
#[derive(Debug)]
pub struct Device {
    /// Reads and writes one packet each, preceded by a `virtio_net_hdr` of 10
    /// bytes; non-blocking, closed on exec.
    pub fd: OwnedFd,
    /// Whether UDP segmentation offload is on (kernel 6.2 and later); checksum
    /// and TCP segmentation offload always are.
    pub udp_segmentation: bool,
}

/// Creates the link vpnm0 and returns its first queue.
///
/// The link is down and bare; [`Host::apply`](crate::Host::apply) configures it.
///
/// # Errors
/// [`TunError`]; [`TunError::Busy`] right after the death of an engine passes
/// within milliseconds and is worth another try.
pub fn open(options: Options) -> Result<Device, TunError> {
    // Asked for by name, a device that exists would be taken over.
    match existing()? {
        None => attached(LINK, options),
        Some(link) if is_held(&link) => Err(TunError::Busy),
        Some(_) => Err(TunError::Foreign),
    }
}

/// Goes on with the device of a daemon before this one, whose descriptor was kept.
///
/// # Errors
/// [`TunError::Foreign`] if the descriptor is not the link vpnm0's, or the link was
/// deleted since.
pub fn adopt(fd: OwnedFd, options: Options) -> Result<Device, TunError> {
    match sys::is_attached(&fd, LINK) {
        Ok(true) => prepared(fd, options),
        Ok(false) | Err(_) => Err(TunError::Foreign),
    }
}

/// Creates a TUN device of another name, or attaches to one that exists. Its queue is
/// made [`QUEUE_LENGTH`] long where it was shorter, since the kernel's default loses
/// packets in bursts; all else is configured by the caller. vpnm itself never uses it.
///
/// # Errors
/// [`TunError`]; [`TunError::Foreign`] too if `name` is no name of a link (1 to
/// 15 bytes).
pub fn open_named(name: &str, options: Options) -> Result<Device, TunError> {
    if !(1..=15).contains(&name.len()) {
        return Err(TunError::Foreign);
    }
    let device = attached(name, options)?;
    lengthen_queue(name).map_err(|failure| refused("lengthen the queue of")(failure.into_io()))?;
    Ok(device)
}

fn lengthen_queue(name: &str) -> Result<(), Failure> {
    let link = link_named(name)?;
    match link.filter(|link| link.settings.queue_length < QUEUE_LENGTH) {
        Some(link) => Socket::open(Protocol::Route, 0)?
            .request(&rtnl::set_queue_length(link.index, QUEUE_LENGTH)),
        None => Ok(()),
    }
}

/// Attaches a further queue to the link, which must have been opened with
/// [`Options::multi_queue`].
///
/// # Errors
/// [`TunError`].
pub fn attach_queue(options: Options) -> Result<Device, TunError> {
    match existing()? {
        Some(link) if is_held(&link) => attached(LINK, options),
        Some(_) | None => Err(TunError::Foreign),
    }
}

fn attached(name: &str, options: Options) -> Result<Device, TunError> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let fd = rustix::fs::open("/dev/net/tun", flags, Mode::empty());
    let fd = fd.map_err(|errno| match errno {
        Errno::NOENT | Errno::NODEV | Errno::NXIO => TunError::NoDevice,
        Errno::ACCESS | Errno::PERM => TunError::NotPermitted,
        other => refused("open")(other.into()),
    })?;
    sys::attach(&fd, name, options.multi_queue).map_err(|error| {
        match Errno::from_io_error(&error) {
            Some(Errno::PERM) => TunError::NotPermitted,
            Some(Errno::BUSY) => TunError::Busy,
            Some(Errno::INVAL | Errno::EXIST | Errno::BADFD) => TunError::Foreign,
            _ => refused("create")(error),
        }
    })?;
    prepared(fd, options)
}

/// Sets up what belongs to the descriptor of a device.
fn prepared(fd: OwnedFd, options: Options) -> Result<Device, TunError> {
    sys::set_header_length(&fd, HEADER).map_err(refused("set the header length of"))?;
    sys::set_owner(&fd, options.owner).map_err(refused("set the owner of"))?;
    let whole = sys::set_offloads(&fd, sys::OFFLOAD_TCP | sys::OFFLOAD_UDP);
    if whole.is_err() {
        sys::set_offloads(&fd, sys::OFFLOAD_TCP).map_err(refused("set the offloads of"))?;
    }
    Ok(Device {
        fd,
        udp_segmentation: whole.is_ok(),
    })
}

fn refused(action: &'static str) -> impl FnOnce(io::Error) -> TunError {
    move |source| TunError::Refused { action, source }
}

/// The link vpnm0 as it is before we touch it.
fn existing() -> Result<Option<Link>, TunError> {
    link_named(LINK).map_err(|failure| refused("look for")(failure.into_io()))
}

fn link_named(name: &str) -> Result<Option<Link>, Failure> {
    let mut socket = Socket::open(Protocol::Route, 0)?;
    let links = socket.query(&rtnl::links(), rtnl::decode_link)?;
    Ok(links.into_iter().find(|link| link.name == name))
}

/// A tunnel device that does not persist exists because a process has it open.
fn is_held(link: &Link) -> bool {
    link.tun.is_some_and(|tun| !tun.persistent)
}
