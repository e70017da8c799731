//! Ways in which a tunnel may leak: rows of steps, and the drill that runs
//! them under a hail of probes.

mod drill;
mod rows;
mod step;

pub use drill::{Protection, run};
pub use rows::{NOT_RUN, ROWS};
pub use step::Step;

use vpnm_world::User;
use vpnm_world::probe::Kind;

/// One scenario.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Its number in the matrix; stable.
    pub number: u8,
    /// What happens, in a few words.
    pub name: &'static str,
    /// Who probes.
    pub user: User,
    /// Which probes are fired; none means all.
    pub kinds: &'static [Kind],
    /// What happens before there is a tunnel.
    pub before: &'static [Step],
    /// What happens to the tunnel, while probes are fired. The probes asked
    /// for are spread evenly over these steps.
    pub attack: &'static [Step],
    /// Puts the machine right again, where the attack was on the machine and
    /// not on the tunnel.
    pub undo: &'static [Step],
    /// What must be true at last.
    pub aftermath: Aftermath,
}

/// How a scenario must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aftermath {
    /// The tunnel is back and carries traffic.
    Connected,
    /// The machine is still closed; `vpnm cleanup` opens it.
    Closed,
}
