//! Changes that others make.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::epoll;
use rustix::io::Errno;

use crate::error::HostError;
use crate::names::{ROUTE_TABLE, TABLE};
use crate::netlink::{Failure, Message, Protocol, Socket, messages};
use crate::nft::decode_table_name;
use crate::rtnl::{self, kind};

/// What changed; read the host again to know how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
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
/// addresses, routes and rules, and settings of IPv4, whose reverse path filter
/// rules depend on.
const ROUTE_GROUPS: u32 =
    1 | (1 << 4) | (1 << 6) | (1 << 7) | (1 << 8) | (1 << 10) | (1 << 18) | (1 << 23);
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
    /// Links that are known to lead to gateways: a router may get many routes a second.
    gateways: BTreeSet<u32>,
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
        Ok(Self {
            route,
            filter,
            poll,
            gateways: BTreeSet::new(),
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
            drain(socket, &mut self.gateways, &mut changes)
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
    gateways: &mut BTreeSet<u32>,
    changes: &mut BTreeSet<Change>,
) -> Result<(), Failure> {
    loop {
        match socket.try_receive() {
            Ok(None) => return Ok(()),
            Ok(Some(datagram)) => {
                for message in &messages(&datagram)? {
                    changes.extend(classify(message));
                    changes.extend(new_gateway(message, gateways));
                }
            }
            Err(Errno::NOBUFS) => {
                changes.insert(Change::Overflow);
            }
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// A link leads to a gateway that was not known to.
fn new_gateway(message: &Message<'_>, known: &mut BTreeSet<u32>) -> Option<Change> {
    let links = rtnl::ways_out(message).ok()?;
    let new = links.into_iter().filter(|link| known.insert(*link)).count();
    (new > 0).then_some(Change::Route)
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
            let concerns = route.table == ROUTE_TABLE || route.destination.is_any();
            concerns.then_some(Change::Route)
        }
        _ => (decode_table_name(message)? == TABLE).then_some(Change::Filter),
    }
}
