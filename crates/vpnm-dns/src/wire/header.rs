//! The twelve bytes every message begins with (RFC 1035 section 4.1.1).

use super::{WireError, u16_at};

/// Length of the header in bytes.
pub const HEADER_LEN: usize = 12;

/// The header of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Identifier chosen by the client.
    pub id: u16,
    /// Flags, opcode and response code.
    pub flags: Flags,
    /// Entries of the question section.
    pub questions: u16,
    /// Entries of the answer, authority and additional sections.
    pub records: [u16; 3],
}

/// The second two bytes of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(pub u16);

/// Response codes this resolver answers with itself (RFC 1035 section 4.1.1, RFC 6891 section 6.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rcode {
    /// The query was answered.
    NoError,
    /// The query could not be understood.
    FormErr,
    /// No answer could be had.
    ServFail,
    /// The name does not exist.
    NxDomain,
    /// The kind of query is not implemented.
    NotImp,
    /// The query is not answered by policy.
    Refused,
    /// The EDNS version is not implemented.
    BadVers,
}

impl Header {
    /// Reads the header.
    ///
    /// # Errors
    /// [`WireError::Truncated`] when there are fewer than twelve bytes.
    pub fn decode(message: &[u8]) -> Result<Self, WireError> {
        Ok(Self {
            id: u16_at(message, 0)?,
            flags: Flags(u16_at(message, 2)?),
            questions: u16_at(message, 4)?,
            records: [
                u16_at(message, 6)?,
                u16_at(message, 8)?,
                u16_at(message, 10)?,
            ],
        })
    }

    /// The header as it travels.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let [answers, authority, additional] = self.records;
        let words = [
            self.id,
            self.flags.0,
            self.questions,
            answers,
            authority,
            additional,
        ];
        let mut bytes = [0; HEADER_LEN];
        for (place, word) in bytes.chunks_exact_mut(2).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }
}

impl Flags {
    /// The message is a response.
    pub const QR: u16 = 0x8000;
    /// The answer is authoritative.
    pub const AA: u16 = 0x0400;
    /// The message was truncated.
    pub const TC: u16 = 0x0200;
    /// Recursion is desired.
    pub const RD: u16 = 0x0100;
    /// Recursion is available.
    pub const RA: u16 = 0x0080;
    /// The data was authenticated (RFC 4035 section 3.2.3).
    pub const AD: u16 = 0x0020;
    /// The client checks signatures itself (RFC 4035 section 3.2.2).
    pub const CD: u16 = 0x0010;

    /// Whether a flag is set.
    #[must_use]
    pub const fn has(self, flag: u16) -> bool {
        self.0 & flag != 0
    }

    /// The kind of query, 0 for a standard one.
    #[must_use]
    pub const fn opcode(self) -> u16 {
        (self.0 >> 11) & 0xf
    }

    /// The lower four bits of the response code.
    #[must_use]
    pub const fn rcode(self) -> u16 {
        self.0 & 0xf
    }
}

impl Rcode {
    /// The code as EDNS counts it: 12 bits.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::NoError => 0,
            Self::FormErr => 1,
            Self::ServFail => 2,
            Self::NxDomain => 3,
            Self::NotImp => 4,
            Self::Refused => 5,
            Self::BadVers => 16,
        }
    }
}
