//! Packets whose headers are wrong, and parts of packets that never become whole: who sent
//! them is told as by Linux 6.18, of which all answers here are.

use std::time::{Duration, Instant};

use vpnm_wire::{Checksum, IpHeader, protocol};

use crate::config::Config;
use crate::packet::Ingress;
use crate::stack::Stack;

const V4: [[u8; 4]; 2] = [[10, 0, 0, 1], [10, 0, 0, 2]];
const V6: [[u8; 16]; 2] = [
    [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
];
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;
/// A wrong option of IPv4.
const WRONG: [u8; 4] = [77, 0, 0, 0];
/// More parts follow; in the unit of both families' fields.
const MORE_V4: u16 = 0x2000;
const MORE_V6: u16 = 1;

fn v4([from, to]: [[u8; 4]; 2], protocol: u8, field: u16, options: &[u8], data: &[u8]) -> Vec<u8> {
    let words = u8::try_from(5 + options.len() / 4).unwrap();
    let length = u16::try_from(20 + options.len() + data.len()).unwrap();
    let mut header = vec![0x40 | words, 0];
    header.extend(length.to_be_bytes());
    header.extend([0, 7]);
    header.extend(field.to_be_bytes());
    header.extend([64, protocol, 0, 0]);
    header.extend([from, to].concat());
    header.extend(options);
    let mut sum = Checksum::new();
    sum.add(&header);
    header[10..12].copy_from_slice(&sum.finish());
    header.extend(data);
    header
}

fn v6([from, to]: [[u8; 16]; 2], next: u8, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap().to_be_bytes();
    let header = [&[0x60, 0, 0, 0], &length[..], &[next, 64], &from, &to].concat();
    [&header, data].concat()
}

/// An extension header of eight bytes and what follows.
fn extension(next: u8, rest: [u8; 6], data: &[u8]) -> Vec<u8> {
    [&[next, 0], &rest[..], data].concat()
}

/// A part of an IPv6 packet.
fn part(protocol: u8, field: u16, data: &[u8]) -> Vec<u8> {
    let [high, low] = field.to_be_bytes();
    let rest = [high, low, 0, 0, 0, 9];
    v6(V6, FRAGMENT, &extension(protocol, rest, data))
}

struct World {
    stack: Stack,
    now: Instant,
}

/// Type, code and pointer of an error.
type Told = Option<(u8, u8, [u8; 4])>;

impl World {
    fn new() -> Self {
        Self {
            stack: Stack::new(&Config::new(1_500, [4; 32])),
            now: Instant::now(),
        }
    }

    /// What the sender of a packet is told at once.
    fn give(&mut self, packet: &[u8]) -> Told {
        let content = self.stack.pool().copy(packet);
        self.stack.handle_packet(Ingress::plain(content), self.now);
        // Not so many that they are held back.
        self.now += Duration::from_millis(10);
        self.told(packet)
    }

    /// The only error that is sent, which is about `packet`.
    fn told(&mut self, packet: &[u8]) -> Told {
        let error = self.stack.poll_transmit(self.now)?.parts().concat();
        assert!(self.stack.poll_transmit(self.now).is_none());
        let ip = IpHeader::parse(&error).unwrap();
        let ends = IpHeader::parse_quoted(packet).unwrap();
        assert_eq!((ip.source, ip.destination), (ends.destination, ends.source));
        let message = ip.payload(&error);
        let (protocol, longest) = match ip.source.is_ipv6() {
            false => (protocol::ICMP, 576),
            true => (protocol::ICMPV6, 1_280),
        };
        let mut sum = match ip.source.is_ipv6() {
            false => Checksum::new(),
            true => Checksum::pseudo_header(ip.source, ip.destination, 58, message.len()),
        };
        sum.add(message);
        assert!(sum.is_valid() && ip.protocol == protocol && error.len() <= longest);
        let quoted = packet.len().min(longest - ip.header_len - 8);
        assert_eq!(message[8..], packet[..quoted]);
        Some((message[0], message[1], *message[4..].first_chunk()?))
    }

    /// What is told until nothing is waited for any more, and how long that takes.
    fn wait(&mut self, packet: &[u8]) -> (Told, Duration) {
        let start = self.now;
        while let Some((at, _)) = self.stack.poll_timeout() {
            self.now = at;
            self.stack.handle_timeout(at);
        }
        let told = self.told(packet);
        assert_eq!(self.stack.pool().bytes_out(), 0);
        (told, self.now - start)
    }
}

#[test]
fn who_sends_a_wrong_option_is_told_which() {
    let mut world = World::new();
    let bad = |at| Some((12, 0, [at, 0, 0, 0]));
    let ping = [8, 0, 0xf7, 0xff, 0, 0, 0, 0];
    for (options, told) in [
        (&WRONG[..], bad(20)),
        (&[1, 1, 77, 1], bad(22)),
        (&[7, 7, 3, 0, 0, 0, 0, 0], bad(22)),
        (&[131, 7, 4, 10, 0, 0, 9, 0], None),
        (&[77, 4, 0, 0], None),
    ] {
        let data = [9; 2_000];
        let long = v4(V4, protocol::UDP, 0, options, &data);
        assert_eq!(world.give(&long), told, "{options:?}");
        let short = v4(V4, protocol::ICMP, 0, options, &ping);
        assert_eq!(world.give(&short), told, "{options:?}");
    }
    let mut torn = v4(V4, protocol::UDP, 0, &WRONG, &[9; 8]);
    torn[8] ^= 1;
    assert_eq!(world.give(&torn), None, "its checksum is wrong");
}

#[test]
fn of_some_packets_nobody_is_told() {
    let mut world = World::new();
    let to = |host| [V4[0], host];
    for (ends, protocol, field, kind, told) in [
        (V4, protocol::UDP, 0, 3, true),
        (V4, protocol::UDP, MORE_V4, 3, true),
        (V4, protocol::UDP, 1, 3, false),
        (V4, protocol::ICMP, 0, 0, true),
        (V4, protocol::ICMP, 0, 3, false),
        (V4, protocol::ICMP, 0, 5, false),
        (V4, protocol::ICMP, 0, 11, false),
        (V4, protocol::ICMP, 0, 12, false),
        (V4, protocol::ICMP, 0, 40, false),
        (V4, protocol::ICMP, MORE_V4, 8, true),
        (V4, protocol::ICMP, MORE_V4, 3, false),
        (to([255; 4]), protocol::UDP, 0, 3, false),
        (to([224, 0, 0, 1]), protocol::UDP, 0, 3, false),
        ([[0; 4], V4[1]], protocol::UDP, 0, 3, false),
        ([[127, 0, 0, 1], V4[1]], protocol::UDP, 0, 3, false),
        ([V4[1], V4[1]], protocol::UDP, 0, 3, false),
    ] {
        let packet = v4(ends, protocol, field, &WRONG, &[kind; 16]);
        let case = (ends, protocol, field, kind);
        assert_eq!(world.give(&packet).is_some(), told, "{case:?}");
    }
    let everybody = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    for (ends, protocol, kind, told) in [
        (V6, protocol::UDP, 1, true),
        (V6, protocol::ICMPV6, 128, true),
        (V6, protocol::ICMPV6, 1, false),
        (V6, protocol::ICMPV6, 4, false),
        (V6, protocol::ICMPV6, 137, false),
        ([V6[0], everybody], protocol::UDP, 1, false),
        ([[0; 16], V6[1]], protocol::UDP, 1, false),
    ] {
        let data = extension(protocol, [0xde, 4, 0, 0, 0, 0], &[kind; 8]);
        let packet = v6(ends, DESTINATION, &data);
        let case = (ends, protocol, kind);
        assert_eq!(world.give(&packet).is_some(), told, "{case:?}");
    }
}

#[test]
fn who_sends_an_extension_that_nobody_follows_is_told_where() {
    let mut world = World::new();
    let udp = [9; 1_300];
    let pad = [1, 4, 0, 0, 0, 0];
    let at = |code, at| Some((4, code, [0, 0, 0, at]));
    for (next, rest, told) in [
        (HOP_BY_HOP, [0x9e, 4, 0, 0, 0, 0], at(2, 42)),
        (DESTINATION, [0x9e, 4, 0, 0, 0, 0], at(2, 42)),
        (DESTINATION, [1, 0, 0xde, 2, 0, 0], at(2, 44)),
        (DESTINATION, [0x5e, 4, 0, 0, 0, 0], None),
        (DESTINATION, [0x9e, 5, 0, 0, 0, 0], None),
        (ROUTING, [77, 3, 0, 0, 0, 0], at(0, 42)),
        (ROUTING, [77, 0, 0, 0, 0, 0], None),
    ] {
        let packet = v6(V6, next, &extension(protocol::UDP, rest, &udp));
        assert_eq!(world.give(&packet), told, "{next} {rest:?}");
    }
    let late = extension(protocol::UDP, pad, &udp);
    let late = v6(V6, DESTINATION, &extension(HOP_BY_HOP, pad, &late));
    assert_eq!(world.give(&late), at(1, 40));
    let second = extension(protocol::UDP, [0xde, 4, 0, 0, 0, 0], &udp);
    let second = v6(V6, DESTINATION, &extension(DESTINATION, pad, &second));
    assert_eq!(world.give(&second), at(2, 50));
}

#[test]
fn parts_of_impossible_packets_are_pointed_at() {
    let mut world = World::new();
    let at = |at| Some((4, 0, [0, 0, 0, at]));
    for (field, len, told) in [
        (MORE_V6, 63, at(4)),
        (8 | MORE_V6, 15, at(4)),
        (65_528, 8, at(42)),
        (65_520, 16, at(42)),
        (65_528 | MORE_V6, 8, at(42)),
        (65_528 | MORE_V6, 15, at(42)),
        (65_520, 15, None),
    ] {
        let packet = part(protocol::UDP, field, &vec![9; len]);
        assert_eq!(world.give(&packet), told, "{field} {len}");
    }
    // It may be of an error.
    assert_eq!(world.give(&part(protocol::ICMPV6, 65_528, &[9; 8])), None);
    for (field, len) in [(MORE_V4, 63), (MORE_V4 | 1, 15), (8_191, 8)] {
        let packet = v4(V4, protocol::UDP, field, &[], &vec![9; len]);
        assert_eq!(world.give(&packet), None, "{field} {len}");
    }
}

#[test]
fn first_parts_without_all_headers_are_none() {
    let incomplete = Some((4, 3, [0; 4]));
    let options = |next, data: &[u8]| extension(next, [1, 4, 0, 0, 0, 0], data);
    for (protocol, data, told) in [
        (protocol::UDP, vec![9; 8], None),
        (protocol::UDP, vec![], incomplete),
        (protocol::TCP, vec![9; 24], None),
        (protocol::TCP, vec![9; 16], incomplete),
        (132, vec![9; 8], None),
        (132, vec![], incomplete),
        (59, vec![], None),
        (protocol::ICMPV6, vec![128; 8], None),
        (protocol::ICMPV6, vec![128; 7], incomplete),
        (protocol::ICMPV6, vec![1; 7], None),
        (DESTINATION, options(protocol::UDP, &[9; 8]), None),
        (DESTINATION, options(protocol::UDP, &[9; 7]), incomplete),
        // Linux waits for the others (RFC 7112 section 5 says to discard it).
        (DESTINATION, options(DESTINATION, &[]), incomplete),
        (DESTINATION, vec![17, 1, 1, 4, 0, 0, 0, 0], incomplete),
    ] {
        let mut world = World::new();
        let first = part(protocol, MORE_V6, &data);
        assert_eq!(world.give(&first), told, "{protocol} {data:?}");
        let waits = world.stack.poll_timeout().is_some();
        assert_eq!(
            waits,
            told.is_none() && data.len() % 8 == 0 && !data.is_empty()
        );
    }
    // Later parts have none.
    let mut world = World::new();
    assert_eq!(world.give(&part(protocol::TCP, 8 | MORE_V6, &[9; 8])), None);
    assert!(world.stack.poll_timeout().is_some());
}

#[test]
fn nobody_is_told_of_parts_of_errors_behind_other_headers() {
    for (kind, told) in [(128, Some((3, 1, [0; 4]))), (1, None), (137, None)] {
        let mut world = World::new();
        let data = extension(protocol::ICMPV6, [1, 4, 0, 0, 0, 0], &[kind; 16]);
        let first = part(DESTINATION, MORE_V6, &data);
        assert_eq!(world.give(&first), None);
        assert_eq!(world.wait(&first).0, told, "{kind}");
    }
    let mut world = World::new();
    let impossible = part(DESTINATION, 65_528, &[9; 8]);
    assert_eq!(world.give(&impossible), None, "it may be of one");
}

#[test]
fn parts_of_what_is_not_between_hosts_are_not_kept() {
    for from in [[127, 0, 0, 1], [224, 0, 0, 1], [0; 4], V4[1]] {
        let mut world = World::new();
        let bytes = v4([from, V4[1]], protocol::UDP, MORE_V4, &[], &[9; 16]);
        let bytes = Ingress::plain(world.stack.pool().copy(&bytes));
        assert!(world.stack.reassemble(bytes, world.now).is_none());
        assert!(world.stack.poll_timeout().is_none(), "{from:?}");
    }
}

#[test]
fn who_sends_a_first_part_alone_is_told_that_the_others_never_came() {
    let data = [9; 1_400];
    let route = [7, 7, 4, 0, 0, 0, 0, 0];
    let before = extension(FRAGMENT, [1, 4, 0, 0, 0, 0], &[17, 0, 0, 1, 0, 0, 0, 9]);
    let before = v6(V6, DESTINATION, &[&before[..], &data].concat());
    let late = Some((11, 1, [0; 4]));
    let late_v6 = Some((3, 1, [0; 4]));
    for (packet, told) in [
        (v4(V4, protocol::UDP, MORE_V4, &[], &data), late),
        (v4(V4, protocol::UDP, MORE_V4, &route, &data), late),
        (v4(V4, protocol::ICMP, MORE_V4, &[], &[8; 16]), late),
        (v4(V4, protocol::ICMP, MORE_V4, &[], &[3; 16]), None),
        (v4(V4, protocol::UDP, MORE_V4 | 1, &[], &data), None),
        (v4(V4, protocol::UDP, 1, &[], &data), None),
        (part(protocol::UDP, MORE_V6, &data), late_v6),
        (before, late_v6),
        (part(protocol::ICMPV6, MORE_V6, &[1; 16]), None),
        (part(protocol::UDP, 8, &data), None),
    ] {
        let mut world = World::new();
        assert_eq!(world.give(&packet), None);
        let (error, waited) = world.wait(&packet);
        assert_eq!(error, told);
        assert!(waited > Duration::from_secs(29) && waited <= Duration::from_secs(30));
    }
}

#[test]
fn the_first_part_may_come_after_others() {
    let mut world = World::new();
    let first = part(protocol::UDP, MORE_V6, &[9; 16]);
    assert_eq!(world.give(&part(protocol::UDP, 32, &[9; 3])), None);
    world.now += Duration::from_secs(20);
    assert_eq!(world.give(&first), None);
    let (told, waited) = world.wait(&first);
    assert!(told == Some((3, 1, [0; 4])) && waited < Duration::from_secs(10));
    // Of what became whole nobody is told.
    assert_eq!(world.give(&first), None);
    assert_eq!(world.give(&part(protocol::UDP, 16, &[9; 3])), None);
    assert_eq!(world.wait(&first).0, None);
}

#[test]
fn the_next_part_finds_those_that_were_given_up() {
    let mut world = World::new();
    let first = part(protocol::UDP, MORE_V6, &[9; 16]);
    assert_eq!(world.give(&first), None);
    world.now += Duration::from_secs(30);
    let other = v4(V4, protocol::UDP, MORE_V4, &[], &[9; 16]);
    let content = world.stack.pool().copy(&other);
    let other = Ingress::plain(content);
    assert!(world.stack.reassemble(other, world.now).is_none());
    assert_eq!(world.told(&first), Some((3, 1, [0; 4])));
}

#[test]
fn of_a_flood_of_wrong_packets_few_are_told() {
    let mut world = World::new();
    let packet = v4(V4, protocol::UDP, 0, &WRONG, &[9; 8]);
    for _ in 0..10_000 {
        let content = world.stack.pool().copy(&packet);
        world
            .stack
            .handle_packet(Ingress::plain(content), world.now);
    }
    let told = std::iter::from_fn(|| world.stack.poll_transmit(world.now).map(|_| ())).count();
    assert_eq!(told, 50);
    // Others are told beside it, though not of a flood of theirs either.
    let mut told = 0;
    for host in 3..=203 {
        let other = v4([[10, 0, 0, host], V4[1]], protocol::UDP, 0, &WRONG, &[9; 8]);
        for packet in [&other, &packet] {
            let content = world.stack.pool().copy(packet);
            let now = world.now;
            world.stack.handle_packet(Ingress::plain(content), now);
        }
        told += std::iter::from_fn(|| world.stack.poll_transmit(world.now).map(|_| ())).count();
    }
    assert_eq!(told, 50);
    world.now += Duration::from_millis(10);
    assert!(world.give(&packet).is_none());
    let other = v4([[10, 0, 0, 3], V4[1]], protocol::UDP, 0, &WRONG, &[9; 8]);
    assert!(world.give(&other).is_some());
}
