//! Changes that others make.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::epoll;
use rustix::io::Errno;

use crate::error::HostError;
use crate::names::{ROUTE_TABLE, TABLE};
use crate::netlink::{Failure, Message, Protocol, Socket, messages};
use crate::nft::decode_table_name;
use crate::observed::is_kept;
use crate::rtnl::{self, kind};

/// What changed; read the host again to know how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// A network interface came that was not there, or has another name: the packet
    /// filter, which names them, does not know it yet.
    Name,
    /// A network interface came, went or changed.
    Link,
    /// An address came or went.
    Address,
    /// A route of ours or a default route came or went, or a link got its first route by
    /// a gateway.
    Route,
    /// A routing rule came or went.
    Rule,
    /// A setting of an interface changed: forwarding, or its reverse path filter.
    Setting,
    /// A table of ours in the packet filter changed.
    Filter,
    /// Events were lost; anything may have changed.
    Overflow,
}

/// A bit for each multicast group of rtnetlink: links, for both families
/// addresses, routes and rules, settings of IPv4, whose reverse path filter rules
/// depend on, and IPv6 on links, which may be switched on again.
const ROUTE_GROUPS: u32 =
    1 | (1 << 4) | (1 << 6) | (1 << 7) | (1 << 8) | (1 << 10) | (1 << 11) | (1 << 18) | (1 << 23);
/// The group NFNLGRP_NFTABLES of nfnetlink.
const FILTER_GROUPS: u32 = 1 << 6;

/// The kernel's notifications, as one descriptor to poll and typed events to read.
///
/// Our own changes are reported like those of others.
#[derive(Debug)]
pub struct Watch {
    route: Socket,
    filter: Socket,
    poll: OwnedFd,
    known: Known,
}

/// What was told before.
#[derive(Debug, Default)]
struct Known {
    /// Links that lead to gateways: a router may get many routes a second.
    gateways: BTreeSet<u32>,
    /// The names of links.
    names: BTreeMap<u32, String>,
}

impl Watch {
    /// Subscribes in the network namespace of the calling thread.
    ///
    /// # Errors
    /// [`HostError`] when a netlink socket cannot be opened.
    pub fn open() -> Result<Self, HostError> {
        Self::subscribe().map_err(|failure| failure.during("watch the host"))
    }

    fn subscribe() -> Result<Self, Failure> {
        let route = Socket::open(Protocol::Route, ROUTE_GROUPS)?;
        let filter = Socket::open(Protocol::Netfilter, FILTER_GROUPS)?;
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for socket in [&route, &filter] {
            let nothing = epoll::EventData::new_u64(0);
            epoll::add(&poll, socket, nothing, epoll::EventFlags::IN)?;
        }
        let links = Socket::open(Protocol::Route, 0)?.query(&rtnl::links(), rtnl::decode_link)?;
        let names = links.into_iter().map(|link| (link.index, link.name));
        let known = Known {
            names: names.collect(),
            ..Known::default()
        };
        Ok(Self {
            route,
            filter,
            poll,
            known,
        })
    }

    /// Takes what has arrived, without waiting: each change once, in order of
    /// kind; empty when there is nothing.
    ///
    /// # Errors
    /// [`HostError`] when a socket fails.
    pub fn read(&mut self) -> Result<Vec<Change>, HostError> {
        let mut changes = BTreeSet::new();
        for socket in [&self.route, &self.filter] {
            drain(socket, &mut self.known, &mut changes)
                .map_err(|failure| failure.during("watch the host"))?;
        }
        Ok(changes.into_iter().collect())
    }
}

impl AsFd for Watch {
    /// Readable when [`Watch::read`] has something to return.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poll.as_fd()
    }
}

fn drain(
    socket: &Socket,
    known: &mut Known,
    changes: &mut BTreeSet<Change>,
) -> Result<(), Failure> {
    loop {
        match socket.try_receive() {
            Ok(None) => return Ok(()),
            Ok(Some(datagram)) => {
                for message in &messages(&datagram)? {
                    changes.extend(classify(message));
                    changes.extend(known.new_gateway(message));
                    changes.extend(known.new_name(message));
                }
            }
            Err(Errno::NOBUFS) => {
                changes.insert(Change::Overflow);
            }
            Err(errno) => return Err(errno.into()),
        }
    }
}

impl Known {
    /// A link leads to a gateway that was not known to.
    fn new_gateway(&mut self, message: &Message<'_>) -> Option<Change> {
        let links = rtnl::ways_out(message).ok()?;
        let links = links.into_iter();
        let new = links.filter(|link| self.gateways.insert(*link)).count();
        (new > 0).then_some(Change::Route)
    }

    /// A link has a name that it was not known to have.
    fn new_name(&mut self, message: &Message<'_>) -> Option<Change> {
        if let Some(gone) = rtnl::gone_link(message).ok()? {
            self.names.remove(&gone);
            return None;
        }
        let link = rtnl::decode_link(message).ok()??;
        let before = self.names.insert(link.index, link.name.clone());
        (before != Some(link.name)).then_some(Change::Name)
    }
}

/// What an event means to us; `None` for what concerns us not.
fn classify(message: &Message<'_>) -> Option<Change> {
    match message.kind {
        kind::NEW_LINK | kind::DEL_LINK => Some(Change::Link),
        kind::NEW_ADDRESS | kind::DEL_ADDRESS => Some(Change::Address),
        kind::NEW_RULE | kind::DEL_RULE => Some(Change::Rule),
        kind::NEW_SETTING => Some(Change::Setting),
        kind::NEW_ROUTE | kind::DEL_ROUTE => {
            let route = rtnl::decode_route(message).ok()??;
            let is_to_tunnel = route.delivers_to().is_some_and(is_kept);
            let concerns = route.table == ROUTE_TABLE || route.destination.is_any() || is_to_tunnel;
            concerns.then_some(Change::Route)
        }
        _ => (decode_table_name(message)? == TABLE).then_some(Change::Filter),
    }
}
