//! The packet filters of others.

use std::fmt;

use super::Host;
use crate::error::HostError;
use crate::names::{SHADOW_TABLE, TABLE};
use crate::nft::ForeignChain;

/// A chain of somebody else's that the kernel calls for packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// The family of its table: `ip`, `inet` and so on.
    pub family: &'static str,
    /// Its table.
    pub table: String,
    /// Its name.
    pub chain: String,
    /// Where it is called: `forward`, `output` and so on.
    pub hook: &'static str,
    /// `filter`, `nat` or `route`.
    pub kind: String,
    /// Whether it drops or refuses what none of its rules names, by its policy or at its
    /// end.
    pub drops: bool,
}

impl Host {
    /// The chains of other packet filters, in the order the kernel lists them; those of
    /// iptables are among them where it works by nf_tables.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn foreign_chains(&mut self) -> Result<Vec<Foreign>, HostError> {
        let list = ForeignChain::list(&mut self.filter);
        let list = list.map_err(|failure| failure.during("list the packet filters of others"))?;
        let foreign = list
            .into_iter()
            .filter(|chain| ![TABLE, SHADOW_TABLE].contains(&chain.table.as_str()));
        Ok(foreign.map(Foreign::from).collect())
    }
}

impl From<ForeignChain> for Foreign {
    fn from(chain: ForeignChain) -> Self {
        Self {
            family: family(chain.family),
            hook: hook(chain.family, chain.hook),
            table: chain.table,
            chain: chain.name,
            kind: chain.kind,
            drops: chain.drops,
        }
    }
}

/// The name of a family in nft's language (`NFPROTO_*`).
fn family(number: u8) -> &'static str {
    match number {
        1 => "inet",
        2 => "ip",
        3 => "arp",
        5 => "netdev",
        7 => "bridge",
        10 => "ip6",
        _ => "unknown",
    }
}

/// The name of a hook (`NF_INET_*`); `netdev` and `arp` number theirs otherwise.
fn hook(family: u8, number: u32) -> &'static str {
    match (family, number) {
        (5, 0) => "ingress",
        (5, _) => "egress",
        (3, 0) => "input",
        (3, _) => "output",
        (_, 0) => "prerouting",
        (_, 1) => "input",
        (_, 2) => "forward",
        (_, 3) => "output",
        (_, 4) => "postrouting",
        _ => "ingress",
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            family,
            table,
            chain,
            hook,
            ..
        } = self;
        write!(f, "{family} {table} {chain} ({hook})")
    }
}
