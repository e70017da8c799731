//! What must work, and how it must fail.

mod aborts;
mod faults;
mod jail;
mod memory;
mod names;
mod recovery;
mod traffic;
mod v2ray;

use std::net::SocketAddr;
use std::time::Duration;

use vpnm_world::addresses::SITE;

use crate::station::Outcome;

type Case = (&'static str, fn() -> Outcome);

const SERVFAIL: u16 = 2;
const SECOND: Duration = Duration::from_secs(1);

/// Every case, in the order of reading.
pub(crate) const ALL: &[Case] = &[
    ("the engine is in its jail", jail::in_its_jail),
    (
        "no call is listed without being made",
        jail::every_call_is_made,
    ),
    (
        "without a way out everything fails at once",
        faults::no_way_out,
    ),
    ("each fault of a server has its name", faults::typed_faults),
    ("pages come from the node's address", traffic::pages),
    ("names are answered over https only", names::names),
    ("names in bursts are all answered", names::names_in_bursts),
    ("dig understands every answer", names::understood_by_dig),
    ("datagrams go there and back", traffic::datagrams),
    ("a thousand connections at once", traffic::thousand),
    ("a reset is passed on as a reset, both ways", aborts::aborts),
    (
        "a switch resets the old flows and carries the new",
        traffic::switch,
    ),
    (
        "a silently dead resolver costs one late answer",
        recovery::dead_resolver,
    ),
    (
        "a dead path is told within seconds, and its return",
        recovery::dead_path,
    ),
    (
        "an unmodified v2ray carries everything",
        v2ray::carries_everything,
    ),
    ("memory is bounded and given back", memory::memory),
    ("bytes flow both ways", traffic::throughput),
    ("the engine ends with the daemon", jail::ends_with_daemon),
];

/// A port of the web site's host.
fn site(port: u16) -> SocketAddr {
    SocketAddr::from((SITE.v4, port))
}
