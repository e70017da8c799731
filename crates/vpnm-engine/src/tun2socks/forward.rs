//! An application's datagrams on their way to the proxy.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use vpnm_proxy::socks5::encode_datagram;

use super::Tun2Socks;
use super::association::{Association, Shut};
use super::waiting::{Room, Stuck};
use crate::datagram_run::Run;
use crate::netshell::{Datagrams, Refusal, UdpFlow};

/// Packets taken from a flow before others get their turn.
const BURST: usize = 64;

/// A flow and what of it is on the way.
struct Forward {
    flow: UdpFlow,
    association: Rc<Association>,
    /// Whether the association will wake it if the proxy does not open that.
    expects: bool,
    /// The proxy's header, which is the same for every datagram of the flow.
    header: Vec<u8>,
    /// Of a packet of many datagrams, those that are not yet encoded.
    left: Option<Datagrams>,
    /// What the kernel had no room for; `left` is accounted for with it.
    stuck: Option<Stuck>,
    room: Room,
}

/// Why forwarding pauses.
enum Pause {
    /// The application's side is gone.
    Gone,
    /// The kernel has no room.
    Full,
    /// The association takes nothing.
    Shut(Shut),
}

/// Passes a flow's datagrams to the proxy until either is gone.
pub(super) async fn forward(flow: UdpFlow, tunnel: Rc<Tun2Socks>) {
    let mut header = Vec::new();
    encode_datagram(&flow.destination().into(), &[], &mut header);
    let mut forward = Forward {
        association: tunnel.association(flow.source(), flow.sender()),
        expects: false,
        flow,
        header,
        left: None,
        stuck: None,
        room: tunnel.room.clone(),
    };
    loop {
        let pause = poll_fn(|cx| {
            let run = &mut tunnel.space.borrow_mut().run;
            forward.poll(cx, run)
        });
        match pause.await {
            Pause::Gone => return,
            Pause::Full => forward.association.writable().await,
            Pause::Shut(Shut::Failed) => return forward.flow.refuse(Refusal::Reset),
            Pause::Shut(Shut::Closed) => {
                let flow = &forward.flow;
                forward.association = tunnel.association(flow.source(), flow.sender());
                forward.expects = false;
            }
        }
    }
}

impl Forward {
    /// Moves what is there.
    fn poll(&mut self, cx: &mut Context<'_>, run: &mut Run) -> Poll<Pause> {
        if let Some((bytes, segment)) = self.stuck.take().map(Stuck::release)
            && let Err(pause) = self.send(&bytes, segment)
        {
            return Poll::Ready(pause);
        }
        run.clear();
        for _ in 0..BURST {
            if self.left.is_none() {
                match self.flow.poll_recv_batch(cx) {
                    Poll::Ready(Ok(datagrams)) => self.left = Some(datagrams),
                    Poll::Ready(Err(_)) => return Poll::Ready(Pause::Gone),
                    Poll::Pending => {
                        let flushed = self.flush(run);
                        return flushed.map_or_else(Poll::Ready, |()| self.rest(cx));
                    }
                }
            }
            if let Err(pause) = self.encode(run) {
                return Poll::Ready(pause);
            }
        }
        if let Err(pause) = self.flush(run) {
            return Poll::Ready(pause);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Waits for more, or for the news that what was sent goes nowhere.
    fn rest(&mut self, cx: &Context<'_>) -> Poll<Pause> {
        match self.association.has_failed(&mut self.expects, cx) {
            true => Poll::Ready(Pause::Shut(Shut::Failed)),
            false => Poll::Pending,
        }
    }

    /// Appends the datagrams of a packet to the run, sending it whenever it is complete.
    fn encode(&mut self, run: &mut Run) -> Result<(), Pause> {
        while let Some(datagrams) = &self.left {
            let Some(payload) = datagrams.front() else {
                self.left = None;
                break;
            };
            if !run.takes(self.header.len() + payload.len()) {
                self.flush(run)?;
                continue;
            }
            run.push([&self.header, payload]);
            if let Some(datagrams) = &mut self.left {
                datagrams.advance();
            }
        }
        Ok(())
    }

    fn flush(&mut self, run: &mut Run) -> Result<(), Pause> {
        if run.is_empty() {
            return Ok(());
        }
        let sent = self.send(run.bytes(), run.segment());
        run.clear();
        sent
    }

    /// Sends encoded datagrams; keeps those for which there is no way or no room, or loses
    /// them where too many wait already.
    fn send(&mut self, bytes: &[u8], segment: usize) -> Result<(), Pause> {
        let mut taken = 0;
        let pause = loop {
            let rest = bytes.get(taken..).unwrap_or_default();
            match self.association.send(rest, segment) {
                Ok(Ok(count)) => taken += count,
                Ok(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => break Pause::Full,
                Ok(Err(_)) => return Ok(()),
                Err(shut) => break Pause::Shut(shut),
            }
            if taken >= bytes.len() {
                return Ok(());
            }
        };
        let rest = bytes.get(taken..).unwrap_or_default();
        let left = self.left.as_ref().map_or(0, Datagrams::footprint);
        self.stuck = self.room.keep(rest, segment, left);
        if self.stuck.is_none() {
            self.left = None;
        }
        Err(pause)
    }
}
