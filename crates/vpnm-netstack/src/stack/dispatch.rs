//! From a packet's bytes to the flow they belong to.

use std::net::IpAddr;
use std::time::Instant;

use vpnm_wire::{
    Checksum, ChecksumState, Chunk, FlowKey, Head, IPV6_HEADER, Icmp, IpBuilder, IpHeader,
    Segmentation, Seq, TcpHeader, UDP_HEADER, UdpHeader, VnetHeader, protocol,
};

use super::hosts::is_between_hosts;
use super::unspoken::beginning;
use crate::event::{Echo, Event};
use crate::packet::Ingress;
use crate::stack::Stack;

/// Datagrams to this port are queries, whoever they are addressed to.
const DNS_PORT: u16 = 53;
/// The hop limit of a packet of Linux's that no router has forwarded.
const UNTOUCHED: u8 = 64;
/// Datagrams believed of one super-packet: as many as Linux puts into one since 6.8.
const MAX_SEGMENTS: usize = 128;
/// Queries believed of one super-packet: as many as Linux puts into one.
const MAX_QUERIES: usize = 64;

/// What an IP packet carries, its headers taken off.
struct Transport {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    hop_limit: u8,
    content: Chunk,
    offload: VnetHeader,
}

pub(crate) fn dispatch(stack: &mut Stack, packet: Ingress, now: Instant) {
    let Some(header) = stack.read(&packet.content, now) else {
        return;
    };
    if !is_between_hosts(&header) {
        return;
    }
    if header.fragment.is_none() {
        return deliver(stack, packet, &header, now);
    }
    // What follows the fragment header may be extension headers, too, but not another one.
    if let Some(whole) = reassemble(stack, packet, now)
        && let Some(header) = stack.read(&whole.content, now)
        && header.fragment.is_none()
    {
        deliver(stack, whole, &header, now);
    }
}

/// Takes the IP headers off a whole packet.
fn deliver(stack: &mut Stack, packet: Ingress, header: &IpHeader, now: Instant) {
    let Ingress {
        mut content,
        offload,
    } = packet;
    content.truncate(header.total_len);
    if !is_spoken(header) {
        return stack.refuse_protocol(header, &content, now);
    }
    content.advance(header.header_len);
    let transport = Transport {
        source: header.source,
        destination: header.destination,
        protocol: header.protocol,
        hop_limit: header.hop_limit,
        content,
        offload,
    };
    match transport.protocol {
        protocol::TCP => tcp(stack, transport, now),
        protocol::UDP => udp(stack, transport),
        _ => icmp(stack, transport, now),
    }
}

/// Whether it is known what to do with what a packet carries.
fn is_spoken(header: &IpHeader) -> bool {
    match header.protocol {
        protocol::TCP | protocol::UDP => true,
        protocol::ICMP => header.source.is_ipv4(),
        protocol::ICMPV6 => header.source.is_ipv6(),
        _ => false,
    }
}

/// The whole packet, once its last part arrives.
pub(crate) fn reassemble(stack: &mut Stack, part: Ingress, now: Instant) -> Option<Ingress> {
    let header = stack.read(&part.content, now)?;
    let Some(fragment) = header.fragment else {
        return Some(part);
    };
    // Who asks for the whole first has not asked this yet.
    if !is_between_hosts(&header) {
        return None;
    }
    stack.give_up_parts(now);
    let content = header.payload(&part.content);
    let pool = &stack.pool;
    let whole = stack
        .reassembly
        .handle(&header, fragment, content, pool, now);
    let Some(carried) = whole else {
        if fragment.offset == 0 {
            let first = beginning(&header, &part.content);
            stack.reassembly.keep_first(header, fragment, first, pool);
        }
        return None;
    };
    let builder = IpBuilder {
        source: header.source,
        destination: header.destination,
        protocol: header.protocol,
        payload_len: carried.len(),
        fragment: None,
    };
    let mut head = Head::new();
    if !builder.encode(&mut head) {
        return None;
    }
    set_hop_limit(&mut head, header.hop_limit);
    let mut whole = Chunk::empty(pool.fitting(head.len() + carried.len()));
    whole.append(head.bytes());
    whole.append(&carried);
    Some(Ingress::plain(whole))
}

/// Writes it into an IP header that is otherwise complete.
fn set_hop_limit(head: &mut Head, hop_limit: u8) {
    if head.len() == IPV6_HEADER {
        return head.patch(7, &[hop_limit]);
    }
    head.patch(8, &[hop_limit]);
    head.patch(10, &[0; 2]);
    let mut sum = Checksum::new();
    sum.add(head.bytes());
    head.patch(10, &sum.finish());
}

impl Transport {
    /// The flow between these ports.
    fn key(&self, source: u16, destination: u16) -> FlowKey {
        FlowKey::from_parts(self.source, source, self.destination, destination)
    }

    /// Whether the data is what was sent. Data that never left this machine's memory
    /// has no checksum to verify.
    fn is_intact(&self) -> bool {
        if self.offload.checksum != ChecksumState::Complete {
            return true;
        }
        let mut sum = if self.protocol == protocol::ICMP {
            Checksum::new()
        } else {
            Checksum::pseudo_header(
                self.source,
                self.destination,
                self.protocol,
                self.content.len(),
            )
        };
        sum.add(&self.content);
        sum.is_valid()
    }
}

fn tcp(stack: &mut Stack, transport: Transport, now: Instant) {
    let Some(header) = TcpHeader::parse(&transport.content) else {
        return;
    };
    // To connect to port 0 is refused by its host, like any port where nobody listens.
    if header.source == 0 || !transport.is_intact() {
        return;
    }
    let key = transport.key(header.source, header.destination);
    let (tcp, mut cx) = stack.tcp_context(now);
    let near = transport.hop_limit == UNTOUCHED;
    tcp.handle(key, header, transport.content, near, &mut cx);
}

fn udp(stack: &mut Stack, mut transport: Transport) {
    let Some(header) = UdpHeader::parse(&transport.content) else {
        return;
    };
    let is_super = transport.offload.segmentation == Segmentation::Udp;
    let length = usize::from(header.length);
    let bare = header.checksum == [0, 0] && transport.source.is_ipv4();
    if header.source == 0 || header.destination == 0 {
        return;
    }
    if !is_super && (length < UDP_HEADER || length > transport.content.len()) {
        return;
    }
    if !is_super {
        // What is behind it is not the datagram's, nor is it in its checksum.
        transport.content.truncate(length);
    }
    if !bare && !transport.is_intact() {
        return;
    }
    let key = transport.key(header.source, header.destination);
    let mut payload = transport.content;
    payload.advance(UDP_HEADER);
    let segment = if is_super {
        usize::from(transport.offload.segment_size)
    } else {
        0
    };
    if segment > 0 && payload.len().div_ceil(segment) > MAX_SEGMENTS {
        return;
    }
    if header.destination != DNS_PORT {
        stack
            .udp
            .handle(key, payload, segment, &stack.pool, &mut stack.events);
        return;
    }
    let segment = if segment == 0 {
        payload.len().max(1)
    } else {
        segment
    };
    for query in payload.chunks(segment).take(MAX_QUERIES) {
        stack.events.push_back(Event::DnsQuery {
            source: key.source(),
            destination: key.destination(),
            payload: stack.pool.copy(query),
        });
    }
}

fn icmp(stack: &mut Stack, transport: Transport, now: Instant) {
    if !transport.is_intact() {
        return;
    }
    let v6 = transport.source.is_ipv6();
    match Icmp::parse(v6, &transport.content) {
        Some(Icmp::EchoRequest { body }) => {
            let echo = Echo {
                source: transport.source,
                destination: transport.destination,
                body: stack.pool.copy(body),
            };
            stack.events.push_back(Event::EchoRequest(echo));
        }
        Some(Icmp::Unreachable { port: true, quoted }) => {
            // Only the host itself knows what is behind its ports.
            if let Some((protocol::UDP, key, _)) = quoted_flow(quoted)
                && transport.destination == key.destination().ip()
                && transport.source == key.source().ip()
            {
                stack.udp.handle_unreachable(&key, &mut stack.events);
            }
        }
        Some(Icmp::TooBig { mtu, quoted }) => {
            if let Some((protocol, key, seq)) = quoted_flow(quoted)
                && transport.destination == key.destination().ip()
            {
                let mtu = usize::try_from(mtu).unwrap_or(usize::MAX);
                too_big(stack, protocol, &key, (seq, mtu), now);
            }
        }
        Some(Icmp::Unreachable { .. } | Icmp::Other) | None => {}
    }
}

/// The path to the application of `key` takes no longer packets than `mtu`. Who has not
/// seen a flow does not know its addresses and ports (RFC 5927 section 4.1).
fn too_big(stack: &mut Stack, protocol: u8, key: &FlowKey, (seq, mtu): (Seq, usize), now: Instant) {
    match protocol {
        protocol::TCP => {
            let (tcp, mut cx) = stack.tcp_context(now);
            tcp.handle_too_big(key, seq, mtu, &mut cx);
        }
        protocol::UDP if stack.udp.knows(key) => {
            stack.outbox.handle_too_big(key.source().ip(), mtu, now);
        }
        _ => {}
    }
}

/// Protocol and flow of a packet of ours that an ICMP error quotes, and the sequence
/// number if it is a segment.
fn quoted_flow(quoted: &[u8]) -> Option<(u8, FlowKey, Seq)> {
    let header = IpHeader::parse_quoted(quoted).ok()?;
    if header.fragment.is_some_and(|part| part.offset > 0) {
        // Its ports are in another part.
        return None;
    }
    let [s0, s1, d0, d1, q0, q1, q2, q3] = *header.payload(quoted).first_chunk::<8>()?;
    let key = FlowKey::from_parts(
        header.source,
        u16::from_be_bytes([s0, s1]),
        header.destination,
        u16::from_be_bytes([d0, d1]),
    );
    let seq = Seq(u32::from_be_bytes([q0, q1, q2, q3]));
    Some((header.protocol, key.reversed(), seq))
}

#[cfg(test)]
mod tests {
    use vpnm_wire::Fragment;

    use super::*;
    use crate::Config;

    fn part(stack: &Stack, ends: [&str; 2], offset: usize, more: bool) -> Ingress {
        let content = [u8::try_from(offset).unwrap(); 16];
        let builder = IpBuilder {
            source: ends[0].parse().unwrap(),
            destination: ends[1].parse().unwrap(),
            protocol: protocol::UDP,
            payload_len: content.len(),
            fragment: Some(Fragment {
                id: 7,
                offset,
                more,
            }),
        };
        let mut head = Head::new();
        assert!(builder.encode(&mut head));
        let bytes = [head.bytes(), &content].concat();
        Ingress::plain(stack.pool.copy(&bytes))
    }

    #[test]
    fn parts_become_the_packet_they_were() {
        let mut stack = Stack::new(&Config::new(1_500, [0; 32]));
        let now = Instant::now();
        for ends in [["10.0.0.2", "192.0.2.1"], ["2001:db8::2", "2001:db8:1::1"]] {
            let last = part(&stack, ends, 16, false);
            assert!(stack.reassemble(last, now).is_none());
            let first = part(&stack, ends, 0, true);
            let whole = stack.reassemble(first, now).unwrap();
            let header = IpHeader::parse(whole.content()).unwrap();
            assert_eq!(header.source.to_string(), ends[0]);
            assert_eq!(header.destination.to_string(), ends[1]);
            assert_eq!((header.protocol, header.fragment), (protocol::UDP, None));
            let content = header.payload(whole.content());
            assert_eq!(content, [[0; 16], [16; 16]].concat());
            let again = stack.reassemble(whole, now);
            assert!(again.is_some(), "what is whole stays");
        }
    }

    #[test]
    fn what_is_written_into_a_header_leaves_it_valid() {
        for ends in [["10.0.0.2", "192.0.2.1"], ["2001:db8::2", "2001:db8:1::1"]] {
            let builder = IpBuilder {
                source: ends[0].parse().unwrap(),
                destination: ends[1].parse().unwrap(),
                protocol: protocol::UDP,
                payload_len: 0,
                fragment: None,
            };
            let mut head = Head::new();
            assert!(builder.encode(&mut head));
            set_hop_limit(&mut head, 3);
            let header = IpHeader::parse(head.bytes()).unwrap();
            assert_eq!(header.hop_limit, 3);
        }
    }
}
