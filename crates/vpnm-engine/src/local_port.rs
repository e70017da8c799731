//! The local port of a connection to the one server that all connections go to.
//!
//! Who ends a connection first keeps its port from others for a minute (TIME-WAIT, RFC 9293
//! section 3.3.2), and towards one address there are some 28 000. Linux leaves every second
//! one to `bind`, so that beyond 14 000 within a minute it looks at all those in vain for
//! each new connection. Measured then: 1.5 ms, in which the thread serves nobody else, and
//! 70 µs where the ports are gone through in order.

mod sys;

use std::os::fd::AsFd;

/// Has the kernel go through all its ports in order when the socket connects, instead of
/// every second one first. Without effect before Linux 6.8.
pub(crate) fn take_any(socket: &impl AsFd) {
    // A range that contains the system's is the system's, but then it is the socket's own:
    // nothing of it is left to others.
    if let Err(error) = sys::allow_ports(socket.as_fd(), 1, u16::MAX) {
        tracing::trace!(%error, "every second port is left to others");
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

    use tokio::net::{TcpListener, TcpSocket, TcpStream};

    use super::*;
    use crate::device::runs_on_linux;

    /// The first Linux that goes through a socket's own range in order.
    const IN_ORDER_SINCE: (u32, u32) = (6, 8);

    /// Ports of connections that follow one another, modulo 2.
    async fn parities(to: SocketAddr, socket: fn() -> TcpSocket) -> Vec<u16> {
        let listener = TcpListener::bind(to).await.unwrap();
        let to = listener.local_addr().unwrap();
        let mut streams = Vec::new();
        for _ in 0..32 {
            streams.push(socket().connect(to).await.unwrap());
        }
        let port = |stream: &TcpStream| stream.local_addr().unwrap().port();
        streams.iter().map(|stream| port(stream) % 2).collect()
    }

    fn any<const V6: bool>() -> TcpSocket {
        let socket = if V6 {
            TcpSocket::new_v6()
        } else {
            TcpSocket::new_v4()
        };
        let socket = socket.unwrap();
        take_any(&socket);
        socket
    }

    #[tokio::test]
    async fn no_port_is_left_to_others() {
        if !runs_on_linux(IN_ORDER_SINCE) {
            return;
        }
        let v4 = parities((Ipv4Addr::LOCALHOST, 0).into(), any::<false>).await;
        assert!(v4.contains(&0) && v4.contains(&1), "{v4:?}");
        let v6 = parities((Ipv6Addr::LOCALHOST, 0).into(), any::<true>).await;
        assert!(v6.contains(&0) && v6.contains(&1), "{v6:?}");
    }
}
