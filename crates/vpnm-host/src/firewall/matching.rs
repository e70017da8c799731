//! Rules in the terms of nft's language, and the instructions they compile to.

use std::net::{IpAddr, Ipv4Addr};

use crate::netlink::link_name_bytes;
use crate::nft::{
    Comparison, ConntrackKey, Expression, MetaKey, PayloadBase, Register, RejectWith, Rule,
    TableFamily, Verdict,
};
use crate::rtnl::{Family, Prefix, octets};

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ICMP: u8 = 1;
pub(super) const ICMP6: u8 = 58;

/// Bits of the connection state (`NF_CT_STATE_BIT`).
pub(super) const ESTABLISHED: u32 = 1 << 1;
pub(super) const RELATED: u32 = 1 << 2;
/// Destination NAT was applied to the connection (`IPS_DST_NAT`).
const DESTINATION_CHANGED: u32 = 1 << 5;
/// Bytes of an interface name in the kernel.
const INTERFACE_NAME: usize = 16;
/// Registers of 4 bytes that it takes.
const INTERFACE_REGISTERS: u32 = 4;

/// A condition of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Match<'a> {
    /// The interface it leaves by.
    Out(&'a str),
    /// The interface it came in by.
    In(&'a str),
    /// The mark it carries.
    Marked(u32),
    /// The IP version; the conditions on addresses behind it depend on it.
    Version(Family),
    /// The EtherType on the wire.
    EtherType(u16),
    /// The transport protocol.
    Protocol(u8),
    SourcePort(u16),
    DestinationPort(u16),
    From(Prefix),
    To(Prefix),
    /// The uid that created the socket.
    SocketUid(u32),
    /// The values of the keys together are an element of the set.
    InSet(&'a [Key], &'a str),
    /// One of these connection states.
    State(u32),
    /// A redirect was applied to the connection.
    Redirected,
    /// The type of an ICMP or ICMPv6 message.
    IcmpType(u8),
    HopLimit(u8),
    /// The address an ARP request asks for.
    ArpTarget(Ipv4Addr),
}

/// A part of a concatenation that is looked up in a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// The interface it came in by.
    In,
    /// The interface it leaves by.
    Out,
    SocketUid,
    Source(Family),
    Destination(Family),
    Protocol,
    SourcePort,
    DestinationPort,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Accept,
    Drop,
    /// Counts, drops, and tells the sender.
    Reject(RejectWith),
    /// Sends it to this machine, to the port.
    Redirect(u16),
    /// Sends an IPv6 packet to the address it is from, which is this machine's, to the port.
    ToSource(u16),
    /// Puts the mark on it and goes on.
    Mark(u32),
}

/// Compiles a rule for a table of the family.
pub(super) fn rule(
    family: TableFamily,
    comment: &str,
    matches: &[Match<'_>],
    action: Action,
) -> Rule {
    let mut expressions = Vec::new();
    for one in matches {
        one.compile(family, &mut expressions);
    }
    action.compile(&mut expressions);
    Rule {
        comment: comment.to_owned(),
        expressions,
    }
}

const FIRST: Register = Register(0);
/// The register behind those that an IPv6 address takes.
const BEHIND_ADDRESS: Register = Register(4);

fn equal(value: impl Into<Vec<u8>>) -> Expression {
    Expression::Compare {
        register: FIRST,
        comparison: Comparison::Equal,
        value: value.into(),
    }
}

fn meta(key: MetaKey) -> Expression {
    Expression::Meta { key, to: FIRST }
}

fn payload(base: PayloadBase, offset: u32, length: u32) -> Expression {
    Expression::Payload {
        base,
        offset,
        length,
        to: FIRST,
    }
}

impl Match<'_> {
    fn compile(&self, family: TableFamily, out: &mut Vec<Expression>) {
        match *self {
            Self::Out(name) => out.extend([meta(MetaKey::OutName), equal(interface(name))]),
            Self::In(name) => out.extend([meta(MetaKey::InName), equal(interface(name))]),
            Self::Marked(mark) => {
                out.extend([meta(MetaKey::Mark), equal(mark.to_ne_bytes())]);
            }
            Self::Version(version) => out.extend(version_check(family, version)),
            Self::EtherType(number) => {
                out.extend([
                    payload(PayloadBase::Link, 12, 2),
                    equal(number.to_be_bytes()),
                ]);
            }
            Self::Protocol(number) => out.extend([meta(MetaKey::Transport), equal([number])]),
            Self::SourcePort(port) => {
                out.extend([
                    payload(PayloadBase::Transport, 0, 2),
                    equal(port.to_be_bytes()),
                ]);
            }
            Self::DestinationPort(port) => {
                out.extend([
                    payload(PayloadBase::Transport, 2, 2),
                    equal(port.to_be_bytes()),
                ]);
            }
            Self::From(prefix) => compile_prefix(source_offset(prefix.family()), prefix, out),
            Self::To(prefix) => compile_prefix(destination_offset(prefix.family()), prefix, out),
            Self::SocketUid(uid) => {
                out.extend([meta(MetaKey::SocketUid), equal(uid.to_ne_bytes())]);
            }
            Self::InSet(keys, set) => compile_lookup(keys, set, out),
            Self::State(bits) => compile_conntrack(ConntrackKey::State, bits, out),
            Self::Redirected => {
                compile_conntrack(ConntrackKey::Status, DESTINATION_CHANGED, out);
            }
            Self::IcmpType(number) => {
                out.extend([payload(PayloadBase::Transport, 0, 1), equal([number])]);
            }
            Self::HopLimit(hops) => {
                out.extend([payload(PayloadBase::Network, 7, 1), equal([hops])]);
            }
            Self::ArpTarget(ip) => {
                out.extend([payload(PayloadBase::Network, 24, 4), equal(ip.octets())]);
            }
        }
    }
}

/// Tables of the inet family know the version; those of netdev, the EtherType that
/// the stack has noted.
fn version_check(family: TableFamily, version: Family) -> [Expression; 2] {
    match (family, version) {
        (TableFamily::Netdev, Family::V4) => {
            [meta(MetaKey::Protocol), equal(0x0800_u16.to_be_bytes())]
        }
        (TableFamily::Netdev, Family::V6) => {
            [meta(MetaKey::Protocol), equal(0x86dd_u16.to_be_bytes())]
        }
        (TableFamily::Inet | TableFamily::Arp, version) => {
            [meta(MetaKey::Family), equal([version.number()])]
        }
    }
}

/// An interface's name as it lies in a register.
pub(super) fn interface(name: &str) -> Vec<u8> {
    let mut bytes = link_name_bytes(name);
    bytes.resize(INTERFACE_NAME, 0);
    bytes
}

fn source_offset(family: Family) -> u32 {
    match family {
        Family::V4 => 12,
        Family::V6 => 8,
    }
}

fn destination_offset(family: Family) -> u32 {
    match family {
        Family::V4 => 16,
        Family::V6 => 24,
    }
}

fn address_length(family: Family) -> u32 {
    match family {
        Family::V4 => 4,
        Family::V6 => 16,
    }
}

fn compile_prefix(offset: u32, prefix: Prefix, out: &mut Vec<Expression>) {
    let length = address_length(prefix.family());
    out.push(payload(PayloadBase::Network, offset, length));
    if prefix != Prefix::host(prefix.ip) {
        out.push(Expression::Mask {
            register: FIRST,
            mask: octets(mask(prefix)),
        });
    }
    out.push(equal(octets(prefix.ip)));
}

/// The netmask of a prefix, as an address.
fn mask(prefix: Prefix) -> IpAddr {
    let length = prefix.length.into();
    match prefix.ip {
        IpAddr::V4(_) => Ipv4Addr::from_bits(!u32::MAX.checked_shr(length).unwrap_or(0)).into(),
        IpAddr::V6(_) => {
            let bits = !u128::MAX.checked_shr(length).unwrap_or(0);
            std::net::Ipv6Addr::from_bits(bits).into()
        }
    }
}

fn compile_conntrack(key: ConntrackKey, bits: u32, out: &mut Vec<Expression>) {
    out.push(Expression::Conntrack { key, to: FIRST });
    out.push(Expression::Mask {
        register: FIRST,
        mask: bits.to_ne_bytes().to_vec(),
    });
    out.push(Expression::Compare {
        register: FIRST,
        comparison: Comparison::NotEqual,
        value: vec![0; 4],
    });
}

/// Loads the keys one behind the other and looks all of them up at once.
fn compile_lookup(keys: &[Key], set: &str, out: &mut Vec<Expression>) {
    let mut at = 0;
    for key in keys {
        let to = Register(at);
        let transport = |offset| Expression::Payload {
            base: PayloadBase::Transport,
            offset,
            length: 2,
            to,
        };
        let address = |offset, family| Expression::Payload {
            base: PayloadBase::Network,
            offset,
            length: address_length(family),
            to,
        };
        let meta = |key| Expression::Meta { key, to };
        let (load, registers) = match *key {
            Key::In => (meta(MetaKey::InName), INTERFACE_REGISTERS),
            Key::Out => (meta(MetaKey::OutName), INTERFACE_REGISTERS),
            Key::SocketUid => (meta(MetaKey::SocketUid), 1),
            Key::Protocol => (meta(MetaKey::Transport), 1),
            Key::SourcePort => (transport(0), 1),
            Key::DestinationPort => (transport(2), 1),
            Key::Source(family) => (
                address(source_offset(family), family),
                address_length(family) / 4,
            ),
            Key::Destination(family) => (
                address(destination_offset(family), family),
                address_length(family) / 4,
            ),
        };
        out.push(load);
        at += registers;
    }
    out.push(Expression::Lookup {
        set: set.to_owned(),
        register: FIRST,
    });
}

impl Action {
    fn compile(self, out: &mut Vec<Expression>) {
        match self {
            Self::Accept => out.push(Expression::Verdict(Verdict::Accept)),
            Self::Drop => out.push(Expression::Verdict(Verdict::Drop)),
            Self::Reject(with) => out.extend([Expression::Counter, Expression::Reject(with)]),
            Self::Redirect(port) => out.extend([
                Expression::Immediate {
                    to: FIRST,
                    value: port.to_be_bytes().to_vec(),
                },
                Expression::Redirect { port: FIRST },
            ]),
            Self::ToSource(port) => out.extend([
                payload(
                    PayloadBase::Network,
                    source_offset(Family::V6),
                    address_length(Family::V6),
                ),
                Expression::Immediate {
                    to: BEHIND_ADDRESS,
                    value: port.to_be_bytes().to_vec(),
                },
                Expression::Destination {
                    address: FIRST,
                    port: BEHIND_ADDRESS,
                },
            ]),
            Self::Mark(mark) => out.extend([
                Expression::Immediate {
                    to: FIRST,
                    value: mark.to_ne_bytes().to_vec(),
                },
                Expression::MetaSet {
                    key: MetaKey::Mark,
                    from: FIRST,
                },
            ]),
        }
    }
}
