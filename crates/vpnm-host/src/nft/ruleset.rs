//! Tables and what they hold, as values that can be compared.

use std::collections::BTreeSet;

use super::expression::{Expression, Verdict};

/// The family of a table: which packets its chains can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TableFamily {
    /// IPv4 and IPv6.
    Inet,
    /// ARP.
    Arp,
    /// Whatever leaves an interface, also past the IP stack.
    Netdev,
}

impl TableFamily {
    pub(crate) const ALL: [Self; 3] = [Self::Inet, Self::Arp, Self::Netdev];

    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Inet => 1,
            Self::Arp => 3,
            Self::Netdev => 5,
        }
    }

    /// The name in nft's language.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Arp => "arp",
            Self::Netdev => "netdev",
        }
    }
}

/// A table, its sets and its chains, in the order they are created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) family: TableFamily,
    pub(crate) sets: Vec<Set>,
    pub(crate) chains: Vec<Chain>,
}

impl Table {
    /// Whether sets and rules are the same, wherever the chains are called.
    pub(super) fn holds_like(&self, other: &Self) -> bool {
        self.sets == other.sets && self.rules().eq(other.rules())
    }

    fn rules(&self) -> impl Iterator<Item = &[Rule]> {
        self.chains.iter().map(|chain| &*chain.rules)
    }
}

/// A set of concatenated fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Set {
    pub(crate) name: String,
    pub(crate) fields: Vec<Field>,
    /// Each as long as the fields together.
    pub(crate) elements: BTreeSet<Vec<u8>>,
}

/// A part of a set's key; each takes a multiple of 4 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    /// The uid that created the socket.
    Uid,
    /// An IPv4 address.
    Ip4,
    /// An IPv6 address.
    Ip6,
    /// A transport protocol.
    Protocol,
    /// A port.
    Port,
    /// The name of an interface.
    Interface,
}

impl Field {
    /// Bytes in the key.
    pub(crate) fn length(self) -> u32 {
        match self {
            Self::Uid | Self::Ip4 | Self::Protocol | Self::Port => 4,
            Self::Ip6 | Self::Interface => 16,
        }
    }

    /// The number of the type in nft's own numbering, which tells `nft list` how to
    /// show it.
    pub(crate) fn type_number(self) -> u32 {
        match self {
            Self::Ip4 => 7,
            Self::Ip6 => 8,
            Self::Protocol => 12,
            Self::Port => 13,
            Self::Uid => 24,
            Self::Interface => 41,
        }
    }

    const ALL: [Self; 6] = [
        Self::Uid,
        Self::Ip4,
        Self::Ip6,
        Self::Protocol,
        Self::Port,
        Self::Interface,
    ];

    /// The fields of a concatenated type: six bits each, the first highest.
    pub(crate) fn from_type(number: u32) -> Option<Vec<Self>> {
        let parts = (0..5).rev().map(|at| (number >> (6 * at)) & 0x3f);
        let parts = parts.skip_while(|part| *part == 0);
        let field = |part| Self::ALL.into_iter().find(|f| f.type_number() == part);
        parts.map(field).collect()
    }
}

impl Set {
    pub(crate) fn key_type(&self) -> u32 {
        let fields = self.fields.iter();
        fields.fold(0, |number, field| (number << 6) | field.type_number())
    }

    pub(crate) fn key_length(&self) -> u32 {
        self.fields.iter().map(|field| field.length()).sum()
    }
}

/// A chain that the kernel calls at a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) name: String,
    /// `filter` or `nat`.
    pub(crate) kind: String,
    pub(crate) hook: Hook,
    pub(crate) priority: i32,
    /// What becomes of a packet no rule decides about.
    pub(crate) policy: Verdict,
    /// The interfaces, for chains of the netdev family, sorted.
    pub(crate) devices: Vec<String>,
    pub(crate) rules: Vec<Rule>,
}

impl Chain {
    /// Whether it is the same chain but for its rules and interfaces.
    pub(crate) fn is_placed_like(&self, other: &Self) -> bool {
        let place = |chain: &Self| (chain.hook, chain.priority, chain.policy.code());
        self.name == other.name && self.kind == other.kind && place(self) == place(other)
    }

    /// Its interfaces that another does not have.
    pub(crate) fn devices_beyond(&self, other: &Self) -> Vec<String> {
        let devices = self.devices.iter();
        devices
            .filter(|device| !other.devices.contains(device))
            .cloned()
            .collect()
    }
}

/// Where a chain is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hook {
    /// Any packet that came in, before its route is looked up.
    Prerouting,
    /// A packet for this machine.
    Input,
    /// A packet for another machine.
    Forward,
    /// A packet of this machine.
    Output,
    /// Any packet about to go out, after its last change of route.
    Postrouting,
    /// A frame about to go out.
    Egress,
}

impl Hook {
    const ALL: [Self; 6] = [
        Self::Prerouting,
        Self::Input,
        Self::Forward,
        Self::Output,
        Self::Postrouting,
        Self::Egress,
    ];

    pub(crate) fn number(self, family: TableFamily) -> Option<u32> {
        match (family, self) {
            (TableFamily::Inet, Self::Prerouting) | (TableFamily::Arp, Self::Input) => Some(0),
            (TableFamily::Inet, Self::Input)
            | (TableFamily::Arp, Self::Output)
            | (TableFamily::Netdev, Self::Egress) => Some(1),
            (TableFamily::Inet, Self::Forward) => Some(2),
            (TableFamily::Inet, Self::Output) => Some(3),
            (TableFamily::Inet, Self::Postrouting) => Some(4),
            _ => None,
        }
    }

    pub(crate) fn from_number(family: TableFamily, number: u32) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|hook| hook.number(family) == Some(number))
    }

    /// The name in nft's language.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Prerouting => "prerouting",
            Self::Input => "input",
            Self::Forward => "forward",
            Self::Output => "output",
            Self::Postrouting => "postrouting",
            Self::Egress => "egress",
        }
    }
}

/// A rule: instructions, and for people what they are there for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) comment: String,
    pub(crate) expressions: Vec<Expression>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_concatenated_type_is_read_back_as_written() {
        let fields = vec![Field::Uid, Field::Ip6, Field::Protocol, Field::Port];
        let set = Set {
            name: "servers6".to_owned(),
            fields: fields.clone(),
            elements: BTreeSet::new(),
        };
        assert_eq!(set.key_length(), 28);
        assert_eq!(Field::from_type(set.key_type()), Some(fields));
        assert_eq!(Field::from_type(41), Some(vec![Field::Interface]));
        assert_eq!(Field::from_type(63), None);
    }

    #[test]
    fn a_hook_keeps_its_number() {
        for family in TableFamily::ALL {
            for hook in Hook::ALL {
                if let Some(number) = hook.number(family) {
                    assert_eq!(Hook::from_number(family, number), Some(hook));
                }
            }
        }
    }
}
