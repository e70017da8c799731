//! Decides what becomes of each flow of the tunnel.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use vpnm_api::leak_check;
use vpnm_dns::Carriage;
use vpnm_proxy::DialError;
use vpnm_wire::{Domain, Host, Target};

use crate::datagram_relay;
use crate::datagram_run::Space;
use crate::exit::Exit;
use crate::fault;
use crate::monitor::Monitor;
use crate::names::{Client, Names};
use crate::netshell::{self, DnsQuery, Ended, Handler, Refusal, TcpIncoming, UdpIncoming};

/// The port of DNS.
const DNS: u16 = 53;
/// Sessions of datagrams that may be open at once; each is a connection to the server.
const SESSIONS: usize = 4_096;

/// How destinations are told to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Naming {
    /// As the address the application chose: exactly what its resolver answered.
    #[default]
    Address,
    /// As the name that was last answered with the address, which the server
    /// resolves anew: it reaches hosts over families only the server has.
    Name,
}

impl Naming {
    /// What the server is asked for when an application wants `destination`.
    fn target(
        self,
        destination: SocketAddr,
        name_of: impl FnOnce(IpAddr) -> Option<Domain>,
    ) -> Target {
        let name = match self {
            Self::Address => None,
            Self::Name => name_of(destination.ip()),
        };
        match name {
            Some(name) => Target {
                host: Host::Domain(name),
                port: destination.port(),
            },
            None => destination.into(),
        }
    }
}

/// The handler of the tunnel's flows.
#[derive(Debug)]
pub struct Dispatcher {
    exit: Rc<Exit>,
    names: Names,
    monitor: Rc<Monitor>,
    naming: Naming,
    sessions: Cell<usize>,
    /// Where datagrams pass through; lent for one call at a time.
    space: RefCell<Space>,
}

impl Dispatcher {
    /// A dispatcher that carries flows through the exit and has names resolved.
    #[must_use]
    pub fn new(exit: Rc<Exit>, names: Names, monitor: Rc<Monitor>, naming: Naming) -> Self {
        Self {
            exit,
            names,
            monitor,
            naming,
            sessions: Cell::new(0),
            space: RefCell::default(),
        }
    }

    fn target(&self, destination: SocketAddr) -> Target {
        let name_of = |address| self.names.name_of(address);
        self.naming.target(destination, name_of)
    }

    async fn carry_stream(&self, flow: TcpIncoming) {
        let destination = flow.destination;
        let Some(mut lease) = self.exit.lease() else {
            return flow.refuse(Refusal::NetUnreachable);
        };
        let outbound = lease.outbound.clone();
        let target = self.target(destination);
        // In a box that goes when the dial is done: an idle flow must not keep its size.
        let dial = self
            .monitor
            .impatiently(Box::pin(outbound.dial_tcp(&target, &[])));
        let dialled = tokio::select! {
            biased;
            dialled = lease.run(dial) => dialled,
            () = flow.aborted() => return,
        };
        let mut stream = match dialled {
            Some(Ok(stream)) => stream,
            Some(Err(error)) => {
                self.on_dial_error(&error);
                return flow.refuse(fault::refusal(&error));
            }
            None => return flow.refuse(Refusal::HostUnreachable),
        };
        let relayed = lease.run(netshell::relay(flow.accept(), &mut stream)).await;
        tracing::trace!(%destination, ?relayed, "a connection ended");
        match relayed {
            // The server must not take what it has for all there was.
            Some(Err(Ended::Application(_))) | None => stream.break_off(),
            Some(Err(Ended::Outbound(error))) if is_of_the_path(error.kind()) => {
                self.monitor.doubt();
            }
            Some(Ok(()) | Err(Ended::Outbound(_))) => {}
        }
    }

    async fn carry_datagrams(&self, flow: UdpIncoming) {
        let destination = flow.destination;
        let Some(mut lease) = self.exit.lease() else {
            return flow.refuse(Refusal::NetUnreachable);
        };
        let outbound = lease.outbound.clone();
        let target = self.target(destination);
        let dial = self
            .monitor
            .impatiently(Box::pin(outbound.dial_udp(&target)));
        let mut session = match lease.run(dial).await {
            Some(Ok(session)) => session,
            Some(Err(error)) => {
                self.on_dial_error(&error);
                return flow.refuse(fault::refusal(&error));
            }
            None => return,
        };
        let relay = datagram_relay::relay(flow.accept(), &mut *session, &self.space);
        let relayed = lease.run(relay).await;
        tracing::trace!(%destination, ?relayed, "a session of datagrams ended");
    }

    fn on_dial_error(&self, error: &DialError) {
        tracing::debug!(%error, "a flow could not be opened");
        self.monitor.doubt();
    }

    async fn serve_names(&self, flow: TcpIncoming) {
        if let Err(error) = self.names.serve_stream(flow.accept()).await {
            tracing::debug!(%error, "a DNS stream broke");
        }
    }
}

impl Handler for Dispatcher {
    fn tcp(self: &Rc<Self>, flow: TcpIncoming) {
        let this = Rc::clone(self);
        tokio::task::spawn_local(async move {
            if flow.destination.port() == DNS {
                this.serve_names(flow).await;
            } else if leak_check::is_attempt(flow.destination) {
                flow.refuse(Refusal::NetUnreachable);
            } else {
                this.carry_stream(flow).await;
            }
        });
    }

    fn udp(self: &Rc<Self>, flow: UdpIncoming) {
        if !is_carried(flow.destination.ip()) || leak_check::is_attempt(flow.destination) {
            return;
        }
        if self.sessions.get() >= SESSIONS {
            return flow.refuse(Refusal::Prohibited);
        }
        self.sessions.set(self.sessions.get() + 1);
        let this = Rc::clone(self);
        tokio::task::spawn_local(async move {
            this.carry_datagrams(flow).await;
            this.sessions.set(this.sessions.get() - 1);
        });
    }

    fn dns(self: &Rc<Self>, query: DnsQuery) {
        let message = query.bytes().to_vec();
        self.names
            .ask(Client::Tunnel(query), &message, Carriage::Datagram);
    }
}

/// Whether an error says something about the way to the server, not about the flow.
fn is_of_the_path(error: io::ErrorKind) -> bool {
    matches!(
        error,
        io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
    )
}

/// Whether datagrams to an address mean anything beyond this machine's own link.
fn is_carried(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !(v4.is_multicast() || v4.is_broadcast() || v4.is_unspecified()),
        IpAddr::V6(v6) => !(v6.is_multicast() || v6.is_unspecified()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_told_only_where_that_is_wanted_and_known() {
        let destination: SocketAddr = "192.0.2.1:443".parse().unwrap();
        let Ok(Host::Domain(name)) = Host::domain("site.example") else {
            panic!("a name");
        };
        let known = |_| Some(name.clone());
        let target = |naming: Naming| naming.target(destination, known).to_string();
        assert_eq!(target(Naming::Name), "site.example:443");
        assert_eq!(target(Naming::Address), "192.0.2.1:443");
        let unknown = Naming::Name.target(destination, |_| None);
        assert_eq!(unknown.to_string(), "192.0.2.1:443");
    }

    #[test]
    fn announcements_to_the_link_stay_on_it() {
        for local in [
            "224.0.0.251",
            "255.255.255.255",
            "ff02::fb",
            "0.0.0.0",
            "::",
        ] {
            assert!(!is_carried(local.parse().unwrap()), "{local}");
        }
        for remote in ["192.0.2.1", "2001:db8::1", "10.0.0.1"] {
            assert!(is_carried(remote.parse().unwrap()), "{remote}");
        }
    }
}
