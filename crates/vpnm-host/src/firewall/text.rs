//! Tables as text for people and golden files, close to nft's language. It is made
//! from the compiled instructions, so that it shows what the kernel is told.

use std::fmt::Write as _;

use crate::nft::{
    Chain, Comparison, ConntrackKey, Expression, Field, MetaKey, PayloadBase, RejectWith, Rule,
    Set, Table, Verdict,
};
use crate::rtnl::address_from;

/// Renders tables, one rule a line.
pub(crate) fn render(tables: &[Table]) -> String {
    let mut out = String::new();
    for table in tables {
        line(
            &mut out,
            0,
            &format!("table {} vpnm {{", table.family.name()),
        );
        for set in &table.sets {
            line(
                &mut out,
                1,
                &format!("set {} {{ {} }}", set.name, elements(set)),
            );
        }
        for chain in &table.chains {
            render_chain(&mut out, chain);
        }
        line(&mut out, 0, "}");
    }
    out
}

fn line(out: &mut String, depth: usize, text: &str) {
    for _ in 0..depth {
        out.push_str("  ");
    }
    out.push_str(text);
    out.push('\n');
}

fn render_chain(out: &mut String, chain: &Chain) {
    let devices = match chain.devices.as_slice() {
        [] => String::new(),
        names => format!(" devices {}", names.join(" ")),
    };
    let head = format!(
        "chain {} {{ type {} hook {}{devices} priority {} policy {}",
        chain.name,
        chain.kind,
        chain.hook.name(),
        chain.priority,
        verdict(chain.policy),
    );
    line(out, 1, &head);
    for rule in &chain.rules {
        line(out, 2, &render_rule(rule));
    }
    line(out, 1, "}");
}

fn render_rule(rule: &Rule) -> String {
    let mut parts = Vec::new();
    let mut loaded = Vec::new();
    let mut masked = None;
    for expression in &rule.expressions {
        match expression {
            Expression::Meta { key, .. } => loaded.push(Load::Meta(*key)),
            Expression::Payload {
                base,
                offset,
                length,
                ..
            } => {
                loaded.push(Load::Payload(*base, *offset, *length));
            }
            Expression::Conntrack { key, .. } => loaded.push(Load::Conntrack(*key)),
            Expression::Immediate { value, .. } => loaded.push(Load::Value(value)),
            Expression::Mask { mask, .. } => masked = Some(mask.as_slice()),
            Expression::Compare {
                comparison, value, ..
            } => {
                if let Some(load) = loaded.pop() {
                    parts.push(comparison_text(&load, masked.take(), *comparison, value));
                }
            }
            Expression::Lookup { set, .. } => {
                let keys: Vec<String> = loaded.drain(..).map(|load| load.name()).collect();
                parts.push(format!("{} @{set}", keys.join(" . ")));
            }
            Expression::Destination { .. } => {
                let to = loaded.drain(..).map(|load| {
                    if let Load::Value(port) = load {
                        number(port)
                    } else {
                        load.name()
                    }
                });
                parts.push(format!("dnat to {}", to.collect::<Vec<_>>().join(":")));
            }
            Expression::MetaSet { .. }
            | Expression::Verdict(_)
            | Expression::Counter
            | Expression::Reject(_)
            | Expression::Redirect { .. }
            | Expression::Unknown(_) => {
                parts.push(action(expression, loaded.pop().as_ref()));
            }
        }
    }
    format!("{} # {}", parts.join(" "), rule.comment)
}

/// What was loaded last.
enum Load<'a> {
    Meta(MetaKey),
    Payload(PayloadBase, u32, u32),
    Conntrack(ConntrackKey),
    Value(&'a [u8]),
}

impl Load<'_> {
    fn name(&self) -> String {
        let name = match self {
            Self::Meta(MetaKey::Protocol) => "meta protocol",
            Self::Meta(MetaKey::Mark) => "meta mark",
            Self::Meta(MetaKey::InName) => "iifname",
            Self::Meta(MetaKey::OutName) => "oifname",
            Self::Meta(MetaKey::SocketUid) => "skuid",
            Self::Meta(MetaKey::Family) => "nfproto",
            Self::Meta(MetaKey::Transport) => "l4proto",
            Self::Payload(PayloadBase::Link, 12, 2) => "ether type",
            Self::Payload(PayloadBase::Network, 7, 1) => "ip6 hoplimit",
            Self::Payload(PayloadBase::Network, 12, 4) => "ip saddr",
            Self::Payload(PayloadBase::Network, 16, 4) => "ip daddr",
            Self::Payload(PayloadBase::Network, 24, 4) => "arp daddr ip",
            Self::Payload(PayloadBase::Network, 8, 16) => "ip6 saddr",
            Self::Payload(PayloadBase::Network, 24, 16) => "ip6 daddr",
            Self::Payload(PayloadBase::Transport, 0, 1) => "icmp type",
            Self::Payload(PayloadBase::Transport, 0, 2) => "th sport",
            Self::Payload(PayloadBase::Transport, 2, 2) => "th dport",
            Self::Payload(base, offset, length) => {
                return format!("payload {base:?} {offset} {length}");
            }
            Self::Conntrack(ConntrackKey::State) => "ct state",
            Self::Conntrack(ConntrackKey::Status) => "ct status",
            Self::Value(value) => return hex(value),
        };
        name.to_owned()
    }

    fn value(&self, value: &[u8]) -> String {
        match (self, value) {
            (Self::Meta(MetaKey::InName | MetaKey::OutName), name) => quoted(name),
            (Self::Meta(MetaKey::Protocol) | Self::Payload(PayloadBase::Link, ..), _) => hex(value),
            (Self::Meta(MetaKey::Mark), _) => native_hex(value),
            (Self::Meta(_), [byte]) => byte.to_string(),
            (Self::Meta(_), _) => native(value),
            (Self::Payload(..), _) => number(value),
            (Self::Conntrack(_) | Self::Value(_), _) => hex(value),
        }
    }
}

fn comparison_text(
    load: &Load<'_>,
    mask: Option<&[u8]>,
    comparison: Comparison,
    value: &[u8],
) -> String {
    let name = load.name();
    match (load, mask, comparison) {
        (Load::Conntrack(_), Some(mask), Comparison::NotEqual) => {
            format!("{name} & {}", native(mask))
        }
        (_, Some(mask), Comparison::Equal) => {
            let ones: u32 = mask.iter().map(|byte| byte.count_ones()).sum();
            format!("{name} {}/{ones}", load.value(value))
        }
        (_, Some(mask), Comparison::NotEqual) => {
            format!("{name} & {} != {}", hex(mask), load.value(value))
        }
        (_, None, Comparison::Equal) => format!("{name} {}", load.value(value)),
        (_, None, Comparison::NotEqual) => format!("{name} != {}", load.value(value)),
    }
}

fn action(expression: &Expression, loaded: Option<&Load<'_>>) -> String {
    let loaded = match loaded {
        Some(Load::Value(value)) => value,
        _ => &[][..],
    };
    match expression {
        Expression::Verdict(one) => verdict(*one).to_owned(),
        Expression::Counter => "counter".to_owned(),
        Expression::Reject(RejectWith::PortUnreachable) => "reject port-unreachable".to_owned(),
        Expression::Reject(RejectWith::Prohibited) => "reject admin-prohibited".to_owned(),
        Expression::Redirect { .. } => format!("redirect to :{}", number(loaded)),
        Expression::MetaSet { .. } => format!("mark set {}", native_hex(loaded)),
        Expression::Unknown(name) => format!("[{name}]"),
        Expression::Meta { .. }
        | Expression::Payload { .. }
        | Expression::Conntrack { .. }
        | Expression::Immediate { .. }
        | Expression::Mask { .. }
        | Expression::Compare { .. }
        | Expression::Destination { .. }
        | Expression::Lookup { .. } => String::new(),
    }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Drop => "drop",
        Verdict::Accept => "accept",
    }
}

fn elements(set: &Set) -> String {
    let elements = set.elements.iter().map(|element| {
        let mut rest = element.as_slice();
        let fields = set.fields.iter().map(|field| {
            let length = usize::try_from(field.length()).unwrap_or_default();
            let (value, tail) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            rest = tail;
            field_text(*field, value)
        });
        fields.collect::<Vec<_>>().join(" . ")
    });
    elements.collect::<Vec<_>>().join(", ")
}

fn field_text(field: Field, value: &[u8]) -> String {
    match (field, value) {
        (Field::Uid, value) => native(value),
        (Field::Interface, value) => quoted(value),
        (Field::Protocol, [6, ..]) => "tcp".to_owned(),
        (Field::Protocol, [17, ..]) => "udp".to_owned(),
        (Field::Port, [high, low, ..]) => u16::from_be_bytes([*high, *low]).to_string(),
        (_, value) => number(value),
    }
}

/// The name of an interface.
fn quoted(value: &[u8]) -> String {
    let name = value.split(|byte| *byte == 0).next().unwrap_or_default();
    format!("\"{}\"", String::from_utf8_lossy(name))
}

/// An address, or a number in network byte order.
fn number(value: &[u8]) -> String {
    if let Some(ip) = address_from(value) {
        return ip.to_string();
    }
    match value {
        [byte] => byte.to_string(),
        [high, low] => u16::from_be_bytes([*high, *low]).to_string(),
        other => hex(other),
    }
}

/// A number in the machine's byte order.
fn native(value: &[u8]) -> String {
    match <[u8; 4]>::try_from(value) {
        Ok(bytes) => u32::from_ne_bytes(bytes).to_string(),
        Err(_) => hex(value),
    }
}

fn native_hex(value: &[u8]) -> String {
    match <[u8; 4]>::try_from(value) {
        Ok(bytes) => format!("{:#010x}", u32::from_ne_bytes(bytes)),
        Err(_) => hex(value),
    }
}

fn hex(value: &[u8]) -> String {
    let mut text = "0x".to_owned();
    for byte in value {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
