//! Datagrams sent at a fixed rate.

use std::io::{self, IoSlice};
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny};

use crate::{delay, sys};

/// Most datagrams sent by one system call.
const BURST: usize = 64;
/// Most datagrams that the kernel is given as one: as many of 1 200 bytes as QUIC's
/// implementations join.
const JOINED: usize = 40;

/// What is sent, and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Datagrams per second.
    pub(crate) rate: u32,
    /// For how long.
    pub(crate) time: Duration,
    /// The kernel is given many as one and cuts them apart (`UDP_SEGMENT`).
    pub(crate) joined: bool,
}

/// Sends in steps of half a millisecond, to where the socket is connected or to `to`;
/// returns how many were sent. Those that are not joined say behind `header` bytes when
/// they were.
///
/// # Errors
/// When the kernel does not cut datagrams apart and is asked to.
pub(crate) fn send(
    socket: &UdpSocket,
    to: Option<SocketAddrV4>,
    payload: &[u8],
    header: usize,
    pace: Pace,
) -> io::Result<u32> {
    let to = to.map(|to| SocketAddrAny::from(SocketAddr::V4(to)));
    if !pace.joined {
        let mut payload = payload.to_vec();
        let burst = |count| {
            delay::stamp(payload.get_mut(header..).unwrap_or_default());
            send_burst(socket, to.as_ref(), &payload, count)
        };
        return Ok(keep(pace, burst));
    }
    sys::cut(socket, payload.len())?;
    let payloads = payload.repeat(JOINED);
    let burst = |count| send_joined(socket, to.as_ref(), &payloads, payload.len(), count);
    let sent = keep(pace, burst);
    sys::cut(socket, 0)?;
    Ok(sent)
}

/// Has `burst` send as many as are due, until the time is over; how many were sent.
fn keep(pace: Pace, mut burst: impl FnMut(usize) -> u32) -> u32 {
    let start = Instant::now();
    let mut sent = 0_u32;
    loop {
        let elapsed = start.elapsed();
        if elapsed >= pace.time {
            return sent;
        }
        let due = f64::from(pace.rate) * elapsed.as_secs_f64();
        while f64::from(sent) < due {
            let left = usize::try_from(whole(due) - i64::from(sent)).unwrap_or(0) + 1;
            sent += burst(left.min(BURST));
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

/// Hands datagrams of `size` bytes to the kernel as one, [`JOINED`] at most; how many.
fn send_joined(
    socket: &UdpSocket,
    to: Option<&SocketAddrAny>,
    payloads: &[u8],
    size: usize,
    count: usize,
) -> u32 {
    let count = count.min(JOINED);
    let payloads = payloads.get(..count * size).unwrap_or_default();
    // What it refuses counts as sent here too.
    let _taken = match to {
        Some(to) => rustix::net::sendto(socket, payloads, SendFlags::empty(), to),
        None => rustix::net::send(socket, payloads, SendFlags::empty()),
    };
    u32::try_from(count).unwrap_or(1)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a count of datagrams of one run is far below 2^52"
)]
fn whole(count: f64) -> i64 {
    count as i64
}
