//! Connections with timestamps, which only hosts behind the link's have.

use std::time::Duration;

use vpnm_wire::{IPV4_HEADER, Seq, TCP_STAMPS, TcpFlags, TcpHeader, TcpOptions, TcpStamps};

use super::attacker::segment;
use super::link::Path;
use super::{Server, World, patterned};
use crate::packet::Ingress;

const BYTES: usize = 40_000;

fn world(forwarded: bool, offload: bool) -> World {
    let path = Path {
        offload,
        forwarded,
        ..Path::default()
    };
    let server = Server {
        send: BYTES,
        ..Server::default()
    };
    World::new(path, server, BYTES)
}

fn options(packet: &[u8]) -> TcpOptions {
    let segment = &packet[IPV4_HEADER..];
    let header = TcpHeader::parse(segment).unwrap();
    TcpOptions::parse(segment, header.header_len)
}

/// Gives the stack a segment of the client's, whose stamp is so much later than the last of
/// its stamps that was echoed.
fn say(world: &mut World, (seq, flags): (Seq, TcpFlags), later: u32, payload: &[u8]) {
    let key = world.client.key().reversed();
    let header = TcpHeader {
        source: key.source().port(),
        destination: key.destination().port(),
        seq,
        ack: world.client.flow.as_ref().unwrap().receiver.next(),
        flags,
        ..TcpHeader::default()
    };
    let stamped = TcpOptions {
        stamps: Some(TcpStamps {
            value: world.client.last_stamp().wrapping_add(later),
            echo: 0,
        }),
        ..TcpOptions::default()
    };
    let ends = (key.source().ip(), key.destination().ip());
    let packet = segment(ends, &header, &stamped, payload);
    let content = world.stack.pool().copy(&packet);
    world
        .stack
        .handle_packet(Ingress::plain(content), world.now);
}

/// What the stack answers to such a segment.
fn hear(
    world: &mut World,
    segment: (Seq, TcpFlags),
    later: u32,
    payload: &[u8],
) -> (TcpHeader, TcpOptions) {
    say(world, segment, later, payload);
    world.stack.release_acks(world.now);
    let answer = world.stack.poll_transmit(world.now).expect("it is told");
    let answer = answer.parts().concat();
    let header = TcpHeader::parse(&answer[IPV4_HEADER..]).unwrap();
    (header, options(&answer))
}

#[test]
fn all_segments_of_a_host_behind_the_link_are_stamped_and_no_others() {
    for (forwarded, offload) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut world = world(forwarded, offload);
        if !forwarded {
            // It offers to, but is next to the link.
            world.client.stamps = true;
        }
        let mut seen = 0;
        while !world.is_done() {
            world.step();
            for packet in world.down.packets() {
                seen += 1;
                assert_eq!(options(&packet).stamps.is_some(), forwarded);
            }
        }
        assert!(seen > 1, "{seen}");
        assert_eq!((world.received, world.client.received), (BYTES, BYTES));
    }
}

#[test]
fn an_end_that_comes_again_is_answered_as_all_before_was() {
    for forwarded in [false, true] {
        let mut world = world(forwarded, false);
        while world.down.is_empty() {
            world.step();
        }
        let opened = world.now;
        let first = options(&world.down.packets().next().unwrap()).stamps;
        world.run(Duration::from_secs(5));
        world.close();
        assert_eq!(world.stack.tcp_flows(), 0);
        let client = world.client.flow.as_ref().unwrap();
        let (end, ours) = (client.sender.next(), client.receiver.next());
        let last = world.client.last_stamp();
        for (later, newer) in [(1_000, true), (u32::MAX, false)] {
            world.now += Duration::from_millis(300);
            let passed = u32::try_from((world.now - opened).as_millis()).unwrap();
            let fin = TcpFlags::FIN | TcpFlags::ACK;
            let (header, options) = hear(&mut world, (end.minus(1), fin), later, &[]);
            assert_eq!((header.seq, header.ack), (ours, end));
            assert_eq!(options.stamps.is_some(), forwarded);
            if let (Some(stamps), Some(first)) = (options.stamps, first) {
                assert_eq!(stamps.value, first.value.wrapping_add(passed));
                let echoed = stamps.echo.wrapping_sub(last);
                assert!(echoed == 1_000 || !newer && echoed < 1_000, "{echoed}");
            }
        }
    }
}

#[test]
fn a_port_is_used_again_with_a_lower_number_and_a_later_stamp() {
    let mut world = world(true, false);
    // Our end comes first, so that it is for us to wait.
    world.client.stay_open();
    world.run(Duration::from_secs(5));
    let last = world.client.flow.as_ref().unwrap().sender.next();
    hear(&mut world, (last, TcpFlags::FIN | TcpFlags::ACK), 10, &[]);
    world.close();
    assert_eq!(world.stack.tcp_flows(), 0);
    let end = last.plus(1);
    let lower = (end.minus(100_000), TcpFlags::SYN);
    let (answer, _) = hear(&mut world, lower, u32::MAX, &[]);
    assert_eq!((answer.flags, answer.ack), (TcpFlags::ACK, end));
    say(&mut world, lower, 1_000, &[]);
    assert_eq!(world.stack.tcp_flows(), 1);
}

#[test]
fn a_host_whose_clock_runs_only_from_behind_its_syn_on_is_heard() {
    let mut world = world(true, false);
    world.client.clock = 3 << 30;
    world.run(Duration::from_secs(5));
    assert_eq!((world.received, world.client.received), (BYTES, BYTES));
}

#[test]
fn stamped_segments_are_as_long_as_the_link_takes() {
    for offload in [false, true] {
        let mut world = world(true, offload);
        let mut longest = 0;
        while !world.is_done() {
            world.step();
            for (packet, offload) in world.down.offloaded() {
                let cut = usize::from(offload.segment_size);
                let headers = IPV4_HEADER + 20 + TCP_STAMPS;
                let length = if cut > 0 { cut + headers } else { packet.len() };
                longest = longest.max(length);
            }
        }
        assert_eq!(longest, 1_500, "offload {offload}");
    }
}

#[test]
fn a_segment_from_before_its_number_came_round_is_answered_and_not_taken() {
    for (later, taken) in [(60_000, true), (u32::MAX - 1, false)] {
        let mut world = world(true, false);
        world.client.stay_open();
        // All that the client has to say is said and acknowledged.
        world.run(Duration::from_secs(5));
        let seq = world.client.flow.as_ref().unwrap().sender.next();
        let byte = patterned(BYTES, 1);
        let (answer, _) = hear(&mut world, (seq, TcpFlags::ACK), later, &byte);
        assert_eq!(answer.ack == seq.plus(1), taken, "{later}");
    }
}
