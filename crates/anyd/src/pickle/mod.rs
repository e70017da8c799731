//! Python's pickles, data only: what names code is refused, so that to read
//! one can do nothing.

mod machine;
mod request;
mod writer;

#[cfg(test)]
mod corpus;

pub(crate) use request::{Request, read};
pub(crate) use writer::{ends, exception, value};

/// Why a pickle is not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    /// It would run code, or is of a kind that no client sends.
    #[error("opcode {0:#04x} is not allowed: only plain data is read")]
    Opcode(u8),
    /// Bytes are missing.
    #[error("the pickle ends in the middle")]
    Truncated,
    /// The machine's stack does not hold what the opcode needs.
    #[error("the pickle is malformed")]
    Malformed,
    /// Text that is not UTF-8.
    #[error("a text is not UTF-8")]
    Text,
    /// A whole number of more than 64 bits.
    #[error("a number is too large")]
    Number,
    /// Infinity or not a number, which JSON does not have.
    #[error("a number is not finite")]
    NotFinite,
    /// More values than any call has.
    #[error("too many values")]
    TooMany,
    /// Nested more deeply than any call is, or in itself.
    #[error("nested too deeply")]
    TooDeep,
    /// A dictionary with keys other than texts.
    #[error("a dictionary's keys are not texts")]
    Key,
    /// Not the form of a request.
    #[error("a request is (endpoint, arguments, keyword arguments)")]
    NoRequest,
}
