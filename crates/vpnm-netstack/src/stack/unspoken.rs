//! Packets of protocols that nobody here speaks. Their senders are told, so that they need
//! not wait for an answer (RFC 1122 section 3.2.2.1, RFC 4443 section 3.4), but not of each
//! packet of a flood (RFC 4443 section 2.4 (f)).

use std::time::{Duration, Instant};

use vpnm_wire::{Chunk, ICMP_HEADER, IPV4_HEADER, IPV6_HEADER, IcmpError, IpHeader, encode_error};

use super::Stack;

/// What says that nothing follows an IPv6 header (RFC 8200 section 4.7).
const NO_NEXT_HEADER: u8 = 59;
/// The longest errors, which every link takes (RFC 1812 section 4.3.2.3, RFC 4443 section
/// 3.4).
const LONGEST_V4: usize = 576;
const LONGEST_V6: usize = 1_280;
/// Time between two errors, when so many were told at once.
const INTERVAL: Duration = Duration::from_millis(10);
const BURST: u32 = 50;

/// Tells whether one more error may be told.
#[derive(Debug, Default)]
pub(super) struct Restraint {
    /// When all that were told would have been, each after its interval.
    due: Option<Instant>,
}

impl Restraint {
    fn allows(&mut self, now: Instant) -> bool {
        let due = self.due.map_or(now, |due| due.max(now));
        let allowed = due < now + INTERVAL * BURST;
        if allowed {
            self.due = Some(due + INTERVAL);
        }
        allowed
    }
}

impl Stack {
    /// Tells the sender of `packet`, whose header is given, that nobody speaks its protocol.
    pub(super) fn refuse_protocol(&mut self, header: &IpHeader, packet: &[u8], now: Instant) {
        let v6 = header.source.is_ipv6();
        if v6 && header.protocol == NO_NEXT_HEADER || !self.restraint.allows(now) {
            return;
        }
        let (room, pointer) = if v6 {
            (LONGEST_V6 - IPV6_HEADER - ICMP_HEADER, header.protocol_at)
        } else {
            (LONGEST_V4 - IPV4_HEADER - ICMP_HEADER, 0)
        };
        let quoted = packet.get(..room).unwrap_or(packet);
        let pointer = u32::try_from(pointer).unwrap_or(0);
        let mut body = Chunk::empty(self.pool.fitting(4 + quoted.len()));
        body.append(&pointer.to_be_bytes());
        body.append(quoted);
        let (from, to) = (header.destination, header.source);
        self.outbox.icmp(from, to, body, |head, body| {
            encode_error(from, to, IcmpError::Protocol, body, head);
        });
    }
}
