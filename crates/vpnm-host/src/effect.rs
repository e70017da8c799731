//! The changes a plan is made of.

use std::collections::BTreeSet;
use std::fmt;

use crate::firewall::{Capabilities, render};
use crate::nft::{Chain, Set, Table, TableFamily};
use crate::rtnl::{Address, LinkSettings, Route, Rule};

/// One change of the host. Each is atomic, and carrying it out twice does no harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// The packet filter's tables are replaced as a whole.
    Filter(FilterChange),
    /// Only the endpoints in the packet filter change.
    Endpoints(FilterChange),
    /// The packet filter's tables, left by an earlier daemon, become ours.
    Adopt(FilterChange),
    /// A route is added.
    AddRoute(Route),
    /// A route is removed.
    RemoveRoute(Route),
    /// A rule is added.
    AddRule(Rule),
    /// A rule is removed.
    RemoveRule(Rule),
    /// The tunnel link is set up.
    SetLink {
        /// Its number.
        link: u32,
        /// As it was.
        from: LinkSettings,
        /// As it becomes.
        to: LinkSettings,
    },
    /// An address is added.
    AddAddress(Address),
    /// An address is removed.
    RemoveAddress(Address),
    /// The tunnel link is removed.
    DeleteLink {
        /// Its number.
        link: u32,
    },
}

/// The packet filter's tables before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterChange {
    pub(crate) from: Vec<Table>,
    pub(crate) to: Vec<Table>,
    /// Whether the tables that there are may be changed by us and hold nothing but `from`.
    pub(crate) ours: bool,
}

/// What a set loses and gains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ElementChange<'a> {
    pub(crate) family: TableFamily,
    pub(crate) set: &'a Set,
    pub(crate) removed: BTreeSet<Vec<u8>>,
    pub(crate) added: BTreeSet<Vec<u8>>,
}

impl Effect {
    /// The effect that undoes this one; `None` where nothing has to be undone.
    pub(crate) fn reversed(&self) -> Option<Self> {
        Some(match self {
            Self::Filter(change) => Self::Filter(change.reversed()),
            Self::Endpoints(change) => Self::Endpoints(change.reversed()),
            Self::AddRoute(route) => Self::RemoveRoute(route.clone()),
            Self::RemoveRoute(route) => Self::AddRoute(route.clone()),
            Self::AddRule(rule) => Self::RemoveRule(rule.clone()),
            Self::RemoveRule(rule) => Self::AddRule(rule.clone()),
            Self::SetLink { link, from, to } => Self::SetLink {
                link: *link,
                from: *to,
                to: *from,
            },
            Self::AddAddress(address) => Self::RemoveAddress(*address),
            Self::RemoveAddress(address) => Self::AddAddress(*address),
            // Tables stay owned, and a link that is gone was nobody's any more.
            Self::Adopt(_) | Self::DeleteLink { .. } => return None,
        })
    }
}

impl FilterChange {
    /// The tables as they become, in a form close to nft's language.
    #[must_use]
    pub fn text(&self) -> String {
        render(&self.to)
    }

    /// A family's tables before and after, if the chains can stay and just what is in
    /// them has to be changed, or what they see.
    pub(crate) fn keeping_chains(
        &self,
        family: TableFamily,
        capabilities: Capabilities,
    ) -> Option<(&Table, &Table)> {
        let of_family = |table: &&Table| table.family == family;
        let from = self.from.iter().find(of_family)?;
        let to = self.to.iter().find(of_family)?;
        let stays = |(from, to): (&Chain, &Chain)| {
            from.is_placed_like(to) && (capabilities.devices || from.devices == to.devices)
        };
        let are_same =
            from.chains.len() == to.chains.len() && from.chains.iter().zip(&to.chains).all(stays);
        (self.ours && are_same).then_some((from, to))
    }

    /// Whether nothing but the elements of sets differs.
    pub(crate) fn is_only_elements(&self) -> bool {
        let bare = |tables: &[Table]| {
            let mut tables = tables.to_vec();
            for set in tables.iter_mut().flat_map(|table| &mut table.sets) {
                set.elements.clear();
            }
            tables
        };
        bare(&self.from) == bare(&self.to)
    }

    /// The changes of elements, for tables that differ in nothing else.
    pub(crate) fn elements(&self) -> Vec<ElementChange<'_>> {
        let tables = self.from.iter().zip(&self.to);
        let sets = tables.flat_map(|(from, to)| {
            let sets = from.sets.iter().zip(&to.sets);
            sets.map(|(old, new)| (to.family, old, new))
        });
        let changed = sets.filter(|(_, old, new)| old.elements != new.elements);
        let changes = changed.map(|(family, old, new)| ElementChange {
            family,
            set: new,
            removed: old.elements.difference(&new.elements).cloned().collect(),
            added: new.elements.difference(&old.elements).cloned().collect(),
        });
        changes.collect()
    }

    fn reversed(&self) -> Self {
        Self {
            from: self.to.clone(),
            to: self.from.clone(),
            ours: self.ours,
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter(change) => write!(f, "{change}"),
            Self::Endpoints(change) => write_endpoints(f, change),
            Self::Adopt(_) => f.write_str("~ filter adopted"),
            Self::AddRoute(route) => write!(f, "+ {route}"),
            Self::RemoveRoute(route) => write!(f, "- {route}"),
            Self::AddRule(rule) => write!(f, "+ {rule}"),
            Self::RemoveRule(rule) => write!(f, "- {rule}"),
            Self::SetLink { to, .. } => write!(f, "~ link {to}"),
            Self::AddAddress(address) => write!(f, "+ {address}"),
            Self::RemoveAddress(address) => write!(f, "- {address}"),
            Self::DeleteLink { .. } => f.write_str("- link"),
        }
    }
}

impl fmt::Display for FilterChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, tables) = match (self.from.as_slice(), self.to.as_slice()) {
            ([], to) => ('+', to),
            (from, []) => ('-', from),
            (_, to) => ('~', to),
        };
        write!(f, "{sign} filter")?;
        for table in tables {
            let rules: usize = table.chains.iter().map(|chain| chain.rules.len()).sum();
            write!(f, " {}({rules} rules)", table.family.name())?;
        }
        Ok(())
    }
}

fn write_endpoints(f: &mut fmt::Formatter<'_>, change: &FilterChange) -> fmt::Result {
    f.write_str("~ endpoints")?;
    for change in change.elements() {
        let (family, name) = (change.family.name(), &change.set.name);
        let (added, removed) = (change.added.len(), change.removed.len());
        write!(f, " {family}.{name}(+{added} -{removed})")?;
    }
    Ok(())
}
