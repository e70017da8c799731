//! When packets to an address of this host arrive.

use std::fs;
use std::io;
use std::net::Ipv6Addr;
use std::thread;
use std::time::Duration;

const ROUTES: &str = "/proc/thread-self/net/ipv6_route";
/// `RTF_LOCAL` of include/uapi/linux/ipv6_route.h: packets are delivered here.
const RTF_LOCAL: u32 = 0x8000_0000;
/// Looks, 1 ms apart, before giving up on an address.
const LOOKS: usize = 10_000;

/// Waits until packets to an IPv6 address of the calling thread's network namespace are
/// delivered: the kernel makes the route for that later than the address, on a thread of
/// its own, and until then what comes is dropped.
///
/// # Errors
///
/// [`io::ErrorKind::TimedOut`] for an address that does not become one of this host's.
pub fn await_delivery(address: Ipv6Addr) -> io::Result<()> {
    for _ in 0..LOOKS {
        let routes = fs::read_to_string(ROUTES)?;
        if routes.lines().any(|route| delivers(route, address)) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Err(io::ErrorKind::TimedOut.into())
}

fn delivers(route: &str, address: Ipv6Addr) -> bool {
    let flags = route.split_whitespace().nth(8);
    let flags = flags.and_then(|flags| u32::from_str_radix(flags, 16).ok());
    let is_local = flags.is_some_and(|flags| flags & RTF_LOCAL != 0);
    is_local && route.starts_with(&format!("{:032x} 80 ", address.to_bits()))
}
