//! Connections of programs that can never continue, ended at once.
//!
//! A program that only receives does not notice that its way is gone: it waits until
//! a time-out of its own. The kernel can end its socket instead (`SOCK_DESTROY`,
//! kernels built with `CONFIG_INET_DIAG_DESTROY`), and the program is told
//! `ECONNABORTED`.

mod diag;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use crate::desired::Addresses;
use crate::error::HostError;
use crate::firewall::LAN_PREFIXES;
use crate::netlink::{Failure, Protocol, Socket};
use crate::rtnl::{self, Prefix};
use diag::{Found, State};

/// The port of DNS.
const DNS: u16 = 53;

/// Which connections to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Severance {
    /// The uid whose connections go on: the engine's.
    pub engine: u32,
    /// End those that began in the tunnel with these addresses.
    pub tunnel: Option<Addresses>,
    /// End those that lead beyond this host and its private networks, whatever their
    /// own address is. Not those that a listening port of this host took in: they
    /// can go on when the host is open again.
    pub outward: bool,
}

/// Ends connections; returns how many, which is none on a kernel that cannot.
///
/// # Errors
/// [`HostError`] when the kernel does not list connections or addresses, or the
/// permission is missing (CAP_NET_ADMIN).
pub fn sever(severance: &Severance) -> Result<usize, HostError> {
    let attempt = |failure: Failure| failure.during("end connections without a way");
    let own = own_addresses().map_err(attempt)?;
    let mut socket = Socket::open(Protocol::Diagnosis, 0).map_err(attempt)?;
    let found = diag::list(&mut socket).map_err(attempt)?;
    end(&mut socket, &condemned(&found, severance, &own)).map_err(attempt)
}

/// This host's addresses that TCP connections of `uid` to others began with, except for
/// those that ask a resolver (port 53): those end by themselves.
///
/// # Errors
/// [`HostError`] when the kernel does not list connections or addresses.
pub fn addresses_used_by(uid: u32) -> Result<BTreeSet<IpAddr>, HostError> {
    let attempt = |failure: Failure| failure.during("list connections");
    let own = own_addresses().map_err(attempt)?;
    let mut socket = Socket::open(Protocol::Diagnosis, 0).map_err(attempt)?;
    let found = diag::list(&mut socket).map_err(attempt)?;
    let outward = outward_of(&found, uid, &own);
    Ok(outward.map(|one| canonical(one.local)).collect())
}

/// Ends the TCP connections of `uid` that began with one of these addresses; returns how
/// many, which is none on a kernel that cannot.
///
/// # Errors
/// As [`sever`].
pub fn sever_from(uid: u32, addresses: &BTreeSet<IpAddr>) -> Result<usize, HostError> {
    let attempt = |failure: Failure| failure.during("end connections of an address that is gone");
    let mut socket = Socket::open(Protocol::Diagnosis, 0).map_err(attempt)?;
    let found = diag::list(&mut socket).map_err(attempt)?;
    let outward = outward_of(&found, uid, &[]);
    let theirs = outward.filter(|one| addresses.contains(&canonical(one.local)));
    end(&mut socket, &theirs.collect::<Vec<_>>()).map_err(attempt)
}

/// Ends these connections; how many could be.
fn end(socket: &mut Socket, connections: &[&Found]) -> Result<usize, Failure> {
    let mut ended = 0;
    for connection in connections {
        match socket.request(&diag::destroy(connection)) {
            Ok(()) => ended += 1,
            // Without support in the kernel none can be ended.
            Err(failure) if failure.errno() == Some(libc::EOPNOTSUPP) => return Ok(0),
            // It ended by itself meanwhile.
            Err(failure) if failure.errno() == Some(libc::ENOENT) => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(ended)
}

/// Whether the kernel can end connections: asked for one that does not exist, one
/// that can says so.
///
/// # Errors
/// [`HostError`] when it cannot be asked, or the permission is missing.
pub fn can_sever() -> Result<bool, HostError> {
    let attempt = |failure: Failure| failure.during("ask for the ending of connections");
    let mut socket = Socket::open(Protocol::Diagnosis, 0).map_err(attempt)?;
    match socket.request(&diag::destroy(&diag::NOBODY)) {
        Err(failure) if failure.errno() == Some(libc::EOPNOTSUPP) => Ok(false),
        Err(failure) if failure.errno() == Some(libc::ENOENT) => Ok(true),
        outcome => outcome.map(|()| true).map_err(attempt),
    }
}

fn own_addresses() -> Result<Vec<IpAddr>, Failure> {
    let mut socket = Socket::open(Protocol::Route, 0)?;
    let list = socket.query(&rtnl::addresses(), rtnl::decode_address)?;
    Ok(list.into_iter().map(|address| address.prefix.ip).collect())
}

/// The connections of a uid that lead to others and are no queries.
fn outward_of<'a>(
    found: &'a [Found],
    uid: u32,
    own: &'a [IpAddr],
) -> impl Iterator<Item = &'a Found> {
    let connected = found.iter().filter(|one| one.state == State::Connected);
    connected.filter(move |one| {
        let remote = canonical(one.remote);
        let leaves = !remote.is_loopback() && !own.contains(&remote);
        one.uid == uid && leaves && one.remote.port() != DNS
    })
}

/// Those of the connections that are to be ended.
fn condemned<'a>(found: &'a [Found], severance: &Severance, own: &[IpAddr]) -> Vec<&'a Found> {
    let listening = found.iter().filter(|one| one.state == State::Listening);
    let ports: BTreeSet<u16> = listening.map(|one| one.local.port()).collect();
    let begun_in_tunnel = |one: &Found| {
        let tunnel = severance.tunnel.map(|t| [IpAddr::V4(t.v4), t.v6.into()]);
        tunnel.is_some_and(|addresses| addresses.contains(&canonical(one.local)))
    };
    let outward = |one: &Found| {
        let remote = canonical(one.remote);
        severance.outward
            && !ports.contains(&one.local.port())
            && !own.contains(&remote)
            && !is_near(remote)
    };
    let connected = found.iter().filter(|one| one.state == State::Connected);
    connected
        .filter(|one| one.uid != severance.engine)
        .filter(|one| begun_in_tunnel(one) || outward(one))
        .collect()
}

/// An IPv4 address also where an IPv6 socket uses it.
fn canonical(address: SocketAddr) -> IpAddr {
    address.ip().to_canonical()
}

/// Whether an address is this host's, or can be on one of its own links.
fn is_near(ip: IpAddr) -> bool {
    let link_local = Prefix::new(
        IpAddr::V6(std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)),
        10,
    );
    let mut near = LAN_PREFIXES.iter().chain([&link_local]);
    ip.is_loopback() || ip.is_unspecified() || near.any(|prefix| prefix.contains(ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGINE: u32 = 990;

    fn found(state: State, uid: u32, local: &str, remote: &str) -> Found {
        Found {
            state,
            uid,
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
            ..diag::NOBODY
        }
    }

    fn host() -> Vec<Found> {
        let connected = |uid, local, remote| found(State::Connected, uid, local, remote);
        vec![
            found(State::Listening, 0, "0.0.0.0:22", "0.0.0.0:0"),
            connected(1000, "192.168.77.2:4001", "203.0.113.5:443"),
            connected(
                1000,
                "[::ffff:192.168.77.2]:4002",
                "[::ffff:203.0.113.5]:443",
            ),
            connected(1000, "198.18.76.70:4003", "203.0.113.5:443"),
            connected(1000, "198.18.76.70:4004", "10.0.0.5:443"),
            connected(1000, "[2001:db8::2]:4005", "[2001:db8::5]:443"),
            connected(ENGINE, "192.168.77.2:4006", "203.0.113.10:443"),
            connected(0, "192.168.77.2:22", "203.0.113.9:50000"),
            connected(1000, "192.168.77.2:4007", "192.168.77.9:445"),
            connected(1000, "127.0.0.1:4008", "127.0.0.1:631"),
            connected(1000, "[fe80::2]:4009", "[fe80::1]:80"),
            connected(1000, "192.0.2.2:4010", "192.0.2.2:80"),
            found(State::Other, 1000, "192.168.77.2:4011", "203.0.113.5:443"),
        ]
    }

    fn ports(tunnel: bool, outward: bool) -> Vec<u16> {
        let tunnel = tunnel.then_some(Addresses {
            v4: "198.18.76.70".parse().unwrap(),
            v6: "fd76:706e:6d30::1".parse().unwrap(),
        });
        let severance = Severance {
            engine: ENGINE,
            tunnel,
            outward,
        };
        let own = ["192.0.2.2".parse().unwrap()];
        let found = host();
        let condemned = condemned(&found, &severance, &own);
        condemned.iter().map(|one| one.local.port()).collect()
    }

    #[test]
    fn what_leads_beyond_the_private_networks_is_ended() {
        assert_eq!(ports(false, true), [4001, 4002, 4003, 4005]);
    }

    #[test]
    fn only_what_leads_to_others_uses_an_address() {
        let mut all = host();
        let connected = |local, remote| found(State::Connected, ENGINE, local, remote);
        all.extend([
            connected("192.168.77.3:4012", "192.168.77.1:53"),
            connected("192.168.77.4:53", "192.0.2.2:4013"),
            connected("127.0.0.1:4014", "127.0.0.1:631"),
            connected("[::ffff:192.168.77.5]:4015", "[::ffff:192.168.1.9]:443"),
            found(State::Other, ENGINE, "192.168.77.6:4016", "203.0.113.5:443"),
        ]);
        let own = ["192.0.2.2".parse().unwrap()];
        let used: Vec<u16> = outward_of(&all, ENGINE, &own)
            .map(|one| one.local.port())
            .collect();
        assert_eq!(used, [4006, 4015]);
    }

    #[test]
    fn what_began_in_the_tunnel_is_ended_wherever_it_leads() {
        assert_eq!(ports(true, false), [4003, 4004]);
        assert_eq!(ports(true, true), [4001, 4002, 4003, 4004, 4005]);
        assert_eq!(ports(false, false), [] as [u16; 0]);
    }
}
