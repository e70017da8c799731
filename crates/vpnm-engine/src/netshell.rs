//! Drives a [`vpnm_netstack::Stack`] on a TUN descriptor and hands its flows to a [`Handler`].
//!
//! Everything of one queue lives on one thread, inside a local runtime of tokio's: flow
//! objects are `!Send`, bytes are handed over as pooled buffers, and a write by a
//! flow's task goes to the device at once, without a channel or another task.
//!
//! The driver reads a batch, hands it to the stack, wakes the flows concerned, lets
//! them run, and only then lets acknowledgements out: one per flow and batch, and
//! none where data carried it or is about to. Without traffic nothing wakes up.
//!
//! System calls beyond tokio's own: `read`, `writev` on the descriptor, `timerfd_settime`,
//! and once, when it is taken over, `ioctl` (`TUNGETIFF`, `TUNGETVNETHDRSZ`), `uname` and
//! `timerfd_create`.

mod clock;
mod counters;
mod driver;
mod icmp;
mod net;
mod relay;
mod share;
mod sys;
mod tcp;
mod transfer;
mod udp;

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use tokio::runtime::{self, LocalOptions, LocalRuntime};
use tokio::task::JoinSet;

pub use counters::{Counters, Totals};
pub use icmp::EchoRequest;
pub use relay::{Ended, relay};
pub use share::Share;
pub use tcp::{TcpFlow, TcpIncoming};
pub use transfer::TransferError;
pub use udp::{DnsQuery, UdpFlow, UdpIncoming, UdpSender};
pub use vpnm_netstack::Refusal;
pub use vpnm_wire::Datagrams;

use crate::device::Device;

/// Decides what becomes of each flow. Methods are called on the queue's thread,
/// inside its runtime; they return at once and spawn what takes time.
pub trait Handler: 'static {
    /// A SYN arrived; the application waits until the flow is accepted or refused.
    /// Dropping `flow` refuses it with a reset.
    fn tcp(self: &Rc<Self>, flow: TcpIncoming);

    /// The first datagram between two addresses arrived; dropping `flow` loses it silently.
    fn udp(self: &Rc<Self>, flow: UdpIncoming);

    /// A UDP datagram to port 53, whatever its destination. Stateless: dropping
    /// `query` leaves it unanswered, and the handler bounds how many it keeps.
    fn dns(self: &Rc<Self>, query: DnsQuery);

    /// A ping, which a proxy cannot carry. Unanswered unless the handler answers, so
    /// that a host nobody can reach does not seem alive.
    fn echo(self: &Rc<Self>, request: EchoRequest) {
        drop(request);
    }
}

/// What a shell is run with.
#[derive(Debug, Clone)]
pub struct Config {
    /// The stack's limits; its `mtu` must be the device's.
    pub stack: vpnm_netstack::Config,
    /// Where traffic is counted; one object may serve several queues.
    pub counters: Arc<Counters>,
    /// The queue's part of the device, if it is not the only one.
    pub share: Option<Share>,
}

impl Config {
    /// The defaults for a device of this MTU in bytes, with fresh secrets from the
    /// system's random generator.
    ///
    /// # Errors
    /// The system's, if it gives no randomness.
    pub fn new(mtu: u16) -> io::Result<Self> {
        let mut secret = [0_u8; 32];
        let flags = rustix::rand::GetRandomFlags::empty();
        let filled = rustix::rand::getrandom(&mut secret, flags)?;
        if filled < secret.len() {
            return Err(io::Error::other("the system gave too little randomness"));
        }
        Ok(Self {
            stack: vpnm_netstack::Config::new(mtu, secret),
            counters: Arc::default(),
            share: None,
        })
    }

    /// For one of several queues of a device; the stack gets its part of every limit.
    #[must_use]
    pub fn shared(self, share: Share) -> Self {
        Self {
            stack: self.stack.divided(share.count()),
            share: Some(share),
            ..self
        }
    }
}

/// Flows that run before the sockets are looked at again. Tokio's own number, 61, is for
/// tasks that do little: those of bulk flows move [half a megabyte](relay()) each, and what
/// arrives for another flow meanwhile would wait for all of them.
const EVENT_INTERVAL: u32 = 8;

/// A runtime of this thread's for [`run`].
///
/// # Errors
/// The system's, when it cannot be made.
pub fn runtime() -> io::Result<LocalRuntime> {
    runtime::Builder::new_current_thread()
        .event_interval(EVENT_INTERVAL)
        .enable_io()
        .enable_time()
        .build_local(LocalOptions::default())
}

/// Serves the device until it goes away; dropping the future stops it and every flow with it.
///
/// Must run inside a `LocalRuntime`, or a `LocalSet`, with IO and time enabled.
/// `tun` is a TUN queue without packet information (`IFF_NO_PI`), with or without
/// `IFF_VNET_HDR`, blocking or not.
///
/// # Errors
/// The device's, when it cannot be taken over or no longer exists.
pub async fn run<H: Handler>(tun: OwnedFd, config: Config, handler: Rc<H>) -> io::Result<()> {
    let device = Device::attach(tun)?;
    let mut config = config;
    config.stack.offload = device.has_offload();
    config.stack.oversize = device.takes_oversize();
    let end = device.end();
    // A task of its own: whoever polls this may be woken for what is no packet.
    let mut driving = JoinSet::new();
    driving.spawn_local(driver::Driver::new(device, config, handler)?);
    tokio::select! {
        biased;
        error = end => Err(error),
        Some(ended) = driving.join_next() => match ended {
            Ok(ended) => ended,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn who_hears_something_need_not_wait_for_many_turns_of_the_busy() {
        let (mut far, near) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let turns = Rc::new(Cell::new(0));
        let counted = Rc::clone(&turns);
        let work = async move {
            let near = tokio::net::UnixStream::from_std(near).unwrap();
            let heard = tokio::task::spawn_local(async move { near.readable().await });
            let busy = tokio::task::spawn_local(async move {
                loop {
                    if turns.get() == 1 {
                        far.write_all(b"x").unwrap();
                    }
                    turns.set(turns.get() + 1);
                    tokio::task::yield_now().await;
                }
            });
            heard.await.unwrap().unwrap();
            busy.abort();
        };
        runtime().unwrap().block_on(work);
        assert!(counted.get() <= 2 * EVENT_INTERVAL, "{}", counted.get());
    }
}
