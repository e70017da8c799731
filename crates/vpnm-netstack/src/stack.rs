//! The stack's face.

use std::net::SocketAddr;
use std::time::Instant;

use vpnm_wire::{BufferPool, Chunk};

use crate::config::Config;
use crate::event::{Cause, Echo, Event, FlowId, Received, Refusal, Sent, Taken};
use crate::packet::{Ingress, Transmit};

/// Why a stack wants to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// A flow's data may have to be sent again.
    Retransmit,
}

/// Terminates the flows of one link.
#[derive(Debug)]
pub struct Stack {
    pool: BufferPool,
    config: Config,
}

impl Stack {
    /// A stack without flows.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            pool: BufferPool::new(),
            config,
        }
    }
    /// Where its buffers come from.
    #[must_use]
    pub fn pool(&self) -> &BufferPool {
        &self.pool
    }
    /// A packet arrived.
    pub fn handle_packet(&mut self, packet: Ingress, _now: Instant) {
        drop(packet);
    }
    /// Time passed.
    pub fn handle_timeout(&mut self, _now: Instant) {}
    /// What happened next.
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }
    /// What to send next.
    pub fn poll_transmit(&mut self, _now: Instant) -> Option<Transmit<'_>> {
        let _ = self.config.mtu;
        None
    }
    /// When to call [`Self::handle_timeout`], and why.
    #[must_use]
    pub fn poll_timeout(&mut self) -> Option<(Instant, Wake)> {
        None
    }
    /// Whether the next time-out became earlier since this was last asked.
    pub fn timer_moved(&mut self) -> bool {
        false
    }
    /// Lets acknowledgements out.
    pub fn release_acks(&mut self) {}
    /// How many TCP flows there are.
    #[must_use]
    pub fn tcp_flows(&self) -> usize {
        0
    }
    /// How many UDP flows there are.
    #[must_use]
    pub fn udp_flows(&self) -> usize {
        0
    }
    /// Completes the handshake.
    pub fn tcp_accept(&mut self, _id: FlowId, _now: Instant) {}
    /// Refuses the connection.
    pub fn tcp_refuse(&mut self, _id: FlowId, _why: Refusal, _now: Instant) {}
    /// Takes the next received bytes.
    pub fn tcp_take(&mut self, _id: FlowId) -> Taken {
        Taken::Gone(Cause::Closed)
    }
    /// Opens the window by what was taken and is done with; whether the peer must be told.
    pub fn tcp_release(&mut self, _id: FlowId, _count: usize) -> bool {
        false
    }
    /// How many bytes can be sent now.
    #[must_use]
    pub fn tcp_room(&mut self, _id: FlowId) -> Sent {
        Sent::Gone(Cause::Closed)
    }
    /// Sends a copy of bytes.
    pub fn tcp_send(&mut self, _id: FlowId, _bytes: &[u8], _now: Instant) -> Sent {
        Sent::Gone(Cause::Closed)
    }
    /// Sends bytes without a copy.
    pub fn tcp_send_buffer(&mut self, _id: FlowId, bytes: Chunk, _now: Instant) -> Sent {
        drop(bytes);
        Sent::Gone(Cause::Closed)
    }
    /// Ends the sending direction.
    pub fn tcp_finish(&mut self, _id: FlowId, _now: Instant) {}
    /// Its user is done with the flow.
    pub fn tcp_close(&mut self, _id: FlowId, _now: Instant) {}
    /// Takes received datagrams.
    pub fn udp_take(&mut self, _id: FlowId) -> Received {
        Received::Gone(Cause::Closed)
    }
    /// Marks the flow as used.
    pub fn udp_touch(&mut self, _id: FlowId) {}
    /// Sends one datagram.
    pub fn udp_send(&mut self, _from: SocketAddr, _to: SocketAddr, _payload: &[u8]) {}
    /// Sends several datagrams of one size.
    pub fn udp_send_batch(
        &mut self,
        _from: SocketAddr,
        _to: SocketAddr,
        _payloads: &[u8],
        _segment: usize,
    ) {
    }
    /// Refuses a flow.
    pub fn udp_refuse(&mut self, _id: FlowId, _why: Refusal) {}
    /// Forgets a flow.
    pub fn udp_close(&mut self, _id: FlowId) {}
    /// Answers a ping.
    pub fn echo_reply(&mut self, _echo: &Echo) {}
}
