//! Frames on their way out.

use std::collections::BTreeSet;

use super::chain::{FILTER, closed};
use super::endpoints::{port_set, server_sets};
use super::forwarding::{answer, name_set, names_in, served_set};
use super::matching::{Action, Match, rule};
use super::neighbours::Neighbours;
use super::outgoing::{outward, silenced};
use super::scope::{NAME_BROADCASTS, NAME_QUERIES};
use super::setting::Setting;
use crate::desired::Guard;
use crate::nft::{Hook, Rule, Table, TableFamily};

/// EtherTypes that carry nothing of a program's and without which a link does not
/// come up: ARP, the link's own authentication (IEEE 802.1X), link aggregation.
const LINK_PROTOCOLS: [(u16, &str); 3] = [
    (0x0806, "ARP"),
    (0x888e, "802.1X"),
    (0x8809, "link aggregation"),
];

/// Interfaces of one chain; the kernel takes 256 (`NFT_NETDEVICE_MAX`).
const DEVICES: usize = 128;

/// The set of the names that are seen although nobody has them: no rule asks it. It is
/// where the next daemon learns them from, since the chain has others, too: those of what
/// went while no daemon ran and never led out.
const FORMER: &str = "former";

/// Sees every frame that leaves this host, also those that root sends past the IP
/// stack. A bridge to containers needs none: what gets out of a container gets out
/// by another interface.
pub(super) fn netdev(
    guard: &Guard,
    setting: &Setting,
    neighbours: &Neighbours<'_>,
    mark: Option<u32>,
) -> Option<Table> {
    // The hook names its interfaces one by one: the wildcard that newer kernels know
    // makes nft 1.0.6 list the table for ever. An interface that appears under a name
    // that is not among them is added with the next plan; until then the inet table
    // holds what the IP stack sends.
    let devices = names(setting);
    if !setting.capabilities.egress || devices.is_empty() {
        return None;
    }
    let family = TableFamily::Netdev;
    let accept = |comment, matches: &[Match<'_>]| rule(family, comment, matches, Action::Accept);
    let passing = outward(family, guard).into_iter();
    let mut rules: Vec<Rule> = passing.map(silenced).collect();
    rules.extend(mark.map(|mark| accept("answers of the tunnel", &answer(mark))));
    rules.extend(neighbours.reached(mark));
    for (number, comment) in LINK_PROTOCOLS {
        rules.push(accept(comment, &[Match::EtherType(number)]));
    }
    let mut sets = server_sets(&guard.endpoints).to_vec();
    sets.push(port_set("queries", &NAME_QUERIES));
    sets.push(port_set("broadcasts", &NAME_BROADCASTS));
    sets.push(served_set(&setting.interfaces, &guard.serve));
    if setting.capabilities.absent {
        sets.push(name_set(FORMER, &setting.former));
    }
    let parts = devices.chunks(DEVICES).enumerate();
    let chains = parts.map(|(number, devices)| {
        let mut chain = closed(family, "egress", Hook::Egress, FILTER, rules.clone());
        if number > 0 {
            chain.name = format!("egress{number}");
        }
        chain.devices = devices.to_vec();
        chain
    });
    let chains = chains.collect();
    Some(Table {
        family,
        sets,
        chains,
    })
}

/// The names of former ways out that a table was made with.
pub(crate) fn former_of(table: &Table) -> impl Iterator<Item = &[u8]> {
    names_in(table, FORMER)
}

/// The names whose frames are seen: those of the ways out, and where the kernel takes
/// names that nobody has, those by which a way out may come back.
fn names(setting: &Setting) -> Vec<String> {
    let outside = setting.interfaces.outside.iter();
    let absent = setting.capabilities.absent;
    let former = setting.former.iter().filter(|_| absent);
    let names: BTreeSet<&String> = outside.chain(former).collect();
    names.into_iter().cloned().collect()
}
