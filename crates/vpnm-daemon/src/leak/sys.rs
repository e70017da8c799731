//! Packet sockets (packet(7)).

#![expect(
    unsafe_code,
    reason = "links' addresses and what a tap missed have no safe interface"
)]

use std::io;
use std::os::fd::AsRawFd as _;

use socket2::{Domain, SockAddr, Socket, Type};

/// IPv4 (`ETH_P_IP`), as the kernel takes it.
const IPV4: u16 = 0x0800_u16.to_be();
/// A locally administered address that nobody has.
const NOBODY: [u8; 8] = [2, 0x76, 0x70, 0x6e, 0x6d, 0, 0, 0];

/// Every protocol (`ETH_P_ALL`), as the kernel takes it.
const EVERY: u16 = 0x0003_u16.to_be();

/// Has a packet socket see the frames of every interface from now on.
pub(super) fn see_everything(socket: &Socket) -> io::Result<()> {
    socket.bind(&address(0, EVERY)?)
}

/// Frames that the socket's filter took since the last call and its buffer did not.
pub(super) fn missed(socket: &Socket) -> io::Result<u32> {
    let mut statistics = libc::tpacket_stats {
        tp_packets: 0,
        tp_drops: 0,
    };
    let room = libc::socklen_t::try_from(size_of_val(&statistics)).map_err(io::Error::other)?;
    let mut length = room;
    let into = std::ptr::from_mut(&mut statistics).cast();
    let (level, name) = (libc::SOL_PACKET, libc::PACKET_STATISTICS);
    // SAFETY: the kernel writes at most `length` bytes, which is the size of what
    // `into` points to, and both outlive the call.
    let got = unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, into, &raw mut length) };
    if got != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(statistics.tp_drops)
}

/// Sends an IPv4 packet in a frame of the interface's own kind. Needs CAP_NET_RAW.
pub(super) fn send_frame(link: u32, packet: &[u8]) -> io::Result<()> {
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    socket.send_to(packet, &address(link, IPV4)?).map(drop)
}

fn address(link: u32, protocol: u16) -> io::Result<SockAddr> {
    let index = i32::try_from(link).map_err(io::Error::other)?;
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>());
    let length = length.map_err(io::Error::other)?;
    let fill = |storage: *mut socket2::SockAddrStorage, size: *mut libc::socklen_t| {
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET
                .unsigned_abs()
                .try_into()
                .unwrap_or_default(),
            sll_protocol: protocol,
            sll_ifindex: index,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 6,
            sll_addr: NOBODY,
        };
        // SAFETY: the storage is large enough and aligned for every kind of address.
        unsafe { storage.cast::<libc::sockaddr_ll>().write(address) };
        // SAFETY: the length is the caller's variable, which outlives this call.
        unsafe { size.write(length) };
        Ok(())
    };
    // SAFETY: `fill` writes a whole address of a kind the kernel knows, and its length.
    let ((), address) = unsafe { SockAddr::try_init(fill) }?;
    Ok(address)
}
