//! One application socket's datagrams through the proxy.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Notify;
use tokio::time::Instant;
use vpnm_proxy::socks5::{decode_datagram, encode_datagram};
use vpnm_wire::Host;

use super::Options;
use super::proxy::ProxyError;
use crate::netshell::{Refusal, UdpFlow};

/// Datagrams kept while the proxy is being asked; more are lost, as on a full link.
const WAITING: usize = 64;

/// One receive buffer for all associations of a thread: no datagram outlives the call
/// that received it, and 64 KiB for each of thousands would be most of the memory.
#[derive(Debug)]
pub(super) struct Scratch(RefCell<Box<[u8]>>);

impl Default for Scratch {
    /// Room for the largest datagram.
    fn default() -> Self {
        Self(RefCell::new(vec![0; 65_536].into_boxed_slice()))
    }
}

/// The way of one application socket through the proxy.
#[derive(Debug)]
pub(super) struct Association {
    state: RefCell<State>,
    last_used: Cell<Instant>,
    closed: Notify,
}

#[derive(Debug)]
enum State {
    /// The proxy is being asked; encoded datagrams wait.
    Opening(VecDeque<Vec<u8>>),
    Open(Rc<UdpSocket>),
    Closed,
}

impl Default for Association {
    fn default() -> Self {
        Self {
            state: RefCell::new(State::Opening(VecDeque::new())),
            last_used: Cell::new(Instant::now()),
            closed: Notify::new(),
        }
    }
}

impl Association {
    /// When a datagram passed last, in either direction.
    pub(super) fn last_used(&self) -> Instant {
        self.last_used.get()
    }

    /// Ends the association; its task and its flows notice.
    pub(super) fn close(&self) {
        self.state.replace(State::Closed);
        self.closed.notify_waiters();
        self.closed.notify_one();
    }

    /// Sends one datagram, or loses it where the way is not there or full.
    pub(super) fn offer(&self, to: SocketAddr, payload: &[u8]) {
        let mut encoded = Vec::with_capacity(payload.len() + 24);
        encode_datagram(&to.into(), payload, &mut encoded);
        drop(self.send(&encoded));
    }

    /// Sends an encoded datagram; [`io::ErrorKind::WouldBlock`] when the socket is full,
    /// [`io::ErrorKind::NotConnected`] when the association is closed.
    fn send(&self, encoded: &[u8]) -> io::Result<()> {
        self.last_used.set(Instant::now());
        match &mut *self.state.borrow_mut() {
            State::Open(socket) => socket.try_send(encoded).map(drop),
            State::Closed => Err(io::ErrorKind::NotConnected.into()),
            State::Opening(waiting) => {
                if waiting.len() < WAITING {
                    waiting.push_back(encoded.to_vec());
                }
                Ok(())
            }
        }
    }

    async fn writable(&self) -> io::Result<()> {
        let socket = match &*self.state.borrow() {
            State::Open(socket) => Rc::clone(socket),
            State::Opening(_) => return Ok(()),
            State::Closed => return Err(io::ErrorKind::NotConnected.into()),
        };
        socket.writable().await
    }

    /// Opens the way; what waited goes first.
    fn open(&self, socket: &Rc<UdpSocket>) -> bool {
        let mut state = self.state.borrow_mut();
        let State::Opening(waiting) = &mut *state else {
            return false;
        };
        for encoded in waiting.drain(..) {
            drop(socket.try_send(&encoded));
        }
        *state = State::Open(Rc::clone(socket));
        true
    }
}

/// Passes a flow's datagrams to the proxy until either is gone.
pub(super) async fn forward(mut flow: UdpFlow, association: Rc<Association>) {
    let target = flow.destination().into();
    let mut encoded = Vec::new();
    while let Ok(mut batch) = poll_fn(|cx| flow.poll_recv_batch(cx)).await {
        while let Some(payload) = batch.front() {
            encode_datagram(&target, payload, &mut encoded);
            match association.send(&encoded) {
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                    flow.refuse(Refusal::Reset);
                    return;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if association.writable().await.is_ok() {
                        continue;
                    }
                }
                // Any other error is this datagram's: too big, or an ICMP message for an earlier one.
                Ok(()) | Err(_) => {}
            }
            batch.advance();
        }
    }
}

/// Opens the association and passes replies on until it is closed, by anybody, or idle.
pub(super) async fn serve(
    association: &Association,
    options: &Options,
    scratch: &Scratch,
    reply: impl Fn(SocketAddr, &[u8]),
) -> Result<(), ProxyError> {
    let (control, socket) = options.proxy.associate(options.handshake).await?;
    let socket = Rc::new(socket);
    // A new socket takes nothing before the runtime has seen that it can.
    socket.writable().await.map_err(ProxyError::Io)?;
    if !association.open(&socket) {
        return Ok(());
    }
    tokio::select! {
        biased;
        () = association.closed.notified() => Ok(()),
        () = idle(association, options) => Ok(()),
        () = ended(control) => Ok(()),
        failed = receive(association, &socket, scratch, reply) => failed.map_err(ProxyError::Io),
    }
}

async fn receive(
    association: &Association,
    socket: &UdpSocket,
    scratch: &Scratch,
    reply: impl Fn(SocketAddr, &[u8]),
) -> io::Result<()> {
    loop {
        socket.readable().await?;
        let mut buffer = scratch.0.borrow_mut();
        loop {
            match socket.try_recv(&mut buffer) {
                Ok(count) => deliver(buffer.get(..count).unwrap_or_default(), &reply),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // An ICMP message about one datagram is no end of the association.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error),
            }
            association.last_used.set(Instant::now());
        }
    }
}

fn deliver(datagram: &[u8], reply: &impl Fn(SocketAddr, &[u8])) {
    match decode_datagram(datagram) {
        Ok((from, payload)) => {
            if let Host::Ip(ip) = from.host {
                reply(SocketAddr::new(ip, from.port), payload);
            }
        }
        Err(error) => tracing::trace!(%error, "a relayed datagram was dropped"),
    }
}

/// Returns when nothing passed for as long as the options say.
async fn idle(association: &Association, options: &Options) {
    loop {
        let until = association.last_used() + options.udp_idle;
        if until <= Instant::now() {
            return;
        }
        tokio::time::sleep_until(until).await;
    }
}

/// Returns when the proxy closes the control stream, which ends the association (RFC 1928 section 6).
async fn ended(mut control: TcpStream) {
    let mut scrap = [0_u8; 64];
    while control.read(&mut scrap).await.is_ok_and(|count| count > 0) {}
}
