//! What a connection does with a segment (RFC 9293 section 3.10.7, RFC 5961).

use std::time::{Duration, Instant};

use vpnm_wire::{Chunk, Seq, TcpFlags, TcpHeader, TcpOptions};

use super::flow::{Flow, Stage, Surroundings};
use super::receive::Arrival;
use super::send::Acked;
use crate::event::Cause;

/// Challenges to one peer are not sent more often (RFC 5961 section 7).
const CHALLENGE_INTERVAL: Duration = Duration::from_millis(100);

/// A segment that arrived.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) header: TcpHeader,
    pub(crate) options: TcpOptions,
    pub(crate) payload: Chunk,
    /// Whether its sender is next to the link.
    pub(crate) near: bool,
}

impl Segment {
    fn has(&self, flag: TcpFlags) -> bool {
        self.header.flags.has(flag)
    }

    /// Places of the sequence it takes.
    pub(crate) fn sequence_len(&self) -> usize {
        self.payload.len()
            + usize::from(self.has(TcpFlags::SYN))
            + usize::from(self.has(TcpFlags::FIN))
    }
}

/// What is to be said beyond what the flow says by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    Nothing,
    /// A reset of the flow, which has failed.
    Abort,
    /// A reset in answer to a segment that is none of the flow's.
    Reset,
}

impl Flow {
    /// Handles a segment of this flow.
    pub(crate) fn on_segment(&mut self, segment: Segment, around: &Surroundings<'_>) -> Reply {
        match self.stage {
            Stage::Held => self.on_held(&segment),
            Stage::Accepted => self.on_handshake(segment, around),
            Stage::Proven | Stage::Open => self.on_open(segment, around),
        }
    }

    fn on_held(&mut self, segment: &Segment) -> Reply {
        if segment.has(TcpFlags::RST) && segment.header.seq == self.receiver.next() {
            self.fail(Cause::Reset);
        }
        Reply::Nothing
    }

    fn on_handshake(&mut self, segment: Segment, around: &Surroundings<'_>) -> Reply {
        let header = segment.header;
        if segment.has(TcpFlags::RST) {
            self.on_reset(header.seq, around);
            return Reply::Nothing;
        }
        if header.flags.opens() {
            self.on_syn(around.now);
            return Reply::Nothing;
        }
        if !segment.has(TcpFlags::ACK) {
            return Reply::Nothing;
        }
        if header.ack != self.sender.next() {
            return Reply::Reset;
        }
        if segment.has(TcpFlags::SYN) {
            // Who opened at the same time knows by our answer, and need not get it twice.
            return Reply::Nothing;
        }
        self.stage = Stage::Open;
        self.sender
            .on_syn_acked(header.seq, header.ack, header.window, around.now);
        self.on_open(segment, around)
    }

    fn on_open(&mut self, mut segment: Segment, around: &Surroundings<'_>) -> Reply {
        let header = segment.header;
        if segment.has(TcpFlags::RST) {
            self.on_reset(header.seq, around);
            return Reply::Nothing;
        }
        let length = segment.sequence_len();
        let old = self.is_old(&segment, around);
        let acceptable =
            self.receiver.is_acceptable(header.seq, length) || self.is_bare_end(&segment);
        if old || !acceptable {
            self.on_outsider(&segment, around);
            if old || header.seq != self.receiver.next() {
                return Reply::Nothing;
            }
            segment.payload.truncate(0);
            segment.header.flags = header.flags & TcpFlags::ACK;
        }
        if segment.has(TcpFlags::SYN) {
            self.challenge(around);
            return Reply::Nothing;
        }
        if !segment.has(TcpFlags::ACK) {
            return Reply::Nothing;
        }
        if !self.on_acknowledgement(&segment, around) {
            return Reply::Nothing;
        }
        self.on_answer(around.now);
        if let (Some(stamps), Some(theirs)) = (&mut self.stamps, segment.options.stamps) {
            stamps.on_segment(theirs, header.seq, around.now);
        }
        self.on_content(segment, around)
    }

    /// Whether a segment was sent before what was acknowledged, so that its number has come
    /// round since (RFC 7323 section 5). Acknowledgements alone that overtake each other
    /// look the same and do no harm.
    fn is_old(&self, segment: &Segment, around: &Surroundings<'_>) -> bool {
        let both = self.stamps.as_ref().zip(segment.options.stamps);
        segment.sequence_len() > 0
            && both.is_some_and(|(stamps, theirs)| stamps.is_old(theirs, around.now))
    }

    /// Whether a segment is only the end of the stream, which needs no room: a closed window
    /// does not keep it out, as with Linux, since some hosts repeat it in a loop until it is
    /// acknowledged.
    fn is_bare_end(&self, segment: &Segment) -> bool {
        let bare = segment.payload.is_empty() && segment.has(TcpFlags::FIN);
        bare && !self.receiver.is_finished() && segment.header.seq == self.receiver.next()
    }

    /// A segment outside the window: an old one, a keep-alive, a probe of a closed window.
    fn on_outsider(&mut self, segment: &Segment, around: &Surroundings<'_>) {
        self.on_answer(around.now);
        if segment.has(TcpFlags::SYN) || segment.sequence_len() == 0 {
            // Two ends that disagree would answer each other's answers for ever.
            self.challenge(around);
        } else {
            let seq = segment.header.seq;
            self.receiver.on_again(seq, segment.sequence_len());
            self.ack_due = true;
            self.exchange.hurry();
        }
    }

    /// A reset is believed if its number is exact; near it, the peer is asked (RFC 5961
    /// section 3.2).
    fn on_reset(&mut self, seq: Seq, around: &Surroundings<'_>) {
        if self.receiver.is_end(seq) {
            self.fail(Cause::Reset);
        } else if self.receiver.is_near(seq) {
            self.challenge(around);
        }
    }

    /// Asks the peer, by an acknowledgement, whether it meant what it said.
    fn challenge(&mut self, around: &Surroundings<'_>) {
        let recently = self
            .challenged
            .is_some_and(|last| around.now.saturating_duration_since(last) < CHALLENGE_INTERVAL);
        if !recently {
            self.challenged = Some(around.now);
            // Before the handshake is complete our SYN-ACK asks the same.
            self.on_syn(around.now);
            self.ack_due = !self.stage.is_half_open();
            self.exchange.hurry();
        }
    }

    /// Whether the segment can be the peer's: who does not see our packets can guess a
    /// place in the window, but not also what to acknowledge (RFC 5961 section 5.2).
    fn on_acknowledgement(&mut self, segment: &Segment, around: &Surroundings<'_>) -> bool {
        let header = &segment.header;
        let plain = segment.payload.is_empty() && !segment.has(TcpFlags::FIN);
        let acked = self.sender.on_ack(
            (header.seq, header.ack, header.window),
            &segment.options,
            plain,
            (self.answered(segment, around), around.now),
        );
        match acked {
            Acked::Progress => self.rearm(around.now, true),
            Acked::Nothing => self.rearm(around.now, false),
            Acked::Invalid => self.challenge(around),
        }
        acked != Acked::Invalid
    }

    /// When what a segment answers was sent, if its timestamp tells.
    fn answered(&self, segment: &Segment, around: &Surroundings<'_>) -> Option<Instant> {
        let stamps = self.stamps.as_ref()?;
        stamps.answered(segment.options.stamps?, around.now)
    }

    fn on_content(&mut self, segment: Segment, around: &Surroundings<'_>) -> Reply {
        let fin = segment.has(TcpFlags::FIN);
        if segment.payload.is_empty() && !fin {
            return Reply::Nothing;
        }
        // What is behind the end of the stream is nothing (RFC 9293 section 3.10.7.4).
        let says_more = !segment.payload.is_empty() && !self.receiver.is_finished();
        if !self.owned && says_more {
            // Nobody is left to read it (RFC 9293 section 3.6.1).
            self.fail(Cause::Closed);
            return Reply::Abort;
        }
        let leaves_hole = self.receiver.next().before(segment.header.seq);
        let has_more = self.receiver.has_data() && !segment.payload.is_empty();
        if around.exhausted && (leaves_hole || has_more) {
            // The peer sends it again; until then there may be room.
            return Reply::Nothing;
        }
        let whole = segment.payload.len() < self.sender.mss() && !fin;
        let ended = self.receiver.is_finished();
        let arrival = self
            .receiver
            .accept(segment.header.seq, segment.payload, fin, around.pool);
        if !ended && self.receiver.is_finished() {
            self.ended_first = self.sender.has_ended();
        }
        match arrival {
            Arrival::Advanced => {
                self.receiver.tune(self.near, around.now);
                self.exchange.on_request(whole, around.now);
            }
            Arrival::Unexpected => self.exchange.hurry(),
        }
        self.ack_due = true;
        self.rearm(around.now, false);
        Reply::Nothing
    }
}
