//! UDP flows and DNS queries as the rest of the engine sees them.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use vpnm_netstack::{FlowId, Received, Refusal};
use vpnm_wire::{Chunk, Datagrams};

use super::net::Net;
use super::tcp::gone;

/// The first datagram between two addresses, which waits to be received.
pub struct UdpIncoming {
    /// The application's end.
    pub source: SocketAddr,
    /// Where it sends to.
    pub destination: SocketAddr,
    flow: UdpFlow,
}

/// The datagrams between an application and one destination.
///
/// Bounded: what is not received in time is lost, and a flow that was idle longest
/// makes room when there are too many. Dropping it forgets the pair of addresses.
pub struct UdpFlow {
    source: SocketAddr,
    destination: SocketAddr,
    net: Rc<Net>,
    id: FlowId,
    current: Option<Datagrams>,
}

/// Sends datagrams to applications from any address; cheap to clone.
#[derive(Clone)]
pub struct UdpSender(Rc<Net>);

/// A datagram to port 53.
pub struct DnsQuery {
    /// Who asks.
    pub source: SocketAddr,
    /// The resolver it believes to ask.
    pub destination: SocketAddr,
    message: Chunk,
    net: Rc<Net>,
}

impl UdpIncoming {
    pub(super) fn new(
        net: &Rc<Net>,
        id: FlowId,
        source: SocketAddr,
        destination: SocketAddr,
    ) -> Self {
        let flow = UdpFlow {
            source,
            destination,
            net: Rc::clone(net),
            id,
            current: None,
        };
        Self {
            source,
            destination,
            flow,
        }
    }

    /// The flow, whose first datagram is the first to be received.
    #[must_use]
    pub fn accept(self) -> UdpFlow {
        self.flow
    }

    /// Tells the application by ICMP why it cannot send there.
    pub fn refuse(self, why: Refusal) {
        self.flow.refuse(why);
    }
}

impl UdpFlow {
    /// The application's end.
    #[must_use]
    pub fn source(&self) -> SocketAddr {
        self.source
    }

    /// Where the application sends to.
    #[must_use]
    pub fn destination(&self) -> SocketAddr {
        self.destination
    }

    /// Receives one datagram of the application into `into`; its length in bytes.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] if `into` is too short, and the datagram
    /// stays; otherwise the flow is gone, since the application's socket closed or
    /// newer flows needed the room.
    pub async fn recv(&mut self, into: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_recv(cx, into)).await
    }

    /// [`Self::recv`] for hand-written futures.
    ///
    /// # Errors
    /// As [`Self::recv`].
    pub fn poll_recv(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_current(cx))?;
        let datagram = self.current.as_ref().and_then(Datagrams::front);
        let datagram = datagram.unwrap_or_default();
        let Some(room) = into.get_mut(..datagram.len()) else {
            return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
        };
        room.copy_from_slice(datagram);
        let count = datagram.len();
        if let Some(current) = &mut self.current {
            current.advance();
        }
        Poll::Ready(Ok(count))
    }

    /// Receives all datagrams that arrived as one packet, without a copy.
    ///
    /// # Errors
    /// The flow is gone.
    pub fn poll_recv_batch(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Datagrams>> {
        ready!(self.poll_current(cx))?;
        Poll::Ready(
            self.current
                .take()
                .ok_or_else(|| io::ErrorKind::NotConnected.into()),
        )
    }

    fn poll_current(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        if self
            .current
            .as_ref()
            .is_some_and(|current| current.count() > 0)
        {
            return Poll::Ready(Ok(()));
        }
        self.net.with(|core| match core.stack.udp_take(self.id) {
            Received::Datagrams(datagrams) => {
                self.current = Some(datagrams);
                Poll::Ready(Ok(()))
            }
            Received::Nothing => {
                core.receivers.register(self.id, cx.waker());
                Poll::Pending
            }
            Received::Gone(cause) => Poll::Ready(Err(gone(cause))),
        })
    }

    /// Sends one datagram to the application, from the flow's destination.
    pub fn send(&self, payload: &[u8]) {
        self.send_from(self.destination, payload);
    }

    /// Sends one datagram to the application as if from `from`, of the same family.
    pub fn send_from(&self, from: SocketAddr, payload: &[u8]) {
        self.net.act(|stack, _| {
            stack.udp_touch(self.id);
            stack.udp_send(from, self.source, payload);
        });
    }

    /// Sends datagrams of `segment` bytes each (the last may be shorter) that stand
    /// back to back in `payloads`, as one packet where the device can.
    pub fn send_batch(&self, payloads: &[u8], segment: usize) {
        self.net.act(|stack, _| {
            stack.udp_touch(self.id);
            stack.udp_send_batch(self.destination, self.source, payloads, segment);
        });
    }

    /// Ends the flow and tells the application by ICMP why.
    pub fn refuse(self, why: Refusal) {
        self.net.act(|stack, _| stack.udp_refuse(self.id, why));
    }

    /// A sender that outlives the flow.
    #[must_use]
    pub fn sender(&self) -> UdpSender {
        UdpSender(Rc::clone(&self.net))
    }
}

impl Drop for UdpFlow {
    fn drop(&mut self) {
        self.net.with(|core| {
            core.stack.udp_close(self.id);
            core.receivers.forget(self.id);
            core.count_flows();
        });
    }
}

impl UdpSender {
    /// Tells the application at `source` by ICMP why its datagram to `destination` got
    /// nowhere; both of one family.
    pub fn refuse(&self, source: SocketAddr, destination: SocketAddr, why: Refusal) {
        self.0
            .act(|stack, _| stack.udp_reject(source, destination, why));
    }

    /// Sends one datagram to the application at `to` as if from `from`; both of one family.
    pub fn send(&self, from: SocketAddr, to: SocketAddr, payload: &[u8]) {
        self.0.act(|stack, _| stack.udp_send(from, to, payload));
    }

    /// Sends datagrams of `segment` bytes each (the last may be shorter) that stand back
    /// to back in `payloads`, as one packet where the device can.
    pub fn send_batch(&self, from: SocketAddr, to: SocketAddr, payloads: &[u8], segment: usize) {
        self.0
            .act(|stack, _| stack.udp_send_batch(from, to, payloads, segment));
    }
}

impl DnsQuery {
    pub(super) fn new(
        net: &Rc<Net>,
        source: SocketAddr,
        destination: SocketAddr,
        message: Chunk,
    ) -> Self {
        Self {
            source,
            destination,
            message,
            net: Rc::clone(net),
        }
    }

    /// The DNS message as it arrived.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.message
    }

    /// A sender that outlives the query.
    #[must_use]
    pub fn sender(&self) -> UdpSender {
        UdpSender(Rc::clone(&self.net))
    }

    /// Tells who asks by ICMP why there is no resolver.
    pub fn refuse(self, why: Refusal) {
        self.sender().refuse(self.source, self.destination, why);
    }

    /// Answers with a DNS message, from the resolver that was asked.
    pub fn answer(self, message: &[u8]) {
        self.net
            .act(|stack, _| stack.udp_send(self.destination, self.source, message));
    }
}

impl fmt::Debug for UdpIncoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UdpIncoming({} to {})", self.source, self.destination)
    }
}

impl fmt::Debug for UdpFlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UdpFlow({} to {})", self.source, self.destination)
    }
}

impl fmt::Debug for UdpSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UdpSender")
    }
}

impl fmt::Debug for DnsQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DnsQuery({} to {})", self.source, self.destination)
    }
}
