//! The embedded proxy server: VLESS over TCP or TLS, on the node.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustix::rand::{GetRandomFlags, getrandom};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio_rustls::TlsAcceptor;
use vpnm_profile::Uuid;
use vpnm_proxy::inbound::vless::Server;
use vpnm_proxy::inbound::{Direct, NameFuture, Names};
use vpnm_wire::Domain;

use super::accept::accept;
use super::service::Service;
use super::services::InternetError;
use crate::World;
use crate::addresses::{NODE, NODE_NAME, NODE_SECOND, zone};
use crate::capture::{Endpoint, Protocol};

/// The port the node serves.
const PORT: u16 = 443;

/// What carries VLESS to the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// Bare TCP: readable on the way.
    Tcp,
    /// TLS over TCP, with a certificate of the world's authority.
    Tls,
}

/// A running proxy server on all of the node's addresses. Stops when dropped.
#[derive(Debug)]
pub struct Node {
    carrier: Carrier,
    id: Uuid,
    _service: Service,
}

impl Node {
    /// Starts it with a new random id; it listens when this returns.
    ///
    /// # Errors
    ///
    /// [`InternetError`] when something of it could not be started.
    pub fn start(world: &World, carrier: Carrier) -> Result<Self, InternetError> {
        let id = random_id()?;
        let tls = match carrier {
            Carrier::Tcp => None,
            Carrier::Tls => {
                let identity = world
                    .authority()
                    .issue(&[NODE_NAME, &NODE.v4.to_string()])?;
                Some(TlsAcceptor::from(identity.server(&[])?))
            }
        };
        let service = Service::start(world.node(), async move || {
            let server = Server::new(vec![id], Arc::new(Direct::new(Arc::new(Known))));
            for address in addresses() {
                let listener = TcpListener::bind(address).await?;
                let (server, tls) = (server.clone(), tls.clone());
                spawn_local(accept(listener, async move |stream: TcpStream| {
                    serve(&server, tls.as_ref(), stream).await
                }));
            }
            Ok::<_, InternetError>(())
        })?;
        Ok(Self {
            carrier,
            id,
            _service: service,
        })
    }

    /// The share link by which a client uses the node, by its name.
    #[must_use]
    pub fn link(&self) -> String {
        self.link_to(NODE_NAME)
    }

    /// The share link with `host`, a name or an address, in place of the name.
    #[must_use]
    pub fn link_to(&self, host: &str) -> String {
        let id = self.id.reveal();
        let security = match self.carrier {
            Carrier::Tcp => "security=none".to_owned(),
            Carrier::Tls => format!("security=tls&sni={NODE_NAME}"),
        };
        format!("vless://{id}@{host}:{PORT}?encryption=none&type=tcp&{security}#node")
    }

    /// What a capture should take for traffic to the node.
    #[must_use]
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let confidential = self.carrier == Carrier::Tls;
        addresses()
            .into_iter()
            .map(|address| Endpoint {
                address,
                protocol: Protocol::Tcp,
                confidential,
            })
            .collect()
    }
}

fn addresses() -> Vec<SocketAddr> {
    [NODE, NODE_SECOND]
        .into_iter()
        .flat_map(|pair| pair.both())
        .map(|address| SocketAddr::new(address, PORT))
        .collect()
}

async fn serve(server: &Server, tls: Option<&TlsAcceptor>, stream: TcpStream) -> io::Result<()> {
    let served = match tls {
        None => server.serve_stream(Box::new(stream)).await,
        Some(tls) => {
            server
                .serve_stream(Box::new(tls.accept(stream).await?))
                .await
        }
    };
    served.map_err(io::Error::other)
}

/// A version 4 id (RFC 9562, section 5.4).
fn random_id() -> io::Result<Uuid> {
    let mut bytes = [0; 16];
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Ok(Uuid::from_bytes(bytes))
}

/// The names of the world, known without asking anybody.
#[derive(Debug)]
struct Known;

impl Names for Known {
    fn look_up<'a>(&'a self, name: &'a Domain, port: u16) -> NameFuture<'a> {
        let wanted = name.as_str();
        let found = zone()
            .into_iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(wanted));
        let addresses = found.map(|(_, addresses)| addresses);
        Box::pin(async move {
            let addresses = addresses.ok_or(io::ErrorKind::NotFound)?;
            Ok(addresses
                .into_iter()
                .map(|address| SocketAddr::new(address, port))
                .collect())
        })
    }
}
