//! Building the world: four hosts, three cables, addresses and routes.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::addresses::{
    CLIENT, CLIENT_LINK, CLIENT_MAC, CONTAINER, CONTAINER_GATEWAY, GATEWAY, GATEWAY_LINK_LOCAL,
    GATEWAY_MAC, INTERNET, LAN_LINK, NEIGHBOUR, NODE, NODE_GATEWAY, NODE_LINK, NODE_SECOND,
    PLAIN_RESOLVER, PREFIX_V4, PREFIX_V6, Pair, RESOLVERS, SITE, WAN, WAN_LINK,
};
use crate::authority::Authority;
use crate::files::Files;
use crate::host::Host;
use crate::links::{self, End, Route};
use crate::namespace::Namespace;
use crate::place::{Keeper, Place};

/// Why a world could not be built.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// Namespaces or private mounts were refused.
    #[error("the kernel refused the namespaces of the {host}")]
    Namespace {
        /// Which host.
        host: &'static str,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
    /// A link, address or route was refused.
    #[error("the kernel refused the network of the {host}")]
    Network {
        /// Which host.
        host: &'static str,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
    /// A thread of the world could not be started.
    #[error("a thread of the world could not be started")]
    Thread(#[source] io::Error),
    /// The world's certificates could not be made.
    #[error("the certificates of the world could not be made")]
    Certificates(#[from] rcgen::Error),
}

/// A small world: client, router, internet and node (see [`crate::addresses`]).
///
/// Nothing outside its namespaces is touched, and nothing has a name outside:
/// dropping it, or the death of this process in any way, removes everything.
#[derive(Debug)]
pub struct World {
    client: Host,
    router: Host,
    internet: Host,
    node: Host,
    authority: Arc<Authority>,
    keeper: Arc<Keeper>,
}

impl World {
    /// Builds the world. Needs root, or to be inside a user namespace entered
    /// with [`crate::privilege::ensure`].
    ///
    /// # Errors
    ///
    /// [`WorldError`] names the step the kernel refused.
    pub fn build() -> Result<Self, WorldError> {
        let authority = Arc::new(Authority::new()?);
        let keeper = Keeper::start().map_err(WorldError::Thread)?;
        let host = |name, resolver| add_host(name, resolver, &authority, &keeper);
        let world = Self {
            client: host("client", GATEWAY)?,
            router: host("router", PLAIN_RESOLVER)?,
            internet: host("internet", PLAIN_RESOLVER)?,
            node: host("node", PLAIN_RESOLVER)?,
            authority: Arc::clone(&authority),
            keeper: Arc::clone(&keeper),
        };
        world.connect()?;
        Ok(world)
    }

    /// The machine under test.
    #[must_use]
    pub fn client(&self) -> &Host {
        &self.client
    }

    /// The client's router.
    #[must_use]
    pub fn router(&self) -> &Host {
        &self.router
    }

    /// Where the site and the resolvers live.
    #[must_use]
    pub fn internet(&self) -> &Host {
        &self.internet
    }

    /// Where the proxy server lives.
    #[must_use]
    pub fn node(&self) -> &Host {
        &self.node
    }

    /// The only certificate authority the world trusts.
    #[must_use]
    pub fn authority(&self) -> &Arc<Authority> {
        &self.authority
    }

    /// A host behind the client, as a container is: [`CONTAINER`] with a default route by
    /// [`CONTAINER_GATEWAY`]. The client has the other end of its cable, `link`, and
    /// nothing else yet.
    ///
    /// # Errors
    ///
    /// [`WorldError`] names the step the kernel refused.
    pub fn add_container(&self, link: &str) -> Result<Host, WorldError> {
        let container = add_host("container", PLAIN_RESOLVER, &self.authority, &self.keeper)?;
        on(&container, quiet)?;
        on(&self.client, || {
            let end = |name, index| End {
                name,
                mac: None,
                index,
            };
            links::add_cable(end(link, 77), end(CLIENT_LINK, 2), container.network())
        })?;
        on(&container, || {
            address(CLIENT_LINK, &[CONTAINER])?;
            links::set_up("lo", true)
        })?;
        on(&container, || defaults(CONTAINER_GATEWAY))?;
        Ok(container)
    }

    fn connect(&self) -> Result<(), WorldError> {
        for (host, setup) in [
            (&self.client, prepare_client as fn() -> io::Result<()>),
            (&self.router, prepare_router),
            (&self.internet, prepare_server),
            (&self.node, prepare_server),
        ] {
            on(host, setup)?;
        }
        on(&self.router, || {
            let end = |name, mac, index| End { name, mac, index };
            let lan = end(LAN_LINK, Some(GATEWAY_MAC), 11);
            let client = end(CLIENT_LINK, Some(CLIENT_MAC), 2);
            links::add_cable(lan, client, self.client.network())?;
            let far = end(CLIENT_LINK, None, 2);
            links::add_cable(end(WAN_LINK, None, 12), far, self.internet.network())?;
            links::add_cable(end(NODE_LINK, None, 13), far, self.node.network())
        })?;
        on(&self.router, address_router)?;
        on(&self.client, || {
            address(CLIENT_LINK, &[CLIENT])?;
            defaults(GATEWAY)
        })?;
        on(&self.internet, || {
            address(CLIENT_LINK, &[INTERNET, SITE])?;
            for resolver in RESOLVERS {
                links::add_address("lo", resolver.v4.into(), 32)?;
                links::add_address("lo", resolver.v6.into(), 128)?;
            }
            defaults(WAN)
        })?;
        on(&self.node, || {
            address(CLIENT_LINK, &[NODE, NODE_SECOND])?;
            defaults(NODE_GATEWAY)
        })?;
        on(&self.client, || links::settle(CLIENT_LINK))
    }
}

fn add_host(
    name: &'static str,
    resolver: Pair,
    authority: &Authority,
    keeper: &Arc<Keeper>,
) -> Result<Host, WorldError> {
    let files = Files {
        resolv_conf: format!("nameserver {}\nnameserver {}\n", resolver.v4, resolver.v6),
        hostname: format!("{name}\n"),
        authorities: authority.pem().to_owned(),
    };
    let namespace = Namespace::create(&files);
    let namespace = namespace.map_err(|source| WorldError::Namespace { host: name, source })?;
    let keeper = Arc::clone(keeper);
    Ok(Host::new(name, Place { namespace, keeper }))
}

fn on(host: &Host, work: impl FnOnce() -> io::Result<()> + Send) -> Result<(), WorldError> {
    host.run(work).map_err(|source| WorldError::Network {
        host: host.name(),
        source,
    })
}

/// No duplicate address detection: addresses are ours and are usable at once.
fn quiet() -> io::Result<()> {
    sysctl("net/ipv6/conf/default/accept_dad", "0")?;
    sysctl("net/ipv6/conf/default/dad_transmits", "0")
}

fn prepare_client() -> io::Result<()> {
    quiet()?;
    // As distributions set it: every user may ping.
    sysctl("net/ipv4/ping_group_range", "0 65535")
}

fn prepare_server() -> io::Result<()> {
    quiet()?;
    // Clients that are blocked die without a word: what is still owed to one is given
    // up after some two minutes, not after a quarter of an hour (ip-sysctl.rst).
    sysctl("net/ipv4/tcp_retries2", "8")
}

fn prepare_router() -> io::Result<()> {
    quiet()?;
    sysctl("net/ipv4/ip_forward", "1")?;
    sysctl("net/ipv6/conf/all/forwarding", "1")?;
    sysctl("net/ipv6/conf/default/forwarding", "1")
}

fn address_router() -> io::Result<()> {
    address(LAN_LINK, &[GATEWAY, NEIGHBOUR])?;
    links::add_address(LAN_LINK, IpAddr::V6(GATEWAY_LINK_LOCAL), PREFIX_V6)?;
    address(WAN_LINK, &[WAN])?;
    address(NODE_LINK, &[NODE_GATEWAY])?;
    defaults(INTERNET)
}

/// Gives a link addresses; the first pair is what its packets come from.
fn address(link: &str, pairs: &[Pair]) -> io::Result<()> {
    for pair in pairs {
        links::add_address(link, pair.v4.into(), PREFIX_V4)?;
    }
    // Of equal IPv6 addresses the kernel takes the newest.
    for pair in pairs.iter().rev() {
        links::add_address(link, pair.v6.into(), PREFIX_V6)?;
    }
    links::set_up(link, true)
}

fn defaults(gateway: Pair) -> io::Result<()> {
    let [v4, v6]: [(IpAddr, IpAddr); 2] = [
        (Ipv4Addr::UNSPECIFIED.into(), gateway.v4.into()),
        (Ipv6Addr::UNSPECIFIED.into(), gateway.v6.into()),
    ];
    for (any, gateway) in [v4, v6] {
        links::add_route(Route {
            destination: (any, 0),
            gateway: Some(gateway),
            link: None,
            metric: None,
        })?;
    }
    Ok(())
}

/// Writes a setting of the calling thread's network namespace.
fn sysctl(name: &str, value: &str) -> io::Result<()> {
    fs::write(format!("/proc/sys/{name}"), value)
}
