//! The query as it goes upstream: the same for every client that asks the same.

use bytes::Bytes;

use super::edns::{option, push_opt, push_option};
use super::{Flags, Header, Key, class};

/// Every query is padded to a multiple of this many bytes (RFC 8467 section 4.1).
pub const PAD_BLOCK: usize = 128;

/// IPv4, no bits of the client's address, and none wanted back (RFC 7871 section 7.1.2).
const NO_SUBNET: [u8; 4] = [0, 1, 0, 0];

/// Encodes a lookup for an encrypted upstream.
///
/// The identifier is 0 and the name lower-case, so that caches on the way see one
/// query (RFC 8484 section 4.1); the client's subnet is withheld, and the length
/// tells no more than the block.
#[must_use]
pub fn encode_query(key: &Key) -> Bytes {
    let checking = if key.checking_disabled() {
        Flags::CD
    } else {
        0
    };
    let header = Header {
        id: 0,
        flags: Flags(Flags::RD | Flags::AD | checking),
        questions: 1,
        records: [0, 0, 1],
    };
    let mut message = Vec::with_capacity(2 * PAD_BLOCK);
    message.extend_from_slice(&header.encode());
    message.extend_from_slice(key.name());
    message.extend_from_slice(&key.kind().to_be_bytes());
    message.extend_from_slice(&class::IN.to_be_bytes());

    let mut options = Vec::with_capacity(PAD_BLOCK);
    push_option(&mut options, option::CLIENT_SUBNET, &NO_SUBNET);
    let opt_header = 11;
    let option_header = 4;
    let unpadded = message.len() + opt_header + options.len() + option_header;
    let padding = unpadded.next_multiple_of(PAD_BLOCK) - unpadded;
    push_option(&mut options, option::PADDING, &vec![0; padding]);
    push_opt(&mut message, 0, key.dnssec_ok(), &options);
    message.into()
}

/// Encodes a lookup for a resolver of the local network, which is asked in the clear:
/// EDNS only where the client asked for what needs it, as small routers do not know it.
///
/// The identifier is 0; whoever sends it has to put an unpredictable one there.
#[must_use]
pub fn encode_plain_query(key: &Key) -> Bytes {
    let header = Header {
        id: 0,
        flags: Flags(Flags::RD),
        questions: 1,
        records: [0, 0, u16::from(key.dnssec_ok())],
    };
    let mut message = Vec::with_capacity(PAD_BLOCK);
    message.extend_from_slice(&header.encode());
    message.extend_from_slice(key.name());
    message.extend_from_slice(&key.kind().to_be_bytes());
    message.extend_from_slice(&class::IN.to_be_bytes());
    if key.dnssec_ok() {
        push_opt(&mut message, 0, true, &[]);
    }
    message.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Query, Records, kind};

    #[test]
    fn every_query_fills_whole_blocks_and_is_well_formed() {
        for length in 1..=60_usize {
            let mut name = vec![u8::try_from(length).unwrap()];
            name.extend(std::iter::repeat_n(b'X', length));
            name.extend(b"\x07example\0");
            let key = Key::new(&name, kind::A, true, false);
            let message = encode_query(&key);
            assert_eq!(message.len() % PAD_BLOCK, 0);
            let query = Query::decode(&message).unwrap();
            assert_eq!(query.key(), key);
            assert_eq!(query.name(), name.to_ascii_lowercase());
            assert_eq!(query.id, 0);
            let mut records = Records::of(&message).unwrap();
            assert!(records.by_ref().all(|record| record.is_ok()));
            assert_eq!(records.position(), message.len());
        }
    }

    #[test]
    fn a_plain_query_is_bare_unless_signatures_are_wanted() {
        for (dnssec_ok, length) in [(false, 25), (true, 36)] {
            let key = Key::new(b"\x03nas\x03lan\0", kind::A, dnssec_ok, false);
            let message = encode_plain_query(&key);
            assert_eq!(message.len(), length);
            assert_eq!(Query::decode(&message).unwrap().key(), key);
        }
    }
}
