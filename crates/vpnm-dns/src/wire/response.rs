//! An upstream's response, judged once and kept in the form it is answered from.

use std::net::IpAddr;
use std::time::Duration;

use super::edns::{extended_rcode, option, options, push_option};
use super::name::expanded_name;
use super::query::name_of;
use super::{
    Flags, Header, Key, Rcode, Record, Records, Section, WireError, kind, question, u32_at,
};

/// Longest time a positive answer is kept (RFC 8767 section 4 suggests days, not weeks).
const LONGEST_LIFE: u32 = 86_400;
/// Longest time a negative answer is kept (RFC 2308 section 5).
const LONGEST_NEGATIVE: u32 = 10_800;
/// How long a failure of the upstream is remembered (RFC 9520 section 3.2).
const FAILURE_LIFE: Duration = Duration::from_secs(5);
/// Longest extended error kept from an upstream, in bytes.
const LONGEST_ERROR: usize = 256;

/// A response without its EDNS record, with the places where time passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    message: Box<[u8]>,
    question_len: usize,
    ttls: Box<[u16]>,
    errors: Box<[u8]>,
    lifetime: Lifetime,
}

/// How long a response may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// It answers the waiting clients and nobody else.
    Once,
    /// It holds data, or says that there is none, for this long.
    Fresh(Duration),
    /// The upstream failed; asking again earlier than this is no use.
    Failed(Duration),
}

/// Why a response is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// The message is malformed.
    #[error("the response is malformed: {0}")]
    Wire(#[from] WireError),
    /// The message is no response to a standard query.
    #[error("the message is no response")]
    NoResponse,
    /// The question is another than the one that was asked.
    #[error("the response is for another question")]
    Question,
    /// The response is longer than a message can be.
    #[error("the response is longer than 65535 bytes")]
    TooLong,
}

impl Response {
    /// Reads the response to the lookup of `key`.
    ///
    /// # Errors
    /// [`ResponseError`] when it is malformed or belongs to another question.
    pub fn decode(message: &[u8], key: &Key) -> Result<Self, ResponseError> {
        Self::decode_about(message, key, |_| Ok(true))
    }

    /// What is remembered of a lookup that nobody answered (RFC 9520 section 3.2).
    pub(crate) fn unanswered(key: &Key) -> Result<Self, ResponseError> {
        let header = Header {
            id: 0,
            flags: Flags(Flags::QR | Flags::RA | Rcode::ServFail.code()),
            questions: 1,
            records: [0; 3],
        };
        let mut message = header.encode().to_vec();
        message.extend_from_slice(key.name());
        message.extend_from_slice(&key.kind().to_be_bytes());
        message.extend_from_slice(&super::class::IN.to_be_bytes());
        Self::decode(&message, key)
    }

    /// As [`decode`](Self::decode), for a server that is believed in some names only:
    /// the response ends before the first record of another name, which `is_trusted`
    /// tells by lower-case names in wire form, and says nothing of authenticity.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn decode_trusting(
        message: &[u8],
        key: &Key,
        is_trusted: impl Fn(&[u8]) -> bool,
    ) -> Result<Self, ResponseError> {
        let owner_is_trusted =
            |record: &Record| expanded_name(message, record.start).map(|name| is_trusted(&name));
        let mut response = Self::decode_about(message, key, owner_is_trusted)?;
        let flags = Flags(response.flags().0 & !Flags::AD);
        super::put(&mut response.message, 2, &flags.0.to_be_bytes());
        Ok(response)
    }

    fn decode_about(
        message: &[u8],
        key: &Key,
        is_kept: impl Fn(&Record) -> Result<bool, WireError>,
    ) -> Result<Self, ResponseError> {
        let mut header = Header::decode(message)?;
        if !header.flags.has(Flags::QR) || header.flags.opcode() != 0 {
            return Err(ResponseError::NoResponse);
        }
        let question = question(message)?;
        let asked = Key::new(
            name_of(question),
            key.kind(),
            key.dnssec_ok(),
            key.checking_disabled(),
        );
        let kind_and_class = [key.kind(), super::class::IN]
            .map(u16::to_be_bytes)
            .concat();
        if asked != *key || !question.ends_with(&kind_and_class) {
            return Err(ResponseError::Question);
        }
        let mut survey = Survey::default();
        let mut records = Records::of(message)?;
        for record in records.by_ref() {
            let record = record?;
            let is_opt = record.kind == kind::OPT;
            if !is_opt && !is_kept(&record)? {
                survey.cut = Some(record.start);
                header.records = survey.counts;
                break;
            }
            if survey.take(message, &record, key.kind()) == Walk::CutHere {
                header.records = survey.counts;
                break;
            }
        }
        if survey.extended_rcode != 0 {
            // Codes beyond four bits concern the hop to the upstream, not the client.
            header.flags.0 = header.flags.0 & !0xf | Rcode::ServFail.code();
        }
        let end = survey.cut.unwrap_or_else(|| records.position());
        let mut kept: Box<[u8]> = message.get(..end).ok_or(WireError::Truncated)?.into();
        super::put(&mut kept, 0, &header.encode());
        if u16::try_from(kept.len()).is_err() {
            return Err(ResponseError::TooLong);
        }
        Ok(Self {
            message: kept,
            question_len: question.len(),
            lifetime: survey.lifetime(header.flags),
            ttls: survey.ttls.into(),
            errors: survey.errors.into(),
        })
    }

    /// The message without its EDNS record; times to live as they were received.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// Length of the question section in bytes.
    pub(crate) fn question_len(&self) -> usize {
        self.question_len
    }

    /// Where the times to live are.
    pub(crate) fn ttls(&self) -> &[u16] {
        &self.ttls
    }

    /// Extended errors of the upstream, as complete EDNS options.
    pub(crate) fn errors(&self) -> &[u8] {
        &self.errors
    }

    /// How long the response may be used.
    #[must_use]
    pub fn lifetime(&self) -> Lifetime {
        self.lifetime
    }

    /// Flags of the response.
    #[must_use]
    pub fn flags(&self) -> Flags {
        Header::decode(&self.message).map_or(Flags(0), |header| header.flags)
    }

    /// The name of the question, lower-case or not, in wire form.
    pub(crate) fn name(&self) -> &[u8] {
        question(&self.message).map_or(&[], name_of)
    }

    /// The addresses in the answer section.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let records = Records::of(&self.message).into_iter().flatten();
        records.map_while(Result::ok).filter_map(|record| {
            let data = self.message.get(record.data.clone())?;
            match (record.section, record.kind) {
                (Section::Answer, kind::A) => Some(IpAddr::from(<[u8; 4]>::try_from(data).ok()?)),
                (Section::Answer, kind::AAAA) => {
                    Some(IpAddr::from(<[u8; 16]>::try_from(data).ok()?))
                }
                _ => None,
            }
        })
    }

    /// Memory the response takes, in bytes.
    pub(crate) fn cost(&self) -> usize {
        self.message.len() + 2 * self.ttls.len() + self.errors.len() + size_of::<Self>()
    }
}

/// Whether the walk goes on behind a record.
#[derive(PartialEq, Eq)]
enum Walk {
    GoOn,
    CutHere,
}

/// What one pass over the records collects.
#[derive(Default)]
struct Survey {
    ttls: Vec<u16>,
    errors: Vec<u8>,
    /// Where the message is cut: at its EDNS record, which every client gets anew.
    cut: Option<usize>,
    /// Records so far, by section.
    counts: [u16; 3],
    least_ttl: Option<u32>,
    negative_ttl: Option<u32>,
    answered: bool,
    extended_rcode: u8,
}

impl Survey {
    fn take(&mut self, message: &[u8], record: &Record, asked: u16) -> Walk {
        if record.kind == kind::OPT && record.section == Section::Additional {
            self.extended_rcode = extended_rcode(record);
            self.keep_errors(message.get(record.data.clone()).unwrap_or_default());
            self.cut = Some(record.start);
            return Walk::CutHere;
        }
        if let Ok(at) = u16::try_from(record.ttl_at) {
            self.ttls.push(at);
        }
        // A set top bit means 0 (RFC 2181 section 8).
        let ttl = if record.ttl > i32::MAX.unsigned_abs() {
            0
        } else {
            record.ttl
        };
        self.least_ttl = Some(self.least_ttl.map_or(ttl, |least| least.min(ttl)));
        if let Some(count) = self.counts.get_mut(record.section.index()) {
            *count = count.saturating_add(1);
        }
        match record.section {
            Section::Answer => self.answered |= record.kind == asked,
            Section::Authority if record.kind == kind::SOA => {
                let minimum = record
                    .data
                    .end
                    .checked_sub(4)
                    .and_then(|at| u32_at(message, at).ok());
                self.negative_ttl = minimum.map(|minimum| minimum.min(ttl));
            }
            Section::Authority | Section::Additional => {}
        }
        Walk::GoOn
    }

    fn keep_errors(&mut self, data: &[u8]) {
        for (code, value) in options(data) {
            let fits = self.errors.len() + value.len() + 4 <= LONGEST_ERROR;
            if code == option::EXTENDED_ERROR && value.len() >= 2 && fits {
                push_option(&mut self.errors, code, value);
            }
        }
    }

    fn lifetime(&self, flags: Flags) -> Lifetime {
        let seconds = |ttl: u32, most: u32| match ttl.min(most) {
            0 => Lifetime::Once,
            ttl => Lifetime::Fresh(Duration::from_secs(ttl.into())),
        };
        if flags.has(Flags::TC) {
            return Lifetime::Once;
        }
        match (flags.rcode(), self.extended_rcode) {
            (0, 0) if self.answered => seconds(self.least_ttl.unwrap_or(0), LONGEST_LIFE),
            (0 | 3, 0) => {
                let negative = self.negative_ttl.unwrap_or(0);
                let chain = self.least_ttl.unwrap_or(0);
                seconds(negative.min(chain), LONGEST_NEGATIVE)
            }
            _ => Lifetime::Failed(FAILURE_LIFE),
        }
    }
}
