//! The peer of a stack: a connection opened actively, as an application's host does.

use std::net::SocketAddr;
use std::time::Instant;

use vpnm_wire::{
    BufferPool, Checksum, ChecksumState, FlowKey, Head, IPV4_HEADER, IpBuilder, IpHeader, Seq,
    TCP_CHECKSUM, TcpFlags, TcpHeader, TcpOptions, TcpStamps, VnetHeader, protocol,
};

use super::link::Path;
use super::patterned;
use crate::event::Cause;
use crate::tcp::{Flow, Reply, Segment, Surroundings, build, max_payload};

const PORT: u16 = 40_000;
const ISS: Seq = Seq(u32::MAX - 5_000);

/// A client that sends so many bytes, reads to the end, and finishes.
pub(super) struct Client {
    key: FlowKey,
    pool: BufferPool,
    offload: bool,
    /// When the SYN is sent, again.
    syn_at: Option<Instant>,
    syn_sent: bool,
    pub(super) flow: Option<Flow>,
    send: usize,
    pub(super) sent: usize,
    pub(super) received: usize,
    pub(super) saw_end: bool,
    pub(super) failed: Option<Cause>,
    /// The ICMP error that ended the attempt, by type and code.
    pub(super) icmp: Option<(u8, u8)>,
    /// Stops reading after this many bytes.
    pub(super) appetite: usize,
    pub(super) sack: bool,
    /// Whether a host on the way forwards its packets, and whether it offers timestamps.
    forwarded: bool,
    pub(super) stamps: bool,
    /// From where its clock counts, though its SYN says 0.
    pub(super) clock: u32,
    /// The last that it saw of its own.
    last_stamp: u32,
    /// When its first SYN was sent, from when on its clock counts.
    began: Option<Instant>,
    finish: bool,
    /// Acknowledge every packet at once, as Linux does beyond a hole.
    outbox: Vec<(Vec<u8>, VnetHeader)>,
}

impl Client {
    pub(super) fn new(send: usize, path: Path, pool: &BufferPool) -> Self {
        let at = |host: [u8; 4], port| SocketAddr::from((host, port));
        Self {
            // Seen from here: what arrives comes from the server.
            key: FlowKey::new(at([10, 9, 9, 9], 443), at([10, 0, 0, 1], PORT)),
            pool: pool.clone(),
            offload: path.offload,
            syn_at: None,
            syn_sent: false,
            flow: None,
            send,
            sent: 0,
            received: 0,
            saw_end: false,
            failed: None,
            icmp: None,
            appetite: usize::MAX,
            sack: true,
            forwarded: path.forwarded,
            stamps: path.forwarded,
            clock: 0,
            last_stamp: 0,
            began: None,
            finish: true,
            outbox: Vec::new(),
        }
    }

    /// The connection as seen from here: from the server, to the client.
    pub(super) fn key(&self) -> FlowKey {
        self.key
    }

    pub(super) fn is_done(&self) -> bool {
        let refused = self.failed.is_some() || self.icmp.is_some();
        refused || self.saw_end && self.flow.as_ref().is_some_and(Flow::is_complete)
    }

    fn surroundings(&self, now: Instant) -> Surroundings<'_> {
        Surroundings {
            pool: &self.pool,
            now,
            allowance: usize::MAX,
            exhausted: false,
            max_payload: self
                .flow
                .as_ref()
                .map_or(0, |flow| max_payload(flow, self.offload)),
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        match &self.flow {
            _ if self.failed.is_some() || self.icmp.is_some() => None,
            None => self.syn_at,
            Some(flow) => flow.timer().map(|(_, at)| at),
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Some(flow) = &mut self.flow
            && self.failed.is_none()
        {
            flow.on_timeout(now, false);
            self.failed = self.failed.or(flow.gone);
        }
    }

    fn header(&self, seq: Seq, flags: TcpFlags) -> TcpHeader {
        TcpHeader {
            source: PORT,
            destination: 443,
            seq,
            flags,
            window: 65_535,
            ..TcpHeader::default()
        }
    }

    fn raw(&self, header: &TcpHeader, options: &TcpOptions) -> (Vec<u8>, VnetHeader) {
        let (from, to) = (self.key.destination().ip(), self.key.source().ip());
        let length = 20 + options.encoded_len();
        let ip = IpBuilder {
            source: from,
            destination: to,
            protocol: protocol::TCP,
            payload_len: length,
            fragment: None,
        };
        let mut head = Head::new();
        assert!(ip.encode(&mut head));
        let start = head.len();
        header.encode(options, [0, 0], &mut head);
        let mut sum = Checksum::pseudo_header(from, to, protocol::TCP, length);
        sum.add(&head.bytes()[start..]);
        head.patch(start + TCP_CHECKSUM, &sum.finish());
        (head.bytes().to_vec(), VnetHeader::default())
    }

    fn syn(&mut self, now: Instant) -> (Vec<u8>, VnetHeader) {
        self.syn_sent = true;
        self.began.get_or_insert(now);
        self.syn_at = Some(now + std::time::Duration::from_secs(1));
        let options = TcpOptions {
            max_segment: Some(1_460),
            window_scale: Some(7),
            sack_permitted: self.sack,
            stamps: self.stamps.then(TcpStamps::default),
            ..TcpOptions::default()
        };
        let (mut packet, offload) = self.raw(&self.header(ISS, TcpFlags::SYN), &options);
        if self.forwarded {
            forward(&mut packet);
        }
        (packet, offload)
    }

    pub(super) fn poll_transmit(&mut self, now: Instant) -> Option<(Vec<u8>, VnetHeader)> {
        if let Some(packet) = self.outbox.pop() {
            return Some(packet);
        }
        if self.failed.is_some() || self.icmp.is_some() {
            return None;
        }
        if self.flow.is_none() {
            let due = !self.syn_sent || self.syn_at.is_some_and(|at| at <= now);
            return due.then(|| self.syn(now));
        }
        self.write();
        self.next_packet(now)
    }

    fn next_packet(&mut self, now: Instant) -> Option<(Vec<u8>, VnetHeader)> {
        let mut flow = self.flow.take()?;
        let mut around = self.surroundings(now);
        around.max_payload = max_payload(&flow, self.offload);
        let outgoing = flow.next_segment(&around);
        let packet = outgoing.and_then(|outgoing| {
            let packet = build(&flow, &outgoing, self.offload)?;
            Some((packet.parts().concat(), packet.offload()))
        });
        flow.rearm(now, false);
        self.flow = Some(flow);
        packet
    }

    fn write(&mut self) {
        let Some(flow) = &mut self.flow else { return };
        while self.sent < self.send && flow.sender.queued() < 1 << 20 {
            let count = (self.send - self.sent).min(100_000);
            flow.sender
                .push_copy(&patterned(self.sent, count), &self.pool);
            self.sent += count;
        }
        if self.sent == self.send && self.finish {
            flow.sender.finish();
        }
    }

    /// Breaks the connection off.
    pub(super) fn reset(&mut self) {
        let flow = self.flow.as_ref().expect("the connection is open");
        let mut header = flow.reset_header();
        header.flags = TcpFlags::RST | TcpFlags::ACK;
        let packet = self.raw(&header, &TcpOptions::default());
        self.outbox.push(packet);
        self.failed = Some(Cause::Closed);
    }

    pub(super) fn handle(&mut self, packet: &[u8], offload: VnetHeader, now: Instant) {
        let ip = IpHeader::parse(packet).expect("the stack sends packets");
        if ip.destination != self.key.destination().ip() {
            return;
        }
        let content = ip.payload(packet);
        if offload.checksum == ChecksumState::Complete {
            let mut sum = Checksum::new();
            if ip.protocol == protocol::TCP {
                sum = Checksum::pseudo_header(ip.source, ip.destination, 6, content.len());
            }
            sum.add(content);
            assert!(sum.is_valid(), "the stack's checksums are right");
        }
        if ip.protocol == protocol::ICMP {
            self.icmp = Some((content[0], content[1]));
            return;
        }
        let header = TcpHeader::parse(content).expect("the stack sends segments");
        let mut payload = self.pool.copy(content);
        payload.advance(header.header_len);
        let options = TcpOptions::parse(content, header.header_len);
        self.last_stamp = options.stamps.map_or(0, |stamps| stamps.echo);
        let segment = Segment {
            header,
            options,
            payload,
            near: false,
        };
        match self.flow.take() {
            None => self.on_handshake(&segment, now),
            Some(mut flow) => {
                let around = self.surroundings(now);
                let reply = flow.on_segment(segment, &around);
                assert_ne!(reply, Reply::Reset);
                self.failed = self.failed.or(flow.gone);
                self.flow = Some(flow);
                self.read();
                // Linux acknowledges beyond a hole at once.
                if self
                    .flow
                    .as_ref()
                    .is_some_and(|flow| flow.receiver.has_holes())
                    && let Some(packet) = self.next_packet(now)
                {
                    self.outbox.insert(0, packet);
                }
            }
        }
    }

    fn on_handshake(&mut self, segment: &Segment, now: Instant) {
        let header = &segment.header;
        if header.flags.has(TcpFlags::RST) {
            // Only who saw the SYN knows its number (RFC 9293 section 3.10.7.3).
            if header.flags.has(TcpFlags::ACK) && header.ack == ISS.plus(1) {
                self.failed = Some(Cause::Reset);
            }
            return;
        }
        assert!(header.flags.has(TcpFlags::SYN | TcpFlags::ACK));
        assert_eq!(header.ack, ISS.plus(1));
        let offer = &segment.options;
        let mut flow = Flow::new(self.key, header.seq, offer, ISS, 1_460);
        if let Some(theirs) = offer.stamps {
            flow.agree_on_stamps(theirs, self.clock, self.began.unwrap_or(now), now);
        }
        flow.open_actively(header, now);
        self.flow = Some(flow);
    }

    fn read(&mut self) {
        let Some(flow) = &mut self.flow else { return };
        while self.received < self.appetite
            && let Some(chunk) = flow.take()
        {
            let expected = patterned(self.received, chunk.len());
            assert!(chunk[..] == expected, "at {}", self.received);
            self.received += chunk.len();
            if flow.receiver.release(chunk.len(), usize::MAX) {
                flow.ack_due = true;
            }
        }
        self.saw_end |= flow.receiver.is_finished() && !flow.receiver.has_data();
    }

    /// The last of its own timestamps that was echoed.
    pub(super) fn last_stamp(&self) -> u32 {
        self.last_stamp
    }

    /// Goes on reading without limit.
    pub(super) fn devour(&mut self) {
        self.appetite = usize::MAX;
        self.read();
    }

    /// Keeps the sending side open after all was sent.
    pub(super) fn stay_open(&mut self) {
        self.finish = false;
    }
}

/// What a host on the way does to a packet over IPv4.
fn forward(packet: &mut [u8]) {
    packet[8] -= 1;
    packet[10..12].fill(0);
    let mut sum = Checksum::new();
    sum.add(&packet[..IPV4_HEADER]);
    packet[10..12].copy_from_slice(&sum.finish());
}
