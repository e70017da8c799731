//! ioctls of `/dev/net/tun` (include/uapi/linux/if_tun.h).

#![expect(unsafe_code, reason = "ioctl has no safe interface")]

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

const IFF_TUN: u16 = 0x0001;
const IFF_MULTI_QUEUE: u16 = 0x0100;
const IFF_NO_PI: u16 = 0x1000;
const IFF_VNET_HDR: u16 = 0x4000;

/// Layer 3, without a protocol before each packet, with a `virtio_net_hdr`.
const FORMAT: u16 = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;

const TUNSETIFF: u32 = 0x4004_54ca;
const TUNSETOWNER: u32 = 0x4004_54cc;
const TUNSETOFFLOAD: u32 = 0x4004_54d0;
const TUNGETIFF: u32 = 0x8004_54d2;
const TUNSETVNETHDRSZ: u32 = 0x4004_54d8;
const TUNSETSTEERINGEBPF: u32 = 0x8004_54e0;

/// Checksums, TCP segmentation for both families, and its ECN variant.
pub(crate) const OFFLOAD_TCP: usize = 0x0f;
/// UDP segmentation for both families; the kernel takes them only together.
pub(crate) const OFFLOAD_UDP: usize = 0x60;

/// `struct ifreq` as far as TUNSETIFF and TUNGETIFF use it; the kernel copies 40 bytes.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; 16],
    flags: u16,
    padding: [u8; 22],
}

/// Ties the descriptor to the TUN device of a name, which is made if it does not
/// exist; packets carry a `virtio_net_hdr`.
pub(crate) fn attach(fd: &OwnedFd, name: &str, multi_queue: bool) -> io::Result<()> {
    let mut request = InterfaceRequest {
        name: [0; 16],
        flags: FORMAT,
        padding: [0; 22],
    };
    if multi_queue {
        request.flags |= IFF_MULTI_QUEUE;
    }
    for (to, from) in request.name.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    // SAFETY: the descriptor is open and `request` is a whole `struct ifreq` that
    // outlives the call, which both reads and writes it.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), TUNSETIFF.into(), &raw mut request) };
    check(result)
}

/// Whether the descriptor is tied to the TUN device of this name, with packets in
/// the form that [`attach`] asks for.
pub(crate) fn is_attached(fd: &OwnedFd, name: &str) -> io::Result<bool> {
    let mut request = InterfaceRequest {
        name: [0; 16],
        flags: 0,
        padding: [0; 22],
    };
    // SAFETY: the descriptor is open and `request` is a whole `struct ifreq` that
    // outlives the call, which only writes it.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), TUNGETIFF.into(), &raw mut request) };
    check(result)?;
    let named = request.name.split(|byte| *byte == 0).next();
    Ok(named == Some(name.as_bytes()) && request.flags & FORMAT == FORMAT)
}

/// Sets the length of the header before each packet, in bytes.
pub(crate) fn set_header_length(fd: &OwnedFd, length: u8) -> io::Result<()> {
    let length = c_int::from(length);
    // SAFETY: the descriptor is open and the call reads one int through the pointer.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), TUNSETVNETHDRSZ.into(), &raw const length) };
    check(result)
}

/// Sets the uid that may attach to the device besides root.
pub(crate) fn set_owner(fd: &OwnedFd, owner: u32) -> io::Result<()> {
    // SAFETY: the descriptor is open and the argument is a value, not a pointer.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), TUNSETOWNER.into(), owner) };
    check(result)
}

/// Sets which work the kernel may leave to the reader.
pub(crate) fn set_offloads(fd: &OwnedFd, mask: usize) -> io::Result<()> {
    // SAFETY: the descriptor is open and the argument is a value, not a pointer.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), TUNSETOFFLOAD.into(), mask) };
    check(result)
}

/// Has a program choose the queue of each packet, until the device goes.
pub(crate) fn set_steering(fd: &OwnedFd, program: &OwnedFd) -> io::Result<()> {
    let program = program.as_raw_fd();
    // SAFETY: the descriptor is open and the call reads one int through the pointer.
    let result = unsafe {
        libc::ioctl(
            fd.as_raw_fd(),
            TUNSETSTEERINGEBPF.into(),
            &raw const program,
        )
    };
    check(result)
}

fn check(result: c_int) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
