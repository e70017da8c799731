//! ioctls of `/dev/net/tun` (include/uapi/linux/if_tun.h).

#![expect(unsafe_code, reason = "ioctl has no safe interface")]

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::tun::{Device, Options, TunError};

const IFF_TUN: u16 = 0x0001;
const IFF_MULTI_QUEUE: u16 = 0x0100;
const IFF_NO_PI: u16 = 0x1000;
const IFF_VNET_HDR: u16 = 0x4000;

const TUNSETIFF: u32 = 0x4004_54ca;
const TUNSETOWNER: u32 = 0x4004_54cc;
const TUNSETOFFLOAD: u32 = 0x4004_54d0;
const TUNSETVNETHDRSZ: u32 = 0x4004_54d8;

/// Checksums, TCP segmentation for both families, and its ECN variant.
const OFFLOAD_TCP: usize = 0x0f;
/// UDP segmentation for both families; the kernel takes them only together.
const OFFLOAD_UDP: usize = 0x60;
/// Length of `struct virtio_net_hdr` without merged buffers.
const VNET_HEADER: c_int = 10;

/// `struct ifreq` as far as TUNSETIFF reads it; the kernel copies 40 bytes.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; 16],
    flags: u16,
    padding: [u8; 22],
}

pub(crate) fn open(name: &str, options: Options) -> Result<Device, TunError> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let fd =
        rustix::fs::open("/dev/net/tun", flags, Mode::empty()).map_err(|errno| match errno {
            Errno::NOENT | Errno::NODEV | Errno::NXIO => TunError::NoDevice,
            Errno::ACCESS | Errno::PERM => TunError::NotPermitted,
            other => refused("open", other.into()),
        })?;
    attach(&fd, name, options)?;
    set_vnet_header(&fd)?;
    set_owner(&fd, options.owner)?;
    let udp_segmentation = set_offloads(&fd)?;
    Ok(Device {
        fd,
        udp_segmentation,
    })
}

fn attach(fd: &OwnedFd, name: &str, options: Options) -> Result<(), TunError> {
    let mut request = InterfaceRequest {
        name: [0; 16],
        flags: IFF_TUN | IFF_NO_PI | IFF_VNET_HDR,
        padding: [0; 22],
    };
    if options.multi_queue {
        request.flags |= IFF_MULTI_QUEUE;
    }
    for (to, from) in request.name.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    // SAFETY: the descriptor is open and `request` is a whole `struct ifreq` that
    // outlives the call, which both reads and writes it.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), TUNSETIFF.into(), &raw mut request) };
    check(result).map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::PERM) => TunError::NotPermitted,
        Some(Errno::BUSY) => TunError::Busy,
        Some(Errno::INVAL | Errno::EXIST | Errno::BADFD) => TunError::Foreign,
        _ => refused("create", error),
    })
}

fn set_vnet_header(fd: &OwnedFd) -> Result<(), TunError> {
    let length = VNET_HEADER;
    // SAFETY: the descriptor is open and the call reads one int through the pointer.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), TUNSETVNETHDRSZ.into(), &raw const length) };
    check(result).map_err(|error| refused("set the header length of", error))
}

fn set_owner(fd: &OwnedFd, owner: u32) -> Result<(), TunError> {
    // SAFETY: the descriptor is open and the argument is a value, not a pointer.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), TUNSETOWNER.into(), owner) };
    check(result).map_err(|error| refused("set the owner of", error))
}

/// Turns offloads on and says whether UDP segmentation is among them.
fn set_offloads(fd: &OwnedFd) -> Result<bool, TunError> {
    if offload(fd, OFFLOAD_TCP | OFFLOAD_UDP).is_ok() {
        return Ok(true);
    }
    offload(fd, OFFLOAD_TCP).map_err(|error| refused("set the offloads of", error))?;
    Ok(false)
}

fn offload(fd: &OwnedFd, mask: usize) -> io::Result<()> {
    // SAFETY: the descriptor is open and the argument is a value, not a pointer.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), TUNSETOFFLOAD.into(), mask) };
    check(result)
}

fn check(result: c_int) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn refused(action: &'static str, source: io::Error) -> TunError {
    TunError::Refused { action, source }
}
