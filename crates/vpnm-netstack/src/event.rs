//! What the stack tells its user, and the words both share.

use std::net::SocketAddr;

use vpnm_wire::{Chunk, Datagrams};

/// Names one flow of a [`Stack`](crate::Stack) for as long as that flow exists.
///
/// An identifier outlives its flow harmlessly: every call with it then reports
/// [`Cause::Closed`] or does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl FlowId {
    /// A small number, unique among the flows of its kind that exist at one time:
    /// an index for the user's own table of wakers and the like.
    #[must_use]
    pub fn slot(self) -> usize {
        usize::try_from(self.slot).unwrap_or(usize::MAX)
    }
}

/// Why a destination is refused: becomes what the kernel would have said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody listens there: TCP RST (`ECONNREFUSED`); for UDP, ICMP port unreachable.
    Reset,
    /// ICMP host unreachable (`EHOSTUNREACH`).
    HostUnreachable,
    /// ICMP network unreachable (`ENETUNREACH`).
    NetUnreachable,
    /// ICMP administratively prohibited (`EHOSTUNREACH` for IPv4, `EACCES` for IPv6).
    Prohibited,
}

/// Why a flow is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// The application reset it, or its host said by ICMP that nobody is there.
    #[error("the application reset the flow")]
    Reset,
    /// The application's host stopped acknowledging.
    #[error("the application's host stopped answering")]
    TimedOut,
    /// It made room for newer flows.
    #[error("the flow made room for a newer one")]
    Evicted,
    /// It was closed by its own user.
    #[error("the flow is closed")]
    Closed,
}

/// What happened; drain with [`Stack::poll_event`](crate::Stack::poll_event).
#[derive(Debug)]
pub enum Event {
    /// A SYN arrived; the handshake is held until
    /// [`tcp_accept`](crate::Stack::tcp_accept) or [`tcp_refuse`](crate::Stack::tcp_refuse).
    /// Of a SYN beyond those that may be half open the handshake is complete already; what
    /// the application then sends waits, 16 KiB of it at most.
    TcpIncoming {
        /// The new flow.
        id: FlowId,
        /// The application's end.
        source: SocketAddr,
        /// Where it wants to go.
        destination: SocketAddr,
    },
    /// [`tcp_take`](crate::Stack::tcp_take) has something new to say.
    TcpReadable(FlowId),
    /// [`tcp_send`](crate::Stack::tcp_send) has room again.
    TcpWritable(FlowId),
    /// The flow ended by a reset or a time-out; bytes received before remain readable.
    TcpGone(FlowId, Cause),
    /// The first datagram of a pair of addresses arrived; it waits in the flow.
    UdpIncoming {
        /// The new flow.
        id: FlowId,
        /// The application's end.
        source: SocketAddr,
        /// Where it sends to.
        destination: SocketAddr,
    },
    /// [`udp_take`](crate::Stack::udp_take) has something new to say.
    UdpReadable(FlowId),
    /// The flow was evicted, or its application's socket is closed.
    UdpGone(FlowId, Cause),
    /// A datagram to port 53; stateless, answered by
    /// [`udp_send`](crate::Stack::udp_send) with the addresses exchanged.
    DnsQuery {
        /// Who asks.
        source: SocketAddr,
        /// The resolver it asks.
        destination: SocketAddr,
        /// The message.
        payload: Chunk,
    },
    /// An ICMP echo request; silence unless answered by
    /// [`echo_reply`](crate::Stack::echo_reply).
    EchoRequest(Echo),
}

/// An ICMP or ICMPv6 echo request.
#[derive(Debug)]
pub struct Echo {
    /// Who pings; the port is 0.
    pub source: std::net::IpAddr,
    /// Who is pinged.
    pub destination: std::net::IpAddr,
    /// Identifier, sequence number and data, as they stand behind the checksum.
    pub body: Chunk,
}

/// What [`Stack::tcp_take`](crate::Stack::tcp_take) found.
#[derive(Debug)]
pub enum Taken {
    /// The next bytes of the stream.
    Data(Chunk),
    /// Nothing at present; a [`Event::TcpReadable`] will follow.
    Nothing,
    /// The application has shut its sending side; nothing will follow.
    End,
    /// The flow is gone.
    Gone(Cause),
}

/// What [`Stack::tcp_send`](crate::Stack::tcp_send) did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// This many bytes were taken over, at least one.
    Bytes(usize),
    /// No room; a [`Event::TcpWritable`] will follow.
    Full,
    /// The flow is gone, or its sending side was finished.
    Gone(Cause),
}

/// What [`Stack::udp_take`](crate::Stack::udp_take) found.
#[derive(Debug)]
pub enum Received {
    /// One datagram, or several of one size that arrived as one packet.
    Datagrams(Datagrams),
    /// Nothing at present; a [`Event::UdpReadable`] will follow.
    Nothing,
    /// The flow is gone.
    Gone(Cause),
}
