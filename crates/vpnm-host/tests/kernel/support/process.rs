//! What the tests do to themselves: namespaces, users, children that get killed.

#![expect(
    unsafe_code,
    reason = "unshare, fork and setfsuid have no safe interface"
)]

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::net::{AddressFamily, SendFlags, SocketType};
use rustix::process::{Pid, Signal, WaitOptions};

/// Moves the calling thread into a new network namespace.
pub(super) fn new_network() -> io::Result<()> {
    // SAFETY: takes flags only and concerns the calling thread alone.
    let outcome = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    if outcome == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Runs `work`, which opens sockets, so that they belong to another user.
pub(crate) fn as_uid<T>(uid: u32, work: impl FnOnce() -> T) -> T {
    // SAFETY: takes a number and changes the credentials of the calling thread alone.
    let before = unsafe { libc::setfsuid(uid) };
    let result = work();
    let before = u32::try_from(before).expect("a uid");
    // SAFETY: as above.
    let during = unsafe { libc::setfsuid(before) };
    assert_eq!(u32::try_from(during), Ok(uid), "the uid was not taken");
    result
}

/// Runs `work` in a child process and then kills it the hard way, wherever it is;
/// returns whether it had come to its end by itself.
pub(crate) fn in_child(work: impl FnOnce()) -> bool {
    // SAFETY: the child is the calling thread alone; it allocates and makes system
    // calls, which glibc allows after a fork, and ends by a signal to itself.
    let child = unsafe { libc::fork() };
    if child == 0 {
        work();
        die(Signal::TERM);
    }
    let child = Pid::from_raw(child).expect("a process");
    let status = rustix::process::waitpid(Some(child), WaitOptions::empty());
    let (_, status) = status
        .expect("the child can be waited for")
        .expect("it ended");
    status.terminating_signal() == Some(Signal::TERM.as_raw())
}

/// Ends the process by a signal that it does not handle.
pub(crate) fn die(signal: Signal) -> ! {
    let own = rustix::process::getpid();
    loop {
        let _ = rustix::process::kill_process(own, signal);
    }
}

/// Ties a socket to a link (SO_BINDTODEVICE), as any program may.
pub(super) fn bind_to_link(socket: &impl AsFd, link: &str) {
    let length = libc::socklen_t::try_from(link.len()).expect("a short name");
    // SAFETY: the descriptor is open, and the call reads `length` bytes of the name.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_BINDTODEVICE,
            link.as_ptr().cast(),
            length,
        )
    };
    assert_eq!(outcome, 0, "the socket cannot be tied to {link}");
}

/// Sends IP packets with a header of our own, tied to the link.
pub(super) fn send_raw_ip(link: &str) {
    let raw = rustix::net::Protocol::from_raw(255.try_into().expect("not zero"));
    let kind = SocketType::RAW;
    let socket = rustix::net::socket(AddressFamily::INET, kind, Some(raw)).expect("root may");
    bind_to_link(&socket, link);
    for destination in [[203, 0, 113, 9], [192, 168, 77, 1]] {
        let to = SocketAddr::from((destination, 0));
        let _ = rustix::net::sendto(&socket, &ip_packet(destination), SendFlags::empty(), &to);
    }
}

/// A UDP datagram to port 53 without checksums, in an IPv4 packet.
fn ip_packet(destination: [u8; 4]) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 36, 0, 1, 0, 0, 64, 17, 0, 0, 192, 168, 77, 10];
    packet.extend(destination);
    packet.extend([0x30, 0x39, 0, 53, 0, 16, 0, 0]);
    packet.extend([0x55; 8]);
    packet
}

/// Sends frames past the IP stack (AF_PACKET): IPv4, an unknown protocol, and IPv4
/// that claims to the kernel to be ARP.
pub(super) fn raw_frames(link: &str) {
    for (claimed, real) in [(0x0800_u16, 0x0800_u16), (0x88b5, 0x88b5), (0x0806, 0x0800)] {
        let protocol = u32::from(claimed.to_be()).try_into().expect("not zero");
        let protocol = rustix::net::Protocol::from_raw(protocol);
        let socket = rustix::net::socket(AddressFamily::PACKET, SocketType::RAW, Some(protocol));
        let socket = socket.expect("root may");
        let index = rustix::net::netdevice::name_to_index(&socket, link).expect("it exists");
        let mut frame = vec![0xff; 6];
        frame.extend(super::far::hardware_address(link));
        frame.extend(real.to_be_bytes());
        frame.extend(ip_packet([203, 0, 113, 9]));
        send_frame(&socket, index, claimed, &frame);
        bypass_queue(&socket);
        send_frame(&socket, index, claimed, &frame);
    }
}

/// Sends frames as a [`Flood`] does until it is over.
pub(crate) fn flood(link: &str, over: &AtomicBool) {
    Flood::by(link).until(over);
}

/// Frames of an unknown protocol past the IP stack and the link's queue, one right behind
/// the other.
pub(crate) struct Flood {
    socket: OwnedFd,
    link: u32,
    frame: Vec<u8>,
}

impl Flood {
    const PROTOCOL: u16 = 0x88b5;

    /// By a link, whatever its name will be.
    pub(crate) fn by(link: &str) -> Self {
        // Of no protocol: it receives nothing.
        let socket = rustix::net::socket(AddressFamily::PACKET, SocketType::RAW, None);
        let socket = socket.expect("root may");
        let index = rustix::net::netdevice::name_to_index(&socket, link).expect("it exists");
        bypass_queue(&socket);
        let mut frame = vec![0xff; 6];
        frame.extend(super::far::hardware_address(link));
        frame.extend(Self::PROTOCOL.to_be_bytes());
        frame.extend([0x55; 64]);
        Self {
            socket,
            link: index,
            frame,
        }
    }

    pub(crate) fn until(&self, over: &AtomicBool) {
        while !over.load(Ordering::Relaxed) {
            send_frame(&self.socket, self.link, Self::PROTOCOL, &self.frame);
        }
    }
}

/// Frames of this socket skip the link's queue (PACKET_QDISC_BYPASS).
fn bypass_queue(socket: &impl AsFd) {
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of_val(&on)).expect("small");
    // SAFETY: the descriptor is open, and the call reads `length` bytes of `on`.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_QDISC_BYPASS,
            (&raw const on).cast(),
            length,
        )
    };
    assert_eq!(outcome, 0, "the queue cannot be skipped");
}

fn send_frame(socket: &impl AsFd, link: u32, protocol: u16, frame: &[u8]) {
    // SAFETY: all of this structure's fields are numbers, for which zero is a value.
    let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    to.sll_family = u16::try_from(libc::AF_PACKET).expect("a small number");
    to.sll_protocol = protocol.to_be();
    to.sll_ifindex = i32::try_from(link).expect("a small number");
    to.sll_halen = 6;
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).expect("small");
    // SAFETY: the descriptor is open; the frame and the address outlive the call.
    let _ = unsafe {
        libc::sendto(
            socket.as_fd().as_raw_fd(),
            frame.as_ptr().cast(),
            frame.len(),
            0,
            (&raw const to).cast(),
            length,
        )
    };
}

/// Prefers a link for a socket (IP_UNICAST_IF, IPV6_UNICAST_IF), without tying it.
pub(crate) fn prefer_link(socket: &UdpSocket, link: &str) {
    let index = rustix::net::netdevice::name_to_index(socket, link).expect("the link exists");
    let index = index.to_be();
    let v6 = socket.local_addr().is_ok_and(|address| address.is_ipv6());
    let (level, option) = if v6 {
        (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_IF)
    } else {
        (libc::IPPROTO_IP, libc::IP_UNICAST_IF)
    };
    let length = libc::socklen_t::try_from(size_of_val(&index)).expect("small");
    // SAFETY: the descriptor is open, and the call reads `length` bytes of the index.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            (&raw const index).cast(),
            length,
        )
    };
    assert_eq!(outcome, 0, "the link {link} cannot be preferred");
}

/// The largest packet that reaches the peer of a connected socket (IP_MTU).
pub(crate) fn path_mtu(socket: &UdpSocket) -> i32 {
    let mut mtu: libc::c_int = 0;
    let mut length = libc::socklen_t::try_from(size_of_val(&mtu)).expect("small");
    // SAFETY: the descriptor is open, and the call writes at most `length` bytes to `mtu`.
    let outcome = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_MTU,
            (&raw mut mtu).cast(),
            &raw mut length,
        )
    };
    assert_eq!(outcome, 0, "the path's MTU is not known");
    mtu
}
