//! A block by routing alone.

use super::carry_out::routing;
use super::read;
use crate::desired::{Desired, Guard};
use crate::effect::Effect;
use crate::error::{ApplyError, HostError, ReachError};
use crate::netlink::{Protocol, Socket};
use crate::plan::plan;

/// Blocks by rules and routes, without the packet filter: for a host whose packet
/// filter cannot be used. Packets that the kernel routes are stopped by it; those
/// of sockets tied to an interface, raw and forwarded ones are not. Returns how many
/// changes were needed.
///
/// # Errors
/// [`ReachError`]; what was done before stays done.
pub fn backstop(guard: &Guard) -> Result<usize, ReachError> {
    let socket = Socket::open(Protocol::Route, 0);
    let mut socket =
        socket.map_err(|failure| ReachError::Observe(failure.during("open a netlink socket")))?;
    let observed = read::routing(&mut socket).map_err(ReachError::Observe)?;
    let plan = plan(&observed, &Desired::Blocked(guard.clone())).map_err(ReachError::Plan)?;
    let is_filter = |effect: &&Effect| {
        matches!(
            effect,
            Effect::Filter(_) | Effect::Endpoints(_) | Effect::Adopt(_)
        )
    };
    let mut changes = 0;
    for effect in plan.effects().iter().filter(|effect| !is_filter(effect)) {
        routing(&mut socket, effect).map_err(|source: HostError| ApplyError::Effect {
            effect: effect.to_string(),
            source,
        })?;
        changes += 1;
    }
    Ok(changes)
}
