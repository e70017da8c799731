//! Packets that belong to no connection, on their way out.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use vpnm_wire::{
    BufferPool, Checksum, ChecksumState, Chunk, Fragment, Head, IPV4_HEADER, IPV6_HEADER,
    IpBuilder, Segmentation, Seq, TCP_CHECKSUM, TCP_HEADER, TcpFlags, TcpHeader, TcpOptions,
    UDP_CHECKSUM, UDP_HEADER, UdpHeader, VnetHeader, protocol,
};

use crate::path::{Limit, Paths};

/// Packets kept while the link takes none, and bytes of their buffers; more are lost, as on
/// any link.
const CAPACITY: usize = 1_024;
const MAX_BYTES: usize = 8 << 20;
/// Datagrams in one super-packet: the limit of the oldest kernels that have it.
const MAX_SEGMENTS: usize = 64;
/// Longest payload of a super-packet: the length field less IPv6's and UDP's headers.
const MAX_SUPER: usize = 65_535 - 48;

/// A packet that owns its bytes.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) head: Head,
    pub(crate) offload: VnetHeader,
    pub(crate) body: Chunk,
}

/// Builds packets and keeps them in order until the link takes them.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: VecDeque<Packet>,
    /// Bytes of buffers in `queue`.
    bytes: usize,
    mtu: usize,
    paths: Paths,
    offload: bool,
    /// Whether the link takes super-packets of UDP, which older kernels refuse.
    udp_segmentation: bool,
    fragment_id: u32,
}

impl Outbox {
    pub(crate) fn new(mtu: u16, offload: bool) -> Self {
        Self {
            queue: VecDeque::new(),
            bytes: 0,
            mtu: usize::from(mtu),
            paths: Paths::default(),
            offload,
            udp_segmentation: offload,
            fragment_id: 0,
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Packet> {
        let packet = self.queue.pop_front();
        let freed = packet.as_ref().map_or(0, |packet| packet.body.footprint());
        self.bytes = self.bytes.saturating_sub(freed);
        if self.queue.is_empty() && self.queue.capacity() > 64 {
            self.queue = VecDeque::new();
        }
        packet
    }

    pub(crate) fn forgo_udp_segmentation(&mut self) {
        self.udp_segmentation = false;
    }

    /// A router said that the path to a host takes no longer packets than `mtu`; 0 if it
    /// did not say what it takes.
    pub(crate) fn handle_too_big(&mut self, to: IpAddr, mtu: usize, now: Instant) {
        if mtu < self.mtu {
            self.paths.learn(to, mtu, now);
        }
    }

    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.paths.next_expiry()
    }

    pub(crate) fn expire(&mut self, now: Instant) {
        self.paths.expire(now);
    }

    /// What may be sent to a host: as much as the link takes, as a rule.
    fn limit(&self, to: IpAddr) -> Limit {
        self.paths.limit(to).unwrap_or(Limit {
            mtu: self.mtu,
            cut: false,
        })
    }

    fn push(&mut self, head: Head, offload: VnetHeader, body: Chunk) {
        let bytes = self.bytes + body.footprint();
        if self.queue.len() < CAPACITY && bytes <= MAX_BYTES {
            self.bytes = bytes;
            self.queue.push_back(Packet {
                head,
                offload,
                body,
            });
        }
    }

    /// A TCP segment without payload, from the destination of a flow to its source.
    pub(crate) fn tcp(
        &mut self,
        header: &TcpHeader,
        options: &TcpOptions,
        (from, to): (IpAddr, IpAddr),
        pool: &BufferPool,
    ) {
        let mut head = Head::new();
        let ip = IpBuilder {
            source: from,
            destination: to,
            protocol: protocol::TCP,
            payload_len: TCP_HEADER + options.encoded_len(),
            fragment: None,
        };
        if !ip.encode(&mut head) {
            return;
        }
        let start = head.len();
        header.encode(options, [0, 0], &mut head);
        let mut sum = Checksum::pseudo_header(from, to, protocol::TCP, ip.payload_len);
        sum.add(head.bytes().get(start..).unwrap_or_default());
        head.patch(start + TCP_CHECKSUM, &sum.finish());
        self.push(head, VnetHeader::default(), Chunk::empty(pool.fitting(0)));
    }

    /// The reset that answers a segment which belongs to no connection (RFC 9293
    /// section 3.10.7.1).
    pub(crate) fn tcp_reset_for(
        &mut self,
        header: &TcpHeader,
        sequence_len: usize,
        from: IpAddr,
        to: IpAddr,
        pool: &BufferPool,
    ) {
        if header.flags.has(TcpFlags::RST) {
            return;
        }
        let mut reset = TcpHeader {
            source: header.destination,
            destination: header.source,
            ..TcpHeader::default()
        };
        if header.flags.has(TcpFlags::ACK) {
            reset.seq = header.ack;
            reset.flags = TcpFlags::RST;
        } else {
            reset.seq = Seq(0);
            reset.ack = header.seq.plus(sequence_len);
            reset.flags = TcpFlags::RST | TcpFlags::ACK;
        }
        self.tcp(&reset, &TcpOptions::default(), (from, to), pool);
    }

    /// An ICMP message: `body` behind the checksum, `encode` appends what is before.
    pub(crate) fn icmp(
        &mut self,
        from: IpAddr,
        to: IpAddr,
        body: Chunk,
        encode: impl FnOnce(&mut Head, &[u8]),
    ) {
        let protocol = if from.is_ipv6() {
            protocol::ICMPV6
        } else {
            protocol::ICMP
        };
        let mut icmp = Head::new();
        encode(&mut icmp, &body);
        self.fragmented(from, to, protocol, icmp.bytes(), body);
    }

    /// One datagram, fragmented if it is longer than the link or the path takes.
    pub(crate) fn udp(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        payload: &[u8],
        pool: &BufferPool,
    ) {
        let Ok(length) = u16::try_from(UDP_HEADER + payload.len()) else {
            return;
        };
        let whole = UDP_HEADER + payload.len();
        let mut sum = Checksum::pseudo_header(from.ip(), to.ip(), protocol::UDP, whole);
        let mut header = UdpHeader {
            source: from.port(),
            destination: to.port(),
            length,
            checksum: sum.partial(),
        };
        let limit = self.limit(to.ip());
        if self.offload && whole + ip_header(from) <= limit.mtu && !limit.cut {
            self.udp_partial(from, to, &header, pool.copy(payload), 0);
            return;
        }
        header.checksum = [0, 0];
        let mut udp = Head::new();
        header.encode(&mut udp);
        sum.add(udp.bytes());
        sum.add(payload);
        // A sum of zero would mean that there is none.
        header.checksum = match sum.finish() {
            [0, 0] => [0xff, 0xff],
            sum => sum,
        };
        let mut udp = Head::new();
        header.encode(&mut udp);
        let body = pool.copy(payload);
        self.fragmented(from.ip(), to.ip(), protocol::UDP, udp.bytes(), body);
    }

    /// Datagrams of `segment` bytes each, the last possibly shorter.
    pub(crate) fn udp_batch(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        payloads: &[u8],
        segment: usize,
        pool: &BufferPool,
    ) {
        if payloads.len() <= segment {
            // One, possibly empty.
            return self.udp(from, to, payloads, pool);
        }
        let segment = segment.max(1);
        let headers = ip_header(from) + UDP_HEADER;
        let most = (MAX_SUPER / segment).min(MAX_SEGMENTS);
        let limit = self.limit(to.ip());
        let whole = segment + headers <= limit.mtu && !limit.cut;
        if !self.udp_segmentation || !whole || most < 2 {
            for payload in payloads.chunks(segment) {
                self.udp(from, to, payload, pool);
            }
            return;
        }
        for group in payloads.chunks(most * segment) {
            if group.len() <= segment {
                self.udp(from, to, group, pool);
            } else {
                self.udp_super(from, to, group, segment, pool);
            }
        }
    }

    fn udp_super(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        payloads: &[u8],
        segment: usize,
        pool: &BufferPool,
    ) {
        let length = UDP_HEADER + payloads.len();
        let Ok(short) = u16::try_from(length) else {
            return;
        };
        let sum = Checksum::pseudo_header(from.ip(), to.ip(), protocol::UDP, length);
        let header = UdpHeader {
            source: from.port(),
            destination: to.port(),
            length: short,
            checksum: sum.partial(),
        };
        self.udp_partial(from, to, &header, pool.copy(payloads), segment);
    }

    /// A packet whose checksum the link completes, cut every `segment` bytes if not 0.
    fn udp_partial(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        header: &UdpHeader,
        body: Chunk,
        segment: usize,
    ) {
        let ip = IpBuilder {
            source: from.ip(),
            destination: to.ip(),
            protocol: protocol::UDP,
            payload_len: UDP_HEADER + body.len(),
            fragment: None,
        };
        let mut head = Head::new();
        if !ip.encode(&mut head) {
            return;
        }
        let start = head.len();
        header.encode(&mut head);
        let segmentation = match segment {
            0 => Segmentation::None,
            _ => Segmentation::Udp,
        };
        let offload = VnetHeader {
            checksum: ChecksumState::Partial,
            segmentation,
            segment_size: small(segment),
            header_length: small(head.len()),
            checksum_start: small(start),
            checksum_offset: small(UDP_CHECKSUM),
        };
        self.push(head, offload, body);
    }

    /// `transport` and `body` as one packet, or as fragments of one.
    fn fragmented(
        &mut self,
        from: IpAddr,
        to: IpAddr,
        protocol: u8,
        transport: &[u8],
        body: Chunk,
    ) {
        let mut ip = IpBuilder {
            source: from,
            destination: to,
            protocol,
            payload_len: transport.len() + body.len(),
            fragment: None,
        };
        let limit = self.limit(to);
        if ip.header_len() + ip.payload_len <= limit.mtu {
            // Nobody heeds what is said of the path of a message of ours.
            if limit.cut || protocol == protocol::ICMP {
                ip.fragment = Some(self.part(false));
            }
            let mut head = Head::new();
            if ip.encode(&mut head) {
                head.push(transport);
                self.push(head, VnetHeader::default(), body);
            }
            return;
        }
        ip.fragment = Some(self.part(true));
        self.fragments(ip, limit.mtu, transport, &body);
    }

    /// The first part of a packet that may be cut; without `more`, the only one.
    fn part(&mut self, more: bool) -> Fragment {
        self.fragment_id = self.fragment_id.wrapping_add(1);
        Fragment {
            id: self.fragment_id,
            offset: 0,
            more,
        }
    }

    fn fragments(&mut self, mut ip: IpBuilder, mtu: usize, transport: &[u8], body: &Chunk) {
        let pool = body.pool();
        let total = ip.payload_len;
        let room = (mtu - ip.header_len()) / 8 * 8;
        let mut offset = 0;
        while offset < total {
            let len = room.min(total - offset);
            ip.payload_len = len;
            if let Some(fragment) = &mut ip.fragment {
                fragment.offset = offset;
                fragment.more = offset + len < total;
            }
            let mut head = Head::new();
            if !ip.encode(&mut head) {
                return;
            }
            // The transport header travels in the first fragment.
            let first = if offset == 0 { transport } else { &[] };
            head.push(first);
            let from = offset.saturating_sub(transport.len());
            let piece = body.get(from..from + len - first.len()).unwrap_or_default();
            self.push(head, VnetHeader::default(), pool.copy(piece));
            offset += len;
        }
    }

    /// Whether super-packets and partial checksums may be used.
    pub(crate) fn has_offload(&self) -> bool {
        self.offload
    }
}

/// Bytes of IP header in front of a datagram from `from`.
fn ip_header(from: SocketAddr) -> usize {
    if from.is_ipv4() {
        IPV4_HEADER
    } else {
        IPV6_HEADER
    }
}

/// A header's length or offset, which is always small.
pub(crate) fn small(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}
