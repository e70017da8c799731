//! What a client is sent: a kept response made its own, or a message of ours.

use std::net::IpAddr;
use std::time::Duration;

use super::edns::{Edns, OUR_PAYLOAD, option, push_opt, push_option};
use super::{
    Flags, HEADER_LEN, Header, Query, Rcode, Response, class, kind, put, question, u16_at, u32_at,
};

/// Time to live of a stale answer, in seconds (RFC 8767 section 4).
const STALE_TTL: u32 = 30;
/// Time to live of what this resolver says by itself, in seconds.
const OWN_TTL: u32 = 300;
/// Largest UDP answer to a client without EDNS (RFC 1035 section 4.2.1).
const PLAIN_LIMIT: usize = 512;

/// Extended errors (RFC 8914 section 4) this resolver reports itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InfoCode {
    /// The data is past its time (3).
    StaleAnswer,
    /// The failure was had a moment ago (13).
    CachedError,
    /// No upstream answered in time (22).
    NoReachableAuthority,
    /// The network that leads to the upstream is down (23).
    NetworkError,
    /// Names of the local network are not asked for, by the owner's decision (15).
    LocalBlocked,
    /// No resolver of the local network is known (22).
    NoLocalResolver,
}

/// A client that waits: what its answer has to look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    id: u16,
    flags: Flags,
    question: Box<[u8]>,
    edns: Option<Edns>,
    limit: usize,
}

/// What the answer says.
#[derive(Debug, Clone, Copy)]
pub enum Reply<'a> {
    /// A response received `age` ago; past its time it goes out as stale.
    Kept {
        /// The response.
        response: &'a Response,
        /// Time since it was received.
        age: Duration,
        /// Said in addition to what the upstream said.
        info: Option<InfoCode>,
    },
    /// A response code without data.
    Bare(Rcode, Option<InfoCode>),
    /// No such name, by decision of this resolver; `zone` is the length in bytes of
    /// the name's tail that is the zone (RFC 2308 needs its SOA).
    NoName {
        /// Length of the zone's name on the wire.
        zone: usize,
        /// Why it was decided so.
        info: Option<InfoCode>,
    },
    /// An address known without asking.
    Address(IpAddr),
    /// Nothing of this type at a name known without asking.
    NoData,
    /// The answer to a query for every type (RFC 8482 section 4.2).
    Minimal,
}

impl Asker {
    /// The client of a query; `stream` clients take messages of any length.
    #[must_use]
    pub fn of(query: &Query<'_>, stream: bool) -> Self {
        Self {
            id: query.id,
            flags: query.flags,
            question: query.question.into(),
            edns: query.edns,
            limit: limit(query.edns, stream),
        }
    }

    /// The client of a message that is no fit query, as far as it can be read.
    #[must_use]
    pub fn of_unfit(message: &[u8], stream: bool) -> Option<Self> {
        let header = Header::decode(message).ok()?;
        let readable = header.flags.opcode() == 0;
        let question = if readable {
            question(message).ok()
        } else {
            None
        };
        let edns = opt_of(message);
        Some(Self {
            id: header.id,
            flags: header.flags,
            question: question.unwrap_or_default().into(),
            edns,
            limit: limit(edns, stream),
        })
    }

    fn wants_authenticity(&self) -> bool {
        self.flags.has(Flags::AD) || self.edns.is_some_and(|edns| edns.dnssec_ok)
    }

    /// Flags of an answer: ours, the client's, and those of `from` that are passed on.
    fn flags(&self, from: Flags, rcode: u16) -> Flags {
        let mut passed = Flags::TC;
        if self.wants_authenticity() {
            passed |= Flags::AD;
        }
        let own = Flags::QR | Flags::RA | self.flags.0 & (Flags::RD | Flags::CD | 0x7800);
        Flags(own | from.0 & passed | rcode & 0xf)
    }
}

fn limit(edns: Option<Edns>, stream: bool) -> usize {
    match (stream, edns) {
        (true, _) => super::MAX_MESSAGE,
        (false, Some(edns)) => usize::from(edns.payload.min(OUR_PAYLOAD)).max(PLAIN_LIMIT),
        (false, None) => PLAIN_LIMIT,
    }
}

/// The EDNS record of a message that is answered with an error anyway.
fn opt_of(message: &[u8]) -> Option<Edns> {
    let records = super::Records::of(message).ok()?;
    let opt = records
        .map_while(Result::ok)
        .find(|r| r.kind == kind::OPT)?;
    Some(Edns::of(&opt).unwrap_or(Edns {
        payload: opt.class,
        dnssec_ok: false,
    }))
}

/// The message for a client.
#[must_use]
pub fn render(asker: &Asker, reply: &Reply<'_>) -> Vec<u8> {
    let mut draft = match reply {
        Reply::Kept {
            response,
            age,
            info,
        } => kept(asker, response, *age, *info),
        Reply::Bare(rcode, info) => Draft::new(asker, *rcode, *info),
        Reply::NoName { zone, info } => no_name(asker, *zone, *info),
        Reply::Address(address) => known_address(asker, *address),
        Reply::NoData => Draft::new(asker, Rcode::NoError, None),
        Reply::Minimal => minimal(asker),
    };
    draft.finish(asker);
    if draft.message.len() > asker.limit {
        return truncated(asker, &draft);
    }
    draft.message
}

/// A message without its EDNS record, and what that record will say.
struct Draft {
    message: Vec<u8>,
    rcode: u16,
    options: Vec<u8>,
}

impl Draft {
    fn new(asker: &Asker, rcode: Rcode, info: Option<InfoCode>) -> Self {
        let header = Header {
            id: asker.id,
            flags: asker.flags(Flags(0), rcode.code()),
            questions: u16::from(!asker.question.is_empty()),
            records: [0; 3],
        };
        let mut message = Vec::with_capacity(HEADER_LEN + asker.question.len() + 64);
        message.extend_from_slice(&header.encode());
        message.extend_from_slice(&asker.question);
        let mut draft = Self {
            message,
            rcode: rcode.code(),
            options: Vec::new(),
        };
        draft.inform(info);
        draft
    }

    fn inform(&mut self, info: Option<InfoCode>) {
        if let Some(info) = info {
            let mut value = info.code().to_be_bytes().to_vec();
            value.extend_from_slice(info.text().as_bytes());
            push_option(&mut self.options, option::EXTENDED_ERROR, &value);
        }
    }

    /// Adds a record whose name is the message's own bytes from `name_at` on.
    fn push(&mut self, section: usize, name_at: usize, kind: u16, data: &[u8]) {
        let pointer = 0xc000 | u16::try_from(name_at).unwrap_or(0);
        for word in [pointer, kind, class::IN] {
            self.message.extend_from_slice(&word.to_be_bytes());
        }
        self.message.extend_from_slice(&OWN_TTL.to_be_bytes());
        let length = u16::try_from(data.len()).unwrap_or(0);
        self.message.extend_from_slice(&length.to_be_bytes());
        self.message.extend_from_slice(data);
        self.count(section);
    }

    /// Counts one more record of a section (0 answer, 1 authority, 2 additional).
    fn count(&mut self, section: usize) {
        let at = 6 + 2 * section;
        let count = u16_at(&self.message, at).unwrap_or(0).saturating_add(1);
        put(&mut self.message, at, &count.to_be_bytes());
    }

    fn finish(&mut self, asker: &Asker) {
        let Some(edns) = asker.edns else {
            return;
        };
        push_opt(&mut self.message, self.rcode, edns.dnssec_ok, &self.options);
        self.count(2);
    }
}

fn kept(asker: &Asker, response: &Response, age: Duration, info: Option<InfoCode>) -> Draft {
    let source = response.message();
    let mut message = Vec::with_capacity(source.len() + 64);
    message.extend_from_slice(source);
    let from = response.flags();
    put(&mut message, 0, &asker.id.to_be_bytes());
    put(
        &mut message,
        2,
        &asker.flags(from, from.rcode()).0.to_be_bytes(),
    );
    if asker.question.len() == response.question_len() {
        put(&mut message, HEADER_LEN, &asker.question);
    }
    let elapsed = u32::try_from(age.as_secs()).unwrap_or(u32::MAX);
    let is_stale = match response.lifetime() {
        super::Lifetime::Fresh(life) => age >= life,
        super::Lifetime::Once | super::Lifetime::Failed(_) => false,
    };
    for &at in response.ttls() {
        let at = usize::from(at);
        let ttl = u32_at(&message, at).unwrap_or(0);
        let left = if is_stale {
            STALE_TTL
        } else {
            ttl.saturating_sub(elapsed)
        };
        put(&mut message, at, &left.to_be_bytes());
    }
    let mut draft = Draft {
        message,
        rcode: from.rcode(),
        options: response.errors().to_vec(),
    };
    draft.inform(info);
    draft
}

fn no_name(asker: &Asker, zone: usize, info: Option<InfoCode>) -> Draft {
    let mut draft = Draft::new(asker, Rcode::NxDomain, info);
    let name_len = asker.question.len().saturating_sub(4);
    let zone_at = HEADER_LEN + name_len.saturating_sub(zone);
    // SOA: the zone itself is its server and mailbox; serial 1, refresh, retry,
    // expire as RFC 6303 section 3 gives them; negative answers live OWN_TTL.
    let pointer = (0xc000 | u16::try_from(zone_at).unwrap_or(0)).to_be_bytes();
    let mut data = [pointer, pointer].concat();
    for number in [1, 3600, 1200, 604_800, OWN_TTL] {
        data.extend_from_slice(&number.to_be_bytes());
    }
    draft.push(1, zone_at, kind::SOA, &data);
    draft
}

fn known_address(asker: &Asker, address: IpAddr) -> Draft {
    let mut draft = Draft::new(asker, Rcode::NoError, None);
    match address {
        IpAddr::V4(v4) => draft.push(0, HEADER_LEN, kind::A, &v4.octets()),
        IpAddr::V6(v6) => draft.push(0, HEADER_LEN, kind::AAAA, &v6.octets()),
    }
    draft
}

fn minimal(asker: &Asker) -> Draft {
    let mut draft = Draft::new(asker, Rcode::NoError, None);
    draft.push(0, HEADER_LEN, kind::HINFO, b"\x07RFC8482\0");
    draft
}

/// Header, question and EDNS record with the TC flag: the client asks again by TCP.
fn truncated(asker: &Asker, full: &Draft) -> Vec<u8> {
    let mut short = Draft::new(asker, Rcode::NoError, None);
    let flags = u16_at(&full.message, 2).unwrap_or(0) | Flags::TC;
    put(&mut short.message, 2, &flags.to_be_bytes());
    short.rcode = full.rcode;
    short.finish(asker);
    short.message
}

impl InfoCode {
    /// The number of the extended error.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::StaleAnswer => 3,
            Self::CachedError => 13,
            Self::LocalBlocked => 15,
            Self::NoReachableAuthority | Self::NoLocalResolver => 22,
            Self::NetworkError => 23,
        }
    }

    /// What is said to people beside the number.
    const fn text(self) -> &'static str {
        match self {
            Self::LocalBlocked => "vpnm: names of the local network are blocked (lan = false)",
            Self::NoLocalResolver => "vpnm: no resolver of the local network is known",
            Self::StaleAnswer
            | Self::CachedError
            | Self::NoReachableAuthority
            | Self::NetworkError => "",
        }
    }
}
