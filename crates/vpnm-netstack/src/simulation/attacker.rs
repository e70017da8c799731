//! A live connection and somebody who wants to harm it: who knows its addresses and ports
//! and some numbers, but not all, and who repeats what he saw.

use std::net::IpAddr;
use std::time::Duration;

use vpnm_wire::{
    Checksum, FlowKey, Fragment, Head, IpBuilder, IpHeader, Seq, TCP_CHECKSUM, TcpFlags, TcpHeader,
    TcpOptions, VnetHeader, protocol,
};

use super::link::{Dice, Path};
use super::{Server, World};
use crate::packet::Ingress;

/// Bytes of the transfer, each way.
const BYTES: usize = 60_000;
/// Packets that he remembers.
const MEMORY: usize = 200;
/// Numbers closer to the right one than this may be acceptable by luck: more than the
/// largest window.
const FAR: u32 = 1 << 25;

struct Attacker {
    dice: Dice,
    /// Packets of both directions, as they were.
    seen: Vec<Vec<u8>>,
}

impl Attacker {
    fn new(seed: u64) -> Self {
        Self {
            dice: Dice::new(seed),
            seen: Vec::new(),
        }
    }

    fn number(&mut self, below: u32) -> usize {
        usize::try_from(self.dice.roll(below)).unwrap()
    }

    fn observe(&mut self, world: &World) {
        for link in [&world.up, &world.down] {
            let fresh: Vec<_> = link.packets().collect();
            self.seen.extend(fresh);
        }
        let excess = self.seen.len().saturating_sub(MEMORY);
        self.seen.drain(..excess);
    }

    fn any_seen(&mut self) -> Option<Vec<u8>> {
        let count = u32::try_from(self.seen.len()).unwrap();
        if count == 0 {
            return None;
        }
        let pick = self.number(count);
        self.seen.get(pick).cloned()
    }

    /// Does one thing or another.
    fn act(&mut self, world: &mut World) {
        let Some(model) = self.any_seen() else { return };
        match self.dice.roll(8) {
            0..3 => self.forge(world, &model),
            3 => Self::repeat(world, model),
            4 => self.damage(world, model),
            5 => self.part(world, &model),
            6 => self.complain(world, &model),
            _ => self.knock(world),
        }
    }

    /// A segment near one that he saw, wrong where it matters.
    fn forge(&mut self, world: &mut World, model: &[u8]) {
        let Ok(ip) = IpHeader::parse(model) else {
            return;
        };
        let Some(mut header) = TcpHeader::parse(ip.payload(model)) else {
            return;
        };
        if !header.flags.has(TcpFlags::ACK) || header.flags.has(TcpFlags::RST) {
            // It does not tell what would be far from right.
            return;
        }
        let far = FAR + self.dice.roll(u32::MAX - 2 * FAR);
        let near = usize::try_from(1 + self.dice.roll(40_000)).unwrap();
        match self.dice.roll(5) {
            // A reset in the window, but not where the stream is.
            0 => {
                header.flags = TcpFlags::RST;
                header.seq = header.seq.plus(BYTES * 2 + near);
            }
            // Another SYN, which may have any number.
            1 => header.flags = TcpFlags::SYN,
            // Data or an end in the window that acknowledges anything.
            2 => header.flags = TcpFlags::ACK | TcpFlags::PSH,
            3 => header.flags = TcpFlags::ACK | TcpFlags::FIN,
            // Anything far away.
            _ => {
                header.flags = TcpFlags(u8::try_from(self.dice.roll(256)).unwrap());
                header.seq = Seq(header.seq.0.wrapping_add(far));
            }
        }
        header.ack = Seq(header.ack.0.wrapping_add(far));
        header.window = u16::try_from(self.dice.roll(65_536)).unwrap();
        let mut options = TcpOptions::default();
        if header.flags.has(TcpFlags::ACK) {
            options.sacks = 1;
            options.sack[0] = (header.ack, header.ack.plus(near));
        }
        let payload = vec![0xee; self.number(1_400)];
        let payload = if header.flags.has(TcpFlags::RST) {
            &[][..]
        } else {
            &payload
        };
        let segment = segment((ip.source, ip.destination), &header, &options, payload);
        inject(world, &segment, 1);
    }

    /// What was on its way once, again.
    fn repeat(world: &mut World, model: Vec<u8>) {
        let Ok(ip) = IpHeader::parse(&model) else {
            return;
        };
        let up = ip.source == world.client.key().destination().ip();
        let link = if up { &mut world.up } else { &mut world.down };
        link.send(model, VnetHeader::default(), world.now);
    }

    /// What was on its way, with bytes changed or cut off.
    fn damage(&mut self, world: &mut World, mut model: Vec<u8>) {
        let length = u32::try_from(model.len()).unwrap();
        if self.dice.roll(2) == 0 {
            model.truncate(self.number(length));
        } else {
            let at = self.number(length);
            model[at] ^= 1 << self.dice.roll(8);
        }
        inject(world, &model, 1);
    }

    /// A part of a packet whose rest never comes, or contradicts it.
    fn part(&mut self, world: &mut World, model: &[u8]) {
        let Ok(ip) = IpHeader::parse(model) else {
            return;
        };
        let content = ip.payload(model);
        let len = content.len() / 8 * 8;
        let builder = IpBuilder {
            source: ip.source,
            destination: ip.destination,
            protocol: ip.protocol,
            payload_len: len,
            fragment: Some(Fragment {
                id: self.dice.roll(40),
                offset: 8 * (1 + self.number(100)),
                more: self.dice.roll(3) > 0,
            }),
        };
        let mut head = Head::new();
        assert!(builder.encode(&mut head));
        inject(world, &[head.bytes(), &content[..len]].concat(), 1);
    }

    /// An ICMP error about a segment that is not out.
    fn complain(&mut self, world: &mut World, model: &[u8]) {
        let Ok(ip) = IpHeader::parse(model) else {
            return;
        };
        let mut quoted = model[..28.min(model.len())].to_vec();
        if let Some(seq) = quoted.get_mut(24) {
            *seq ^= 0x40;
        }
        let mut message = vec![
            3,
            u8::try_from(self.dice.roll(16)).unwrap(),
            0,
            0,
            0,
            0,
            0,
            0,
        ];
        message.extend(quoted);
        let mut sum = Checksum::new();
        sum.add(&message);
        message[2..4].copy_from_slice(&sum.finish());
        let builder = IpBuilder {
            source: ip.destination,
            destination: ip.source,
            protocol: protocol::ICMP,
            payload_len: message.len(),
            fragment: None,
        };
        let mut head = Head::new();
        assert!(builder.encode(&mut head));
        inject(world, &[head.bytes(), &message].concat(), 0);
    }

    /// A SYN from an address that nobody has.
    fn knock(&mut self, world: &mut World) {
        let key: FlowKey = world.client.key().reversed();
        let mut syn = TcpHeader {
            source: u16::try_from(1 + self.dice.roll(60_000)).unwrap(),
            destination: key.destination().port(),
            flags: TcpFlags::SYN,
            ..TcpHeader::default()
        };
        syn.seq = Seq(self.dice.roll(u32::MAX));
        let host = u8::try_from(2 + self.dice.roll(200)).unwrap();
        let ip = IpHeader {
            source: [10, 0, 0, host].into(),
            destination: key.destination().ip(),
            protocol: protocol::TCP,
            protocol_at: 9,
            header_len: 20,
            total_len: 40,
            hop_limit: 64,
            fragment: None,
        };
        let segment = segment(
            (ip.source, ip.destination),
            &syn,
            &TcpOptions::default(),
            &[],
        );
        inject(world, &segment, 1);
    }
}

pub(super) fn segment(
    (source, destination): (IpAddr, IpAddr),
    header: &TcpHeader,
    options: &TcpOptions,
    payload: &[u8],
) -> Vec<u8> {
    let length = 20 + options.encoded_len() + payload.len();
    let builder = IpBuilder {
        source,
        destination,
        protocol: protocol::TCP,
        payload_len: length,
        fragment: None,
    };
    let mut head = Head::new();
    assert!(builder.encode(&mut head));
    let start = head.len();
    header.encode(options, [0, 0], &mut head);
    let mut sum = Checksum::pseudo_header(source, destination, protocol::TCP, length);
    sum.add(&head.bytes()[start..]);
    sum.add(payload);
    head.patch(start + TCP_CHECKSUM, &sum.finish());
    [head.bytes(), payload].concat()
}

/// Gives the stack a packet between two of the connection's; it may answer with so many.
fn inject(world: &mut World, packet: &[u8], most: usize) {
    let content = world.stack.pool().copy(packet);
    world
        .stack
        .handle_packet(Ingress::plain(content), world.now);
    world.serve();
    world.stack.release_acks(world.now);
    let mut answers = 0;
    while let Some(answer) = world.stack.poll_transmit(world.now) {
        answers += 1;
        let offload = answer.offload();
        world.down.send(answer.parts().concat(), offload, world.now);
    }
    assert!(answers <= most, "{answers} answers to one packet");
}

#[test]
fn a_connection_survives_who_does_not_see_all_of_it() {
    for seed in 1..=60 {
        let path = Path {
            loss: [0, 100, 500][usize::try_from(seed % 3).unwrap()],
            reordered: [0, 500][usize::try_from(seed % 2).unwrap()],
            duplicates: 50,
            seed,
            ..Path::default()
        };
        let server = Server {
            send: BYTES,
            ..Server::default()
        };
        let mut world = World::new(path, server, BYTES);
        let mut attacker = Attacker::new(seed + 1_000);
        while !world.is_done() {
            world.step();
            attacker.observe(&world);
            if world.flow.is_some() {
                for _ in 0..3 {
                    attacker.act(&mut world);
                }
            }
            assert!(world.stack.tcp.alarms() <= world.stack.tcp_flows());
            let held = world.stack.pool().bytes_out();
            assert!(held < 8 << 20, "seed {seed}: {held}");
            let took = world.now - world.start;
            assert!(took < Duration::from_secs(120), "seed {seed}: it stalls");
        }
        assert_eq!(
            world.gone,
            None,
            "seed {seed} {:?}",
            world.now - world.start
        );
        assert_eq!(world.client.failed, None, "seed {seed}");
        let all = (world.received, world.client.received);
        assert_eq!(all, (BYTES, BYTES), "seed {seed}");
    }
}
