//! The TUN engine alone, in front of a SOCKS 5 proxy.
//!
//! For those who have a proxy and want a machine's, a container's or a network's
//! traffic to go through it: every TCP connection becomes a `CONNECT`, every
//! application socket that sends UDP becomes a `UDP ASSOCIATE` (endpoint-independent:
//! replies are passed on from wherever they come). Nothing is resolved here; DNS
//! goes to the resolver it was sent to, through the proxy.

mod association;
mod connect;
mod proxy;

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::LocalSet;

use crate::netshell::{self, DnsQuery, Handler, Refusal, TcpIncoming, UdpIncoming, UdpSender};
use association::{Association, Scratch};
pub use proxy::{Bypass, Proxy};
pub use vpnm_proxy::socks5::{Credentials, CredentialsError};

/// What the engine is run with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the traffic goes.
    pub proxy: Proxy,
    /// The device's MTU in bytes.
    pub mtu: u16,
    /// Whether datagrams are relayed; otherwise they are refused by ICMP.
    pub udp: bool,
    /// How long the proxy may take for one handshake.
    pub handshake: Duration,
    /// How long an application's UDP socket may be idle before its association is closed.
    pub udp_idle: Duration,
    /// How many associations may be open; a new one closes the one idle longest.
    pub udp_associations: usize,
}

impl Options {
    /// The defaults: MTU 1500, UDP relayed, 10 s for a handshake, 60 s of idleness,
    /// 32 768 associations.
    #[must_use]
    pub fn new(proxy: Proxy) -> Self {
        Self {
            proxy,
            mtu: 1500,
            udp: true,
            handshake: Duration::from_secs(10),
            udp_idle: Duration::from_secs(60),
            udp_associations: 32_768,
        }
    }
}

/// Serves the device until it goes away. Blocks the calling thread, which does all the work.
///
/// `tun` is an open TUN queue as [`netshell::run`] takes it. Routes that keep the
/// proxy's own address out of the device, or a [`Bypass`], are the caller's matter.
///
/// # Errors
/// When the runtime cannot be built or the device fails.
pub fn run(tun: OwnedFd, options: Options) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let config = netshell::Config::new(options.mtu)?;
    let handler = Rc::new(Tun2Socks {
        options: Rc::new(options),
        associations: RefCell::new(HashMap::new()),
        scratch: Scratch::default(),
    });
    LocalSet::new().block_on(&runtime, netshell::run(tun, config, handler))
}

#[derive(Debug)]
struct Tun2Socks {
    options: Rc<Options>,
    /// By the application's address: what makes the mapping endpoint-independent.
    associations: RefCell<HashMap<SocketAddr, Rc<Association>>>,
    scratch: Scratch,
}

impl Tun2Socks {
    fn association(self: &Rc<Self>, source: SocketAddr, sender: UdpSender) -> Rc<Association> {
        let known = self.associations.borrow().get(&source).map(Rc::clone);
        known.unwrap_or_else(|| {
            self.make_room();
            let new = Rc::new(Association::default());
            self.associations
                .borrow_mut()
                .insert(source, Rc::clone(&new));
            tokio::task::spawn_local(self.serve(source, Rc::clone(&new), sender));
            new
        })
    }

    fn serve(
        self: &Rc<Self>,
        source: SocketAddr,
        association: Rc<Association>,
        sender: UdpSender,
    ) -> impl Future<Output = ()> + use<> {
        let this = Rc::clone(self);
        async move {
            let reply = |from, payload: &[u8]| sender.send(from, source, payload);
            let ended = association::serve(&association, &this.options, &this.scratch, reply).await;
            if let Err(error) = ended {
                tracing::debug!(%error, "a UDP association failed");
            }
            association.close();
            this.forget(source, &association);
        }
    }

    fn forget(&self, source: SocketAddr, ended: &Rc<Association>) {
        let mut associations = self.associations.borrow_mut();
        if associations
            .get(&source)
            .is_some_and(|known| Rc::ptr_eq(known, ended))
        {
            associations.remove(&source);
        }
    }

    fn make_room(&self) {
        let mut associations = self.associations.borrow_mut();
        if associations.len() < self.options.udp_associations {
            return;
        }
        let oldest = associations
            .iter()
            .min_by_key(|(_, association)| association.last_used());
        if let Some(source) = oldest.map(|(source, _)| *source)
            && let Some(evicted) = associations.remove(&source)
        {
            evicted.close();
        }
    }
}

impl Handler for Tun2Socks {
    fn tcp(self: &Rc<Self>, flow: TcpIncoming) {
        tokio::task::spawn_local(connect::serve(flow, Rc::clone(&self.options)));
    }

    fn udp(self: &Rc<Self>, flow: UdpIncoming) {
        if !self.options.udp {
            flow.refuse(Refusal::Prohibited);
            return;
        }
        let flow = flow.accept();
        let association = self.association(flow.source(), flow.sender());
        tokio::task::spawn_local(association::forward(flow, association));
    }

    fn dns(self: &Rc<Self>, query: DnsQuery) {
        if self.options.udp {
            let association = self.association(query.source, query.sender());
            association.offer(query.destination, query.bytes());
        }
    }
}
