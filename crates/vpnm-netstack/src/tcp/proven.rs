//! Connections beyond those that may be half open (RFC 4987 section 3.6).
//!
//! Their SYNs are answered and forgotten, up to a rate; who acknowledges the answer has
//! proven to be where he says. As the user could not be asked before, his refusal is a reset.
//! Half-open connections keep their places meanwhile: each one that made room for another SYN
//! of a flood would have its user dial for nobody once more.

use std::time::{Duration, Instant};

use vpnm_wire::{FlowKey, TcpFlags, TcpHeader, TcpOptions};

use super::cookie::Cookies;
use super::flow::{CONFINED, Flow, Stage, Terms};
use super::{Context, Segment, Tcp};

impl Tcp {
    /// Answers a SYN without remembering it.
    pub(super) fn answer_and_forget(
        &mut self,
        key: &FlowKey,
        segment: &Segment,
        cx: &mut Context<'_>,
    ) {
        let mss = self.link_segment(key);
        let age = self.age(cx.now);
        if !self.answers.spend(age) {
            // Silence: the application's host asks again in a second.
            return;
        }
        let syn = segment.header.seq;
        let Some(cookie) = self.cookies.give(key, syn, &segment.options, mss, age) else {
            // Silence: a host of such segments asks again in a second.
            return;
        };
        let header = TcpHeader {
            source: key.destination().port(),
            destination: key.source().port(),
            seq: cookie,
            ack: syn.plus(1),
            flags: TcpFlags::SYN | TcpFlags::ACK,
            window: CONFINED,
            header_len: 0,
        };
        let ends = (key.destination().ip(), key.source().ip());
        let options = Terms::of(&segment.options).options(mss);
        cx.outbox.tcp(&header, &options, ends, cx.pool);
    }

    /// What the SYN offered whose answer a segment of no connection acknowledges.
    pub(super) fn recall(
        &mut self,
        key: &FlowKey,
        header: &TcpHeader,
        now: Instant,
    ) -> Option<TcpOptions> {
        if !acknowledges(header) {
            return None;
        }
        let mss = self.link_segment(key);
        let age = self.age(now);
        let (syn, cookie) = (header.seq.minus(1), header.ack.minus(1));
        self.cookies.check(key, syn, cookie, mss, age)
    }

    /// The first segment of who has proven to be there, and whose SYN made this offer.
    pub(super) fn open_proven(
        &mut self,
        key: FlowKey,
        offer: &TcpOptions,
        segment: Segment,
        cx: &mut Context<'_>,
    ) {
        if self.flows.len() >= self.config.max_tcp_flows || self.proven >= self.config.max_half_open
        {
            // Silence: he says it again with his data.
            return;
        }
        let header = segment.header;
        let (syn, iss) = (header.seq.minus(1), header.ack.minus(1));
        let mut flow = self.flow(key, syn, offer, iss, segment.near);
        flow.prove(&header, cx.now);
        self.proven += 1;
        let id = self.add(flow, cx);
        self.handle_known(id, segment, cx);
    }
}

impl Flow {
    /// A SYN that was answered and forgotten came again and found a place, and only then the
    /// peer acknowledges the first answer, as `header` may: it has taken that for ours, and
    /// would be reset over any other. If the user has not decided and it `may_wait`, the
    /// handshake is complete by this. The times are the stack's age, if it has one, and now.
    pub(super) fn heed_forgotten(
        &mut self,
        header: &TcpHeader,
        cookies: &Cookies,
        may_wait: bool,
        (age, now): (Option<Duration>, Instant),
    ) {
        let Some(age) = age.filter(|_| acknowledges(header)) else {
            return;
        };
        let (cookie, mss) = (header.ack.minus(1), self.announced_mss);
        let offer = cookies.check(&self.key, self.syn, cookie, mss, age);
        if offer.is_none() || self.stage == Stage::Held && !may_wait {
            return;
        }
        // That answer agreed to no timestamps.
        self.stamps = None;
        self.sender.renumber(cookie);
        if self.stage == Stage::Held {
            self.prove(header, now);
            self.rearm(now, true);
        }
    }
}

/// Whether a segment can be the acknowledgement of a SYN-ACK.
fn acknowledges(header: &TcpHeader) -> bool {
    let flags = TcpFlags::SYN | TcpFlags::RST | TcpFlags::ACK;
    header.flags & flags == TcpFlags::ACK
}
