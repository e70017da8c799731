//! Super-packets longer than IPv4's length field can tell.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use vpnm_wire::{
    Checksum, ChecksumState, HUGE, Head, IpBuilder, Segmentation, Seq, TcpFlags, TcpHeader,
    TcpOptions, VnetHeader, protocol,
};

use crate::config::Config;
use crate::event::{Event, FlowId, Sent};
use crate::packet::Ingress;
use crate::stack::Stack;

/// Hop limits of a packet that came straight from its host, and of a forwarded one.
const NEAR: u8 = 64;
const FAR: u8 = 63;
/// IPv4 and TCP header of a segment without options.
const HEADERS: usize = 40;

fn ends() -> (SocketAddr, SocketAddr) {
    let at = |host, port| SocketAddr::from(([10, 0, 0, host], port));
    (at(1, 1_111), at(2, 2_222))
}

/// A segment of the peer's.
fn segment(stack: &Stack, hop_limit: u8, header: &TcpHeader, options: &TcpOptions) -> Ingress {
    let (source, destination) = ends();
    let ip = IpBuilder {
        source: source.ip(),
        destination: destination.ip(),
        protocol: protocol::TCP,
        payload_len: 20 + options.encoded_len(),
        fragment: None,
    };
    let mut head = Head::new();
    assert!(ip.encode(&mut head));
    head.patch(8, &[hop_limit]);
    head.patch(10, &[0, 0]);
    let mut sum = Checksum::new();
    sum.add(head.bytes());
    head.patch(10, &sum.finish());
    let header = TcpHeader {
        source: source.port(),
        destination: destination.port(),
        window: 60_000,
        ..*header
    };
    header.encode(options, [0, 0], &mut head);
    let offload = VnetHeader {
        checksum: ChecksumState::Verified,
        ..VnetHeader::default()
    };
    Ingress::offloaded(stack.pool().copy(head.bytes()), offload)
}

/// A stack whose link takes oversize packets, with an open connection.
fn open(hop_limit: u8, now: Instant) -> (Stack, FlowId) {
    let mut config = Config::new(1_500, [3; 32]);
    (config.offload, config.oversize) = (true, true);
    let mut stack = Stack::new(&config);
    let syn = TcpHeader {
        seq: Seq(1_000),
        flags: TcpFlags::SYN,
        ..TcpHeader::default()
    };
    let options = TcpOptions {
        max_segment: Some(1_460),
        window_scale: Some(10),
        sack_permitted: true,
        ..TcpOptions::default()
    };
    stack.handle_packet(segment(&stack, hop_limit, &syn, &options), now);
    let Some(Event::TcpIncoming { id, .. }) = stack.poll_event() else {
        panic!("a connection came");
    };
    stack.tcp_accept(id, now);
    let ours = answer(&mut stack, now).expect("it is accepted").seq;
    acknowledge(&mut stack, hop_limit, ours.plus(1), now);
    (stack, id)
}

fn acknowledge(stack: &mut Stack, hop_limit: u8, ack: Seq, now: Instant) {
    let header = TcpHeader {
        seq: Seq(1_001),
        ack,
        flags: TcpFlags::ACK,
        ..TcpHeader::default()
    };
    stack.handle_packet(
        segment(stack, hop_limit, &header, &TcpOptions::default()),
        now,
    );
}

fn answer(stack: &mut Stack, now: Instant) -> Option<TcpHeader> {
    let packet = stack.poll_transmit(now)?;
    let [head, ..] = packet.parts();
    TcpHeader::parse(head.get(20..)?)
}

/// Sends so much that the windows open, each packet acknowledged at once; the lengths.
fn lengths(stack: &mut Stack, id: FlowId, now: Instant) -> Vec<usize> {
    let mut lengths = Vec::new();
    for _ in 0..8 {
        let bytes = vpnm_wire::Chunk::new(stack.pool().fitting(HUGE), 0, HUGE);
        assert!(matches!(
            stack.tcp_send_chunk(id, bytes, now),
            Sent::Bytes(HUGE)
        ));
        while let Some(packet) = stack.poll_transmit(now) {
            let length = packet.len();
            let [head, ..] = packet.parts();
            let end = TcpHeader::parse(&head[20..]).unwrap().seq;
            lengths.push(length);
            acknowledge(stack, NEAR, end.plus(length - HEADERS), now);
        }
    }
    lengths
}

#[test]
fn a_host_next_to_the_link_gets_packets_beyond_the_length_field() {
    let now = Instant::now();
    let (mut stack, id) = open(NEAR, now);
    assert_eq!(stack.tcp_packetful(id), HUGE);
    let longest = lengths(&mut stack, id, now).into_iter().max();
    assert!(longest > Some(200_000), "{longest:?}");

    let bytes = vpnm_wire::Chunk::new(stack.pool().fitting(HUGE), 0, HUGE);
    stack.tcp_send_chunk(id, bytes, now);
    let packet = stack
        .poll_transmit(now)
        .expect("there is something to send");
    let vnet = packet.offload();
    assert_eq!(vnet.segmentation, Segmentation::Tcp4);
    assert_eq!((vnet.segment_size, vnet.checksum_start), (1_460, 20));
    let [head, ..] = packet.parts();
    assert_eq!(head[2..4], [0, 0]);
    let (to, from) = ends();
    let length = packet.len() - 20;
    let sum = Checksum::pseudo_header(from.ip(), to.ip(), protocol::TCP, length);
    assert_eq!(head[36..38], sum.partial());
}

#[test]
fn a_host_behind_a_router_gets_ordinary_super_packets() {
    let now = Instant::now();
    let (mut stack, id) = open(FAR, now);
    let longest = lengths(&mut stack, id, now).into_iter().max();
    assert!(longest > Some(60_000) && longest <= Some(65_535));
}

#[test]
fn a_link_that_does_not_take_them_gets_none_any_more() {
    let now = Instant::now();
    let (mut stack, id) = open(NEAR, now);
    stack.forgo_oversize();
    assert!(lengths(&mut stack, id, now).into_iter().max() <= Some(65_535));
}

#[test]
fn what_was_lost_is_sent_again_in_shorter_packets() {
    let mut now = Instant::now();
    let (mut stack, id) = open(NEAR, now);
    lengths(&mut stack, id, now);
    let bytes = vpnm_wire::Chunk::new(stack.pool().fitting(HUGE), 0, HUGE);
    stack.tcp_send_chunk(id, bytes, now);
    let lost = stack.poll_transmit(now).map(|packet| packet.len());
    assert!(lost > Some(65_535));
    for _ in 0..8 {
        now += Duration::from_secs(5);
        stack.handle_timeout(now);
        while let Some(packet) = stack.poll_transmit(now) {
            assert!(packet.len() <= 65_535);
        }
    }
}
