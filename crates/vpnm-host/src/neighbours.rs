//! Questions for neighbours that were begun while this host was open.
//!
//! The kernel itself repeats a question that is not answered, for some seconds, past
//! rules that let neighbours be asked for: that a link needs.

use std::collections::BTreeSet;

use crate::error::HostError;
use crate::host::look;
use crate::netlink::{Failure, Protocol, Socket};
use crate::rtnl;

/// Has the kernel ask for no neighbour any more that it is asking for, or is about to,
/// by an interface that leads out; what is still needed it asks for anew. Returns for
/// how many it asked.
///
/// # Errors
/// [`HostError`] when the kernel does not list interfaces or neighbours, or the
/// permission is missing (CAP_NET_ADMIN).
pub fn forget_neighbours() -> Result<usize, HostError> {
    let attempt = |failure: Failure| failure.during("forget who is asked for on the links");
    let ways: BTreeSet<u32> = look()?.ways_out().map(|link| link.index).collect();
    let mut socket = Socket::open(Protocol::Route, 0).map_err(attempt)?;
    let found = socket
        .query(&rtnl::neighbours(), rtnl::decode_neighbour)
        .map_err(attempt)?;
    let asked = found
        .iter()
        .filter(|neighbour| neighbour.is_asked_for && ways.contains(&neighbour.link));
    let mut forgotten = 0;
    for neighbour in asked {
        match socket.request(&rtnl::remove_neighbour(neighbour)) {
            Ok(()) => forgotten += 1,
            // It or its link went by itself meanwhile.
            Err(failure) if matches!(failure.errno(), Some(libc::ENOENT | libc::ENODEV)) => {}
            Err(failure) => return Err(attempt(failure)),
        }
    }
    Ok(forgotten)
}
