//! Messages of RFC 1035 and RFC 6891 as bytes: read, judged and rewritten in place.
//!
//! Every reader is bounded by the message, follows compression pointers only
//! backwards, and never panics on any input.

mod edns;
mod header;
mod name;
mod query;
mod record;
mod reply;
mod response;
mod upstream_query;

pub use edns::{Edns, EdnsError};
pub use header::{Flags, HEADER_LEN, Header, Rcode};
pub use name::{Name, domain_of, skip_name, wire_name};
pub use query::{Key, Query, Unfit, question};
pub use record::{Record, Records, Section, class, kind};
pub use reply::{Asker, InfoCode, Reply, render};
pub use response::{Lifetime, Response, ResponseError};
pub use upstream_query::{PAD_BLOCK, encode_plain_query, encode_query};

/// Longest message DNS can carry, in bytes (RFC 1035 section 4.2.2).
pub const MAX_MESSAGE: usize = 65_535;

/// Why bytes are no DNS message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A field reaches past the end of the message.
    #[error("the message ends inside a field")]
    Truncated,
    /// A compression pointer does not point backwards (RFC 1035 section 4.1.4).
    #[error("a compression pointer does not point backwards")]
    Pointer,
    /// A label has one of the reserved length forms (RFC 1035 section 4.1.4).
    #[error("a label has a reserved length")]
    Label,
    /// A name is longer than 255 bytes (RFC 1035 section 2.3.4).
    #[error("a name is longer than 255 bytes")]
    NameTooLong,
    /// The question section does not hold exactly one question.
    #[error("there is not exactly one question")]
    Questions,
}

/// The two bytes at `at` as a big-endian number.
pub(crate) fn u16_at(message: &[u8], at: usize) -> Result<u16, WireError> {
    let bytes = message.get(at..).and_then(|rest| rest.first_chunk());
    bytes
        .map(|chunk| u16::from_be_bytes(*chunk))
        .ok_or(WireError::Truncated)
}

/// The four bytes at `at` as a big-endian number.
pub(crate) fn u32_at(message: &[u8], at: usize) -> Result<u32, WireError> {
    let bytes = message.get(at..).and_then(|rest| rest.first_chunk());
    bytes
        .map(|chunk| u32::from_be_bytes(*chunk))
        .ok_or(WireError::Truncated)
}

/// Overwrites bytes from `at` on; nothing happens when they do not fit.
pub(crate) fn put(message: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = message.get_mut(at..at.saturating_add(bytes.len())) {
        place.copy_from_slice(bytes);
    }
}
