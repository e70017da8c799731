//! Resource records of a message, one after the other, without copying them.

use std::ops::Range;

use super::{HEADER_LEN, Header, WireError, skip_name, u16_at, u32_at};

/// Record types that are treated specially (IANA, DNS parameters).
pub mod kind {
    /// IPv4 address.
    pub const A: u16 = 1;
    /// Canonical name.
    pub const CNAME: u16 = 5;
    /// Start of authority.
    pub const SOA: u16 = 6;
    /// Host information; the answer to ANY (RFC 8482).
    pub const HINFO: u16 = 13;
    /// Pointer from an address to a name.
    pub const PTR: u16 = 12;
    /// IPv6 address.
    pub const AAAA: u16 = 28;
    /// EDNS pseudo record (RFC 6891).
    pub const OPT: u16 = 41;
    /// Service binding of HTTPS (RFC 9460).
    pub const HTTPS: u16 = 65;
    /// Incremental zone transfer.
    pub const IXFR: u16 = 251;
    /// Zone transfer.
    pub const AXFR: u16 = 252;
    /// Every type.
    pub const ANY: u16 = 255;
}

/// Record classes.
pub mod class {
    /// The internet.
    pub const IN: u16 = 1;
}

/// Where in the message a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Answers to the question.
    Answer,
    /// Authority: the zone that speaks.
    Authority,
    /// Additional records.
    Additional,
}

impl Section {
    /// Its place among the counts of a header.
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Answer => 0,
            Self::Authority => 1,
            Self::Additional => 2,
        }
    }
}

/// The place of one record in its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The section the record belongs to.
    pub section: Section,
    /// Where the record begins: the first byte of its name.
    pub start: usize,
    /// The record's type.
    pub kind: u16,
    /// The record's class.
    pub class: u16,
    /// Where the four bytes of its time to live are.
    pub ttl_at: usize,
    /// Time to live in seconds.
    pub ttl: u32,
    /// Where its data is.
    pub data: Range<usize>,
}

/// Walks the records of a message; ends after the first error.
#[derive(Debug)]
pub struct Records<'a> {
    message: &'a [u8],
    at: usize,
    left: [u16; 3],
}

impl<'a> Records<'a> {
    /// Walks the records behind the questions.
    ///
    /// # Errors
    /// [`WireError`] when the header or a question is malformed.
    pub fn of(message: &'a [u8]) -> Result<Self, WireError> {
        let header = Header::decode(message)?;
        let mut at = HEADER_LEN;
        for _ in 0..header.questions {
            at = skip_name(message, at)? + 4;
            if at > message.len() {
                return Err(WireError::Truncated);
            }
        }
        Ok(Self {
            message,
            at,
            left: header.records,
        })
    }

    /// The position behind the last record that was walked.
    #[must_use]
    pub fn position(&self) -> usize {
        self.at
    }

    /// The section of the next record, counted off.
    fn next_section(&mut self) -> Option<Section> {
        let sections = [Section::Answer, Section::Authority, Section::Additional];
        let (section, left) = sections
            .into_iter()
            .zip(&mut self.left)
            .find(|(_, n)| **n > 0)?;
        *left -= 1;
        Some(section)
    }

    fn read(&mut self, section: Section) -> Result<Record, WireError> {
        let start = self.at;
        let fixed = skip_name(self.message, start)?;
        let data = fixed + 10;
        let end = data + usize::from(u16_at(self.message, fixed + 8)?);
        if end > self.message.len() {
            return Err(WireError::Truncated);
        }
        self.at = end;
        Ok(Record {
            section,
            start,
            kind: u16_at(self.message, fixed)?,
            class: u16_at(self.message, fixed + 2)?,
            ttl_at: fixed + 4,
            ttl: u32_at(self.message, fixed + 4)?,
            data: data..end,
        })
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Record, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        let section = self.next_section()?;
        let record = self.read(section);
        if record.is_err() {
            self.left = [0; 3];
        }
        Some(record)
    }
}
