//! All TCP connections of a stack.

mod acknowledge;
mod congestion;
mod cookie;
mod flights;
mod flow;
mod input;
mod proven;
mod prune;
mod receive;
mod rtt;
mod send;
mod spending;
mod stamps;
mod tombstone;
mod transmit;

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use vpnm_wire::{
    BufferPool, Chunk, FlowKey, IPV4_HEADER, IPV6_HEADER, SMALL, Seq, TCP_HEADER, TcpFlags,
    TcpHeader, TcpOptions,
};

use self::acknowledge::Exchange;
use self::cookie::Cookies;
use self::flow::Stage;
pub(crate) use self::flow::{Flow, Surroundings};
pub(crate) use self::input::{Reply, Segment};
use self::spending::Allowance;
use self::stamps::Stamps;
use self::tombstone::{Tombstone, Tombstones};
use crate::config::Config;
use crate::event::{Cause, Event, FlowId, Refusal, Sent, Taken};
use crate::keyed_hash::KeyedHash;
use crate::outbox::Outbox;
use crate::path::believed_mtu;
use crate::slab::Slab;
use crate::table::Table;
use crate::timer::Timers;
use crate::wake::Wake;

#[cfg(test)]
pub(crate) use self::transmit::build;
pub(crate) use self::transmit::max_payload;

/// A flow that buffers less than this to its application always gets more.
const MIN_SEND: usize = 64 * 1024;
/// Most bytes buffered to one application.
const MAX_SEND: usize = 1 << 20;
/// Less room than this is none: a packet of it would not be worth its cost.
const MIN_ROOM: usize = 16 * 1024;
/// What every flow may receive, however many there are.
const MIN_RECEIVE: usize = 16 * 1024;

/// The table of connections, and which of them have something to do.
#[derive(Debug)]
pub(crate) struct Tcp {
    config: Config,
    flows: Slab<Flow>,
    table: Table,
    tombstones: Tombstones,
    half_open: usize,
    /// Answers SYNs when as many flows are half open as may be.
    cookies: Cookies,
    /// How many of them.
    answers: Allowance,
    /// Flows whose handshake is complete before the user has decided.
    proven: usize,
    /// Flows with data to send, each once; served in turn, one packet each.
    sending: VecDeque<FlowId>,
    /// Flows that owe an acknowledgement, each once.
    owing: VecDeque<FlowId>,
    /// Flows whose acknowledgement waits for data to carry it, and until when; those that
    /// no longer do go in their turn.
    held: VecDeque<(Instant, FlowId)>,
    /// Prompt answers in a row, of the flow that answered last.
    prompt: u8,
    /// Flows that may have received something beyond a hole, each once.
    holed: VecDeque<FlowId>,
    /// Flows that may have sent their last segment.
    leaving: Vec<FlowId>,
    timers: Timers,
    /// Of the clock that initial sequence numbers follow.
    epoch: Option<Instant>,
}

/// What all operations need.
pub(crate) struct Context<'a> {
    pub(crate) pool: &'a BufferPool,
    pub(crate) outbox: &'a mut Outbox,
    pub(crate) events: &'a mut VecDeque<Event>,
    pub(crate) now: Instant,
}

impl Tcp {
    pub(crate) fn new(config: &Config, hash: KeyedHash) -> Self {
        Self {
            config: config.clone(),
            flows: Slab::new(),
            table: Table::new(hash),
            tombstones: Tombstones::new(hash),
            half_open: 0,
            cookies: Cookies::new(&config.secret),
            answers: Allowance::default(),
            proven: 0,
            sending: VecDeque::new(),
            owing: VecDeque::new(),
            held: VecDeque::new(),
            prompt: 0,
            holed: VecDeque::new(),
            leaving: Vec::new(),
            timers: Timers::default(),
            epoch: None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.flows.len()
    }

    /// Bytes that one flow may receive beyond what its user took.
    fn allowance(&self, pool: &BufferPool) -> usize {
        if pool.bytes_out() < self.config.memory / 4 {
            return usize::MAX;
        }
        (self.config.memory / 2 / self.flows.len().max(1)).max(MIN_RECEIVE)
    }

    fn surroundings<'a>(&self, pool: &'a BufferPool, now: Instant) -> Surroundings<'a> {
        Surroundings {
            pool,
            now,
            allowance: self.allowance(pool),
            exhausted: pool.bytes_out() > self.config.memory,
            max_payload: usize::MAX,
        }
    }

    /// Handles a segment between the two ends of `key`, whose checksum is right; `near` if
    /// its sender is next to the link.
    pub(crate) fn handle(
        &mut self,
        key: FlowKey,
        header: TcpHeader,
        content: Chunk,
        near: bool,
        cx: &mut Context<'_>,
    ) {
        let options = if header.header_len > TCP_HEADER {
            TcpOptions::parse(&content, header.header_len)
        } else {
            TcpOptions::default()
        };
        let mut payload = content;
        payload.advance(header.header_len);
        let segment = Segment {
            header,
            options,
            payload,
            near,
        };
        match self.table.get(&key) {
            Some(id) => self.handle_known(id, segment, cx),
            None => self.handle_unknown(key, segment, cx),
        }
    }

    fn handle_known(&mut self, id: FlowId, segment: Segment, cx: &mut Context<'_>) {
        self.prune(cx.pool);
        let around = self.surroundings(cx.pool, cx.now);
        let Some(flow) = self.flows.get_mut(id) else {
            return;
        };
        let header = segment.header;
        let key = flow.key;
        if header.flags.opens() && flow.stage.is_half_open() {
            if header.seq == flow.syn || flow.stage == Stage::Accepted {
                // Our answer, sent again, also tells who begins anew that it did: it then
                // resets what was before with a number that only it knows.
                flow.on_syn(cx.now);
            } else {
                // The application gave up and tries again from the same port.
                self.fail(id, Cause::Reset, cx);
                self.handle_unknown(key, segment, cx);
                return;
            }
            self.settle(id, cx);
            return;
        }
        let length = segment.sequence_len();
        if flow.stage.is_half_open() && header.ack != flow.sender.next() {
            let age = self
                .epoch
                .map(|epoch| cx.now.saturating_duration_since(epoch));
            let may_wait = self.proven < self.config.max_half_open;
            flow.heed_forgotten(&header, &self.cookies, may_wait, (age, cx.now));
            if flow.stage == Stage::Proven {
                self.half_open -= 1;
                self.proven += 1;
            }
        }
        let half_open = flow.stage.is_half_open();
        let reply = flow.on_segment(segment, &around);
        if half_open && !flow.stage.is_half_open() {
            self.half_open -= 1;
        }
        if flow.receiver.has_holes() && !flow.in_holed {
            flow.in_holed = true;
            self.holed.push_back(id);
        }
        match reply {
            Reply::Nothing => {}
            Reply::Abort => {
                let reset = flow.reset_header();
                let ends = (key.destination().ip(), key.source().ip());
                cx.outbox.tcp(&reset, &TcpOptions::default(), ends, cx.pool);
            }
            Reply::Reset => {
                let (from, to) = (key.destination().ip(), key.source().ip());
                cx.outbox.tcp_reset_for(&header, length, from, to, cx.pool);
            }
        }
        self.settle(id, cx);
    }

    fn handle_unknown(&mut self, key: FlowKey, segment: Segment, cx: &mut Context<'_>) {
        let header = &segment.header;
        let flags = header.flags;
        if let Some(stone) = self.tombstones.get(&key, cx.now) {
            let replaced = stone.is_followed_by(&segment);
            // An application that begins anew with a lower number rejects our answer to
            // its SYN this way, and then tries again.
            let rejected = flags.has(TcpFlags::RST) && header.seq == stone.theirs;
            if replaced || rejected {
                self.tombstones.remove(&key);
            } else {
                self.answer_late(&key, &segment, stone, cx);
                return;
            }
        }
        if !flags.opens() {
            if let Some(offer) = self.recall(&key, header, cx.now) {
                self.open_proven(key, &offer, segment, cx);
                return;
            }
            let (from, to) = (key.destination().ip(), key.source().ip());
            cx.outbox
                .tcp_reset_for(header, segment.sequence_len(), from, to, cx.pool);
        } else if self.flows.len() >= self.config.max_tcp_flows {
            // Silence: the application's host asks again in a second.
        } else if self.half_open >= self.config.max_half_open {
            self.answer_and_forget(&key, &segment, cx);
        } else {
            self.open(key, &segment, cx);
        }
    }

    fn open(&mut self, key: FlowKey, segment: &Segment, cx: &mut Context<'_>) {
        let (iss, offset) = self.initial_numbers(&key, cx.now);
        let offer = &segment.options;
        let mut flow = self.flow(key, segment.header.seq, offer, iss, segment.near);
        if let Some(theirs) = offer.stamps.filter(|_| !segment.near) {
            flow.agree_on_stamps(theirs, offset, self.epoch.unwrap_or(cx.now), cx.now);
        }
        flow.on_syn(cx.now);
        self.half_open += 1;
        let id = self.add(flow, cx);
        self.settle(id, cx);
    }

    /// A flow of a peer whose SYN had the number `syn` and made this offer; `iss` is ours.
    fn flow(&self, key: FlowKey, syn: Seq, offer: &TcpOptions, iss: Seq, near: bool) -> Flow {
        let mut flow = Flow::new(key, syn, offer, iss, self.link_segment(&key));
        flow.near = near;
        flow.oversize = self.config.oversize && near;
        flow.exchange = Exchange::like(self.prompt);
        flow
    }

    /// Puts a new flow into the table and asks the user about it.
    fn add(&mut self, flow: Flow, cx: &mut Context<'_>) -> FlowId {
        let key = flow.key;
        let id = self.flows.insert(flow);
        self.table.insert(key, id);
        cx.events.push_back(Event::TcpIncoming {
            id,
            source: key.source(),
            destination: key.destination(),
        });
        id
    }

    /// Payload of the longest segments that the link takes.
    fn link_segment(&self, key: &FlowKey) -> u16 {
        let headers = if key.source().is_ipv4() {
            IPV4_HEADER + TCP_HEADER
        } else {
            IPV6_HEADER + TCP_HEADER
        };
        crate::outbox::small(usize::from(self.config.mtu).saturating_sub(headers))
    }

    /// Time since the stack was first asked for it.
    fn age(&mut self, now: Instant) -> Duration {
        now.saturating_duration_since(*self.epoch.get_or_insert(now))
    }

    /// A sequence number nobody can guess that grows by one every four microseconds (RFC
    /// 6528), and from where the timestamps of the same ends count (RFC 7323 section 5.4).
    fn initial_numbers(&mut self, key: &FlowKey, now: Instant) -> (Seq, u32) {
        let mut hash = DefaultHasher::new();
        self.config.secret.hash(&mut hash);
        key.hash(&mut hash);
        let ticks = self.age(now).as_micros() / 4;
        let hash = hash.finish();
        let place = u128::from(hash).wrapping_add(ticks) & u128::from(u32::MAX);
        let offset = u32::try_from(hash >> 32).unwrap_or(0);
        (Seq(u32::try_from(place).unwrap_or(0)), offset)
    }

    /// The path to the application of `key` takes no longer packets than `mtu`.
    pub(crate) fn handle_too_big(
        &mut self,
        key: &FlowKey,
        seq: Seq,
        mtu: usize,
        cx: &mut Context<'_>,
    ) {
        let Some(id) = self.table.get(key) else {
            return;
        };
        let Some(flow) = self.flows.get_mut(id) else {
            return;
        };
        let headers = if key.source().is_ipv4() { 40 } else { 60 };
        let Some(mtu) = believed_mtu(key.source().ip(), mtu) else {
            return;
        };
        // Only who sees our packets knows their numbers (RFC 5927 section 4.1).
        let known = flow.sender.una().not_after(seq) && seq.before(flow.sender.next());
        if known && flow.stage == Stage::Open {
            flow.limit_segment(mtu - headers);
            flow.rearm(cx.now, true);
            self.settle(id, cx);
        }
    }

    /// Puts a flow where what it wants is seen to, and reports what happened to it.
    fn settle(&mut self, id: FlowId, cx: &mut Context<'_>) {
        let Some(flow) = self.flows.get_mut(id) else {
            return;
        };
        if flow.wants_to_send() && !flow.in_send_queue {
            flow.in_send_queue = true;
            self.sending.push_back(id);
        } else if flow.ack_due && !flow.in_ack_queue {
            flow.in_ack_queue = true;
            self.owing.push_back(id);
        }
        set_alarm(flow, id, &mut self.timers);
        report(flow, id, self.config.memory, cx);
        self.bury(id, cx.now);
    }

    /// Forgets a flow of which nothing more can come.
    fn bury(&mut self, id: FlowId, now: Instant) {
        let Some(flow) = self.flows.get_mut(id) else {
            return;
        };
        let complete = flow.is_complete() && !flow.ack_due;
        if !complete && flow.gone.is_none() {
            return;
        }
        if flow.linked {
            flow.linked = false;
            self.table.remove(&flow.key);
            if let Some(alarm) = flow.alarm.take() {
                self.timers.cancel(alarm);
            }
            match flow.stage {
                Stage::Held | Stage::Accepted => self.half_open -= 1,
                Stage::Proven => self.proven -= 1,
                Stage::Open => {}
            }
            if flow.gone.is_none() {
                let stone = Tombstone {
                    ours: flow.sender.next(),
                    theirs: flow.receiver.next(),
                    echo: flow.stamps.as_ref().map(|stamps| stamps.echo()),
                    waits: flow.ended_first,
                };
                self.tombstones.set(flow.key, stone, now);
            }
        }
        if !flow.owned {
            self.flows.remove(id);
        }
    }

    /// A segment of a connection that ended in order.
    fn answer_late(
        &mut self,
        key: &FlowKey,
        segment: &Segment,
        stone: Tombstone,
        cx: &mut Context<'_>,
    ) {
        if segment.header.flags.has(TcpFlags::RST) || segment.sequence_len() == 0 {
            return;
        }
        let header = TcpHeader {
            source: key.destination().port(),
            destination: key.source().port(),
            seq: stone.ours,
            ack: stone.theirs,
            flags: TcpFlags::ACK,
            window: 0,
            header_len: 0,
        };
        let options = TcpOptions {
            stamps: stone.echo.map(|echo| {
                // Our clock is the one that the connection had.
                let (_, offset) = self.initial_numbers(key, cx.now);
                let epoch = self.epoch.unwrap_or(cx.now);
                let syn = stone.theirs.minus(1);
                let mut stamps = Stamps::new(syn, echo, offset, epoch, cx.now);
                if let Some(theirs) = segment.options.stamps {
                    stamps.on_segment(theirs, segment.header.seq, cx.now);
                }
                stamps.option(stone.theirs, cx.now)
            }),
            ..TcpOptions::default()
        };
        let ends = (key.destination().ip(), key.source().ip());
        cx.outbox.tcp(&header, &options, ends, cx.pool);
    }

    /// Ends a flow without a word to the peer.
    fn fail(&mut self, id: FlowId, cause: Cause, cx: &mut Context<'_>) {
        if let Some(flow) = self.flows.get_mut(id) {
            flow.fail(cause);
            self.settle(id, cx);
        }
    }

    /// Ends a flow with a reset.
    fn abort(&mut self, id: FlowId, cx: &mut Context<'_>) {
        let Some(flow) = self.flows.get_mut(id) else {
            return;
        };
        if flow.gone.is_none() && flow.linked {
            let header = flow.reset_header();
            let ends = (flow.key.destination().ip(), flow.key.source().ip());
            cx.outbox
                .tcp(&header, &TcpOptions::default(), ends, cx.pool);
        }
        self.fail(id, Cause::Closed, cx);
    }

    /// Most payload of one packet of a flow.
    pub(crate) fn packetful(&self, id: FlowId, offload: bool) -> usize {
        let flow = self.flows.get(id);
        flow.map_or(0, |flow| max_payload(flow, offload))
    }

    pub(crate) fn forgo_oversize(&mut self) {
        self.config.oversize = false;
    }

    pub(crate) fn poll_timeout(&self) -> Option<(Instant, Wake)> {
        let flow = self.timers.next_flow().and_then(|id| self.flows.get(id));
        // An alarm that its flow no longer needs is looked at and forgotten.
        let wake = flow
            .and_then(Flow::timer)
            .map_or(Wake::Expiry, |timer| timer.0);
        let flows = self.timers.next().map(|at| (at, wake));
        let held = self.held.front().map(|(at, _)| (*at, Wake::Acknowledge));
        let stones = self.tombstones.next_expiry().map(|at| (at, Wake::Expiry));
        [flows, held, stones]
            .into_iter()
            .flatten()
            .min_by_key(|(at, _)| *at)
    }

    /// How many alarms are set.
    #[cfg(test)]
    pub(crate) fn alarms(&self) -> usize {
        self.timers.len()
    }

    pub(crate) fn take_timer_moved(&mut self) -> bool {
        self.timers.take_moved()
    }

    pub(crate) fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        self.tombstones.expire(cx.now);
        self.release_held(cx);
        let crowded = self.half_open > self.config.max_half_open / 2;
        while let Some(id) = self.timers.pop_due(cx.now) {
            if let Some(flow) = self.flows.get_mut(id) {
                flow.alarm = None;
                flow.on_timeout(cx.now, crowded);
                self.settle(id, cx);
            }
        }
    }
}

/// Sets the alarm for a flow's timer, unless it has one that rings earlier.
fn set_alarm(flow: &mut Flow, id: FlowId, timers: &mut Timers) {
    if let Some((_, at)) = flow.timer()
        && flow.alarm.is_none_or(|alarm| at < alarm.at)
    {
        flow.alarm = Some(timers.set(flow.alarm, at, id));
    }
}

/// Tells the user of a flow what it waits for.
fn report(flow: &mut Flow, id: FlowId, memory: usize, cx: &mut Context<'_>) {
    if let Some(cause) = flow.gone {
        if flow.owned && flow.linked {
            cx.events.push_back(Event::TcpGone(id, cause));
        }
        return;
    }
    if flow.reader_waits && (flow.receiver.has_data() || flow.receiver.is_finished()) {
        flow.reader_waits = false;
        cx.events.push_back(Event::TcpReadable(id));
    }
    if flow.writer_waits && has_room_again(flow, memory, cx.pool) {
        flow.writer_waits = false;
        cx.events.push_back(Event::TcpWritable(id));
    }
}

/// Bytes that may be queued to the application, its own window considered: what it
/// cannot take need not be fetched.
fn send_limit(flow: &Flow) -> usize {
    flow.sender.window().clamp(MIN_SEND, MAX_SEND)
}

fn has_room_again(flow: &Flow, memory: usize, pool: &BufferPool) -> bool {
    let queued = flow.sender.queued();
    queued == 0 || queued <= send_limit(flow) / 2 && pool.bytes_out() <= memory
}

/// What a user does with its flow.
impl Tcp {
    pub(crate) fn accept(&mut self, id: FlowId, cx: &mut Context<'_>) {
        if let Some(flow) = self.flows.get_mut(id) {
            let proven = flow.stage == Stage::Proven;
            flow.accept(cx.now);
            if proven && flow.stage == Stage::Open {
                self.proven -= 1;
            }
            self.settle(id, cx);
        }
    }

    /// Refuses a flow; the key, if its handshake was held, for an ICMP error.
    pub(crate) fn refuse(
        &mut self,
        id: FlowId,
        why: Refusal,
        cx: &mut Context<'_>,
    ) -> Option<(FlowKey, Seq)> {
        let flow = self.flows.get_mut(id)?;
        flow.owned = false;
        let held = flow.stage == Stage::Held && flow.gone.is_none();
        let (key, syn) = (flow.key, flow.syn);
        if !held || why == Refusal::Reset {
            self.abort(id, cx);
            return None;
        }
        self.fail(id, Cause::Closed, cx);
        Some((key, syn))
    }

    pub(crate) fn gone(&self, id: FlowId) -> Option<Cause> {
        match self.flows.get(id) {
            Some(flow) => flow.gone,
            None => Some(Cause::Closed),
        }
    }

    pub(crate) fn take(&mut self, id: FlowId) -> Taken {
        let Some(flow) = self.flows.get_mut(id) else {
            return Taken::Gone(Cause::Closed);
        };
        if let Some(chunk) = flow.take() {
            return Taken::Data(chunk);
        }
        match flow.gone {
            _ if flow.receiver.is_finished() => Taken::End,
            Some(cause) => Taken::Gone(cause),
            None => Taken::Nothing,
        }
    }

    /// Opens the window by `count` bytes; whether an acknowledgement is due for it.
    pub(crate) fn release(&mut self, id: FlowId, count: usize, pool: &BufferPool) -> bool {
        let allowance = self.allowance(pool);
        let Some(flow) = self.flows.get_mut(id) else {
            return false;
        };
        let tell = flow.receiver.release(count, allowance);
        if !tell || flow.gone.is_some() || flow.receiver.is_finished() {
            return false;
        }
        flow.ack_due = true;
        flow.exchange.hurry();
        if !flow.in_ack_queue && !flow.in_send_queue {
            flow.in_ack_queue = true;
            self.owing.push_back(id);
        }
        true
    }

    /// Room for data to the application, in the flow and in the memory of all.
    pub(crate) fn room(&mut self, id: FlowId, pool: &BufferPool) -> Sent {
        self.room_where(id, pool.bytes_out() > self.config.memory)
    }

    /// Room for data that is in memory already.
    fn room_of_flow(&mut self, id: FlowId) -> Sent {
        self.room_where(id, false)
    }

    fn room_where(&mut self, id: FlowId, exhausted: bool) -> Sent {
        let Some(flow) = self.flows.get_mut(id) else {
            return Sent::Gone(Cause::Closed);
        };
        if let Some(cause) = flow.gone {
            return Sent::Gone(cause);
        }
        if flow.sender.is_finishing() {
            return Sent::Gone(Cause::Closed);
        }
        let queued = flow.sender.queued();
        if exhausted && queued == 0 {
            // What would only wait is left to who sends it, but for enough to ask for
            // room with.
            return Sent::Bytes(flow.sender.window().clamp(SMALL, MIN_SEND));
        }
        let room = send_limit(flow).saturating_sub(queued);
        if room < MIN_ROOM || exhausted {
            flow.writer_waits = true;
            return Sent::Full;
        }
        Sent::Bytes(room)
    }

    pub(crate) fn send(&mut self, id: FlowId, bytes: &[u8], cx: &mut Context<'_>) -> Sent {
        let room = match self.room_of_flow(id) {
            Sent::Bytes(room) => room,
            refused @ (Sent::Full | Sent::Gone(_)) => return refused,
        };
        let count = room.min(bytes.len());
        if let Some(flow) = self.flows.get_mut(id) {
            let bytes = bytes.get(..count).unwrap_or_default();
            flow.sender.push_copy(bytes, cx.pool);
            self.settle(id, cx);
        }
        Sent::Bytes(count)
    }

    pub(crate) fn send_chunk(&mut self, id: FlowId, bytes: Chunk, cx: &mut Context<'_>) -> Sent {
        match self.room_of_flow(id) {
            Sent::Bytes(_) => {}
            refused @ (Sent::Full | Sent::Gone(_)) => return refused,
        }
        let count = bytes.len();
        if let Some(flow) = self.flows.get_mut(id)
            && count > 0
        {
            flow.sender.push(bytes);
            self.settle(id, cx);
        }
        Sent::Bytes(count)
    }

    pub(crate) fn finish(&mut self, id: FlowId, cx: &mut Context<'_>) {
        if let Some(flow) = self.flows.get_mut(id) {
            flow.sender.finish();
            self.settle(id, cx);
        }
    }

    /// The user lets go of the flow.
    pub(crate) fn close(&mut self, id: FlowId, cx: &mut Context<'_>) {
        let Some(flow) = self.flows.get_mut(id) else {
            return;
        };
        flow.owned = false;
        let unread = flow.receiver.has_data();
        if flow.is_complete() && flow.gone.is_none() && !unread {
            self.settle(id, cx);
        } else if !flow.sender.is_finishing() || unread || flow.stage == Stage::Proven {
            self.abort(id, cx);
        } else {
            flow.rearm(cx.now, false);
            self.settle(id, cx);
        }
    }
}
