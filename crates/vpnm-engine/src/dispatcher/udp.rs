//! One UDP flow through the server: a session per pair of addresses.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use vpnm_proxy::BoxDatagrams;
use vpnm_wire::Datagrams;

use crate::egress::Egress;
use crate::netshell::{Refusal, UdpFlow, UdpIncoming};

/// A session without a datagram in either direction ends after this long (RFC 4787
/// section 4.3 asks for two minutes or more of a translator that cannot re-create a
/// mapping; ours re-creates it with the next datagram).
const IDLE: Duration = Duration::from_secs(120);

/// Datagrams moved each way before other flows have their turn.
const BURST: usize = 64;

/// One receive buffer for all sessions of a thread.
#[derive(Debug)]
pub(super) struct Scratch(RefCell<Box<[u8]>>);

impl Default for Scratch {
    /// Room for the largest datagram.
    fn default() -> Self {
        Self(RefCell::new(vec![0; 65_536].into_boxed_slice()))
    }
}

/// Whether a destination exists beyond this machine's own link: discovery by multicast
/// or broadcast does not, and is not told to the server.
pub(super) fn is_carried(to: IpAddr) -> bool {
    match to {
        IpAddr::V4(ip) => !ip.is_multicast() && !ip.is_broadcast() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_multicast() && !ip.is_unicast_link_local(),
    }
}

/// Opens a session and moves datagrams until either side is gone or idle.
pub(super) async fn serve(flow: UdpIncoming, egress: Rc<Egress>, scratch: Rc<Scratch>) {
    let Some(lease) = egress.lease() else {
        return flow.refuse(Refusal::NetUnreachable);
    };
    let flow = flow.accept();
    let target = flow.destination().into();
    let dialled = tokio::select! {
        biased;
        () = lease.ended() => return flow.refuse(Refusal::NetUnreachable),
        dialled = lease.outbound().dial_udp(&target) => dialled,
    };
    let session = match dialled {
        Ok(remote) => Session {
            flow,
            remote,
            outgoing: None,
            last_used: Instant::now(),
        },
        Err(error) => {
            egress.report(&error);
            return flow.refuse(Refusal::NetUnreachable);
        }
    };
    tokio::select! {
        biased;
        () = lease.ended() => {}
        ended = session.run(&scratch) => {
            if let Err(error) = ended {
                tracing::trace!(%error, "a UDP session ended");
            }
        }
    }
}

struct Session {
    flow: UdpFlow,
    remote: BoxDatagrams,
    /// Datagrams taken from the flow that the session has not accepted yet.
    outgoing: Option<Datagrams>,
    last_used: Instant,
}

impl Session {
    async fn run(mut self, scratch: &Scratch) -> io::Result<()> {
        loop {
            let until = self.last_used + IDLE;
            let moved = poll_fn(|cx| self.poll_move(cx, scratch));
            match timeout_at(until, moved).await {
                Ok(ended) => return ended,
                Err(_) if self.last_used + IDLE <= until => return Ok(()),
                Err(_) => {}
            }
        }
    }

    /// Moves what can be moved, for as long as neither side is gone.
    fn poll_move(&mut self, cx: &mut Context<'_>, scratch: &Scratch) -> Poll<io::Result<()>> {
        for _ in 0..BURST {
            let up = self.poll_up(cx)?;
            let down = self.poll_down(cx, scratch)?;
            if up.is_pending() && down.is_pending() {
                return Poll::Pending;
            }
            self.last_used = Instant::now();
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut batch = match self.outgoing.take() {
            Some(batch) => batch,
            None => ready!(self.flow.poll_recv_batch(cx))?,
        };
        while let Some(payload) = batch.front() {
            match self.remote.poll_send(cx, payload) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::InvalidInput => {
                    tracing::trace!("a datagram is longer than the protocol frames");
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.outgoing = Some(batch);
                    return Poll::Pending;
                }
            }
            batch.advance();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_down(&mut self, cx: &mut Context<'_>, scratch: &Scratch) -> Poll<io::Result<()>> {
        let mut buffer = scratch.0.borrow_mut();
        let count = ready!(self.remote.poll_recv(cx, &mut buffer))?;
        self.flow.send(buffer.get(..count).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discovery_on_the_link_is_not_told_to_the_server() {
        for stays in [
            "224.0.0.251",
            "255.255.255.255",
            "169.254.1.1",
            "ff02::fb",
            "fe80::1",
        ] {
            assert!(!is_carried(stays.parse().unwrap()), "{stays}");
        }
        for goes in ["192.0.2.1", "10.0.0.1", "2001:db8::1", "fd00::1"] {
            assert!(is_carried(goes.parse().unwrap()), "{goes}");
        }
    }
}
