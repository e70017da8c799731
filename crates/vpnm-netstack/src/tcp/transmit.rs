//! Turns what a connection wants to send into a packet.

use std::time::Instant;

use vpnm_wire::{
    Checksum, ChecksumState, FlowKey, Head, IPV4_HEADER, IpBuilder, Segmentation, TCP_CHECKSUM,
    TCP_HEADER, VnetHeader, protocol,
};

use super::flow::{Flow, Outgoing};
use super::{Context, Tcp, set_alarm};
use crate::event::FlowId;
use crate::outbox::small;
use crate::packet::Transmit;

/// Most payload of a super-packet: IPv4's length field covers its headers too.
const SUPER_V4: usize = 65_535 - IPV4_HEADER - TCP_HEADER;
const SUPER_V6: usize = 65_535 - TCP_HEADER;
/// Most payload of a packet that is longer than its length field can tell. Measured: each
/// packet wakes the application, and four times the bytes move half as much again.
const OVERSIZE: usize = vpnm_wire::HUGE;

impl Tcp {
    /// The next packet of the connection whose turn it is.
    pub(crate) fn poll_transmit(&mut self, cx: &Context<'_>) -> Option<Transmit<'_>> {
        while let Some(id) = self.leaving.pop() {
            self.bury(id, cx.now);
        }
        let (id, outgoing) = self.next_outgoing(cx)?;
        let offload = cx.outbox.has_offload();
        let flow = self.flows.get(id)?;
        build(flow, &outgoing, offload)
    }

    fn next_outgoing(&mut self, cx: &Context<'_>) -> Option<(FlowId, Outgoing)> {
        loop {
            let Some(id) = self.sending.pop_front() else {
                if self.sending.capacity() > 1_024 {
                    self.sending.shrink_to_fit();
                }
                return None;
            };
            let mut around = self.surroundings(cx.pool, cx.now);
            let Some(flow) = self.flows.get_mut(id) else {
                continue;
            };
            flow.in_send_queue = false;
            // On this link nothing is lost but what somebody does not take.
            flow.oversize &= self.config.oversize && !flow.sender.is_recovering();
            around.max_payload = max_payload(flow, cx.outbox.has_offload());
            let outgoing = flow.next_segment(&around);
            match outgoing {
                Some(outgoing) => {
                    if outgoing.span.is_some() {
                        self.prompt = flow.exchange.prompt();
                    }
                    if outgoing.span.is_some() && flow.wants_to_send() {
                        flow.in_send_queue = true;
                        self.sending.push_back(id);
                    }
                    self.after_sending(id, cx.now);
                    return Some((id, outgoing));
                }
                None => self.after_sending(id, cx.now),
            }
        }
    }

    /// Sets the alarm that sending needs, and lets go of a flow that has said all.
    fn after_sending(&mut self, id: FlowId, now: Instant) {
        let Some(flow) = self.flows.get_mut(id) else {
            return;
        };
        flow.rearm(now, false);
        if flow.is_complete() {
            // Not at once: the packet is still to be built from it.
            self.leaving.push(id);
        }
        set_alarm(flow, id, &mut self.timers);
        self.forget_held();
    }
}

pub(crate) fn max_payload(flow: &Flow, offload: bool) -> usize {
    match (offload, flow.key.source().is_ipv4()) {
        (false, _) => flow.segment_size(),
        (true, true) if flow.oversize => OVERSIZE,
        (true, true) => SUPER_V4,
        (true, false) => SUPER_V6,
    }
}

pub(crate) fn build<'a>(
    flow: &'a Flow,
    outgoing: &Outgoing,
    offload: bool,
) -> Option<Transmit<'a>> {
    let body = outgoing
        .span
        .as_ref()
        .map_or([&[][..]; 2], |span| flow.sender.body(span));
    let payload: usize = body.iter().map(|piece| piece.len()).sum();
    let options = outgoing.options.encoded_len();
    let (from, to) = (flow.key.destination().ip(), flow.key.source().ip());
    let length = TCP_HEADER + options + payload;
    let ip = IpBuilder {
        source: from,
        destination: to,
        protocol: protocol::TCP,
        payload_len: length,
        fragment: None,
    };
    let mut head = Head::new();
    if !ip.encode_oversize(&mut head) {
        return None;
    }
    let start = head.len();
    let mut sum = Checksum::pseudo_header(from, to, protocol::TCP, length);
    let field = if offload { sum.partial() } else { [0, 0] };
    outgoing.header.encode(&outgoing.options, field, &mut head);
    let vnet = if offload {
        let segment = flow.segment_size().saturating_sub(options).max(1);
        VnetHeader {
            checksum: ChecksumState::Partial,
            segmentation: segmentation(&flow.key, payload > segment),
            segment_size: if payload > segment { small(segment) } else { 0 },
            header_length: small(head.len()),
            checksum_start: small(start),
            checksum_offset: small(TCP_CHECKSUM),
        }
    } else {
        sum.add(head.bytes().get(start..).unwrap_or_default());
        for piece in body {
            sum.add(piece);
        }
        head.patch(start + TCP_CHECKSUM, &sum.finish());
        VnetHeader::default()
    };
    Some(Transmit {
        offload: vnet,
        head,
        body,
    })
}

fn segmentation(key: &FlowKey, needed: bool) -> Segmentation {
    match (needed, key.source().is_ipv4()) {
        (false, _) => Segmentation::None,
        (true, true) => Segmentation::Tcp4,
        (true, false) => Segmentation::Tcp6,
    }
}
