//! Expressions: the instructions a rule is made of.

use crate::netlink::{Attributes, Failure, Writer};

use super::attribute::{DATA_VALUE, DATA_VERDICT, EXPR_DATA, EXPR_NAME, LIST_ELEM, VERDICT_CODE};

/// A register of 4 bytes, 0 to 15; longer values take the ones behind it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Register(pub(crate) u32);

impl Register {
    /// How the kernel numbers it: the four registers of 16 bytes have the numbers
    /// 1 to 4, all others 8 and up.
    fn number(self) -> u32 {
        let Self(index) = self;
        if index.is_multiple_of(4) {
            1 + index / 4
        } else {
            8 + index
        }
    }

    fn from_number(number: u32) -> Option<Self> {
        match number {
            1..=4 => Some(Self((number - 1) * 4)),
            8..=23 => Some(Self(number - 8)),
            _ => None,
        }
    }
}

/// Declares an enum with the kernel's numbers, both ways.
macro_rules! numbered {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $number:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            fn number(self) -> u32 {
                match self { $(Self::$variant => $number,)* }
            }

            fn from_number(number: u32) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

numbered! {
    /// What `meta` reads.
    MetaKey {
        /// The EtherType the stack has noted, network byte order.
        Protocol = 1,
        /// The packet's mark.
        Mark = 3,
        /// The name of the input interface.
        InName = 6,
        /// The name of the output interface.
        OutName = 7,
        /// The uid that created the socket.
        SocketUid = 10,
        /// The netfilter family (2 IPv4, 10 IPv6).
        Family = 15,
        /// The transport protocol.
        Transport = 16,
    }
}

numbered! {
    /// Where `payload` counts from.
    PayloadBase {
        /// The link-layer header.
        Link = 0,
        /// The network header.
        Network = 1,
        /// The transport header.
        Transport = 2,
    }
}

numbered! {
    /// How `cmp` compares.
    Comparison {
        /// The same.
        Equal = 0,
        /// Not the same.
        NotEqual = 1,
    }
}

numbered! {
    /// What `ct` reads.
    ConntrackKey {
        /// New, established, related and so on, as bits.
        State = 0,
        /// What has happened to the connection, as bits (`IPS_*`).
        Status = 2,
    }
}

numbered! {
    /// What `reject` answers, whatever the family.
    RejectWith {
        /// ICMP port unreachable.
        PortUnreachable = 1,
        /// ICMP administratively prohibited.
        Prohibited = 3,
    }
}

/// What becomes of the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is discarded.
    Drop,
    /// It passes this chain.
    Accept,
}

impl Verdict {
    pub(crate) fn code(self) -> u32 {
        match self {
            Self::Drop => 0,
            Self::Accept => 1,
        }
    }

    pub(crate) fn from_code(code: u32) -> Option<Self> {
        match code {
            0 => Some(Self::Drop),
            1 => Some(Self::Accept),
            _ => None,
        }
    }
}

/// One instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expression {
    /// Reads a property of the packet.
    Meta { key: MetaKey, to: Register },
    /// Writes a property of the packet.
    MetaSet { key: MetaKey, from: Register },
    /// Reads bytes of the packet.
    Payload {
        base: PayloadBase,
        offset: u32,
        length: u32,
        to: Register,
    },
    /// Goes on only if the register holds, or does not hold, the value.
    Compare {
        register: Register,
        comparison: Comparison,
        value: Vec<u8>,
    },
    /// Clears every bit that is not in the mask.
    Mask { register: Register, mask: Vec<u8> },
    /// Goes on only if the set holds the value that begins in the register.
    Lookup { set: String, register: Register },
    /// Reads a property of the connection.
    Conntrack { key: ConntrackKey, to: Register },
    /// Puts a value into a register.
    Immediate { to: Register, value: Vec<u8> },
    /// Decides.
    Verdict(Verdict),
    /// Counts packets and bytes.
    Counter,
    /// Discards and answers with an error.
    Reject(RejectWith),
    /// Sends the connection to this machine, to the port in the register.
    Redirect { port: Register },
    /// Sends an IPv6 connection to the address and the port in the registers.
    Destination { address: Register, port: Register },
    /// An instruction this crate never writes; its name.
    Unknown(String),
}

/// Attribute numbers inside the data of each expression.
mod data {
    pub(super) const META_DREG: u16 = 1;
    pub(super) const META_KEY: u16 = 2;
    pub(super) const META_SREG: u16 = 3;
    pub(super) const PAYLOAD_DREG: u16 = 1;
    pub(super) const PAYLOAD_BASE: u16 = 2;
    pub(super) const PAYLOAD_OFFSET: u16 = 3;
    pub(super) const PAYLOAD_LEN: u16 = 4;
    pub(super) const CMP_SREG: u16 = 1;
    pub(super) const CMP_OP: u16 = 2;
    pub(super) const CMP_DATA: u16 = 3;
    pub(super) const BITWISE_SREG: u16 = 1;
    pub(super) const BITWISE_DREG: u16 = 2;
    pub(super) const BITWISE_LEN: u16 = 3;
    pub(super) const BITWISE_MASK: u16 = 4;
    pub(super) const BITWISE_XOR: u16 = 5;
    pub(super) const BITWISE_OP: u16 = 6;
    pub(super) const LOOKUP_SET: u16 = 1;
    pub(super) const LOOKUP_SREG: u16 = 2;
    pub(super) const LOOKUP_FLAGS: u16 = 5;
    pub(super) const CT_DREG: u16 = 1;
    pub(super) const CT_KEY: u16 = 2;
    pub(super) const IMMEDIATE_DREG: u16 = 1;
    pub(super) const IMMEDIATE_DATA: u16 = 2;
    pub(super) const REJECT_TYPE: u16 = 1;
    pub(super) const REJECT_CODE: u16 = 2;
    pub(super) const REDIR_PORT: u16 = 1;
    pub(super) const NAT_TYPE: u16 = 1;
    pub(super) const NAT_FAMILY: u16 = 2;
    pub(super) const NAT_ADDRESS_FIRST: u16 = 3;
    pub(super) const NAT_ADDRESS_LAST: u16 = 4;
    pub(super) const NAT_PORT_FIRST: u16 = 5;
    pub(super) const NAT_PORT_LAST: u16 = 6;
    pub(super) const NAT_FLAGS: u16 = 7;
}

/// `NFT_REJECT_ICMPX_UNREACH`.
const REJECT_ANY_FAMILY: u32 = 2;
/// `NFT_NAT_DNAT`.
const DESTINATION_NAT: u32 = 1;
/// `NFPROTO_IPV6`.
const IPV6: u32 = 10;
/// That addresses and ports are given (`NF_NAT_RANGE_MAP_IPS`,
/// `NF_NAT_RANGE_PROTO_SPECIFIED`): the kernel says so where it is anyway.
const GIVEN: u32 = 1 | 2;
/// The register that holds the verdict.
const VERDICT_REGISTER: u32 = 0;

impl Expression {
    /// Appends the expression as an element of a rule's list.
    pub(crate) fn encode(&self, list: &mut Writer) {
        list.nested(LIST_ELEM, |element| {
            element.text(EXPR_NAME, self.name());
            element.nested(EXPR_DATA, |data| self.encode_data(data));
        });
    }

    /// The kernel's name of the instruction.
    fn name(&self) -> &str {
        match self {
            Self::Meta { .. } | Self::MetaSet { .. } => "meta",
            Self::Payload { .. } => "payload",
            Self::Compare { .. } => "cmp",
            Self::Mask { .. } => "bitwise",
            Self::Lookup { .. } => "lookup",
            Self::Conntrack { .. } => "ct",
            Self::Immediate { .. } | Self::Verdict(_) => "immediate",
            Self::Counter => "counter",
            Self::Reject(_) => "reject",
            Self::Redirect { .. } => "redir",
            Self::Destination { .. } => "nat",
            Self::Unknown(name) => name,
        }
    }

    fn encode_data(&self, out: &mut Writer) {
        match self {
            Self::Meta { key, to } => {
                out.network(data::META_DREG, to.number());
                out.network(data::META_KEY, key.number());
            }
            Self::MetaSet { key, from } => {
                out.network(data::META_SREG, from.number());
                out.network(data::META_KEY, key.number());
            }
            Self::Payload {
                base,
                offset,
                length,
                to,
            } => {
                out.network(data::PAYLOAD_DREG, to.number());
                out.network(data::PAYLOAD_BASE, base.number());
                out.network(data::PAYLOAD_OFFSET, *offset);
                out.network(data::PAYLOAD_LEN, *length);
            }
            Self::Compare {
                register,
                comparison,
                value,
            } => {
                out.network(data::CMP_SREG, register.number());
                out.network(data::CMP_OP, comparison.number());
                out.nested(data::CMP_DATA, |data| data.bytes(DATA_VALUE, value));
            }
            Self::Mask { register, mask } => encode_mask(out, *register, mask),
            Self::Lookup { set, register } => {
                out.text(data::LOOKUP_SET, set);
                out.network(data::LOOKUP_SREG, register.number());
            }
            Self::Conntrack { key, to } => {
                out.network(data::CT_DREG, to.number());
                out.network(data::CT_KEY, key.number());
            }
            Self::Immediate { to, value } => {
                out.network(data::IMMEDIATE_DREG, to.number());
                out.nested(data::IMMEDIATE_DATA, |data| data.bytes(DATA_VALUE, value));
            }
            Self::Verdict(verdict) => encode_verdict(out, *verdict),
            Self::Reject(with) => {
                out.network(data::REJECT_TYPE, REJECT_ANY_FAMILY);
                out.bytes(data::REJECT_CODE, &with.number().to_le_bytes()[..1]);
            }
            Self::Redirect { port } => out.network(data::REDIR_PORT, port.number()),
            Self::Destination { address, port } => encode_destination(out, *address, *port),
            Self::Counter | Self::Unknown(_) => {}
        }
    }

    /// Reads an element of a rule's list.
    pub(crate) fn decode(element: &[u8]) -> Result<Self, Failure> {
        let element = Attributes::parse(element)?;
        let name = element.text(EXPR_NAME).ok_or(Failure::Malformed)?;
        let empty = Attributes::parse(&[])?;
        let data = element.nested(EXPR_DATA)?.unwrap_or(empty);
        let known = decode_data(&name, &data)?;
        Ok(known.unwrap_or(Self::Unknown(name)))
    }
}

fn encode_mask(out: &mut Writer, register: Register, mask: &[u8]) {
    let length = u32::try_from(mask.len()).expect("invariant: a mask has at most 16 bytes");
    out.network(data::BITWISE_SREG, register.number());
    out.network(data::BITWISE_DREG, register.number());
    out.network(data::BITWISE_LEN, length);
    out.nested(data::BITWISE_MASK, |data| data.bytes(DATA_VALUE, mask));
    let zeros = vec![0; mask.len()];
    out.nested(data::BITWISE_XOR, |data| data.bytes(DATA_VALUE, &zeros));
}

fn encode_destination(out: &mut Writer, address: Register, port: Register) {
    out.network(data::NAT_TYPE, DESTINATION_NAT);
    out.network(data::NAT_FAMILY, IPV6);
    for attribute in [data::NAT_ADDRESS_FIRST, data::NAT_ADDRESS_LAST] {
        out.network(attribute, address.number());
    }
    for attribute in [data::NAT_PORT_FIRST, data::NAT_PORT_LAST] {
        out.network(attribute, port.number());
    }
}

fn encode_verdict(out: &mut Writer, verdict: Verdict) {
    out.network(data::IMMEDIATE_DREG, VERDICT_REGISTER);
    out.nested(data::IMMEDIATE_DATA, |data| {
        data.nested(DATA_VERDICT, |data| {
            data.network(VERDICT_CODE, verdict.code());
        });
    });
}

/// `None` for an instruction, or a use of one, that this crate never writes.
fn decode_data(name: &str, data: &Attributes<'_>) -> Result<Option<Expression>, Failure> {
    Ok(match name {
        "meta" => decode_meta(data),
        "payload" => decode_payload(data),
        "cmp" => decode_compare(data)?,
        "bitwise" => decode_mask(data)?,
        "lookup" => decode_lookup(data),
        "ct" => decode_conntrack(data),
        "immediate" => decode_immediate(data)?,
        "counter" => Some(Expression::Counter),
        "reject" => decode_reject(data),
        "redir" => register(data, data::REDIR_PORT).map(|port| Expression::Redirect { port }),
        "nat" => decode_destination(data),
        _ => None,
    })
}

fn register(data: &Attributes<'_>, kind: u16) -> Option<Register> {
    data.network(kind).and_then(Register::from_number)
}

fn value(data: &Attributes<'_>, kind: u16) -> Result<Option<Vec<u8>>, Failure> {
    let data = data.nested(kind)?;
    Ok(data.and_then(|data| data.get(DATA_VALUE).map(<[u8]>::to_vec)))
}

fn decode_meta(data: &Attributes<'_>) -> Option<Expression> {
    let key = MetaKey::from_number(data.network(data::META_KEY)?)?;
    if let Some(from) = register(data, data::META_SREG) {
        return Some(Expression::MetaSet { key, from });
    }
    let to = register(data, data::META_DREG)?;
    Some(Expression::Meta { key, to })
}

fn decode_payload(data: &Attributes<'_>) -> Option<Expression> {
    Some(Expression::Payload {
        base: PayloadBase::from_number(data.network(data::PAYLOAD_BASE)?)?,
        offset: data.network(data::PAYLOAD_OFFSET)?,
        length: data.network(data::PAYLOAD_LEN)?,
        to: register(data, data::PAYLOAD_DREG)?,
    })
}

fn decode_compare(data: &Attributes<'_>) -> Result<Option<Expression>, Failure> {
    let comparison = data.network(data::CMP_OP).and_then(Comparison::from_number);
    let register = register(data, data::CMP_SREG);
    let value = value(data, data::CMP_DATA)?;
    Ok((|| {
        Some(Expression::Compare {
            register: register?,
            comparison: comparison?,
            value: value?,
        })
    })())
}

fn decode_mask(data: &Attributes<'_>) -> Result<Option<Expression>, Failure> {
    let from = register(data, data::BITWISE_SREG);
    let to = register(data, data::BITWISE_DREG);
    let xor = value(data, data::BITWISE_XOR)?.unwrap_or_default();
    let plain = data.network(data::BITWISE_OP).unwrap_or_default() == 0
        && from == to
        && xor.iter().all(|byte| *byte == 0);
    let mask = value(data, data::BITWISE_MASK)?.filter(|_| plain);
    Ok(from
        .zip(mask)
        .map(|(register, mask)| Expression::Mask { register, mask }))
}

fn decode_lookup(data: &Attributes<'_>) -> Option<Expression> {
    if data.network(data::LOOKUP_FLAGS).unwrap_or_default() != 0 {
        return None;
    }
    Some(Expression::Lookup {
        set: data.text(data::LOOKUP_SET)?,
        register: register(data, data::LOOKUP_SREG)?,
    })
}

fn decode_conntrack(data: &Attributes<'_>) -> Option<Expression> {
    Some(Expression::Conntrack {
        key: ConntrackKey::from_number(data.network(data::CT_KEY)?)?,
        to: register(data, data::CT_DREG)?,
    })
}

fn decode_immediate(data: &Attributes<'_>) -> Result<Option<Expression>, Failure> {
    if data.network(data::IMMEDIATE_DREG) != Some(VERDICT_REGISTER) {
        let to = register(data, data::IMMEDIATE_DREG);
        let value = value(data, data::IMMEDIATE_DATA)?;
        return Ok(to
            .zip(value)
            .map(|(to, value)| Expression::Immediate { to, value }));
    }
    let Some(data) = data.nested(data::IMMEDIATE_DATA)? else {
        return Ok(None);
    };
    let verdict = data.nested(DATA_VERDICT)?;
    let code = verdict.and_then(|verdict| verdict.network(VERDICT_CODE));
    Ok(code.and_then(Verdict::from_code).map(Expression::Verdict))
}

fn decode_reject(data: &Attributes<'_>) -> Option<Expression> {
    if data.network(data::REJECT_TYPE) != Some(REJECT_ANY_FAMILY) {
        return None;
    }
    let code = data.byte(data::REJECT_CODE)?;
    RejectWith::from_number(code.into()).map(Expression::Reject)
}

fn decode_destination(data: &Attributes<'_>) -> Option<Expression> {
    let kind = (
        data.network(data::NAT_TYPE)?,
        data.network(data::NAT_FAMILY)?,
    );
    let flags = data.network(data::NAT_FLAGS).unwrap_or_default();
    let one = |first, last| {
        let first = register(data, first)?;
        (register(data, last) == Some(first)).then_some(first)
    };
    let address = one(data::NAT_ADDRESS_FIRST, data::NAT_ADDRESS_LAST)?;
    let port = one(data::NAT_PORT_FIRST, data::NAT_PORT_LAST)?;
    let ours = kind == (DESTINATION_NAT, IPV6) && flags & !GIVEN == 0;
    ours.then_some(Expression::Destination { address, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Expression> {
        let (first, second) = (Register(0), Register(5));
        let mask = vec![255, 0, 0, 0];
        vec![
            Expression::Meta {
                key: MetaKey::OutName,
                to: first,
            },
            Expression::MetaSet {
                key: MetaKey::Mark,
                from: first,
            },
            Expression::Payload {
                base: PayloadBase::Network,
                offset: 16,
                length: 4,
                to: second,
            },
            Expression::Compare {
                register: first,
                comparison: Comparison::NotEqual,
                value: vec![1],
            },
            Expression::Mask {
                register: Register(4),
                mask: mask.clone(),
            },
            Expression::Lookup {
                set: "servers4".to_owned(),
                register: first,
            },
            Expression::Conntrack {
                key: ConntrackKey::Status,
                to: first,
            },
            Expression::Immediate {
                to: first,
                value: mask,
            },
            Expression::Verdict(Verdict::Drop),
            Expression::Verdict(Verdict::Accept),
            Expression::Counter,
            Expression::Reject(RejectWith::Prohibited),
            Expression::Redirect { port: first },
            Expression::Destination {
                address: first,
                port: second,
            },
        ]
    }

    fn encoded(expression: &Expression) -> Vec<u8> {
        let mut list = Writer::default();
        expression.encode(&mut list);
        list.as_bytes().to_vec()
    }

    #[test]
    fn an_expression_is_read_back_as_written() {
        for expression in samples() {
            let bytes = encoded(&expression);
            let element = Attributes::parse(&bytes).unwrap();
            let element = element.get(LIST_ELEM).unwrap();
            assert_eq!(Expression::decode(element).unwrap(), expression);
        }
    }

    #[test]
    fn changed_bytes_never_panic() {
        for expression in samples() {
            let bytes = encoded(&expression);
            for at in 4..bytes.len() {
                for value in [0, 1, 2, 9, 0x80, 0xff] {
                    let mut bad = bytes.clone();
                    bad[at] = value;
                    let _outcome = Expression::decode(&bad[4..]);
                }
            }
        }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_verdict_has_the_layout_libnftnl_writes() {
        let bytes = encoded(&Expression::Verdict(Verdict::Accept));
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let golden = "30000180 0e000100 696d6d6564696174 65000000 \
            1c000280 0800010000000000 10000280 0c000280 0800010000000001";
        assert_eq!(hex, golden.split_whitespace().collect::<String>());
    }

    #[test]
    fn a_register_keeps_its_number() {
        for index in 0..16 {
            let register = Register(index);
            assert_eq!(Register::from_number(register.number()), Some(register));
        }
        assert_eq!(Register::from_number(0), None);
    }
}
