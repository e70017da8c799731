//! The bytes of one connection.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::OwnedFd;

use anyhow::Context as _;
use vpnm_wire::{Seq, TcpFlags};

use super::packet::{Ends, MAX_SEGMENT, SEGMENT_FRONT, Segment};
use super::socks;

/// A connection of the client's, which this answers for the service, and the one to the proxy.
#[derive(Debug)]
pub(super) struct Stream {
    ends: Ends,
    /// It blocks: what is written is little, and it is read only when there is something.
    socket: TcpStream,
    /// What the client sends next, and what it is sent next.
    expected: Seq,
    next: Seq,
    /// The packet that is sent: its headers, and behind them what is read from the proxy.
    packet: Box<[u8]>,
}

impl Stream {
    /// Connects to where a first segment wants to go, and answers it.
    pub(super) fn open(first: &Segment<'_>, queue: &OwnedFd) -> anyhow::Result<Self> {
        let service = first.ends.service;
        let socket = socks::connect(service).with_context(|| format!("no way to {service}"))?;
        let mut stream = Self {
            ends: first.ends,
            socket,
            expected: first.header.seq.plus(1),
            next: Seq::default(),
            packet: vec![0; SEGMENT_FRONT + usize::from(MAX_SEGMENT)].into_boxed_slice(),
        };
        stream.say(TcpFlags::SYN, queue)?;
        Ok(stream)
    }

    /// What is to be watched for bytes from the proxy.
    pub(super) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Passes on what a segment of the client's brings; `false` when the connection is over.
    pub(super) fn take(&mut self, segment: &Segment<'_>, queue: &OwnedFd) -> io::Result<bool> {
        let header = segment.header;
        if segment.ends != self.ends || header.seq != self.expected {
            return Ok(true);
        }
        if !segment.payload.is_empty() {
            self.socket.write_all(segment.payload)?;
            self.expected = self.expected.plus(segment.payload.len());
        }
        if header.flags.has(TcpFlags::FIN) {
            self.expected = self.expected.plus(1);
            self.say(TcpFlags::FIN, queue)?;
            return Ok(false);
        }
        Ok(!header.flags.has(TcpFlags::RST))
    }

    /// Passes on what is there from the proxy; `false` when the connection is over.
    pub(super) fn receive(&mut self, queue: &OwnedFd) -> io::Result<bool> {
        let room = self.packet.get_mut(SEGMENT_FRONT..).unwrap_or_default();
        let count = self.socket.read(room)?;
        if count == 0 {
            self.say(TcpFlags::FIN, queue)?;
            return Ok(false);
        }
        let flags = TcpFlags::ACK | TcpFlags::PSH;
        let head = self.ends.segment(flags, self.next, self.expected, count);
        if let Some(front) = self.packet.get_mut(..SEGMENT_FRONT) {
            front.copy_from_slice(head.bytes());
        }
        let packet = self.packet.get(..SEGMENT_FRONT + count);
        rustix::io::write(queue, packet.unwrap_or_default())?;
        self.next = self.next.plus(count);
        Ok(true)
    }

    /// Sends the client a segment of nothing but a flag, which counts as a byte.
    fn say(&mut self, flag: TcpFlags, queue: &OwnedFd) -> io::Result<()> {
        let flags = flag | TcpFlags::ACK;
        let head = self.ends.segment(flags, self.next, self.expected, 0);
        rustix::io::write(queue, head.bytes())?;
        self.next = self.next.plus(1);
        Ok(())
    }
}
