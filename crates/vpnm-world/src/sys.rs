//! The system calls no safe wrapper offers: one function, one call.

#![expect(
    unsafe_code,
    reason = "raw system calls; each block holds one, with its reason"
)]

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::io::Errno;
use rustix::process::Signal;
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

/// Detaches the calling thread from what `flags` name.
///
/// Never pass `UnshareFlags::FILES`: descriptors are shared by all threads of
/// this process.
pub(crate) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    debug_assert!(
        !flags.contains(UnshareFlags::FILES),
        "descriptors stay shared"
    );
    // SAFETY: without FILES no descriptor table is split, so no descriptor
    // known elsewhere in the process changes its meaning.
    unsafe { rustix::thread::unshare_unsafe(flags) }?;
    Ok(())
}

/// Who a started process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// One supplementary group, if any.
    pub(crate) group: Option<u32>,
}

/// Makes `command` start inside the two namespaces, as `who`, in a process
/// group of its own, and die with the thread that starts it.
pub(crate) fn confine(command: &mut Command, net: OwnedFd, mounts: OwnedFd, who: Credentials) {
    let hook = move || {
        rustix::thread::move_into_link_name_space(net.as_fd(), Some(LinkNameSpaceType::Network))?;
        rustix::thread::move_into_link_name_space(mounts.as_fd(), Some(LinkNameSpaceType::Mount))?;
        become_user(who)?;
        rustix::process::setpgid(None, None)?;
        // Last: a change of credentials clears it.
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        Ok(())
    };
    // SAFETY: the hook only makes system calls, allocates nothing and takes
    // no lock, so it may run between fork and exec.
    unsafe { command.pre_exec(hook) };
}

/// Makes `command` start as root of a new user namespace: it tells its number
/// through `tell` and waits at `go` until its ids are mapped.
pub(crate) fn wait_for_ids(command: &mut Command, tell: OwnedFd, go: OwnedFd) {
    let hook = move || {
        unshare(UnshareFlags::NEWUSER)?;
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        rustix::io::write(&tell, &pid.to_ne_bytes())?;
        let mut mapped = [0];
        rustix::io::read(&go, &mut mapped)?;
        if mapped != [1] {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        become_user(Credentials {
            uid: 0,
            gid: 0,
            group: None,
        })?;
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        Ok(())
    };
    // SAFETY: the hook only makes system calls, allocates nothing and takes
    // no lock, so it may run between fork and exec.
    unsafe { command.pre_exec(hook) };
}

/// Changes the calling thread, and only it.
pub(crate) fn become_user(who: Credentials) -> io::Result<()> {
    use rustix::process::{Gid, Uid};
    let (uid, gid) = (Uid::from_raw(who.uid), Gid::from_raw(who.gid));
    match who.group {
        Some(group) => rustix::thread::set_thread_groups(&[Gid::from_raw(group)])?,
        None => rustix::thread::set_thread_groups(&[])?,
    }
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    Ok(())
}

/// Sends a whole frame by one interface, from a packet socket bound to none.
pub(crate) fn send_frame(
    socket: BorrowedFd<'_>,
    interface: u32,
    frame: &[u8],
) -> Result<(), Errno> {
    let address = link_address(interface, 0).map_err(|_| Errno::NODEV)?;
    // SAFETY: both pointers are to live values and the lengths are their sizes.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            frame.as_ptr().cast(),
            frame.len(),
            libc::MSG_DONTWAIT,
            (&raw const address).cast(),
            length_of::<libc::sockaddr_ll>(),
        )
    };
    if sent < 0 {
        let error = io::Error::last_os_error();
        return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO));
    }
    Ok(())
}

fn link_address(interface: u32, protocol: i32) -> io::Result<libc::sockaddr_ll> {
    // SAFETY: every bit pattern, all zeros included, is a valid sockaddr_ll.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = u16::try_from(libc::AF_PACKET).map_err(io::Error::other)?;
    address.sll_protocol = u16::try_from(protocol).map_err(io::Error::other)?.to_be();
    address.sll_ifindex = i32::try_from(interface).map_err(io::Error::other)?;
    Ok(address)
}

/// Binds a packet socket to one interface, all protocols.
pub(crate) fn bind_packet(socket: BorrowedFd<'_>, interface: u32) -> io::Result<()> {
    let address = link_address(interface, libc::ETH_P_ALL)?;
    // SAFETY: the pointer is to a live sockaddr_ll and the length is its size.
    let result = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            length_of::<libc::sockaddr_ll>(),
        )
    };
    check(result)
}

/// A frame that a packet socket received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Received {
    /// Bytes it has, of which the buffer may hold the first.
    pub(crate) length: usize,
    /// Sent from here: what came by the cable is not, whatever addresses it bears.
    pub(crate) is_outgoing: bool,
}

/// Receives a frame from a packet socket.
pub(crate) fn receive_frame(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<Received, Errno> {
    // SAFETY: all zero bytes are a valid sockaddr_ll, which is plain data.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    let mut size = length_of::<libc::sockaddr_ll>();
    // SAFETY: all pointers are to live values, and the lengths are their sizes.
    let received = unsafe {
        libc::recvfrom(
            socket.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            libc::MSG_TRUNC,
            (&raw mut address).cast(),
            &raw mut size,
        )
    };
    let Ok(length) = usize::try_from(received) else {
        let error = io::Error::last_os_error();
        return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO));
    };
    Ok(Received {
        length,
        is_outgoing: address.sll_pkttype == libc::PACKET_OUTGOING,
    })
}

/// Frames a packet socket has dropped since the last call.
pub(crate) fn packet_drops(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut stats = libc::tpacket_stats {
        tp_packets: 0,
        tp_drops: 0,
    };
    let mut length = length_of::<libc::tpacket_stats>();
    // SAFETY: both pointers are to live values and `length` is the size of the first.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut stats).cast(),
            &raw mut length,
        )
    };
    check(result)?;
    Ok(stats.tp_drops)
}

/// Lets a packet socket send past the interface's queue (`PACKET_QDISC_BYPASS`).
pub(crate) fn bypass_queue(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_option(
        socket.as_raw_fd(),
        libc::SOL_PACKET,
        libc::PACKET_QDISC_BYPASS,
        &1_i32.to_ne_bytes(),
    )
}

/// Keeps what the host itself sends away from a packet socket
/// (`PACKET_IGNORE_OUTGOING`).
pub(crate) fn ignore_outgoing(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_option(
        socket.as_raw_fd(),
        libc::SOL_PACKET,
        libc::PACKET_IGNORE_OUTGOING,
        &1_i32.to_ne_bytes(),
    )
}

/// Ties a socket to an interface by name (`SO_BINDTODEVICE`).
pub(crate) fn bind_to_device(socket: BorrowedFd<'_>, interface: &str) -> io::Result<()> {
    set_option(
        socket.as_raw_fd(),
        libc::SOL_SOCKET,
        libc::SO_BINDTODEVICE,
        interface.as_bytes(),
    )
}

/// Picks the interface of a socket's unicast traffic (`IP_UNICAST_IF`).
pub(crate) fn unicast_interface(socket: BorrowedFd<'_>, index: u32) -> io::Result<()> {
    set_option(
        socket.as_raw_fd(),
        libc::SOL_IP,
        libc::IP_UNICAST_IF,
        &index.to_be_bytes(),
    )
}

/// Picks the interface of a socket's unicast traffic (`IPV6_UNICAST_IF`).
pub(crate) fn unicast_interface6(socket: BorrowedFd<'_>, index: u32) -> io::Result<()> {
    set_option(
        socket.as_raw_fd(),
        libc::SOL_IPV6,
        libc::IPV6_UNICAST_IF,
        &index.to_be_bytes(),
    )
}

/// Keeps a socket's traffic to what is on the link (`SO_DONTROUTE`).
pub(crate) fn do_not_route(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_option(
        socket.as_raw_fd(),
        libc::SOL_SOCKET,
        libc::SO_DONTROUTE,
        &1_i32.to_ne_bytes(),
    )
}

fn set_option(socket: RawFd, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
    let length = libc::socklen_t::try_from(value.len()).map_err(io::Error::other)?;
    // SAFETY: the pointer and the length describe one live slice.
    let result = unsafe { libc::setsockopt(socket, level, name, value.as_ptr().cast(), length) };
    check(result)
}

fn length_of<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).unwrap_or(libc::socklen_t::MAX)
}

fn check(result: i32) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
