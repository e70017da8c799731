//! A client's query: what it asks, and whether it may be asked at all.

use super::{Edns, Flags, HEADER_LEN, Header, Records, WireError, class, kind, u16_at, wire_name};

/// A standard query for one name of class IN, read from a client's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query<'a> {
    /// The client's identifier.
    pub id: u16,
    /// The client's flags.
    pub flags: Flags,
    /// The question section as the client spelled it.
    pub question: &'a [u8],
    /// The record type asked for.
    pub kind: u16,
    /// What the client says about itself, if it speaks EDNS.
    pub edns: Option<Edns>,
}

/// Why a message is not looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Not a query at all, or no header: answering could only feed a loop.
    #[error("the message is no query")]
    Silent,
    /// The message is malformed or does not hold one question.
    #[error("the query is malformed")]
    Malformed,
    /// The operation is not a standard query.
    #[error("the operation is not a standard query")]
    Opcode,
    /// The EDNS version is not 0.
    #[error("the EDNS version is not 0")]
    EdnsVersion,
    /// A class other than IN, or a zone transfer.
    #[error("the query is not answered by policy")]
    Policy,
    /// The query asks for every type (RFC 8482).
    #[error("the query asks for every type")]
    Any,
}

/// What identifies a lookup: name, type and the bits that change the answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Box<[u8]>);

/// The question section of a message with exactly one, as spelled: name, type, class.
///
/// # Errors
/// [`WireError`] when there is not exactly one well-formed, uncompressed question.
pub fn question(message: &[u8]) -> Result<&[u8], WireError> {
    if Header::decode(message)?.questions != 1 {
        return Err(WireError::Questions);
    }
    let end = HEADER_LEN + wire_name(message, HEADER_LEN)?.len() + 4;
    message.get(HEADER_LEN..end).ok_or(WireError::Truncated)
}

/// The name of a question section.
pub(crate) fn name_of(question: &[u8]) -> &[u8] {
    question
        .split_last_chunk::<4>()
        .map_or(&[], |(name, _)| name)
}

impl<'a> Query<'a> {
    /// Judges a client's message.
    ///
    /// # Errors
    /// [`Unfit`] with how the message is to be answered instead of a lookup.
    pub fn decode(message: &'a [u8]) -> Result<Self, Unfit> {
        let header = Header::decode(message).map_err(|_| Unfit::Silent)?;
        if header.flags.has(Flags::QR) {
            return Err(Unfit::Silent);
        }
        if header.flags.opcode() != 0 {
            return Err(Unfit::Opcode);
        }
        let question = question(message).map_err(|_| Unfit::Malformed)?;
        let edns = edns_of(message, &header)?;
        let tail = question.len() - 4;
        let kind = u16_at(question, tail).map_err(|_| Unfit::Malformed)?;
        let class = u16_at(question, tail + 2).map_err(|_| Unfit::Malformed)?;
        match (class, kind) {
            (class::IN, kind::AXFR | kind::IXFR | kind::OPT) => Err(Unfit::Policy),
            (class::IN, kind::ANY) => Err(Unfit::Any),
            (class::IN, _) => Ok(Self {
                id: header.id,
                flags: header.flags,
                question,
                kind,
                edns,
            }),
            _ => Err(Unfit::Policy),
        }
    }

    /// The name asked for, as spelled, in wire form.
    #[must_use]
    pub fn name(&self) -> &'a [u8] {
        name_of(self.question)
    }

    /// What identifies this lookup.
    #[must_use]
    pub fn key(&self) -> Key {
        let dnssec_ok = self.edns.is_some_and(|edns| edns.dnssec_ok);
        Key::new(self.name(), self.kind, dnssec_ok, self.flags.has(Flags::CD))
    }
}

/// The EDNS record of a query; anything else behind the question is walked and ignored.
fn edns_of(message: &[u8], header: &Header) -> Result<Option<Edns>, Unfit> {
    if header.records == [0; 3] {
        return Ok(None);
    }
    let mut edns = None;
    for record in Records::of(message).map_err(|_| Unfit::Malformed)? {
        let record = record.map_err(|_| Unfit::Malformed)?;
        if record.kind != kind::OPT {
            continue;
        }
        let is_root = message.get(record.start) == Some(&0);
        if edns.is_some() || !is_root {
            return Err(Unfit::Malformed);
        }
        edns = Some(Edns::of(&record).map_err(|_| Unfit::EdnsVersion)?);
    }
    Ok(edns)
}

impl Key {
    /// A key from an uncompressed name of any spelling.
    #[must_use]
    pub fn new(name: &[u8], kind: u16, dnssec_ok: bool, checking_disabled: bool) -> Self {
        let mut bytes = Vec::with_capacity(name.len() + 3);
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.push(u8::from(dnssec_ok) | u8::from(checking_disabled) << 1);
        bytes.extend(name.iter().map(u8::to_ascii_lowercase));
        Self(bytes.into())
    }

    /// The record type.
    #[must_use]
    pub fn kind(&self) -> u16 {
        u16_at(&self.0, 0).unwrap_or(0)
    }

    /// Whether DNSSEC records are wanted.
    #[must_use]
    pub fn dnssec_ok(&self) -> bool {
        self.bits() & 1 != 0
    }

    /// Whether the client checks signatures itself.
    #[must_use]
    pub fn checking_disabled(&self) -> bool {
        self.bits() & 2 != 0
    }

    /// The name, lower-case, in wire form.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.0.get(3..).unwrap_or_default()
    }

    /// Memory the key takes, in bytes.
    pub(crate) fn cost(&self) -> usize {
        self.0.len()
    }

    fn bits(&self) -> u8 {
        self.0.get(2).copied().unwrap_or(0)
    }
}
