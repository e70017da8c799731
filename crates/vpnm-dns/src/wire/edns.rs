//! The EDNS pseudo record and its options (RFC 6891).

use super::{Record, kind};

/// Payload this resolver announces: what fits unfragmented into every path.
pub(crate) const OUR_PAYLOAD: u16 = 1232;
/// Smallest payload a client can have (RFC 1035 section 4.2.1).
const LEAST_PAYLOAD: u16 = 512;
/// The DNSSEC-OK bit in the record's time to live (RFC 3225).
const DNSSEC_OK: u32 = 0x8000;

/// Option codes (IANA, DNS EDNS0 option codes).
pub(crate) mod option {
    /// Client subnet (RFC 7871).
    pub(crate) const CLIENT_SUBNET: u16 = 8;
    /// Padding (RFC 7830).
    pub(crate) const PADDING: u16 = 12;
    /// Extended error (RFC 8914).
    pub(crate) const EXTENDED_ERROR: u16 = 15;
}

/// What a client says with its EDNS record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edns {
    /// Largest UDP message the client takes, in bytes, at least 512.
    pub payload: u16,
    /// Whether DNSSEC records are wanted.
    pub dnssec_ok: bool,
}

/// Why an EDNS record cannot be honoured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EdnsError {
    /// The version is not 0.
    #[error("the EDNS version is not 0")]
    Version,
}

impl Edns {
    /// Reads an OPT record.
    ///
    /// # Errors
    /// [`EdnsError::Version`] when the client speaks a later EDNS.
    pub fn of(record: &Record) -> Result<Self, EdnsError> {
        if record.ttl.to_be_bytes()[1] != 0 {
            return Err(EdnsError::Version);
        }
        Ok(Self {
            payload: record.class.max(LEAST_PAYLOAD),
            dnssec_ok: record.ttl & DNSSEC_OK != 0,
        })
    }
}

/// The upper eight bits of the response code an OPT record carries.
pub(crate) fn extended_rcode(record: &Record) -> u8 {
    record.ttl.to_be_bytes()[0]
}

/// The options of an OPT record's data; ends at the first malformed one.
pub(crate) fn options(data: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = data;
    std::iter::from_fn(move || {
        let (code, after) = rest.split_first_chunk()?;
        let (length, after) = after.split_first_chunk()?;
        let (value, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        rest = after;
        Some((u16::from_be_bytes(*code), value))
    })
}

/// Appends an OPT record; `options` are complete options, code and length included.
pub(crate) fn push_opt(out: &mut Vec<u8>, rcode: u16, dnssec_ok: bool, options: &[u8]) {
    let [_, upper] = (rcode >> 4).to_be_bytes();
    let flags = if dnssec_ok { [0x80, 0] } else { [0, 0] };
    out.push(0);
    out.extend_from_slice(&kind::OPT.to_be_bytes());
    out.extend_from_slice(&OUR_PAYLOAD.to_be_bytes());
    out.extend_from_slice(&[upper, 0]);
    out.extend_from_slice(&flags);
    out.extend_from_slice(&u16::try_from(options.len()).unwrap_or(0).to_be_bytes());
    if u16::try_from(options.len()).is_ok() {
        out.extend_from_slice(options);
    }
}

/// Appends one option.
pub(crate) fn push_option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let Ok(length) = u16::try_from(value.len()) else {
        return;
    };
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value);
}
