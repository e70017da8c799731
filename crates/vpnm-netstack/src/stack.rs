//! The stack's face.

mod dispatch;
mod hosts;
mod unspoken;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use vpnm_wire::{
    BufferPool, Chunk, FlowKey, Head, IcmpError, IpBuilder, encode_echo_reply, encode_error,
    protocol,
};

use self::unspoken::Restraint;
use crate::config::Config;
use crate::event::{Cause, Echo, Event, FlowId, Received, Refusal, Sent, Taken};
use crate::fragment::Reassembly;
use crate::keyed_hash::KeyedHash;
use crate::outbox::{Outbox, Packet};
use crate::packet::{Ingress, Transmit};
use crate::tcp::{Context, Tcp};
use crate::udp::Udp;
use crate::wake::Wake;

/// Terminates the flows of one link: applications on one side, the user on the other.
///
/// # Contract
/// Inputs are [`Self::handle_packet`], [`Self::handle_timeout`] and the methods on
/// flows. After a batch of packets, and after every other input, the user drains
/// [`Self::poll_event`] and [`Self::poll_transmit`] before the next one; then
/// [`Self::poll_timeout`] says when to call again, and why. Acknowledgements wait for
/// [`Self::release_acks`], which is called when the batch's data was offered to its
/// readers: those that data carried in the meantime are saved, and those that it is
/// expected to carry wait a moment for it.
///
/// The order of events and packets depends on the inputs alone.
#[derive(Debug)]
pub struct Stack {
    pub(crate) pool: BufferPool,
    pub(crate) tcp: Tcp,
    pub(crate) udp: Udp,
    pub(crate) reassembly: Reassembly,
    pub(crate) outbox: Outbox,
    pub(crate) events: VecDeque<Event>,
    restraint: Restraint,
    /// The packet the last [`Self::poll_transmit`] lent out.
    current: Option<Packet>,
}

impl Stack {
    /// A stack without flows.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let hash = KeyedHash::new(&config.secret);
        Self {
            pool: BufferPool::new(),
            tcp: Tcp::new(config, hash),
            udp: Udp::new(config.max_udp_flows, config.memory, hash),
            reassembly: Reassembly::default(),
            outbox: Outbox::new(config.mtu, config.offload),
            events: VecDeque::new(),
            restraint: Restraint::default(),
            current: None,
        }
    }

    /// Where its buffers come from; packets are to be read into the same pool's.
    #[must_use]
    pub fn pool(&self) -> &BufferPool {
        &self.pool
    }

    /// A packet arrived. Whatever its bytes are, the stack goes on.
    pub fn handle_packet(&mut self, packet: Ingress, now: Instant) {
        dispatch::dispatch(self, packet, now);
    }

    /// Joins the parts of a fragmented packet, for where only the whole shows which of
    /// several stacks it is for; a packet that is no part is handed back as it is.
    pub fn reassemble(&mut self, packet: Ingress, now: Instant) -> Option<Ingress> {
        dispatch::reassemble(self, packet, now)
    }

    /// Time passed. To be called when [`Self::poll_timeout`] is due; earlier is harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.give_up_parts(now);
        self.outbox.expire(now);
        let (tcp, mut cx) = self.tcp_context(now);
        tcp.handle_timeout(&mut cx);
    }

    /// What happened next.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if event.is_none() && self.events.capacity() > 1_024 {
            self.events = VecDeque::new();
        }
        event
    }

    /// Whether [`Self::poll_event`] has something to say.
    #[must_use]
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// The next packet for the link.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit<'_>> {
        self.current = self.outbox.pop();
        if self.current.is_some() {
            return self.current.as_ref().map(|packet| Transmit {
                offload: packet.offload,
                head: packet.head,
                body: [&packet.body, &[]],
            });
        }
        let (tcp, cx) = self.tcp_context(now);
        tcp.poll_transmit(&cx)
    }

    /// When to call [`Self::handle_timeout`], and why. Without flows that is only until
    /// what is remembered of packets that came is forgotten: ten minutes at most.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, Wake)> {
        let tcp = self.tcp.poll_timeout();
        let forgotten = [self.reassembly.next_expiry(), self.outbox.next_expiry()];
        let forgotten = forgotten.into_iter().flatten().min();
        match (tcp, forgotten.map(|at| (at, Wake::Expiry))) {
            (Some(a), Some(b)) => Some(if b.0 < a.0 { b } else { a }),
            (a, b) => a.or(b),
        }
    }

    /// Whether [`Self::poll_timeout`] became earlier since this was last asked.
    pub fn take_timer_moved(&mut self) -> bool {
        self.tcp.take_timer_moved()
    }

    /// Lets the acknowledgements out that no data carried, one for each flow, except where
    /// data is expected to carry it in a moment.
    pub fn release_acks(&mut self, now: Instant) {
        self.tcp.release_acks(now);
    }

    /// The link turned out to refuse super-packets of UDP.
    pub fn forgo_udp_segmentation(&mut self) {
        self.outbox.forgo_udp_segmentation();
    }

    /// The link turned out to refuse oversize super-packets of TCP.
    pub fn forgo_oversize(&mut self) {
        self.tcp.forgo_oversize();
    }

    /// How many TCP flows there are.
    #[must_use]
    pub fn tcp_flows(&self) -> usize {
        self.tcp.len()
    }

    /// How many UDP flows there are.
    #[must_use]
    pub fn udp_flows(&self) -> usize {
        self.udp.len()
    }

    /// Packets of datagrams that were lost because those before were not taken in time.
    #[must_use]
    pub fn udp_lost(&self) -> u64 {
        self.udp.lost()
    }

    pub(crate) fn tcp_context(&mut self, now: Instant) -> (&mut Tcp, Context<'_>) {
        let cx = Context {
            pool: &self.pool,
            outbox: &mut self.outbox,
            events: &mut self.events,
            now,
        };
        (&mut self.tcp, cx)
    }
}

/// What the user does with TCP flows.
impl Stack {
    /// Completes a held handshake, or takes the flow whose handshake could not be held.
    pub fn tcp_accept(&mut self, id: FlowId, now: Instant) {
        let (tcp, mut cx) = self.tcp_context(now);
        tcp.accept(id, &mut cx);
    }

    /// Refuses a held handshake and forgets the flow; if it could not be held, the
    /// application gets a reset whatever the reason.
    pub fn tcp_refuse(&mut self, id: FlowId, why: Refusal, now: Instant) {
        let (tcp, mut cx) = self.tcp_context(now);
        let Some((key, syn)) = tcp.refuse(id, why, &mut cx) else {
            return;
        };
        let mut quoted = Head::new();
        quoted.push(&key.source().port().to_be_bytes());
        quoted.push(&key.destination().port().to_be_bytes());
        quoted.push(&syn.0.to_be_bytes());
        self.report(&key, protocol::TCP, quoted.bytes(), why);
    }

    /// Why a flow is no more; `None` while it is. A held flow goes when its application
    /// gives up.
    #[must_use]
    pub fn tcp_gone(&self, id: FlowId) -> Option<Cause> {
        self.tcp.gone(id)
    }

    /// Takes the next received bytes, without a copy where they are many.
    pub fn tcp_take(&mut self, id: FlowId) -> Taken {
        self.tcp.take(id)
    }

    /// The user is done with `count` of the bytes taken, which opens the window; whether
    /// the peer must hear of it, that is whether to drain [`Self::poll_transmit`].
    pub fn tcp_release(&mut self, id: FlowId, count: usize) -> bool {
        self.tcp.release(id, count, &self.pool)
    }

    /// How many bytes would be taken over now. To be asked before bytes are fetched: this
    /// alone heeds what all flows hold, and what is there already is then taken over.
    pub fn tcp_room(&mut self, id: FlowId) -> Sent {
        self.tcp.room(id, &self.pool)
    }

    /// Most bytes that one packet to the application carries.
    #[must_use]
    pub fn tcp_packetful(&self, id: FlowId) -> usize {
        self.tcp.packetful(id, self.outbox.has_offload())
    }

    /// Sends a copy of `bytes`, or of as many as there is room for.
    pub fn tcp_send(&mut self, id: FlowId, bytes: &[u8], now: Instant) -> Sent {
        let (tcp, mut cx) = self.tcp_context(now);
        tcp.send(id, bytes, &mut cx)
    }

    /// Sends all of `bytes` without a copy, if there is any room.
    pub fn tcp_send_chunk(&mut self, id: FlowId, bytes: Chunk, now: Instant) -> Sent {
        let (tcp, mut cx) = self.tcp_context(now);
        tcp.send_chunk(id, bytes, &mut cx)
    }

    /// Ends the sending direction behind what was sent.
    pub fn tcp_finish(&mut self, id: FlowId, now: Instant) {
        let (tcp, mut cx) = self.tcp_context(now);
        tcp.finish(id, &mut cx);
    }

    /// Lets go of a flow. If it was not finished, or was not read to where the peer is,
    /// the peer gets a reset; otherwise what was sent is still delivered.
    pub fn tcp_close(&mut self, id: FlowId, now: Instant) {
        let (tcp, mut cx) = self.tcp_context(now);
        tcp.close(id, &mut cx);
    }
}

/// What the user does with datagrams.
impl Stack {
    /// Takes received datagrams of a flow.
    pub fn udp_take(&mut self, id: FlowId) -> Received {
        self.udp.take(id)
    }

    /// Marks a flow as used, so that others make room before it.
    pub fn udp_touch(&mut self, id: FlowId) {
        self.udp.touch(id);
    }

    /// Sends one datagram, which needs no flow; both addresses are of one family.
    pub fn udp_send(&mut self, from: SocketAddr, to: SocketAddr, payload: &[u8]) {
        self.outbox.udp(from, to, payload, &self.pool);
    }

    /// Sends datagrams of `segment` bytes each, the last possibly shorter, that stand
    /// back to back in `payloads`.
    pub fn udp_send_batch(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        payloads: &[u8],
        segment: usize,
    ) {
        self.outbox
            .udp_batch(from, to, payloads, segment, &self.pool);
    }

    /// Forgets a flow and tells its application why.
    pub fn udp_refuse(&mut self, id: FlowId, why: Refusal) {
        if let Some(key) = self.udp.close(id) {
            self.udp_reject(key.source(), key.destination(), why);
        }
    }

    /// Tells the source of a datagram, which needs no flow, why it got nowhere; both
    /// addresses are of one family.
    pub fn udp_reject(&mut self, source: SocketAddr, destination: SocketAddr, why: Refusal) {
        let key = FlowKey::new(source, destination);
        let mut quoted = Head::new();
        quoted.push(&key.source().port().to_be_bytes());
        quoted.push(&key.destination().port().to_be_bytes());
        quoted.push(&[0, 8, 0, 0]);
        self.report(&key, protocol::UDP, quoted.bytes(), why);
    }

    /// Forgets a flow.
    pub fn udp_close(&mut self, id: FlowId) {
        self.udp.close(id);
    }

    /// Answers a ping in the name of who was pinged.
    pub fn echo_reply(&mut self, echo: Echo) {
        let (from, to) = (echo.destination, echo.source);
        self.outbox.icmp(from, to, echo.body, |head, body| {
            encode_echo_reply(from, to, body, head);
        });
    }

    /// An ICMP error to the source of `key`, in the name of its destination, about a
    /// packet whose transport header begins with `quoted`.
    fn report(&mut self, key: &FlowKey, protocol: u8, quoted: &[u8], why: Refusal) {
        let error = match why {
            Refusal::Reset => IcmpError::Port,
            Refusal::HostUnreachable => IcmpError::Host,
            Refusal::NetUnreachable => IcmpError::Network,
            Refusal::Prohibited => IcmpError::Prohibited,
        };
        let (source, destination) = (key.source().ip(), key.destination().ip());
        let ip = IpBuilder {
            source,
            destination,
            protocol,
            payload_len: quoted.len(),
            fragment: None,
        };
        let mut original = Head::new();
        original.push(&[0; 4]);
        if !ip.encode(&mut original) {
            return;
        }
        original.push(quoted);
        let body = self.pool.copy(original.bytes());
        self.outbox.icmp(destination, source, body, |head, body| {
            encode_error(destination, source, error, body, head);
        });
    }
}
