//! What the daemon puts into the kernel, without the daemon: filter, rules,
//! routes and a link that nobody reads. Everything that leaves now leaves
//! because of the rules alone.

use std::io;

use anyhow::Result;
use vpnm_host::tun::{self, Device};
use vpnm_host::{
    Desired, Endpoint, Forwarding, Guard as Permitted, Host, Lan, Point, Transport, Tunnel,
};
use vpnm_world::User;

use crate::session::Session;

/// Any port: nobody listens there.
const DNS_PORT: u16 = 5353;

/// A client led into a tunnel without an end.
#[derive(Debug)]
pub(crate) struct Guard {
    /// The owner of the filter's tables: they outlive it.
    _host: Host,
    /// The link lives as long as this.
    _device: Device,
}

impl Guard {
    /// Brings the session's client into the state of a connected one.
    pub(crate) fn raise(session: &Session) -> Result<Self> {
        let uid = User::Engine.uid();
        let server = session.server();
        let endpoint = Endpoint {
            uid,
            ip: server.ip(),
            transport: Transport::Tcp,
            port: server.port(),
        };
        let permitted = Permitted {
            engine: uid,
            endpoints: vec![endpoint],
            lan: Lan::Blocked,
            forwarding: Forwarding::Blocked,
            serve: Vec::new(),
            serve_uplink: Vec::new(),
        };
        Ok(session.client().run(|| {
            let mut host = Host::open().map_err(io::Error::other)?;
            let options = tun::Options {
                owner: uid,
                multi_queue: false,
            };
            let device = tun::open(options).map_err(io::Error::other)?;
            let observed = host.observe().map_err(io::Error::other)?;
            let addresses = observed.tunnel_addresses().map_err(io::Error::other)?;
            let tunnel = Tunnel {
                addresses,
                dns_port: DNS_PORT,
            };
            let desired = Desired::Tunnel(permitted, tunnel);
            host.reach(&desired, &mut |_: Point<'_>| true)
                .map_err(io::Error::other)?;
            Ok(Self {
                _host: host,
                _device: device,
            })
        })?)
    }
}
