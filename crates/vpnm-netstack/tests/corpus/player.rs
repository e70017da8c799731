//! Plays any bytes as a life of a stack: packets, what its user does, and time. The stack
//! must keep to its limits, send only what a link takes, and come to rest in the end.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use vpnm_netstack::{
    Config, Event, FlowId, Ingress, Received, Refusal, Sent, Stack, Taken, Transmit,
};
use vpnm_wire::{
    ChecksumState, FlowKey, Head, IpBuilder, IpHeader, Segmentation, Seq, TcpFlags, TcpHeader,
    TcpOptions, VnetHeader, protocol,
};

/// Most flows of each kind, and how many of them may be half open: all peers' at once, or
/// one, so that others are answered without being remembered.
const FLOWS: usize = 8;
const HALF_OPEN: [usize; 2] = [PEERS, 1];
/// Bytes of buffers for all.
const MEMORY: usize = 1 << 20;
/// Ports that the peers' segments come from.
const PEERS: usize = 4;

/// What a peer knows of its connection.
#[derive(Clone, Copy, Default)]
struct Peer {
    /// The next number of its own stream.
    next: Seq,
    /// The next number it expects.
    expected: Seq,
}

struct Player<'a> {
    script: &'a [u8],
    stack: Stack,
    now: Instant,
    peers: [Peer; PEERS],
    flows: Vec<FlowId>,
    held: Vec<FlowId>,
}

/// Plays one script to its end and beyond.
pub(crate) fn play(script: &[u8]) {
    let Some((first, script)) = script.split_first() else {
        return;
    };
    let mut config = Config::new(1_500, [3; 32]);
    config.offload = first & 1 == 1;
    config.max_tcp_flows = FLOWS;
    config.max_half_open = HALF_OPEN[usize::from(first >> 1 & 1)];
    config.max_udp_flows = FLOWS;
    config.memory = MEMORY;
    let mut player = Player {
        script,
        stack: Stack::new(&config),
        now: Instant::now(),
        peers: [Peer::default(); PEERS],
        flows: Vec::new(),
        held: Vec::new(),
    };
    while !player.script.is_empty() {
        player.step();
        player.settle();
    }
    player.come_to_rest();
}

impl Player<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.script.split_first() else {
            return 0;
        };
        self.script = rest;
        *first
    }

    fn short(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let (taken, rest) = self.script.split_at(count.min(self.script.len()));
        self.script = rest;
        taken.to_vec()
    }

    fn step(&mut self) {
        match self.byte() % 8 {
            0 => self.any_packet(),
            1 | 2 => self.segment(),
            3 => {
                let time = Duration::from_millis(u64::from(self.short()));
                self.now += time;
            }
            4 => self.decide(),
            5 => self.receive(),
            6 => self.send(),
            _ => self.end(),
        }
    }

    /// A packet of the script's own bytes, with a virtio header of them.
    fn any_packet(&mut self) {
        let header = VnetHeader::decode(&self.bytes(10)).unwrap_or_default();
        let length = usize::from(self.short()) % 4_096;
        let content = self.bytes(length);
        let content = self.stack.pool().copy(&content);
        let packet = Ingress::offloaded(content, header);
        self.stack.handle_packet(packet, self.now);
    }

    fn address(peer: usize) -> FlowKey {
        let port = 1_000 + u16::try_from(peer).unwrap_or(0);
        let from = SocketAddr::from(([10, 0, 0, 1], port));
        FlowKey::new(from, SocketAddr::from(([10, 0, 0, 2], 80)))
    }

    /// A segment near to what its connection expects.
    fn segment(&mut self) {
        let peer = usize::from(self.byte()) % PEERS;
        let flags = TcpFlags(self.byte());
        // Mostly in order, sometimes far off.
        let near = |script: u8| usize::from(script.saturating_sub(200)) * 700;
        let (ahead, behind) = (near(self.byte()), near(self.byte()));
        let window = self.short();
        let length = usize::from(self.short()) % 40_000;
        let known = self.peers.get(peer).copied().unwrap_or_default();
        let mut options = TcpOptions::default();
        if flags.has(TcpFlags::SYN) {
            options.sack_permitted = true;
            options.window_scale = Some(self.byte());
            options.max_segment = Some(self.short());
        } else if behind > 0 {
            options.sacks = 1;
            let left = known.expected.plus(usize::from(self.short()));
            options.sack = [(left, left.plus(1_460)); 4];
        }
        let header = TcpHeader {
            source: Self::address(peer).source().port(),
            destination: 80,
            seq: known.next.plus(ahead),
            ack: Seq(known
                .expected
                .0
                .wrapping_sub(u32::try_from(behind).unwrap_or(0))),
            flags,
            window,
            header_len: 0,
        };
        let taken = length + usize::from(flags.has(TcpFlags::SYN) || flags.has(TcpFlags::FIN));
        if let Some(known) = self.peers.get_mut(peer) {
            known.next = header.seq.plus(taken);
        }
        self.deliver(Self::address(peer), &header, &options, length);
    }

    fn deliver(&mut self, key: FlowKey, header: &TcpHeader, options: &TcpOptions, length: usize) {
        let ip = IpBuilder {
            source: key.source().ip(),
            destination: key.destination().ip(),
            protocol: protocol::TCP,
            payload_len: 20 + options.encoded_len() + length,
            fragment: None,
        };
        let mut head = Head::new();
        assert!(ip.encode(&mut head));
        header.encode(options, [0, 0], &mut head);
        let packet = [head.bytes(), &vec![7; length]].concat();
        let offload = VnetHeader {
            checksum: ChecksumState::Partial,
            ..VnetHeader::default()
        };
        let content = self.stack.pool().copy(&packet);
        self.stack
            .handle_packet(Ingress::offloaded(content, offload), self.now);
    }

    fn pick(&mut self) -> Option<FlowId> {
        let choice = usize::from(self.byte());
        let count = self.flows.len().max(1);
        self.flows.get(choice % count).copied()
    }

    fn decide(&mut self) {
        let how = self.byte();
        let Some(id) = self.held.pop() else { return };
        let why = match how % 8 {
            0 => Refusal::Reset,
            1 => Refusal::HostUnreachable,
            2 => Refusal::Prohibited,
            _ => {
                self.stack.tcp_accept(id, self.now);
                self.flows.push(id);
                return;
            }
        };
        self.stack.tcp_refuse(id, why, self.now);
    }

    fn receive(&mut self) {
        let Some(id) = self.pick() else { return };
        let part = usize::from(self.byte()) + 1;
        if let Taken::Data(chunk) = self.stack.tcp_take(id) {
            let first = (chunk.len() * part).div_ceil(256);
            self.stack.tcp_release(id, first);
            self.stack.tcp_release(id, chunk.len() - first);
        }
    }

    fn send(&mut self) {
        let Some(id) = self.pick() else { return };
        let length = usize::from(self.short());
        let room = match self.stack.tcp_room(id) {
            Sent::Bytes(room) => room,
            Sent::Full | Sent::Gone(_) => return,
        };
        let bytes = vec![9; length.min(room)];
        if length % 2 == 0 {
            self.stack.tcp_send(id, &bytes, self.now);
        } else {
            let chunk = self.stack.pool().copy(&bytes);
            self.stack.tcp_send_chunk(id, chunk, self.now);
        }
    }

    fn end(&mut self) {
        let how = self.byte();
        let Some(id) = self.pick() else { return };
        if how.is_multiple_of(2) {
            self.stack.tcp_finish(id, self.now);
        }
        if how.is_multiple_of(3) {
            self.close(id);
        }
    }

    fn close(&mut self, id: FlowId) {
        self.flows.retain(|known| *known != id);
        self.stack.tcp_close(id, self.now);
    }

    /// Does what the stack's contract asks for after every input.
    fn settle(&mut self) {
        if self
            .stack
            .poll_timeout()
            .is_some_and(|(at, _)| at <= self.now)
        {
            self.stack.handle_timeout(self.now);
            let next = self.stack.poll_timeout();
            assert!(
                next.is_none_or(|(at, _)| at > self.now),
                "it would be woken at once again: {next:?}"
            );
        }
        self.drain_events();
        self.stack.release_acks(self.now);
        while let Some(packet) = self.stack.poll_transmit(self.now) {
            Self::check(&packet);
            Self::learn(&mut self.peers, &packet);
        }
        assert!(self.stack.tcp_flows() <= FLOWS);
        assert!(self.stack.udp_flows() <= FLOWS);
        // Each flow may have one packet beyond the limit, and the queue out some more.
        let most = MEMORY + 40 * 65_600;
        assert!(self.stack.pool().bytes_out() <= most, "memory is bounded");
    }

    fn drain_events(&mut self) {
        while let Some(event) = self.stack.poll_event() {
            match event {
                Event::TcpIncoming { id, .. } => self.held.push(id),
                Event::TcpGone(id, _) => {
                    assert!(self.stack.tcp_gone(id).is_some());
                    self.held.retain(|known| *known != id);
                    self.close(id);
                }
                Event::UdpIncoming { id, .. } | Event::UdpReadable(id) => {
                    while let Received::Datagrams(_) = self.stack.udp_take(id) {}
                }
                Event::DnsQuery {
                    source,
                    destination,
                    payload,
                } => self.stack.udp_send(destination, source, &payload),
                Event::EchoRequest(echo) => self.stack.echo_reply(echo),
                Event::TcpReadable(_) | Event::TcpWritable(_) | Event::UdpGone(..) => {}
            }
        }
    }

    /// A packet is one that a TUN queue takes.
    fn check(packet: &Transmit<'_>) {
        let offload = packet.offload();
        let bytes = packet.parts().concat();
        assert_eq!(bytes.len(), packet.len());
        let header = IpHeader::parse(&bytes).expect("an IP packet");
        assert_eq!(header.total_len, bytes.len());
        if offload.segmentation == Segmentation::None {
            assert!(bytes.len() <= 1_500, "longer than the MTU");
        } else {
            let carried = bytes.len() - usize::from(offload.header_length);
            assert!(offload.segment_size > 0);
            assert!(carried > usize::from(offload.segment_size));
            assert_eq!(offload.checksum, ChecksumState::Partial);
        }
        if offload.checksum == ChecksumState::Partial {
            let end = offload.checksum_start + offload.checksum_offset + 2;
            assert!(usize::from(end) <= usize::from(offload.header_length));
        }
    }

    /// The peer remembers how far the stack's stream is.
    fn learn(peers: &mut [Peer; PEERS], packet: &Transmit<'_>) {
        let bytes = packet.parts().concat();
        let Ok(ip) = IpHeader::parse(&bytes) else {
            return;
        };
        if ip.protocol != protocol::TCP || ip.fragment.is_some() {
            return;
        }
        let Some(header) = TcpHeader::parse(ip.payload(&bytes)) else {
            return;
        };
        let peer = usize::from(header.destination).checked_sub(1_000);
        let Some(peer) = peer.and_then(|peer| peers.get_mut(peer)) else {
            return;
        };
        let length = ip.payload(&bytes).len() - header.header_len;
        let ends = header.flags.has(TcpFlags::SYN) || header.flags.has(TcpFlags::FIN);
        peer.expected = header.seq.plus(length + usize::from(ends));
        if header.flags.has(TcpFlags::ACK) {
            peer.next = header.ack;
        }
    }

    /// Everybody leaves; nothing may be left.
    fn come_to_rest(mut self) {
        for id in std::mem::take(&mut self.held) {
            self.stack.tcp_refuse(id, Refusal::Reset, self.now);
        }
        for id in self.flows.clone() {
            self.stack.tcp_finish(id, self.now);
            self.close(id);
        }
        self.settle();
        let mut wakes = 0;
        while let Some((at, why)) = self.stack.poll_timeout() {
            wakes += 1;
            assert!(
                wakes < 1_000,
                "it does not come to rest, because of {why:?}"
            );
            self.now = self.now.max(at);
            self.settle();
        }
        assert_eq!(self.stack.tcp_flows(), 0);
    }
}
