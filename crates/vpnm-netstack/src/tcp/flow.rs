//! One connection: its stages, its timer and what it wants done.

use std::time::{Duration, Instant};

use vpnm_wire::{
    BufferPool, Chunk, FlowKey, Seq, TCP_STAMPS, TcpFlags, TcpHeader, TcpOptions, TcpStamps,
};

use super::acknowledge::Exchange;
use super::receive::{Receiver, WINDOW_SHIFT};
use super::send::{Sender, Span};
use super::stamps::Stamps;
use crate::event::Cause;
use crate::timer::Alarm;
use crate::wake::Wake;

/// How long a connection whose user is gone waits for the peer's FIN: as Linux.
const ORPHAN: Duration = Duration::from_secs(60);
/// How long a peer may be silent before it is asked whether it is still there, how long
/// it may then take to answer, and how often it is asked: as Linux (RFC 9293 section
/// 3.8.4). Without this a host that vanished would leave its flows behind for ever.
const KEEP_ALIVE: Duration = Duration::from_secs(2 * 60 * 60);
const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(75);
const MAX_KEEP_ALIVE: u32 = 9;
/// Retransmissions of a SYN-ACK: as Linux, and where half-open connections are many.
const MAX_HANDSHAKE: u32 = 5;
const MAX_HANDSHAKE_CROWDED: u32 = 1;
/// A host sends its SYN again after a second, and then at ever longer intervals, for as
/// long as its application waits. Who is silent for longer than this, and than two and a
/// half of the last interval, waits no more: nothing else tells.
const PATIENCE: Duration = Duration::from_millis(3_500);
/// Retransmissions of data, or probes of a closed window without an answer: with the
/// time-out doubling each time about ten minutes.
const MAX_ATTEMPTS: u32 = 12;
/// And of a connection whose user is gone, answered or not, as Linux: a peer that takes
/// nothing would otherwise keep what is left for it for ever.
const MAX_ORPHAN_ATTEMPTS: u32 = 8;
/// Smallest segment believed of a peer: as Linux.
const MIN_MSS: usize = 48;
/// Window in bytes for a peer before the user has decided: what every flow may receive.
pub(crate) const CONFINED: u16 = 16 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The user has not decided yet.
    Held,
    /// Our SYN-ACK is out.
    Accepted,
    /// The handshake is complete, and the user has not decided yet.
    Proven,
    /// The handshake is complete.
    Open,
}

impl Stage {
    /// Whether the handshake is not complete.
    pub(crate) fn is_half_open(self) -> bool {
        match self {
            Self::Held | Self::Accepted => true,
            Self::Proven | Self::Open => false,
        }
    }
}

/// One connection, from its SYN on.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) key: FlowKey,
    pub(crate) stage: Stage,
    pub(crate) receiver: Receiver,
    pub(crate) sender: Sender,
    /// Sequence number of the peer's SYN.
    pub(crate) syn: Seq,
    terms: Terms,
    /// Payload of the longest segments that the link takes.
    pub(crate) announced_mss: u16,
    /// If both ends put them into their segments.
    pub(crate) stamps: Option<Box<Stamps>>,
    /// Whether the peer is next to the link, as its SYN showed.
    pub(crate) near: bool,
    /// Whether the peer takes packets longer than their length field can tell.
    pub(crate) oversize: bool,
    /// Whether the user still holds the flow.
    pub(crate) owned: bool,
    pub(crate) gone: Option<Cause>,
    /// Whether the user found nothing to read, or no room to write.
    pub(crate) reader_waits: bool,
    pub(crate) writer_waits: bool,
    pub(crate) ack_due: bool,
    pub(crate) exchange: Exchange,
    syn_due: bool,
    probe_due: bool,
    /// Segments in a row that were sent without any answer.
    unanswered: u32,
    /// When the peer last said anything.
    heard: Option<Instant>,
    /// How long a peer that waits for our SYN-ACK may be silent.
    patience: Duration,
    /// When the last challenge was sent (RFC 5961 section 7).
    pub(crate) challenged: Option<Instant>,
    /// Whether our FIN was out when the peer's came.
    pub(crate) ended_first: bool,
    timer: Option<(Wake, Instant)>,
    /// Book-keeping of the table: an alarm set for the flow, and the queues it is in.
    pub(crate) alarm: Option<Alarm>,
    pub(crate) in_send_queue: bool,
    pub(crate) in_ack_queue: bool,
    pub(crate) in_holed: bool,
    pub(crate) linked: bool,
}

/// A segment to be sent.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) header: TcpHeader,
    pub(crate) options: TcpOptions,
    pub(crate) span: Option<Span>,
}

/// What a flow needs to know of the link and the stack.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    pub(crate) pool: &'a BufferPool,
    pub(crate) now: Instant,
    /// Bytes a flow may buffer.
    pub(crate) allowance: usize,
    /// Whether no memory is left for data.
    pub(crate) exhausted: bool,
    /// Most payload of one packet, options not counted.
    pub(crate) max_payload: usize,
}

/// Most payload of a segment that a peer of this offer takes (RFC 9293 section 3.7.1).
pub(crate) fn offered_segment(key: &FlowKey, offer: &TcpOptions) -> usize {
    let default = if key.source().is_ipv4() { 536 } else { 1_220 };
    let offered = offer.max_segment.filter(|size| *size > 0);
    usize::from(offered.unwrap_or(default)).max(MIN_MSS)
}

/// What the answer to a SYN takes up of its offer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    scaling: bool,
    selective: bool,
}

impl Terms {
    pub(crate) fn of(offer: &TcpOptions) -> Self {
        Self {
            scaling: offer.window_scale.is_some(),
            selective: offer.sack_permitted,
        }
    }

    /// The options of the answer; `mss` is the link's.
    pub(crate) fn options(self, mss: u16) -> TcpOptions {
        TcpOptions {
            max_segment: Some(mss),
            window_scale: self.scaling.then_some(WINDOW_SHIFT),
            sack_permitted: self.selective,
            ..TcpOptions::default()
        }
    }
}

impl Flow {
    /// A flow of a peer whose SYN had the number `syn`; `mss` is the link's.
    pub(crate) fn new(key: FlowKey, syn: Seq, offer: &TcpOptions, iss: Seq, mss: u16) -> Self {
        let theirs = offered_segment(&key, offer);
        let terms = Terms::of(offer);
        let mut sender = Sender::new(iss, theirs.min(usize::from(mss)));
        sender.agree(offer.window_scale.unwrap_or(0), offer.sack_permitted);
        Self {
            key,
            stage: Stage::Held,
            receiver: Receiver::new(syn, terms.scaling),
            sender,
            syn,
            terms,
            announced_mss: mss,
            stamps: None,
            near: false,
            oversize: false,
            owned: true,
            gone: None,
            reader_waits: true,
            writer_waits: false,
            ack_due: false,
            exchange: Exchange::default(),
            syn_due: false,
            probe_due: false,
            unanswered: 0,
            heard: None,
            patience: PATIENCE,
            challenged: None,
            timer: None,
            alarm: None,
            in_send_queue: false,
            in_ack_queue: false,
            in_holed: false,
            linked: true,
            ended_first: false,
        }
    }

    /// Puts timestamps into all segments, as the peer offered; ours count milliseconds since
    /// `epoch`, from `offset` on.
    pub(crate) fn agree_on_stamps(
        &mut self,
        theirs: TcpStamps,
        offset: u32,
        epoch: Instant,
        now: Instant,
    ) {
        let stamps = Stamps::new(self.syn, theirs.value, offset, epoch, now);
        self.stamps = Some(Box::new(stamps));
        self.sender.shorten_mss(TCP_STAMPS);
    }

    /// Bytes of options that every segment has.
    fn overhead(&self) -> usize {
        self.stamps.as_ref().map_or(0, |_| TCP_STAMPS)
    }

    /// Most payload and options of one segment on the wire.
    pub(crate) fn segment_size(&self) -> usize {
        self.sender.mss() + self.overhead()
    }

    /// A router on the way takes no longer segments.
    pub(crate) fn limit_segment(&mut self, size: usize) {
        self.sender.limit_mss(size - self.overhead());
    }

    /// The flow is the side that connected, and `header` is the answer to its SYN.
    #[cfg(test)]
    pub(crate) fn open_actively(&mut self, header: &TcpHeader, now: Instant) {
        self.stage = Stage::Open;
        self.receiver.announce_unscaled();
        self.sender.on_syn_sent(now);
        self.sender
            .on_syn_acked(header.seq, header.ack, header.window, now);
        self.ack_due = true;
    }

    /// The user wants the connection.
    pub(crate) fn accept(&mut self, now: Instant) {
        match self.stage {
            _ if self.gone.is_some() => {}
            Stage::Held => {
                self.stage = Stage::Accepted;
                self.syn_due = true;
                // Who waited for the decision must not be given up before the SYN-ACK is
                // out, which a link without room delays.
                self.rearm(now, true);
            }
            Stage::Proven => {
                self.stage = Stage::Open;
                self.reader_waits = true;
                self.receiver.set_free();
                // The peer hears of the window.
                self.ack_due = true;
                self.exchange.hurry();
            }
            Stage::Accepted | Stage::Open => {}
        }
    }

    /// A segment of this header acknowledged a SYN-ACK that nobody remembers.
    pub(crate) fn prove(&mut self, header: &TcpHeader, now: Instant) {
        self.stage = Stage::Proven;
        self.reader_waits = false;
        self.receiver.confine(CONFINED);
        self.sender.assume_syn_sent();
        self.sender
            .on_syn_acked(header.seq, header.ack, header.window, now);
    }

    /// The peer sent its SYN, perhaps again.
    pub(crate) fn on_syn(&mut self, now: Instant) {
        match self.stage {
            Stage::Held => {
                let last = self.heard.replace(now).unwrap_or(now);
                let interval = now.saturating_duration_since(last);
                self.patience = PATIENCE.max(interval * 5 / 2);
                self.rearm(now, true);
            }
            Stage::Accepted => self.syn_due = true,
            Stage::Proven | Stage::Open => {}
        }
    }

    /// Both directions ended and everybody knows.
    pub(crate) fn is_complete(&self) -> bool {
        self.receiver.is_finished() && self.sender.is_finished()
    }

    /// Ends the flow at once.
    pub(crate) fn fail(&mut self, cause: Cause) {
        if self.gone.is_none() {
            self.gone = Some(cause);
        }
        self.ack_due = false;
        self.syn_due = false;
        self.timer = None;
    }

    /// A segment that can only come from the peer arrived.
    pub(crate) fn on_answer(&mut self, now: Instant) {
        self.unanswered = 0;
        self.heard = Some(now);
    }

    /// Whether [`Self::next_segment`] may have something beyond an acknowledgement.
    pub(crate) fn wants_to_send(&self) -> bool {
        if self.gone.is_some() {
            return false;
        }
        match self.stage {
            Stage::Held => false,
            Stage::Proven => self.probe_due,
            Stage::Accepted => self.syn_due,
            Stage::Open => self.probe_due || self.sender.has_more() || self.sender.is_fin_due(),
        }
    }

    /// The next segment to be sent, if any.
    pub(crate) fn next_segment(&mut self, around: &Surroundings<'_>) -> Option<Outgoing> {
        if self.gone.is_some() {
            return None;
        }
        match self.stage {
            Stage::Held => None,
            Stage::Accepted => self.next_syn(around),
            Stage::Proven | Stage::Open => self.next_data(around),
        }
    }

    fn next_syn(&mut self, around: &Surroundings<'_>) -> Option<Outgoing> {
        if !std::mem::take(&mut self.syn_due) {
            return None;
        }
        self.sender.on_syn_sent(around.now);
        let mut header = self.header(self.sender.una(), TcpFlags::SYN | TcpFlags::ACK);
        header.window = self.receiver.announce_unscaled();
        let options = TcpOptions {
            stamps: self.next_stamps(around.now),
            ..self.terms.options(self.announced_mss)
        };
        self.rearm(around.now, true);
        Some(Outgoing {
            header,
            options,
            span: None,
        })
    }

    /// For a segment that acknowledges all that was received.
    fn next_stamps(&mut self, now: Instant) -> Option<TcpStamps> {
        let ack = self.receiver.next();
        self.stamps.as_mut().map(|stamps| stamps.option(ack, now))
    }

    fn next_data(&mut self, around: &Surroundings<'_>) -> Option<Outgoing> {
        let mut options = TcpOptions {
            stamps: self.next_stamps(around.now),
            ..TcpOptions::default()
        };
        if self.terms.selective {
            let alone = !self.sender.has_more();
            self.receiver.report(alone, &mut options);
        }
        let max = around.max_payload.saturating_sub(options.encoded_len());
        let resent = self.sender.resent();
        let probe = std::mem::take(&mut self.probe_due);
        // What the user says before it has decided waits for that.
        let span = match self.stage {
            Stage::Open => self.sender.next_span(max.max(1), around.now),
            Stage::Held | Stage::Accepted | Stage::Proven => None,
        };
        let header = match span {
            Some(span) => {
                let mut flags = TcpFlags::ACK;
                if span.push && span.len > 0 {
                    flags = flags | TcpFlags::PSH;
                }
                if span.fin {
                    flags = flags | TcpFlags::FIN;
                }
                self.header(span.seq, flags)
            }
            None if probe => self.header(self.sender.una().minus(1), TcpFlags::ACK),
            None if self.ack_due => self.header(self.sender.next(), TcpFlags::ACK),
            None => return None,
        };
        self.ack_due = false;
        if span.is_some_and(|span| span.len > 0) {
            self.exchange.on_answer(around.now);
        }
        self.exchange.on_acknowledged();
        let window = self.receiver.announce(around.allowance);
        self.rearm(around.now, self.sender.resent() != resent);
        Some(Outgoing {
            header: TcpHeader { window, ..header },
            options,
            span,
        })
    }

    fn header(&self, seq: Seq, flags: TcpFlags) -> TcpHeader {
        TcpHeader {
            source: self.key.destination().port(),
            destination: self.key.source().port(),
            seq,
            ack: self.receiver.next(),
            flags,
            window: 0,
            header_len: 0,
        }
    }

    /// The header of a reset, which the peer believes only with the right number.
    pub(crate) fn reset_header(&self) -> TcpHeader {
        let held = self.stage == Stage::Held;
        let seq = if held { Seq(0) } else { self.sender.next() };
        self.header(seq, TcpFlags::RST | TcpFlags::ACK)
    }

    /// What the flow waits for, if for anything.
    fn waits_for(&self) -> Option<Wake> {
        if self.gone.is_some() {
            return None;
        }
        match self.stage {
            Stage::Held => Some(Wake::Undecided),
            Stage::Accepted => Some(Wake::Handshake),
            Stage::Proven | Stage::Open => self.open_waits_for(),
        }
    }

    fn open_waits_for(&self) -> Option<Wake> {
        if self.sender.late_at().is_some() {
            Some(Wake::Reordering)
        } else if self.sender.tail_wait().is_some() {
            Some(Wake::TailProbe)
        } else if self.sender.is_in_flight() {
            Some(Wake::Retransmit)
        } else if self.sender.is_blocked() {
            Some(Wake::ClosedWindow)
        } else if self.is_complete() {
            None
        } else if self.owned {
            Some(Wake::KeepAlive)
        } else {
            Some(Wake::Orphan)
        }
    }

    /// Sets the timer for what the flow waits for, anew if `restart` or if that changed.
    pub(crate) fn rearm(&mut self, now: Instant, restart: bool) {
        let late_at = self.sender.late_at();
        self.timer = self.waits_for().map(|wake| match (self.timer, late_at) {
            (_, Some(at)) if wake == Wake::Reordering => (wake, at),
            (Some((last, at)), _) if last == wake && !restart => (wake, at),
            _ => {
                let wait = match wake {
                    Wake::Undecided => self.patience,
                    Wake::TailProbe => self.sender.tail_wait().unwrap_or_default(),
                    Wake::Orphan => ORPHAN,
                    Wake::KeepAlive if self.unanswered > 0 => KEEP_ALIVE_ANSWER,
                    Wake::KeepAlive => KEEP_ALIVE,
                    Wake::Handshake
                    | Wake::Retransmit
                    | Wake::ClosedWindow
                    | Wake::Reordering
                    | Wake::Acknowledge
                    | Wake::Expiry => self.sender.rtt().timeout(),
                };
                (wake, now + wait)
            }
        });
    }

    /// When to call [`Self::on_timeout`], and why.
    pub(crate) fn timer(&self) -> Option<(Wake, Instant)> {
        self.timer
    }

    /// The timer may have run out; `crowded` if many other connections are half open.
    pub(crate) fn on_timeout(&mut self, now: Instant, crowded: bool) {
        let Some((wake, at)) = self.timer else {
            return;
        };
        if at > now {
            return;
        }
        if let (Wake::KeepAlive, Some(heard)) = (wake, self.heard)
            && now < heard + KEEP_ALIVE
        {
            self.timer = Some((wake, heard + KEEP_ALIVE));
            return;
        }
        if wake == Wake::Reordering {
            self.sender.judge_loss(now);
            self.rearm(now, false);
            return;
        }
        let limit = match wake {
            Wake::Handshake if crowded => MAX_HANDSHAKE_CROWDED,
            Wake::Handshake => MAX_HANDSHAKE,
            Wake::KeepAlive => MAX_KEEP_ALIVE,
            Wake::Undecided | Wake::Orphan => 0,
            Wake::TailProbe
            | Wake::Retransmit
            | Wake::ClosedWindow
            | Wake::Reordering
            | Wake::Acknowledge
            | Wake::Expiry => MAX_ATTEMPTS,
        };
        let stuck = !self.owned && self.sender.rtt().attempts() >= MAX_ORPHAN_ATTEMPTS;
        if self.unanswered >= limit || stuck {
            self.fail(Cause::TimedOut);
            return;
        }
        self.unanswered += 1;
        match wake {
            Wake::Handshake => {
                self.sender.on_probe();
                self.syn_due = true;
            }
            Wake::ClosedWindow => {
                self.sender.on_probe();
                self.probe_due = true;
            }
            Wake::Retransmit => self.sender.on_timeout(),
            Wake::TailProbe => self.sender.on_tail_wait(),
            Wake::KeepAlive => self.probe_due = true,
            Wake::Undecided
            | Wake::Orphan
            | Wake::Reordering
            | Wake::Acknowledge
            | Wake::Expiry => {}
        }
        self.rearm(now, true);
    }

    /// Takes received bytes.
    pub(crate) fn take(&mut self) -> Option<Chunk> {
        let taken = self.receiver.take();
        self.reader_waits = taken.is_none();
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_flow_waits_in_little_room() {
        assert!(size_of::<Flow>() <= 688, "{}", size_of::<Flow>());
    }
}
