//! Packets that nobody here understands. Their senders are told, so that they need not wait
//! for an answer (RFC 1122 section 3.2.2, RFC 4443 section 3), but not of each packet of a
//! flood (RFC 4443 section 2.4 (f)).

use std::net::IpAddr;
use std::time::{Duration, Instant};

use vpnm_wire::{
    Chunk, ICMP_HEADER, IPV4_HEADER, IPV6_HEADER, IcmpError, IpError, IpHeader, encode_error,
    is_icmp_error, protocol,
};

use super::Stack;
use super::hosts::is_between_hosts;

/// What says that nothing follows an IPv6 header (RFC 8200 section 4.7).
const NO_NEXT_HEADER: u8 = 59;
/// What an IPv6 fragment header names if the packet is a message, or may be one behind other
/// headers.
const MAY_LEAD_TO_MESSAGES: [u8; 5] = [0, 43, 51, 60, protocol::ICMPV6];
/// The longest errors, which every link takes (RFC 1812 section 4.3.2.3, RFC 4443 section
/// 3.4).
const LONGEST_V4: usize = 576;
const LONGEST_V6: usize = 1_280;
/// Time between two errors, when so many were told at once.
const INTERVAL: Duration = Duration::from_millis(10);
const BURST: u32 = 50;
/// As many more are for others than who was told last, so that they are told beside a flood.
const RESERVE: u32 = 50;

/// Tells whether one more error may be told.
#[derive(Debug, Default)]
pub(super) struct Restraint {
    /// When all that were told would have been, each after its interval.
    due: Option<Instant>,
    /// Who was told last.
    last: Option<IpAddr>,
}

impl Restraint {
    fn allows(&mut self, to: IpAddr, now: Instant) -> bool {
        let due = self.due.map_or(now, |due| due.max(now));
        let reserve = if self.last == Some(to) { 0 } else { RESERVE };
        let allowed = due < now + INTERVAL * (BURST + reserve);
        if allowed {
            self.due = Some(due + INTERVAL);
            self.last = Some(to);
        }
        allowed
    }
}

impl Stack {
    /// Reads the headers of a packet; who sent one that must be dropped is told if that is due.
    pub(super) fn read(&mut self, packet: &[u8], now: Instant) -> Option<IpHeader> {
        match IpHeader::parse(packet) {
            Ok(header) => Some(header),
            Err(IpError::Parameter { problem, at }) => {
                // What stands in front of it could be read.
                let header = IpHeader::parse_quoted(packet).ok()?;
                let packet = packet.get(..header.total_len)?;
                self.complain(problem, at, &header, packet, now);
                None
            }
            Err(_) => None,
        }
    }

    /// Tells the sender of `packet`, whose header is given, that nobody speaks its protocol.
    pub(super) fn refuse_protocol(&mut self, header: &IpHeader, packet: &[u8], now: Instant) {
        if header.source.is_ipv4() || header.protocol != NO_NEXT_HEADER {
            self.complain(IcmpError::Protocol, header.protocol_at, header, packet, now);
        }
    }

    /// Forgets the packets whose parts never came, and tells their senders.
    pub(super) fn give_up_parts(&mut self, now: Instant) {
        for (header, first) in self.reassembly.expire(now) {
            self.complain(IcmpError::Reassembly, 0, &header, &first, now);
        }
    }

    /// Tells the sender of `packet`, whose header is given, that the byte `at` is wrong.
    fn complain(
        &mut self,
        error: IcmpError,
        at: usize,
        header: &IpHeader,
        packet: &[u8],
        now: Instant,
    ) {
        if !may_be_told(header, packet) || !self.restraint.allows(header.source, now) {
            return;
        }
        let quoted = beginning(header, packet);
        let pointer = error.pointer(header.source.is_ipv6(), at);
        let mut body = Chunk::empty(self.pool.fitting(pointer.len() + quoted.len()));
        body.append(&pointer);
        body.append(quoted);
        let (from, to) = (header.destination, header.source);
        self.outbox.icmp(from, to, body, |head, body| {
            encode_error(from, to, error, body, head);
        });
    }
}

/// As much of a packet as an error about it quotes.
pub(super) fn beginning<'a>(header: &IpHeader, packet: &'a [u8]) -> &'a [u8] {
    let room = if header.source.is_ipv6() {
        LONGEST_V6 - IPV6_HEADER - ICMP_HEADER
    } else {
        LONGEST_V4 - IPV4_HEADER - ICMP_HEADER
    };
    packet.get(..room).unwrap_or(packet)
}

/// Whether who sent a packet may get an error: it is one host and sent it to one, it is not
/// the later part of a packet over IPv4 (RFC 1122 section 3.2.2), and the packet is no error.
fn may_be_told(header: &IpHeader, packet: &[u8]) -> bool {
    let later = header.fragment.is_some_and(|part| part.offset > 0);
    let forbidden = if later {
        header.source.is_ipv4() || MAY_LEAD_TO_MESSAGES.contains(&header.protocol)
    } else {
        is_error(header, packet)
    };
    is_between_hosts(header) && !forbidden
}

/// Whether a packet, or what it is the first part of, is an error as far as can be seen.
fn is_error(header: &IpHeader, packet: &[u8]) -> bool {
    let v6 = header.source.is_ipv6();
    let Some(header) = header.innermost(packet) else {
        return false;
    };
    let message = header.protocol == if v6 { protocol::ICMPV6 } else { protocol::ICMP };
    message && is_icmp_error(v6, header.payload(packet))
}
