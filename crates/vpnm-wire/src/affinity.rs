//! Which packets must meet, where several stacks share a link.

use std::net::IpAddr;
use std::num::NonZeroU32;

use crate::icmp::Icmp;
use crate::ip::IpHeader;
use crate::protocol;

/// Multiplies each word into the state: 2^64 divided by the golden ratio.
///
/// Nothing is secret about it, so that the kernel can be taught the same function; who
/// finds collisions has his own flows share a queue.
pub const AFFINITY_MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// What a packet has in common with those that must be seen by the same stack.
///
/// A TCP connection is told by both its ends, and so is what ICMP reports of it.
/// Datagrams are told by who sends them alone: what an application sends from one socket
/// to many destinations belongs together (endpoint-independent mapping, RFC 4787 section
/// 4.1). Pings are told by who sends them and their identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Affinity {
    /// A whole packet's.
    Whole(u32),
    /// That of one part of a fragmented packet, with the other parts of it: only when
    /// they are joined one sees which flow the packet is of.
    Part(u32),
}

impl Affinity {
    /// That of a packet; `None` if it is none that any stack would do something with.
    #[must_use]
    pub fn of(packet: &[u8]) -> Option<Self> {
        let header = IpHeader::parse_quoted(packet).ok()?;
        let start = State::default().address(header.source);
        if let Some(part) = header.fragment {
            let state = start.address(header.destination).word(part.id);
            return Some(Self::Part(state.finish()));
        }
        let content = header.payload(packet);
        let state = match header.protocol {
            protocol::TCP => {
                let ports = u32::from_be_bytes(*content.first_chunk()?);
                start.address(header.destination).word(ports)
            }
            protocol::UDP => start.word(u16::from_be_bytes(*content.first_chunk()?).into()),
            protocol::ICMP | protocol::ICMPV6 => message(start, header.source, content)?,
            _ => return None,
        };
        Some(Self::Whole(state.finish()))
    }

    /// Which of several queues the packet belongs to, counted from 0.
    #[must_use]
    pub fn queue(self, queues: NonZeroU32) -> u32 {
        let (Self::Whole(number) | Self::Part(number)) = self;
        number % queues
    }
}

fn message(start: State, source: IpAddr, message: &[u8]) -> Option<State> {
    match Icmp::parse(source.is_ipv6(), message)? {
        Icmp::EchoRequest { body } => {
            Some(start.word(u16::from_be_bytes(*body.first_chunk()?).into()))
        }
        Icmp::Unreachable { quoted, .. } | Icmp::TooBig { quoted, .. } => reported(quoted),
        Icmp::Other => None,
    }
}

/// Of the flow that a packet of ours belonged to.
fn reported(quoted: &[u8]) -> Option<State> {
    let header = IpHeader::parse_quoted(quoted).ok()?;
    let [from @ .., t0, t1] = *header.payload(quoted).first_chunk::<4>()?;
    let application = State::default().address(header.destination);
    let port = u32::from(u16::from_be_bytes([t0, t1]));
    match header.protocol {
        protocol::TCP => {
            let ports = port << 16 | u32::from(u16::from_be_bytes(from));
            Some(application.address(header.source).word(ports))
        }
        protocol::UDP => Some(application.word(port)),
        _ => None,
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct State(u64);

impl State {
    fn word(self, word: u32) -> Self {
        Self((self.0 ^ u64::from(word)).wrapping_mul(AFFINITY_MULTIPLIER))
    }

    fn address(self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => self.word(address.to_bits()),
            IpAddr::V6(address) => {
                let octets = address.octets();
                let (words, _) = octets.as_chunks::<4>();
                let words = words.iter().map(|word| u32::from_be_bytes(*word));
                words.fold(self, Self::word)
            }
        }
    }

    /// The upper half, which every bit of the words has reached.
    fn finish(self) -> u32 {
        let upper = self.0 >> 32;
        u32::try_from(upper).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::head::Head;
    use crate::icmp::{IcmpError, encode_error};
    use crate::ip::{Fragment, IpBuilder};

    const APPLICATION: [&str; 2] = ["10.0.0.2:40000", "[2001:db8::2]:40000"];
    const SERVER: [&str; 2] = ["192.0.2.1:443", "[2001:db8:1::1]:443"];

    fn packet(
        source: IpAddr,
        destination: IpAddr,
        protocol: u8,
        fragment: Option<Fragment>,
        content: &[u8],
    ) -> Vec<u8> {
        let builder = IpBuilder {
            source,
            destination,
            protocol,
            payload_len: content.len(),
            fragment,
        };
        let mut head = Head::new();
        assert!(builder.encode(&mut head));
        [head.bytes(), content].concat()
    }

    fn flow(protocol: u8, source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
        let mut content = Vec::from(source.port().to_be_bytes());
        content.extend(destination.port().to_be_bytes());
        content.extend([0; 16]);
        packet(source.ip(), destination.ip(), protocol, None, &content)
    }

    fn pairs() -> [(SocketAddr, SocketAddr); 2] {
        [0, 1].map(|at| {
            (
                APPLICATION[at].parse().unwrap(),
                SERVER[at].parse().unwrap(),
            )
        })
    }

    #[test]
    fn a_socket_s_datagrams_meet_and_connections_spread() {
        for (source, destination) in pairs() {
            let of = |protocol, port| {
                let to = SocketAddr::new(destination.ip(), port);
                Affinity::of(&flow(protocol, source, to)).unwrap()
            };
            assert_eq!(of(protocol::UDP, 1), of(protocol::UDP, 53));
            assert_ne!(of(protocol::TCP, 1), of(protocol::TCP, 53));
        }
    }

    #[test]
    fn what_icmp_reports_meets_the_flow_it_is_about() {
        for (application, server) in pairs() {
            for kind in [protocol::TCP, protocol::UDP] {
                let ours = flow(kind, server, application);
                let mut head = Head::new();
                let body = [&[0; 4], &ours[..]].concat();
                let (from, to) = (application.ip(), server.ip());
                encode_error(from, to, IcmpError::Port, &body, &mut head);
                let message = [head.bytes(), &body].concat();
                let carrier = if from.is_ipv4() {
                    protocol::ICMP
                } else {
                    protocol::ICMPV6
                };
                let report = packet(from, to, carrier, None, &message);
                let theirs = flow(kind, application, server);
                assert_eq!(
                    Affinity::of(&report),
                    Affinity::of(&theirs),
                    "{from} {kind}"
                );
            }
        }
    }

    #[test]
    fn the_parts_of_a_packet_meet() {
        for (source, destination) in pairs() {
            let part = |id, offset, more| {
                let fragment = Fragment { id, offset, more };
                let content = [7; 16];
                let part = packet(source.ip(), destination.ip(), 17, Some(fragment), &content);
                Affinity::of(&part).unwrap()
            };
            assert!(matches!(part(1, 0, true), Affinity::Part(_)));
            assert_eq!(part(1, 0, true), part(1, 16, false));
            assert_ne!(part(1, 0, true), part(2, 0, true));
        }
    }

    #[test]
    fn the_sockets_of_one_host_spread_evenly() {
        for queues in [2, 3, 4, 7].map(|count| NonZeroU32::new(count).unwrap()) {
            for kind in [protocol::TCP, protocol::UDP] {
                let mut flows = vec![0_u32; usize::try_from(queues.get()).unwrap()];
                for port in (32_768..60_768).step_by(2) {
                    let (source, destination) = pairs()[0];
                    let source = SocketAddr::new(source.ip(), port);
                    let affinity = Affinity::of(&flow(kind, source, destination)).unwrap();
                    flows[usize::try_from(affinity.queue(queues)).unwrap()] += 1;
                }
                let fair = 14_000 / queues.get();
                let even = flows.iter().all(|count| count.abs_diff(fair) < fair / 5);
                assert!(even, "{kind} {flows:?}");
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        for (source, destination) in pairs() {
            for kind in [
                protocol::TCP,
                protocol::UDP,
                protocol::ICMP,
                protocol::ICMPV6,
                99,
            ] {
                let whole = flow(kind, source, destination);
                for end in 0..whole.len() {
                    let cut = Affinity::of(&whole[..end]);
                    assert!(cut.is_none() || end > 20, "{end}");
                }
                for at in 0..whole.len() {
                    for value in [0, 1, 0x45, 0x60, 0xff] {
                        let mut wrong = whole.clone();
                        wrong[at] = value;
                        let queues = NonZeroU32::new(4).unwrap();
                        let queue = Affinity::of(&wrong).map(|affinity| affinity.queue(queues));
                        assert!(queue.is_none_or(|queue| queue < 4));
                    }
                }
            }
        }
    }
}
