//! One application socket's datagrams through the proxy.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;
use vpnm_proxy::socks5::{decode_datagram, encode_datagram};
use vpnm_wire::Host;

use super::relay_socket::{Received, RelaySocket};
use super::waiting::Waiting;
use crate::datagram_run::Run;

/// Receives, each of a datagram or several, before others get their turn.
const BURST: usize = 256;

/// Resolvers that one socket is told of if the proxy relays no datagrams.
const MAX_ASKED: usize = 8;

/// Room through which the datagrams of all associations pass, lent for one call at a time.
#[derive(Debug, Default)]
pub(super) struct Passage {
    received: Received,
    /// Datagrams that wait for more of their kind.
    pub(super) run: Run,
}

/// The way of one application socket through the proxy.
#[derive(Debug)]
pub(super) struct Association {
    state: RefCell<State>,
    last_used: Cell<Instant>,
    closed: Notify,
    /// Flows whose datagrams wait for the proxy.
    expectant: RefCell<Vec<Waker>>,
    /// Whom datagrams without a flow were for that wait for the proxy.
    asked: RefCell<Vec<SocketAddr>>,
}

#[derive(Debug)]
enum State {
    /// The proxy is being asked; encoded datagrams wait.
    Opening(Waiting),
    Open(Rc<RelaySocket>),
    /// It was idle, made room, or the proxy ended it.
    Closed,
    /// The proxy did not open it.
    Failed,
}

/// Why an association takes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shut {
    /// Another one may work.
    Closed,
    /// The proxy relays no datagrams, or cannot be reached.
    Failed,
}

impl Association {
    /// One for which the proxy is being asked.
    pub(super) fn new(waiting: Waiting) -> Self {
        Self {
            state: RefCell::new(State::Opening(waiting)),
            last_used: Cell::new(Instant::now()),
            closed: Notify::new(),
            expectant: RefCell::default(),
            asked: RefCell::default(),
        }
    }

    /// When a datagram passed last, in either direction.
    pub(super) fn last_used(&self) -> Instant {
        self.last_used.get()
    }

    /// Ends the association; its task and its flows notice.
    pub(super) fn close(&self) {
        self.end(State::Closed);
    }

    /// The proxy does not open it.
    pub(super) fn fail(&self) {
        self.end(State::Failed);
        self.expectant.take().into_iter().for_each(Waker::wake);
    }

    /// Whether the proxy did not open it. Where it is still being asked the flow is woken
    /// if it does not, and says so by `expects`, which is the flow's to keep.
    pub(super) fn has_failed(&self, expects: &mut bool, cx: &Context<'_>) -> bool {
        match &*self.state.borrow() {
            State::Failed => true,
            State::Open(_) | State::Closed => false,
            State::Opening(_) => {
                if !std::mem::replace(expects, true) {
                    self.expectant.borrow_mut().push(cx.waker().clone());
                }
                false
            }
        }
    }

    fn end(&self, state: State) {
        if !matches!(*self.state.borrow(), State::Failed) {
            self.state.replace(state);
        }
        self.closed.notify_one();
    }

    /// Whom datagrams without a flow were for while the proxy was being asked.
    pub(super) fn take_asked(&self) -> Vec<SocketAddr> {
        self.asked.take()
    }

    /// Sends one datagram, or loses it where the way is not there or full.
    pub(super) fn offer(&self, to: SocketAddr, payload: &[u8]) {
        if matches!(*self.state.borrow(), State::Opening(_)) {
            let mut asked = self.asked.borrow_mut();
            if asked.len() < MAX_ASKED && !asked.contains(&to) {
                asked.push(to);
            }
        }
        let mut encoded = Vec::with_capacity(payload.len() + 24);
        encode_datagram(&to.into(), payload, &mut encoded);
        if let Ok(Err(error)) = self.send(&encoded, encoded.len()) {
            tracing::trace!(%error, "a datagram was lost");
        }
    }

    /// Sends encoded datagrams of `segment` bytes each, the last possibly shorter; of how
    /// many bytes care was taken, or [`io::ErrorKind::WouldBlock`].
    pub(super) fn send(&self, encoded: &[u8], segment: usize) -> Result<io::Result<usize>, Shut> {
        self.last_used.set(Instant::now());
        match &mut *self.state.borrow_mut() {
            State::Open(socket) => Ok(socket.try_send_run(encoded, segment)),
            State::Closed => Err(Shut::Closed),
            State::Failed => Err(Shut::Failed),
            State::Opening(waiting) => {
                for datagram in encoded.chunks(segment.max(1)) {
                    waiting.push(datagram);
                }
                Ok(Ok(encoded.len()))
            }
        }
    }

    /// Completes when there may be room again, or nothing more to wait for.
    pub(super) async fn writable(&self) {
        let socket = match &*self.state.borrow() {
            State::Open(socket) => Rc::clone(socket),
            State::Opening(_) | State::Closed | State::Failed => return,
        };
        if let Err(error) = socket.writable().await {
            tracing::debug!(%error, "a relay's socket broke");
        }
    }

    /// Opens the way; what waited goes first.
    pub(super) fn open(&self, socket: &Rc<RelaySocket>) {
        let mut state = self.state.borrow_mut();
        let State::Opening(waiting) = &mut *state else {
            return;
        };
        for encoded in waiting.drain() {
            drop(socket.try_send_run(&encoded, encoded.len()));
        }
        *state = State::Open(Rc::clone(socket));
        self.expectant.take();
        self.asked.take();
    }
}

/// Completes when the association is closed, by anybody, or idle.
pub(super) async fn closed(association: &Association, control: &TcpStream, udp_idle: Duration) {
    tokio::select! {
        biased;
        () = association.closed.notified() => {}
        () = idle(association, udp_idle) => {}
        () = ended(control) => {}
    }
}

/// Passes replies on until the socket breaks.
pub(super) async fn receive(
    association: &Association,
    socket: &RelaySocket,
    space: &RefCell<Passage>,
    reply: impl Fn(SocketAddr, &Run),
) -> io::Result<()> {
    loop {
        socket.readable().await?;
        let is_drained = receive_burst(socket, &mut space.borrow_mut(), &reply)?;
        association.last_used.set(Instant::now());
        if !is_drained {
            tokio::task::yield_now().await;
        }
    }
}

/// Passes on what is there; whether that was all.
fn receive_burst(
    socket: &RelaySocket,
    space: &mut Passage,
    reply: &impl Fn(SocketAddr, &Run),
) -> io::Result<bool> {
    let Passage { received, run } = space;
    run.clear();
    let mut sender = None;
    let mut count = 0;
    let mut outcome = Ok(false);
    while count < BURST {
        match socket.try_receive(received) {
            Ok(more) => count += more.max(1),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                outcome = Ok(true);
                break;
            }
            // An ICMP message about one datagram is no end of the association.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                count += 1;
                continue;
            }
            Err(error) => {
                outcome = Err(error);
                break;
            }
        }
        for (from, payload) in received.datagrams().filter_map(relayed) {
            if sender.is_some_and(|sender| sender != from) || !run.takes(payload.len()) {
                flush(sender, run, reply);
            }
            sender = Some(from);
            run.push([&[], payload]);
        }
    }
    flush(sender, run, reply);
    outcome
}

fn flush(from: Option<SocketAddr>, run: &mut Run, reply: &impl Fn(SocketAddr, &Run)) {
    if let Some(from) = from
        && !run.is_empty()
    {
        reply(from, run);
        run.clear();
    }
}

/// Who sent a relayed datagram, and what.
fn relayed(datagram: &[u8]) -> Option<(SocketAddr, &[u8])> {
    match decode_datagram(datagram) {
        Ok((from, payload)) => match from.host {
            Host::Ip(ip) => Some((SocketAddr::new(ip, from.port), payload)),
            Host::Domain(_) => None,
        },
        Err(error) => {
            tracing::trace!(%error, "a relayed datagram was dropped");
            None
        }
    }
}

/// Returns when nothing passed for as long as the options say.
async fn idle(association: &Association, udp_idle: Duration) {
    loop {
        let until = association.last_used() + udp_idle;
        if until <= Instant::now() {
            return;
        }
        tokio::time::sleep_until(until).await;
    }
}

/// Returns when the proxy closes the control stream, which ends the association
/// (RFC 1928 section 6). Many associations may wait for one stream.
async fn ended(control: &TcpStream) {
    loop {
        if control.readable().await.is_err() {
            return;
        }
        match control.try_read(&mut [0; 64]) {
            Ok(0) => return,
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return,
            Ok(_) | Err(_) => {}
        }
    }
}
