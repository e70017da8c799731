//! As much of DNS as an authoritative answer from a small table needs
//! (RFC 1035). Pure.

use std::net::IpAddr;

use crate::addresses::{LARGE_NAME, SIGNED_NAME};

/// Names and addresses that the world's resolvers know.
#[derive(Debug, Clone)]
pub(super) struct Zone {
    records: Vec<(String, Vec<IpAddr>)>,
}

/// A question, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    /// Lower case, without the final dot.
    pub(super) name: String,
    kind: u16,
    /// Where the question section ends.
    end: usize,
}

const HEADER: usize = 12;
const A: u16 = 1;
const AAAA: u16 = 28;
const TXT: u16 = 16;
const RRSIG: u16 = 46;
/// Texts of [`LARGE_NAME`], and the bytes of each.
const TEXTS: usize = 20;
const TEXT: usize = 150;
/// A response was authenticated.
const AUTHENTIC: u8 = 0x20;
const TTL: u32 = 60;
/// Response, recursion available; recursion desired is copied.
const RESPONSE: [u8; 2] = [0x80, 0x80];
const NAME_ERROR: u8 = 3;

impl Zone {
    pub(super) fn new(records: &[(&str, Vec<IpAddr>)]) -> Self {
        let records = records
            .iter()
            .map(|(name, ips)| ((*name).to_owned(), ips.clone()))
            .collect();
        Self { records }
    }

    /// A name has these addresses from now on.
    pub(super) fn set(&mut self, name: &str, addresses: &[IpAddr]) {
        self.records.retain(|(known, _)| known != name);
        self.records.push((name.to_owned(), addresses.to_vec()));
    }

    /// The answer to a query that asks `question`.
    pub(super) fn answer(&self, query: &[u8], question: &Question) -> Vec<u8> {
        let known = self.records.iter().find(|(name, _)| *name == question.name);
        let answers: Vec<Vec<u8>> = known
            .map_or(&[][..], |(_, addresses)| addresses)
            .iter()
            .filter_map(|address| address_record(question.kind, *address))
            .chain(extras(query, question))
            .collect();
        let mut bytes = query.get(..question.end).unwrap_or_default().to_vec();
        let desired = query.get(2).copied().unwrap_or(0) & 0x01;
        let code = if known.is_some() { 0 } else { NAME_ERROR };
        let authentic = if question.name == SIGNED_NAME {
            AUTHENTIC
        } else {
            0
        };
        let counts = [1, u16::try_from(answers.len()).unwrap_or(0), 0, 0].map(u16::to_be_bytes);
        let flags = [RESPONSE[0] | desired, RESPONSE[1] | authentic | code];
        bytes.splice(2..HEADER, flags.into_iter().chain(counts.concat()));
        bytes.extend(answers.concat());
        bytes
    }
}

/// What some names have besides addresses.
fn extras(query: &[u8], question: &Question) -> Vec<Vec<u8>> {
    match (question.name.as_str(), question.kind) {
        (LARGE_NAME, TXT) => {
            let text = [&[u8::try_from(TEXT).unwrap_or(0)][..], &[b'x'; TEXT]].concat();
            vec![record(TXT, &text); TEXTS]
        }
        (SIGNED_NAME, A) if wants_signatures(query, question) => vec![record(RRSIG, &signature())],
        _ => Vec::new(),
    }
}

/// Whether the EDNS record behind the question has the bit DO (RFC 3225).
fn wants_signatures(query: &[u8], question: &Question) -> bool {
    let flags = query.get(question.end + 7);
    flags.is_some_and(|flags| flags & 0x80 != 0)
}

/// Looks like one (RFC 4034 section 3.1), and is none.
fn signature() -> Vec<u8> {
    const COVERS_A_BY_P256: [u8; 18] = [
        0, 1, 13, 2, 0, 0, 0, 60, 0x70, 0, 0, 0, 0x60, 0, 0, 0, 0x12, 0x34,
    ];
    [&COVERS_A_BY_P256[..], b"\x06signed\x07example\0", &[7; 64]].concat()
}

/// A record of an address for the question's name.
fn address_record(kind: u16, address: IpAddr) -> Option<Vec<u8>> {
    match (kind, address) {
        (A, IpAddr::V4(address)) => Some(record(A, &address.octets())),
        (AAAA, IpAddr::V6(address)) => Some(record(AAAA, &address.octets())),
        _ => None,
    }
}

/// A resource record for the question's name.
fn record(kind: u16, data: &[u8]) -> Vec<u8> {
    // A pointer to the name in the question.
    let mut bytes = vec![0xc0, 12];
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&[0, 1]);
    bytes.extend_from_slice(&TTL.to_be_bytes());
    bytes.extend_from_slice(&u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
    bytes.extend_from_slice(data);
    bytes
}

/// The first question of a query; nothing if it is no query or is cut short.
pub(super) fn question(query: &[u8]) -> Option<Question> {
    let is_query = query.get(2)? & 0x80 == 0;
    let mut labels = Vec::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*query.get(at)?);
        let label = query.get(at + 1..at + 1 + length)?;
        at += 1 + length;
        match length {
            0 => break,
            1..=63 => labels.push(String::from_utf8_lossy(label).to_ascii_lowercase()),
            _ => return None,
        }
    }
    let kind = u16::from_be_bytes(*query.get(at..)?.first_chunk()?);
    query.get(..at + 4)?;
    is_query.then(|| Question {
        name: labels.join("."),
        kind,
        end: at + 4,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &[u8] = b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\x01\x04Site\x07example\0\0\x01\0\x01\0\0\x29\0\0\0\0\0\0\0\0";

    fn zone() -> Zone {
        Zone::new(&[(
            "site.example",
            vec![
                IpAddr::from([192, 0, 2, 1]),
                IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1_u16]),
            ],
        )])
    }

    #[test]
    fn the_right_family_is_answered() {
        let question = question(QUERY).expect("a question");
        assert_eq!(question.name, "site.example");
        let answer = zone().answer(QUERY, &question);
        assert_eq!(answer[..12], *b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\0");
        assert_eq!(answer[answer.len() - 4..], [192, 0, 2, 1]);
        assert_eq!(answer.len(), 12 + 18 + 16);
    }

    #[test]
    fn an_unknown_name_does_not_exist() {
        let query = b"\0\0\x01\0\0\x01\0\0\0\0\0\0\x02no\0\0\x01\0\x01";
        let answer = zone().answer(query, &question(query).expect("a question"));
        assert_eq!(answer[3] & 0x0f, NAME_ERROR);
    }

    #[test]
    fn cut_queries_are_no_questions() {
        let whole = question(QUERY).expect("a question").end;
        for length in 0..whole {
            assert_eq!(question(&QUERY[..length]), None, "{length} bytes");
        }
    }
}
