//! Datagrams at the far side: echoed, discarded or made, with or without the proxy's header.

use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;

use super::{SINK, SOURCE};
use crate::delay::Delays;
use crate::pace::{self, Pace};
use crate::place::Place;
use crate::sys::Batch;

/// Bytes of the proxy's header in front of a datagram to or from an IPv4 address, and an
/// IPv6 one (RFC 1928 section 7).
const HEADER: usize = 10;
const HEADER6: usize = 22;
/// Where the header says which it is, and how it says IPv6.
const KIND: (usize, u8) = (3, 4);
/// What the last datagram of a source begins with.
const END: &[u8] = b"end ";

/// What a source is told to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order {
    /// Bytes in each datagram.
    pub(crate) size: usize,
    pub(crate) pace: Pace,
}

impl Order {
    /// The datagram that tells it.
    pub(crate) fn encode(self) -> Vec<u8> {
        let Pace { rate, time, joined } = self.pace;
        let millis = time.as_millis();
        format!("{rate} {} {millis} {joined}", self.size).into_bytes()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(bytes).ok()?.split(' ');
        let rate = words.next()?.parse().ok()?;
        let size = words.next()?.parse().ok()?;
        let time = Duration::from_millis(words.next()?.parse().ok()?);
        let joined = words.next()?.parse().ok()?;
        let pace = Pace { rate, time, joined };
        Some(Self { size, pace })
    }

    /// How many datagrams were sent, if this is the last one.
    pub(crate) fn decode_end(datagram: &[u8]) -> Option<u32> {
        let count = datagram.strip_prefix(END)?;
        std::str::from_utf8(count).ok()?.parse().ok()
    }
}

/// What was discarded.
#[derive(Debug, Default)]
pub(crate) struct Sunk {
    /// How many, in all.
    pub(crate) count: AtomicU32,
    /// How long they had been under way.
    pub(crate) delays: Delays,
}

/// Serves datagrams at `address` on a thread of the server's: those of `port`, or of
/// whatever port the proxy's header names; by which socket.
pub(super) fn serve(
    place: &Place,
    address: SocketAddr,
    port: Option<u16>,
    sunk: &Arc<Sunk>,
) -> anyhow::Result<UdpSocket> {
    let sunk = Arc::clone(sunk);
    let (ready, listening) = std::sync::mpsc::sync_channel(1);
    place.on_server(move || {
        let socket = UdpSocket::bind(address).context("cannot bind")?;
        socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20)?;
        ready.send(socket.try_clone()?)?;
        loop_over(&socket, port, &sunk)
    })?;
    listening
        .recv()
        .with_context(|| format!("nobody listens at {address}"))
}

fn loop_over(socket: &UdpSocket, port: Option<u16>, sunk: &Sunk) -> anyhow::Result<()> {
    let mut batch = Batch::new(64, 65_536);
    loop {
        // An error is an ICMP message about an earlier datagram.
        if batch.receive(socket).is_err() {
            continue;
        }
        let (mut discarded, mut echo) = (Vec::new(), false);
        for (from, datagram) in batch.datagrams() {
            let (header, payload) = match port {
                Some(_) => (&[][..], datagram),
                None => datagram
                    .split_at_checked(header_length(datagram))
                    .unwrap_or_default(),
            };
            match port.or_else(|| port_of(header)) {
                Some(SINK) => discarded.push(payload),
                Some(SOURCE) => make(socket, from, header, payload)?,
                Some(_) => echo = true,
                None => {}
            }
        }
        let count = u32::try_from(discarded.len()).unwrap_or(u32::MAX);
        sunk.count.fetch_add(count, Ordering::Relaxed);
        sunk.delays.note(discarded.into_iter());
        // Relayed datagrams are answered with themselves: the header names where each
        // went, which is where the answer comes from. Nobody mixes services.
        if echo && let Err(error) = batch.send_back(socket) {
            crate::report::complain(&anyhow::Error::from(error).context("an echo was lost"));
        }
    }
}

fn header_length(datagram: &[u8]) -> usize {
    let (at, ipv6) = KIND;
    match datagram.get(at) {
        Some(kind) if *kind == ipv6 => HEADER6,
        _ => HEADER,
    }
}

/// Sends every datagram to `address` back, on a thread of the server's.
pub(super) fn echo(place: &Place, address: SocketAddr) -> anyhow::Result<()> {
    place
        .on_server(move || {
            let socket = UdpSocket::bind(address).context("cannot bind")?;
            let mut buffer = vec![0; 65_536];
            loop {
                // An error is an ICMP message about an earlier datagram.
                if let Ok((count, from)) = socket.recv_from(&mut buffer) {
                    drop(socket.send_to(buffer.get(..count).unwrap_or_default(), from));
                }
            }
        })
        .map(drop::<JoinHandle<anyhow::Result<()>>>)
}

fn port_of(header: &[u8]) -> Option<u16> {
    header.last_chunk().map(|port| u16::from_be_bytes(*port))
}

/// Sends what was ordered from a thread of its own.
fn make(socket: &UdpSocket, to: SocketAddrV4, header: &[u8], payload: &[u8]) -> anyhow::Result<()> {
    let Some(order) = Order::decode(payload) else {
        return Ok(());
    };
    let socket = socket.try_clone()?;
    let mut datagram = header.to_vec();
    let work = move || {
        let start = datagram.len();
        datagram.resize(start + order.size, 0x55);
        let sent = match pace::send(&socket, Some(to), &datagram, start, order.pace) {
            Ok(sent) => sent,
            Err(error) => return crate::report::complain(&error.into()),
        };
        thread::sleep(Duration::from_millis(200));
        datagram.truncate(start);
        datagram.extend(END);
        datagram.extend(sent.to_string().into_bytes());
        for _ in 0..3 {
            drop(socket.send_to(&datagram, to));
        }
    };
    thread::Builder::new().spawn(work)?;
    Ok(())
}
