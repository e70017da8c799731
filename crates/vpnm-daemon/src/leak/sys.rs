//! A frame past the IP stack (packet(7)).

#![expect(unsafe_code, reason = "a link's address has no safe constructor")]

use std::io;

use socket2::{Domain, SockAddr, Socket, Type};

/// IPv4 (`ETH_P_IP`), as the kernel takes it.
const IPV4: u16 = 0x0800_u16.to_be();
/// A locally administered address that nobody has.
const NOBODY: [u8; 8] = [2, 0x76, 0x70, 0x6e, 0x6d, 0, 0, 0];

/// Sends an IPv4 packet in a frame of the interface's own kind. Needs CAP_NET_RAW.
pub(super) fn send_frame(link: u32, packet: &[u8]) -> io::Result<()> {
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    socket.send_to(packet, &address(link)?).map(drop)
}

fn address(link: u32) -> io::Result<SockAddr> {
    let index = i32::try_from(link).map_err(io::Error::other)?;
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>());
    let length = length.map_err(io::Error::other)?;
    let fill = |storage: *mut socket2::SockAddrStorage, size: *mut libc::socklen_t| {
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET
                .unsigned_abs()
                .try_into()
                .unwrap_or_default(),
            sll_protocol: IPV4,
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
