//! The TUN engine alone, in front of a SOCKS 5 proxy.
//!
//! For those who have a proxy and want a machine's, a container's or a network's
//! traffic to go through it: every TCP connection becomes a `CONNECT`, every
//! application socket that sends UDP gets a socket at the proxy's relay
//! (endpoint-independent: replies are passed on from wherever they come). Nothing is
//! resolved here; DNS goes to the resolver it was sent to, through the proxy.
//!
//! A ping is answered when its host takes or refuses a connection of the proxy's.
//!
//! Datagrams of one size that arrive together leave together, as one super-packet
//! towards the proxy (`UDP_SEGMENT`) and towards the application (segmentation offload
//! of the device).

mod ahead;
mod association;
mod associations;
mod connect;
mod forward;
mod pings;
mod proxy;
mod relay_socket;
mod relays;
mod waiting;
mod workers;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::datagram_run::Run;
use crate::netshell::{
    DnsQuery, EchoRequest, Handler, Refusal, TcpIncoming, UdpIncoming, UdpSender,
};
use association::{Association, Passage};
use associations::Associations;
use pings::{OfNobody, Pings};
use proxy::ProxyError;
pub use proxy::{Bypass, Proxy};
use relay_socket::RelaySocket;
use relays::{Relays, Way};
pub use vpnm_proxy::socks5::{Credentials, CredentialsError};
use waiting::Room;
pub use workers::run;

/// What the engine is run with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the traffic goes.
    pub proxy: Proxy,
    /// The device's MTU in bytes.
    pub mtu: u16,
    /// Whether datagrams are relayed; otherwise they are refused by ICMP.
    pub udp: bool,
    /// Whether pings are answered for hosts that are there, which costs a connection each;
    /// otherwise they are never.
    pub ping: bool,
    /// How long the proxy may take for one handshake.
    pub handshake: Duration,
    /// How long an application's UDP socket may be idle before its association is closed.
    pub udp_idle: Duration,
    /// How many associations may be open; a new one closes the one idle longest.
    pub udp_associations: usize,
}

impl Options {
    /// The defaults: MTU 1500, UDP relayed, pings answered, 10 s for a handshake, 60 s of idleness,
    /// 32 768 associations.
    #[must_use]
    pub fn new(proxy: Proxy) -> Self {
        Self {
            proxy,
            mtu: 1500,
            udp: true,
            ping: true,
            handshake: Duration::from_secs(10),
            udp_idle: Duration::from_secs(60),
            udp_associations: 32_768,
        }
    }
}

#[derive(Debug)]
struct Tun2Socks {
    options: Rc<Options>,
    associations: RefCell<Associations>,
    relays: Relays,
    room: Room,
    pings: Rc<Pings>,
    /// How many descriptors its associations may have.
    descriptors: usize,
    /// Lent for one call at a time.
    space: RefCell<Passage>,
}

impl Tun2Socks {
    fn new(options: Options, descriptors: usize, waiting: usize, of_nobody: OfNobody) -> Self {
        let options = Rc::new(options);
        Self {
            pings: Rc::new(Pings::new(&options, of_nobody)),
            options,
            associations: RefCell::default(),
            relays: Relays::default(),
            room: Room::new(waiting),
            descriptors,
            space: RefCell::default(),
        }
    }

    /// Has the proxy asked for what is not known of it: to be called at the start and, as it
    /// may come later than we do, with every flow.
    fn prepare(&self) {
        self.pings.prepare();
        if self.options.proxy.is_unexplored() {
            let options = Rc::clone(&self.options);
            tokio::task::spawn_local(async move { options.proxy.explore().await });
        }
    }

    /// The association of an application's socket, which is opened if there is none.
    fn association(self: &Rc<Self>, source: SocketAddr, sender: UdpSender) -> Rc<Association> {
        let known = self.associations.borrow().get(source);
        known.unwrap_or_else(|| {
            self.prepare();
            self.make_room();
            let new = Rc::new(Association::new(self.room.waiting()));
            self.associations.borrow_mut().insert(source, &new);
            self.open(source, &new, sender);
            new
        })
    }

    /// Opens an association, at once if the proxy's relay takes further sockets.
    fn open(self: &Rc<Self>, source: SocketAddr, new: &Rc<Association>, sender: UdpSender) {
        let this = Rc::clone(self);
        let association = Rc::clone(new);
        let opened = self.relays.shared().map(|way| self.socket(way));
        if let Some(Ok((_, socket))) = &opened {
            association.open(socket);
        }
        tokio::task::spawn_local(async move {
            let opened = match opened {
                Some(opened) => opened,
                // In a box that goes when the proxy has answered: it is larger than the rest.
                None => Box::pin(this.dial()).await,
            };
            match opened {
                Ok((way, socket)) => {
                    association.open(&socket);
                    this.serve(source, &association, &way, &socket, sender)
                        .await;
                }
                Err(error) => {
                    tracing::debug!(%error, "a UDP association failed");
                    association.fail();
                    for destination in association.take_asked() {
                        sender.refuse(source, destination, Refusal::Reset);
                    }
                }
            }
            association.close();
            this.associations.borrow_mut().forget(source, &association);
        });
    }

    async fn dial(&self) -> Result<(Way, Rc<RelaySocket>), ProxyError> {
        let (control, relay) = self.options.proxy.associate(self.options.handshake).await?;
        let way = Way {
            control: Rc::new(control),
            relay,
        };
        self.relays.learn(&way);
        self.socket(way)
    }

    fn socket(&self, way: Way) -> Result<(Way, Rc<RelaySocket>), ProxyError> {
        let socket = RelaySocket::connect(way.relay, &self.options.proxy.bypass)?;
        Ok((way, Rc::new(socket)))
    }

    /// Passes replies on until the association is closed, idle or broken.
    async fn serve(
        self: &Rc<Self>,
        source: SocketAddr,
        association: &Rc<Association>,
        way: &Way,
        socket: &Rc<RelaySocket>,
        sender: UdpSender,
    ) {
        let (this, kept, socket) = (Rc::clone(self), Rc::clone(association), Rc::clone(socket));
        let receive = async move {
            let reply =
                |from, run: &Run| sender.send_batch(from, source, run.bytes(), run.segment());
            let ended = association::receive(&kept, &socket, &this.space, reply);
            if let Err(error) = ended.await {
                tracing::debug!(%error, "a UDP association broke");
            }
            kept.close();
        };
        // A task of its own: the many replies do not have the few other things looked at.
        let receiving = tokio::task::spawn_local(receive);
        association::closed(association, &way.control, self.options.udp_idle).await;
        receiving.abort();
    }

    /// How many associations may be open: each has a socket, and a control stream where
    /// the proxy does not share its relay.
    fn capacity(&self) -> usize {
        let affordable = match self.relays.shared() {
            Some(_) => self.descriptors,
            None => self.descriptors / 2,
        };
        self.options.udp_associations.min(affordable.max(1))
    }

    /// Closes those associations idle longest that leave no room for another.
    fn make_room(&self) {
        let capacity = self.capacity();
        let mut associations = self.associations.borrow_mut();
        while let Some(evicted) = associations.make_room(capacity) {
            evicted.close();
        }
    }
}

impl Handler for Tun2Socks {
    fn tcp(self: &Rc<Self>, flow: TcpIncoming) {
        self.prepare();
        tokio::task::spawn_local(connect::serve(flow, Rc::clone(&self.options)));
    }

    fn udp(self: &Rc<Self>, flow: UdpIncoming) {
        if !self.options.udp {
            flow.refuse(Refusal::Prohibited);
            return;
        }
        tokio::task::spawn_local(forward::forward(flow.accept(), Rc::clone(self)));
    }

    fn dns(self: &Rc<Self>, query: DnsQuery) {
        if !self.options.udp {
            query.refuse(Refusal::Prohibited);
            return;
        }
        let association = self.association(query.source, query.sender());
        association.offer(query.destination, query.bytes());
    }

    fn echo(self: &Rc<Self>, request: EchoRequest) {
        self.pings.ping(request);
    }
}
