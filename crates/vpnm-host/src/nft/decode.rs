//! Decodes tables, sets, elements, chains and rules from their messages.
//!
//! What this crate never writes is decoded as `None`.

use std::collections::BTreeSet;

use super::attribute as at;
use super::expression::{Expression, Verdict};
use super::ruleset::{Chain, Field, Hook, Rule, Set, TableFamily};
use super::write::comment;
use crate::netlink::{Attributes, Failure, link_name};

/// The table's chains are not called.
const TABLE_DORMANT: u32 = 0x1;

/// What the kernel says of a table itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TableFacts {
    /// The port of the socket that owns it.
    pub(super) owner: Option<u32>,
    /// Whether it is switched off.
    pub(super) dormant: bool,
}

impl TableFacts {
    pub(super) fn decode(attributes: &Attributes<'_>) -> Self {
        let flags = attributes.network(at::TABLE_FLAGS).unwrap_or_default();
        Self {
            owner: attributes.network(at::TABLE_OWNER),
            dormant: flags & TABLE_DORMANT != 0,
        }
    }
}

impl Set {
    /// Decodes a set, without its elements.
    pub(super) fn decode(attributes: &Attributes<'_>) -> Result<Option<Self>, Failure> {
        let name = attributes.text(at::SET_NAME).ok_or(Failure::Malformed)?;
        let fields = attributes
            .network(at::SET_KEY_TYPE)
            .and_then(Field::from_type);
        let plain = attributes.network(at::SET_FLAGS).unwrap_or_default() == 0;
        Ok(fields.filter(|_| plain).map(|fields| Self {
            name,
            fields,
            elements: BTreeSet::new(),
        }))
    }
}

/// Decodes the keys of a set's elements.
pub(super) fn decode_elements(attributes: &Attributes<'_>) -> Result<Vec<Vec<u8>>, Failure> {
    let mut keys = Vec::new();
    if let Some(list) = attributes.nested(at::ELEMENT_LIST)? {
        for (_, element) in list.iter() {
            keys.extend(key(element)?);
        }
    }
    Ok(keys)
}

fn key(element: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
    let data = Attributes::parse(element)?.nested(at::ELEMENT_KEY)?;
    Ok(data.and_then(|data| data.get(at::DATA_VALUE).map(<[u8]>::to_vec)))
}

impl Chain {
    /// Decodes a chain, without its rules.
    pub(super) fn decode(
        family: TableFamily,
        attributes: &Attributes<'_>,
    ) -> Result<Option<Self>, Failure> {
        let Some(hook) = attributes.nested(at::CHAIN_HOOK)? else {
            return Ok(None);
        };
        let devices = devices(&hook)?;
        Ok((|| {
            Some(Self {
                name: attributes.text(at::CHAIN_NAME)?,
                kind: attributes.text(at::CHAIN_TYPE)?,
                hook: Hook::from_number(family, hook.network(at::HOOK_NUMBER)?)?,
                priority: i32::from_be_bytes(hook.array(at::HOOK_PRIORITY)?),
                policy: Verdict::from_code(attributes.network(at::CHAIN_POLICY)?)?,
                devices,
                rules: Vec::new(),
            })
        })())
    }
}

/// The interfaces of a hook, sorted; a prefix ends with a star.
fn devices(hook: &Attributes<'_>) -> Result<Vec<String>, Failure> {
    let mut list = Vec::new();
    if let Some(devices) = hook.nested(at::HOOK_DEVS)? {
        for (kind, name) in devices.iter() {
            let mut name = link_name(name);
            if kind == at::DEVICE_PREFIX {
                name.push('*');
            }
            list.push(name);
        }
    } else if let Some(name) = hook.link_name(at::HOOK_DEV) {
        list.push(name);
    }
    list.sort_unstable();
    Ok(list)
}

impl Rule {
    /// Decodes a rule and the name of its chain.
    pub(super) fn decode(attributes: &Attributes<'_>) -> Result<(String, Self), Failure> {
        let chain = attributes.text(at::RULE_CHAIN).ok_or(Failure::Malformed)?;
        let mut expressions = Vec::new();
        if let Some(list) = attributes.nested(at::RULE_EXPRESSIONS)? {
            for (_, element) in list.iter() {
                expressions.push(Expression::decode(element)?);
            }
        }
        let userdata = attributes.get(at::RULE_USERDATA).unwrap_or_default();
        let rule = Self {
            comment: comment(userdata),
            expressions,
        };
        Ok((chain, rule))
    }
}

#[cfg(test)]
mod tests {
    use super::super::expression::{MetaKey, Register, RejectWith};
    use super::super::kind;
    use super::super::ruleset::Table;
    use super::super::write::{Batch, Ownership};
    use super::*;
    use crate::netlink::{Writer, messages};

    fn table() -> Table {
        let set = Set {
            name: "servers4".to_owned(),
            fields: vec![Field::Ip4, Field::Protocol, Field::Port],
            elements: [vec![1; 12], vec![2; 12]].into(),
        };
        let rule = Rule {
            comment: "why it is there".to_owned(),
            expressions: vec![
                Expression::Meta {
                    key: MetaKey::SocketUid,
                    to: Register(0),
                },
                Expression::Counter,
                Expression::Reject(RejectWith::PortUnreachable),
            ],
        };
        let chain = Chain {
            name: "egress".to_owned(),
            kind: "filter".to_owned(),
            hook: Hook::Egress,
            priority: -7,
            policy: Verdict::Drop,
            devices: vec!["eth0".to_owned(), "wlan0".to_owned()],
            rules: vec![rule],
        };
        Table {
            family: TableFamily::Netdev,
            sets: vec![set],
            chains: vec![chain],
        }
    }

    /// The messages that fill a table, as the kernel sends the same objects back.
    fn datagram() -> Vec<u8> {
        let mut batch = Batch::new(Ownership::Nobodys);
        batch.fill(&table());
        let mut bytes = Vec::new();
        for request in batch.finish() {
            request.encode(1, &mut bytes);
        }
        bytes
    }

    fn decoded(datagram: &[u8]) -> Result<Table, Failure> {
        let family = TableFamily::Netdev;
        let mut table = Table {
            family,
            sets: Vec::new(),
            chains: Vec::new(),
        };
        for message in messages(datagram)? {
            let Ok((_, attributes)) = message.body.split::<4>() else {
                continue;
            };
            match message.kind {
                kind::NEW_SET => table.sets.extend(Set::decode(&attributes)?),
                kind::NEW_CHAIN => table.chains.extend(Chain::decode(family, &attributes)?),
                kind::NEW_ELEMENT => {
                    let keys = decode_elements(&attributes)?;
                    table
                        .sets
                        .iter_mut()
                        .for_each(|set| set.elements.extend(keys.clone()));
                }
                kind::NEW_RULE => {
                    let (_, rule) = Rule::decode(&attributes)?;
                    table
                        .chains
                        .iter_mut()
                        .for_each(|chain| chain.rules.push(rule.clone()));
                }
                _ => {}
            }
        }
        Ok(table)
    }

    #[test]
    fn a_table_is_read_back_as_written() {
        assert_eq!(decoded(&datagram()).unwrap(), table());
    }

    #[test]
    fn a_table_that_is_switched_off_is_told_from_one_that_is_not() {
        for (flags, dormant) in [(0, false), (6, false), (1, true), (7, true)] {
            let mut body = Writer::default();
            body.network(at::TABLE_FLAGS, flags);
            body.network(at::TABLE_OWNER, 4711);
            let attributes = Attributes::parse(body.as_bytes()).unwrap();
            let owner = Some(4711);
            assert_eq!(
                TableFacts::decode(&attributes),
                TableFacts { owner, dormant }
            );
        }
    }

    #[test]
    fn cut_or_changed_messages_never_panic() {
        let good = datagram();
        for cut in 0..good.len() {
            let _outcome = decoded(&good[..cut]);
        }
        for at in 0..good.len() {
            for value in [0, 1, 4, 7, 0x7f, 0xff] {
                let mut bad = good.clone();
                bad[at] = value;
                let _outcome = decoded(&bad);
            }
        }
    }
}
