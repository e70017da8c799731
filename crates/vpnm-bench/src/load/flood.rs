//! SYNs from addresses nobody has.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use socket2::{Domain, Protocol, Socket, Type};

use super::connections::{Rate, connections};
use crate::place::{Place, TARGET};
use crate::target::{ECHO, address};

/// The protocol number of packets that bring their own IP header (raw(7)).
const RAW: i32 = 255;
/// The protocol number of TCP.
const TCP: u8 = 6;
/// Bytes of an IPv4 or a TCP header without options.
const HEADER: u16 = 20;
/// How long a flood lasts before service is looked at: whatever can be full by it, is.
const BEFORE: Duration = Duration::from_millis(500);
/// How often a connection is tried after the flood.
const ATTEMPTS: usize = 10;

/// Sends `count` SYNs, each from another address, as fast as they go, and calls `look`
/// now and then; seconds until a connection is served again afterwards.
pub(crate) fn flood(
    place: &Place,
    count: u32,
    mut look: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<f64> {
    /// SYNs between two looks.
    const STEP: u32 = 10_000;
    for begin in (0..count).step_by(usize::try_from(STEP)?) {
        let some = place.on_client(move || send(begin..begin.saturating_add(STEP).min(count)))?;
        some.join()
            .map_err(|_| anyhow::anyhow!("a load panicked"))??;
        look()?;
    }
    let begin = Instant::now();
    let served = place.on_client(|| {
        let mut last = Ok(());
        for _ in 0..ATTEMPTS {
            last = exchange();
            if last.is_ok() {
                break;
            }
        }
        last
    })?;
    served
        .join()
        .map_err(|_| anyhow::anyhow!("a load panicked"))?
        .context("nobody is served after the flood")?;
    Ok(begin.elapsed().as_secs_f64())
}

/// What becomes of `concurrent` connections at a time beside 100 000 SYNs a second.
pub(crate) fn flooded(place: &Place, concurrent: usize, time: Duration) -> anyhow::Result<Rate> {
    /// SYNs a millisecond.
    const BURST: u32 = 100;
    let end = Instant::now() + BEFORE + time;
    let others = place.on_client(move || {
        let (mut number, mut due) = (0, Instant::now());
        while due < end {
            send(number..number + BURST)?;
            number += BURST;
            due += Duration::from_millis(1);
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        Ok(())
    })?;
    thread::sleep(BEFORE);
    let rate = connections(place, concurrent, time)?;
    others
        .join()
        .map_err(|_| anyhow::anyhow!("a load panicked"))??;
    Ok(rate)
}

fn exchange() -> anyhow::Result<()> {
    let limit = Duration::from_secs(8);
    let mut stream = TcpStream::connect_timeout(&address(ECHO), limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.write_all(&[1])?;
    Ok(stream.read_exact(&mut [0])?)
}

fn send(numbers: std::ops::Range<u32>) -> anyhow::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(RAW)))?;
    let to = socket2::SockAddr::from(SocketAddr::new(TARGET, 0));
    for number in numbers {
        // What the device has no room for is lost, as on any link.
        drop(socket.send_to(&syn(number), &to));
    }
    Ok(())
}

/// A SYN from the `number`th address; the kernel fills in the IP header's checksum.
fn syn(number: u32) -> Vec<u8> {
    let from = (0x0b00_0000 + number).to_be_bytes();
    let IpAddr::V4(to) = TARGET else {
        return Vec::new();
    };
    let to = to.octets();
    let mut packet = vec![0x45, 0];
    packet.extend((2 * HEADER).to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, TCP, 0, 0]);
    packet.extend(from);
    packet.extend(to);
    let mut segment = Vec::from(1_111_u16.to_be_bytes());
    segment.extend(ECHO.to_be_bytes());
    segment.extend(number.to_be_bytes());
    // No acknowledgement, five words of header, SYN, the largest window.
    segment.extend([0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff]);
    let pseudo = [&from[..], &to, &[0, TCP], &HEADER.to_be_bytes()].concat();
    let sum = checksum([&pseudo, &segment]);
    segment.extend(sum);
    segment.extend([0, 0]);
    packet.extend(segment);
    packet
}

/// The Internet's checksum (RFC 1071) of pieces of even length.
fn checksum(pieces: [&[u8]; 2]) -> [u8; 2] {
    let words = pieces.iter().flat_map(|piece| piece.as_chunks().0);
    let mut sum: u32 = words.map(|word| u32::from(u16::from_be_bytes(*word))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let folded = u16::try_from(sum).unwrap_or(u16::MAX);
    (!folded).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_finds_the_checksum_right() {
        let packet = syn(77);
        let (header, segment) = packet.split_at(usize::from(HEADER));
        let pseudo = [&header[12..], &[0, TCP], &HEADER.to_be_bytes()].concat();
        assert_eq!(checksum([&pseudo, segment]), [0, 0]);
        assert_eq!(packet.len(), 40);
    }
}
