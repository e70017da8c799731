//! Those who ask, and how each gets its answer.

use std::net::SocketAddr;
use std::rc::Rc;

use tokio::net::UdpSocket;
use tokio::sync::mpsc::OwnedPermit;

use crate::netshell::DnsQuery;

/// Someone who waits for an answer.
#[derive(Debug)]
pub enum Client {
    /// A datagram that came through the device.
    Tunnel(DnsQuery),
    /// A datagram that was redirected to a listener.
    Datagram {
        /// The listener.
        socket: Rc<UdpSocket>,
        /// The client.
        peer: SocketAddr,
    },
    /// A message on a stream; the permit is its place in the queue of answers.
    Stream(OwnedPermit<Vec<u8>>),
}

impl Client {
    /// Hands the answer over; a client that has gone loses it.
    pub(super) fn deliver(self, message: &[u8]) {
        match self {
            Self::Tunnel(query) => query.answer(message),
            Self::Datagram { socket, peer } => {
                if let Err(error) = socket.try_send_to(message, peer) {
                    tracing::debug!(%error, "an answer was lost");
                }
            }
            Self::Stream(place) => drop(place.send(message.to_vec())),
        }
    }
}
