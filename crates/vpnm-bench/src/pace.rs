//! Datagrams sent at a fixed rate.

use std::io::IoSlice;
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny};

/// Most datagrams sent by one system call.
const BURST: usize = 64;

/// Sends in steps of half a millisecond, to where the socket is connected or to `to`;
/// returns how many were sent.
pub(crate) fn send(
    socket: &UdpSocket,
    to: Option<SocketAddrV4>,
    payload: &[u8],
    rate: u32,
    time: Duration,
) -> u32 {
    let to = to.map(|to| SocketAddrAny::from(SocketAddr::V4(to)));
    let start = Instant::now();
    let mut sent = 0_u32;
    loop {
        let elapsed = start.elapsed();
        if elapsed >= time {
            return sent;
        }
        let due = f64::from(rate) * elapsed.as_secs_f64();
        while f64::from(sent) < due {
            let left = usize::try_from(whole(due) - i64::from(sent)).unwrap_or(0) + 1;
            sent += send_burst(socket, to.as_ref(), payload, left.min(BURST));
        }
        thread::sleep(Duration::from_micros(500));
    }
}

/// Hands `count` datagrams to the kernel at once. What it refuses counts as sent: the
/// way is full.
fn send_burst(socket: &UdpSocket, to: Option<&SocketAddrAny>, payload: &[u8], count: usize) -> u32 {
    let pieces = [IoSlice::new(payload)];
    let mut nothing: Vec<_> = (0..count).map(|_| SendAncillaryBuffer::default()).collect();
    let mut headers: Vec<_> = nothing
        .iter_mut()
        .map(|nothing| match to {
            Some(to) => MMsgHdr::new_with_addr(to, &pieces, nothing),
            None => MMsgHdr::new(&pieces, nothing),
        })
        .collect();
    let taken = rustix::net::sendmmsg(socket, &mut headers, SendFlags::empty()).unwrap_or(1);
    u32::try_from(taken.max(1)).unwrap_or(1)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a count of datagrams of one run is far below 2^52"
)]
fn whole(count: f64) -> i64 {
    count as i64
}
