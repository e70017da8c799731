//! Routing rules.

use std::fmt;

use super::{Family, LinkName, MAIN_TABLE, Prefix, address_from, kind, octets};
use crate::names::PROTOCOL;
use crate::netlink::{Attributes, Failure, Message, Request, Writer};

const FRA_DST: u16 = 1;
const FRA_SRC: u16 = 2;
const FRA_IIFNAME: u16 = 3;
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
const FRA_TABLE: u16 = 15;
const FRA_FWMASK: u16 = 16;
const FRA_UID_RANGE: u16 = 20;
const FRA_PROTOCOL: u16 = 21;
const FRA_IP_PROTO: u16 = 22;
const FRA_DPORT_RANGE: u16 = 24;

const FR_ACT_TO_TBL: u8 = 1;
const FR_ACT_UNREACHABLE: u8 = 7;
/// A value of FRA_SUPPRESS_PREFIXLEN that suppresses nothing.
const NOT_SUPPRESSED: u32 = u32::MAX;

/// A routing rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    /// The lower, the sooner it is asked.
    pub priority: u32,
    /// The family it is for.
    pub family: Family,
    /// What it is for.
    pub selector: Selector,
    /// What it decides.
    pub lookup: Lookup,
    /// Who made it (`FRA_PROTOCOL`).
    pub protocol: u8,
}

/// What a rule is for; everything that is set must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Selector {
    /// The packet came in by this link.
    pub link: Option<LinkName>,
    /// The packet carries this mark.
    pub mark: Option<u32>,
    /// The socket belongs to a uid in this range.
    pub uids: Option<(u32, u32)>,
    /// The packet comes from this prefix.
    pub from: Option<Prefix>,
    /// The packet goes to this prefix.
    pub to: Option<Prefix>,
    /// The IP protocol.
    pub protocol: Option<u8>,
    /// The destination port.
    pub port: Option<u16>,
}

/// What a rule decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lookup {
    /// The table decides, if it has a route.
    Table(u32),
    /// The main table decides, if it has a route other than a default route.
    MainWithoutDefault,
    /// There is no route.
    Unreachable,
    /// An action this crate never uses.
    Other(u8),
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {} {}:", self.family, self.priority)?;
        let Selector {
            link,
            mark,
            uids,
            from,
            to,
            protocol,
            port,
        } = self.selector;
        if let Some(link) = link {
            write!(f, " iif {link}")?;
        }
        if let Some(mark) = mark {
            write!(f, " fwmark {mark:#x}")?;
        }
        if let Some((from, to)) = uids {
            write!(f, " uidrange {from}-{to}")?;
        }
        if let Some(from) = from {
            write!(f, " from {from}")?;
        }
        if let Some(to) = to {
            write!(f, " to {to}")?;
        }
        if let Some(protocol) = protocol {
            write!(f, " ipproto {protocol}")?;
        }
        if let Some(port) = port {
            write!(f, " dport {port}")?;
        }
        match self.lookup {
            Lookup::Table(MAIN_TABLE) => f.write_str(" lookup main"),
            Lookup::Table(table) => write!(f, " lookup {table}"),
            Lookup::MainWithoutDefault => f.write_str(" lookup main suppress_prefixlength 0"),
            Lookup::Unreachable => f.write_str(" unreachable"),
            Lookup::Other(action) => write!(f, " action {action}"),
        }
    }
}

/// Asks for all rules of a family.
pub(crate) fn rules(family: Family) -> Request {
    let body = Writer::new(&[family.number(), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    Request::dump(kind::GET_RULE, body)
}

/// Adds a rule; it must not exist.
pub(crate) fn add_rule(rule: &Rule) -> Request {
    Request::create(kind::NEW_RULE, body(rule))
}

/// Removes a rule.
pub(crate) fn remove_rule(rule: &Rule) -> Request {
    Request::new(kind::DEL_RULE, body(rule))
}

fn body(rule: &Rule) -> Writer {
    let (action, table) = match rule.lookup {
        Lookup::Table(table) => (FR_ACT_TO_TBL, Some(table)),
        Lookup::MainWithoutDefault => (FR_ACT_TO_TBL, Some(MAIN_TABLE)),
        Lookup::Unreachable => (FR_ACT_UNREACHABLE, None),
        Lookup::Other(action) => (action, None),
    };
    let Selector {
        link,
        mark,
        uids,
        from,
        to,
        protocol,
        port,
    } = rule.selector;
    let length = |prefix: Option<Prefix>| prefix.map_or(0, |prefix| prefix.length);
    let (family, to_length, from_length) = (rule.family.number(), length(to), length(from));
    let mut body = Writer::new(&[
        family,
        to_length,
        from_length,
        0,
        0,
        0,
        0,
        action,
        0,
        0,
        0,
        0,
    ]);
    body.native(FRA_PRIORITY, rule.priority);
    body.bytes(FRA_PROTOCOL, &[PROTOCOL]);
    if let Some(table) = table {
        body.native(FRA_TABLE, table);
    }
    if rule.lookup == Lookup::MainWithoutDefault {
        body.native(FRA_SUPPRESS_PREFIXLEN, 0);
    }
    if let Some(link) = link {
        body.text(FRA_IIFNAME, link.as_str());
    }
    if let Some(mark) = mark {
        body.native(FRA_FWMARK, mark);
        body.native(FRA_FWMASK, u32::MAX);
    }
    if let Some((from, to)) = uids {
        body.bytes(FRA_UID_RANGE, &[from, to].map(u32::to_ne_bytes).concat());
    }
    if let Some(from) = from {
        body.bytes(FRA_SRC, &octets(from.ip));
    }
    if let Some(to) = to {
        body.bytes(FRA_DST, &octets(to.ip));
    }
    if let Some(protocol) = protocol {
        body.bytes(FRA_IP_PROTO, &[protocol]);
    }
    if let Some(port) = port {
        body.bytes(
            FRA_DPORT_RANGE,
            &[port, port].map(u16::to_ne_bytes).concat(),
        );
    }
    body
}

/// Reads a rule from a dump or an event.
pub(crate) fn decode_rule(message: &Message<'_>) -> Result<Option<Rule>, Failure> {
    if message.kind != kind::NEW_RULE && message.kind != kind::DEL_RULE {
        return Ok(None);
    }
    let (header, attributes) = message.body.split::<12>()?;
    let [family, to_length, from_length, _, table, _, _, action, ..] = header;
    let Some(family) = Family::from_number(family) else {
        return Ok(None);
    };
    Ok(Some(Rule {
        priority: attributes.native(FRA_PRIORITY).unwrap_or_default(),
        family,
        selector: selector(from_length, to_length, &attributes),
        lookup: lookup(action, table, &attributes),
        protocol: attributes.byte(FRA_PROTOCOL).unwrap_or_default(),
    }))
}

fn selector(from_length: u8, to_length: u8, attributes: &Attributes<'_>) -> Selector {
    let prefix = |kind, length| {
        let ip = attributes.get(kind).and_then(address_from);
        ip.map(|ip| Prefix::new(ip, length))
    };
    let uids = attributes.array(FRA_UID_RANGE).map(|range| {
        let [f0, f1, f2, f3, t0, t1, t2, t3] = range;
        let from = u32::from_ne_bytes([f0, f1, f2, f3]);
        (from, u32::from_ne_bytes([t0, t1, t2, t3]))
    });
    let port = attributes.array(FRA_DPORT_RANGE);
    Selector {
        link: attributes.get(FRA_IIFNAME).map(LinkName::from_bytes),
        mark: attributes.native(FRA_FWMARK).filter(|mark| *mark != 0),
        uids,
        from: prefix(FRA_SRC, from_length),
        to: prefix(FRA_DST, to_length),
        protocol: attributes.byte(FRA_IP_PROTO).filter(|p| *p != 0),
        port: port.map(|[low, high, _, _]| u16::from_ne_bytes([low, high])),
    }
}

fn lookup(action: u8, table: u8, attributes: &Attributes<'_>) -> Lookup {
    let table = attributes.native(FRA_TABLE).unwrap_or_else(|| table.into());
    let suppressed = attributes.native(FRA_SUPPRESS_PREFIXLEN);
    let suppressed = suppressed.unwrap_or(NOT_SUPPRESSED);
    match action {
        FR_ACT_TO_TBL if suppressed == NOT_SUPPRESSED => Lookup::Table(table),
        FR_ACT_TO_TBL if suppressed == 0 && table == MAIN_TABLE => Lookup::MainWithoutDefault,
        FR_ACT_UNREACHABLE => Lookup::Unreachable,
        other => Lookup::Other(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::messages;

    #[test]
    fn a_rule_is_read_back_as_written() {
        let selectors = [
            Selector::default(),
            Selector {
                link: Some(LinkName::new("vpnm0")),
                ..Selector::default()
            },
            Selector {
                mark: Some(0x76_0000),
                ..Selector::default()
            },
            Selector {
                uids: Some((990, 990)),
                ..Selector::default()
            },
            Selector {
                from: Some(Prefix::host("192.168.77.10".parse().unwrap())),
                to: Some(Prefix::new("10.0.0.0".parse().unwrap(), 8)),
                protocol: Some(17),
                port: Some(53),
                ..Selector::default()
            },
        ];
        let lookups = [
            Lookup::Table(7670),
            Lookup::Table(MAIN_TABLE),
            Lookup::MainWithoutDefault,
            Lookup::Unreachable,
        ];
        for selector in selectors {
            for lookup in lookups {
                let rule = Rule {
                    priority: 7600,
                    family: Family::V4,
                    selector,
                    lookup,
                    protocol: PROTOCOL,
                };
                let mut bytes = Vec::new();
                add_rule(&rule).encode(1, &mut bytes);
                let list = messages(&bytes).unwrap();
                assert_eq!(decode_rule(&list[0]).unwrap(), Some(rule));
            }
        }
    }
}
