//! Packets nobody expected: whatever arrives, the stack goes on within its bounds.

use std::time::{Duration, Instant};

use vpnm_wire::{ChecksumState, VNET_LENGTH, VnetHeader};

use super::link::{Dice, Path};
use super::{Server, World};
use crate::config::Config;
use crate::event::{Event, FlowId, Received, Refusal};
use crate::packet::Ingress;
use crate::stack::Stack;

/// All packets that the two sides of a lively connection send each other.
fn samples() -> Vec<Vec<u8>> {
    let path = Path {
        loss: 500,
        reordered: 500,
        ..Path::default()
    };
    let server = Server {
        send: 30_000,
        ..Server::default()
    };
    let mut world = World::new(path, server, 30_000);
    let mut seen = Vec::new();
    while !world.is_done() {
        world.step();
        for link in [&world.up, &world.down] {
            seen.extend(link.packets());
        }
        seen.dedup();
    }
    seen.truncate(2_000);
    seen.extend([
        include_bytes!("samples/udp6_fragment.bin").to_vec(),
        include_bytes!("samples/icmp_echo.bin").to_vec(),
        include_bytes!("samples/dns_query.bin").to_vec(),
    ]);
    seen
}

/// Answers events in every way there is.
fn use_up(stack: &mut Stack, dice: &mut Dice, open: &mut Vec<FlowId>, now: Instant) {
    while let Some(event) = stack.poll_event() {
        match event {
            Event::TcpIncoming { id, .. } if dice.roll(8) == 0 => {
                stack.tcp_refuse(id, Refusal::HostUnreachable, now);
            }
            Event::TcpIncoming { id, .. } => {
                stack.tcp_accept(id, now);
                stack.tcp_send(id, &[7; 3_000], now);
                open.push(id);
            }
            Event::UdpIncoming { id, .. } if dice.roll(2) == 0 => {
                stack.udp_refuse(id, Refusal::Reset);
            }
            Event::UdpIncoming { id, .. } => {
                while let Received::Datagrams(_) = stack.udp_take(id) {}
                stack.udp_close(id);
            }
            Event::DnsQuery {
                source,
                destination,
                ..
            } => stack.udp_send(destination, source, &[1; 4_000]),
            Event::EchoRequest(echo) => stack.echo_reply(echo),
            Event::TcpReadable(id) => {
                while let crate::Taken::Data(chunk) = stack.tcp_take(id) {
                    stack.tcp_release(id, chunk.len());
                }
            }
            Event::TcpWritable(_)
            | Event::TcpGone(..)
            | Event::UdpReadable(_)
            | Event::UdpGone(..) => {}
        }
    }
    if open.len() > 50 {
        let id = open.swap_remove(usize::try_from(dice.roll(50)).unwrap());
        stack.tcp_finish(id, now);
        stack.tcp_close(id, now);
    }
}

#[test]
fn mangled_packets_neither_stop_nor_swell_the_stack() {
    let samples = samples();
    for offload in [false, true] {
        let mut config = Config::new(1_500, [5; 32]);
        config.offload = offload;
        config.max_half_open = 100;
        let mut stack = Stack::new(&config);
        let mut dice = Dice::new(77);
        let mut now = Instant::now();
        let mut open = Vec::new();
        for round in 0..60_000_u32 {
            let pick = usize::try_from(dice.roll(u32::MAX)).unwrap() % samples.len();
            let (packet, offload) = mangled(&samples[pick], &mut dice);
            let content = stack.pool().copy(&packet);
            stack.handle_packet(Ingress::offloaded(content, offload), now);
            use_up(&mut stack, &mut dice, &mut open, now);
            stack.release_acks(now);
            while stack.poll_transmit(now).is_some() {}
            if round % 16 == 0 {
                now += Duration::from_millis(u64::from(dice.roll(300)));
                stack.handle_timeout(now);
            }
        }
        assert!(stack.tcp_flows() <= 200, "{} flows", stack.tcp_flows());
        for id in open {
            stack.tcp_close(id, now);
        }
    }
}

/// A packet with a few bytes changed, its checksums then ignored, or cut short.
fn mangled(sample: &[u8], dice: &mut Dice) -> (Vec<u8>, VnetHeader) {
    let mut packet = sample.to_vec();
    for _ in 0..dice.roll(4) {
        let at = dice.roll(80);
        if let Some(byte) = packet.get_mut(usize::try_from(at).unwrap()) {
            *byte = u8::try_from(dice.roll(256)).unwrap();
        }
    }
    if dice.roll(10) == 0 {
        packet.truncate(usize::try_from(dice.roll(120)).unwrap());
    }
    fix_header_checksum(&mut packet);
    // Claimed to be verified, so that what is wrong gets deep; or with any offload.
    let mut vnet = [2; VNET_LENGTH];
    for byte in &mut vnet[1..] {
        *byte = u8::try_from(dice.roll(8)).unwrap();
    }
    (packet, VnetHeader::decode(&vnet).unwrap_or_default())
}

fn fix_header_checksum(packet: &mut [u8]) {
    let is_v4 = packet.first().is_some_and(|byte| byte >> 4 == 4);
    let length = usize::from(packet.first().copied().unwrap_or(0) & 0xf) * 4;
    if is_v4 && length >= 20 && length <= packet.len() {
        packet[10..12].fill(0);
        let mut sum = vpnm_wire::Checksum::new();
        sum.add(&packet[..length]);
        packet[10..12].copy_from_slice(&sum.finish());
    }
}

#[test]
fn a_flood_of_syns_is_bounded() {
    let mut config = Config::new(1_500, [5; 32]);
    config.max_half_open = 1_000;
    let mut stack = Stack::new(&config);
    let mut now = Instant::now();
    let mut packet = samples()
        .into_iter()
        .find(|packet| packet.len() > 33 && packet[9] == 6 && packet[33] == 2)
        .expect("there is a SYN");
    for port in 1..60_000_u16 {
        // No faster than all are answered.
        now += Duration::from_micros(4);
        packet[20..22].copy_from_slice(&port.to_be_bytes());
        let header = VnetHeader {
            checksum: ChecksumState::Verified,
            ..VnetHeader::default()
        };
        let content = stack.pool().copy(&packet);
        stack.handle_packet(Ingress::offloaded(content, header), now);
        // Nobody decides about them.
        while stack.poll_event().is_some() {}
        // Those beyond are answered once each, and forgotten.
        let mut answers = 0;
        while let Some(answer) = stack.poll_transmit(now) {
            answers += 1;
            assert!(answer.len() <= packet.len(), "not more than was asked with");
        }
        assert_eq!(answers, u16::from(port > 1_000));
    }
    assert_eq!(stack.tcp_flows(), 1_000);
    assert_eq!(stack.pool().bytes_out(), 0);
}
