//! The journal's text: a line with version and checksum, then the record.

use serde::{Deserialize, Serialize};
use vpnm_api::ShareLink;

use super::Damage;
use crate::crc32::crc32;
use crate::tsm::Record;

/// The version this daemon writes.
pub(super) const VERSION: u32 = 1;
/// No journal is longer.
pub(super) const MAX_BYTES: usize = 64 * 1024;

const MAGIC: &str = "vpnm-journal";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    connect: bool,
    lockdown: bool,
    server: Option<ShareLink>,
}

pub(super) fn encode(record: &Record) -> Vec<u8> {
    let body = Body {
        connect: record.connect,
        lockdown: record.lockdown,
        server: record.server.clone(),
    };
    let body = serde_json::to_string(&body).expect("invariant: booleans and a string are JSON");
    let checksum = crc32(body.as_bytes());
    format!("{MAGIC} {VERSION} {checksum:08x}\n{body}\n").into_bytes()
}

pub(super) fn decode(bytes: &[u8]) -> Result<Record, Damage> {
    if bytes.len() > MAX_BYTES {
        return Err(Damage::Long);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Damage::Header)?;
    let (header, body) = text.split_once('\n').ok_or(Damage::Header)?;
    let body = body.strip_suffix('\n').ok_or(Damage::Record)?;
    check(header, body)?;
    let body: Body = serde_json::from_str(body).map_err(|_| Damage::Record)?;
    Ok(Record {
        connect: body.connect,
        lockdown: body.lockdown,
        server: body.server,
    })
}

fn check(header: &str, body: &str) -> Result<(), Damage> {
    let mut words = header.split(' ');
    if words.next() != Some(MAGIC) {
        return Err(Damage::Header);
    }
    let version: u32 = number(words.next(), 10)?;
    let checksum = number(words.next(), 16)?;
    if words.next().is_some() {
        return Err(Damage::Header);
    }
    if version != VERSION {
        return Err(Damage::Version(version));
    }
    if checksum != crc32(body.as_bytes()) {
        return Err(Damage::Checksum);
    }
    Ok(())
}

fn number(word: Option<&str>, radix: u32) -> Result<u32, Damage> {
    let word = word.ok_or(Damage::Header)?;
    u32::from_str_radix(word, radix).map_err(|_| Damage::Header)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let link = "vless://0a1b2c3d-0000-4000-8000-000000000001@example.com:443?security=tls#home";
        Record {
            connect: true,
            lockdown: true,
            server: Some(link.parse().unwrap()),
        }
    }

    #[test]
    fn a_record_reads_back_as_written() {
        for record in [record(), Record::default(), Record::unreadable()] {
            assert_eq!(decode(&encode(&record)), Ok(record));
        }
    }

    #[test]
    fn no_damaged_journal_is_believed() {
        let whole = encode(&record());
        for cut in 0..whole.len() {
            assert!(decode(&whole[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut damaged = whole.clone();
                damaged[at] ^= 1 << bit;
                let read = decode(&damaged);
                // Hexadecimal digits read the same in either case.
                assert!(
                    read.is_err() || read == Ok(record()),
                    "bit {bit} of byte {at}"
                );
            }
        }
        assert_eq!(decode(&vec![b'x'; MAX_BYTES + 1]), Err(Damage::Long));
    }

    #[test]
    fn a_newer_journal_is_named() {
        let text = String::from_utf8(encode(&record())).unwrap();
        let newer = text.replacen("vpnm-journal 1", "vpnm-journal 2", 1);
        assert_eq!(decode(newer.as_bytes()), Err(Damage::Version(2)));
    }
}
