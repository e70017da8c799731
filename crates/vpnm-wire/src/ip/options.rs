//! Options of IPv4 and of IPv6's extension headers: whether a packet with them may go on.

use super::{IPV4_HEADER, IpError};
use crate::icmp::IcmpError;

const END_OF_OPTIONS: u8 = 0;
const NO_OPERATION: u8 = 1;
const RECORD_ROUTE: u8 = 7;
const TIMESTAMP: u8 = 68;
const LOOSE_SOURCE_ROUTE: u8 = 131;
const STRICT_SOURCE_ROUTE: u8 = 137;
const ROUTER_ALERT: u8 = 148;
/// Timestamps with this flag stand beside addresses; with the other, beside those given.
const WITH_ADDRESSES: u8 = 1;
const OF_ADDRESSES: u8 = 3;
/// As many hosts without room for their timestamp as can be counted.
const OVERFLOWN: u8 = 15;

const PAD_ONE: u8 = 0;
const PAD_MORE: u8 = 1;
/// IPv6 options from this number on forbid to go on to who does not know them, and from
/// the next on their sender is to be told (RFC 8200 section 4.2).
const MUST_BE_KNOWN: u8 = 0x40;
const MUST_BE_TOLD: u8 = 0x80;
/// Options of one IPv6 extension header that need not be known, and bytes of padding in a
/// row: what Linux takes, however many headers there are.
const MAX_OPTIONS: usize = 8;
const MAX_PADDING: usize = 7;

/// Checks the options of an IPv4 packet: of those that are wrong its sender is told as by
/// Linux (RFC 1122 section 3.2.2.5), and those that ask to send it on are nobody's who is
/// honest (RFC 7126 section 4.3).
pub(super) fn check_v4(options: &[u8]) -> Result<(), IpError> {
    let (mut at, mut routed) = (0, false);
    // Each of these may stand there once.
    let mut expected = [RECORD_ROUTE, TIMESTAMP, LOOSE_SOURCE_ROUTE].map(Some);
    while let Some([kind, after @ ..]) = options.get(at..) {
        let length = match (*kind, after.first()) {
            (END_OF_OPTIONS, _) => break,
            (NO_OPERATION, _) => 1,
            (_, length) => length.map_or(0, |length| usize::from(*length)),
        };
        let wrong = |within| IpError::Parameter {
            problem: IcmpError::Parameter,
            at: IPV4_HEADER + at + within,
        };
        let option = options.get(at..at + length).unwrap_or_default();
        if option.len() < 2 && *kind != NO_OPERATION {
            return Err(wrong(0));
        }
        let is_route = matches!(*kind, LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE);
        let once = if is_route { LOOSE_SOURCE_ROUTE } else { *kind };
        if matches!(once, RECORD_ROUTE | TIMESTAMP | LOOSE_SOURCE_ROUTE) {
            let place = expected.iter_mut().find(|place| **place == Some(once));
            *place.ok_or_else(|| wrong(0))? = None;
        }
        if let Some(within) = misfit(option) {
            return Err(wrong(within));
        }
        routed |= is_route;
        at += length;
    }
    if routed {
        return Err(IpError::Extension);
    }
    Ok(())
}

/// Which byte of an IPv4 option contradicts the others. Its places are counted from 1, and
/// the next that is free is told by its third byte.
fn misfit(option: &[u8]) -> Option<usize> {
    let [kind, length, rest @ ..] = option else {
        return None;
    };
    let lacks_room = |next: u8, bytes: u8| next <= *length && *length - next < bytes - 1;
    match (*kind, rest) {
        (RECORD_ROUTE | LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE, [])
        | (TIMESTAMP | ROUTER_ALERT, [] | [_]) => Some(1),
        (RECORD_ROUTE | LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE, [(..4), ..])
        | (TIMESTAMP, [(..5), ..]) => Some(2),
        (RECORD_ROUTE, [next, ..]) => lacks_room(*next, 4).then_some(2),
        (TIMESTAMP, [next, flags, ..]) if next > length => (flags >> 4 == OVERFLOWN).then_some(3),
        (TIMESTAMP, [next, flags, ..]) => {
            let beside = matches!(flags & 0xf, WITH_ADDRESSES | OF_ADDRESSES);
            lacks_room(*next, if beside { 8 } else { 4 }).then_some(2)
        }
        _ => None,
    }
}

/// Checks the options of an IPv6 extension header, which begin at `start` of their packet:
/// who does not know them may go on (RFC 8200 section 4.2), and they are no more and no
/// stranger than Linux takes.
pub(super) fn check_v6(mut options: &[u8], start: usize) -> Result<(), IpError> {
    let whole = options.len();
    let (mut count, mut padding) = (0, 0);
    while let [kind, after @ ..] = options {
        let body = match (*kind, after) {
            (PAD_ONE, _) => &[],
            (_, [length, body @ ..]) => {
                let body = body.get(..usize::from(*length));
                body.ok_or(IpError::Extension)?
            }
            _ => return Err(IpError::Extension),
        };
        let length = body.len() + if *kind == PAD_ONE { 1 } else { 2 };
        if matches!(*kind, PAD_ONE | PAD_MORE) {
            padding += length;
            if padding > MAX_PADDING || body.iter().any(|byte| *byte != 0) {
                return Err(IpError::Extension);
            }
        } else {
            padding = 0;
            count += 1;
            check_unknown(*kind, count, start + whole - options.len())?;
        }
        options = options.get(length..).unwrap_or_default();
    }
    Ok(())
}

/// The option at `at` is not padding; none other is known here.
fn check_unknown(kind: u8, count: usize, at: usize) -> Result<(), IpError> {
    if count > MAX_OPTIONS || (MUST_BE_KNOWN..MUST_BE_TOLD).contains(&kind) {
        return Err(IpError::Extension);
    }
    if kind >= MUST_BE_TOLD {
        return Err(IpError::Parameter {
            problem: IcmpError::Option,
            at,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where Linux points at, if it says anything.
    type Expected = Result<(), Option<usize>>;

    #[test]
    fn wrong_options_are_pointed_at_as_by_linux() {
        // What Linux 6.18 answers to the same options.
        let cases: [(&[u8], Expected); 34] = [
            (&[], Ok(())),
            (&[77, 4, 0, 0], Ok(())),
            (&[148, 4, 0, 0], Ok(())),
            (&[77, 0, 0, 0], Err(Some(20))),
            (&[77, 1, 0, 0], Err(Some(20))),
            (&[77, 9, 0, 0], Err(Some(20))),
            (&[1, 1, 1, 77], Err(Some(23))),
            (&[1, 1, 77, 1], Err(Some(22))),
            (&[131, 7, 4, 10, 0, 0, 9, 0], Err(None)),
            (&[131, 7, 3, 10, 0, 0, 9, 0], Err(Some(22))),
            (&[131, 2, 0, 0], Err(Some(21))),
            (&[131, 7, 8, 10, 0, 0, 9, 0], Err(None)),
            (
                &[137, 7, 8, 10, 0, 0, 9, 137, 7, 8, 10, 0, 0, 9, 0, 0],
                Err(Some(27)),
            ),
            (&[1, 137, 7, 4, 10, 0, 0, 9], Err(None)),
            (&[131, 7, 4, 10, 0, 0, 9, 77], Err(Some(27))),
            (&[0, 131, 7, 4, 0, 0, 0, 0], Ok(())),
            (&[7, 7, 4, 0, 0, 0, 0, 0], Ok(())),
            (&[7, 2, 0, 0], Err(Some(21))),
            (&[7, 7, 3, 0, 0, 0, 0, 0], Err(Some(22))),
            (&[7, 7, 5, 0, 0, 0, 0, 0], Err(Some(22))),
            (&[7, 7, 8, 1, 1, 1, 1, 0], Ok(())),
            (&[7, 3, 4, 7, 3, 4, 0, 0], Err(Some(23))),
            (&[68, 8, 5, 0, 0, 0, 0, 0], Ok(())),
            (&[68, 3, 5, 0], Err(Some(21))),
            (&[68, 8, 4, 0, 0, 0, 0, 0], Err(Some(22))),
            (&[68, 8, 5, 2, 0, 0, 0, 0], Ok(())),
            (&[68, 8, 9, 0xf0, 0, 0, 0, 0], Err(Some(23))),
            (&[68, 8, 9, 0, 0, 0, 0, 0], Ok(())),
            (&[68, 8, 6, 0, 0, 0, 0, 0], Err(Some(22))),
            (&[68, 8, 5, 1, 0, 0, 0, 0], Err(Some(22))),
            (&[68, 4, 5, 0, 68, 4, 5, 0], Err(Some(24))),
            (&[136, 4, 0, 0], Ok(())),
            (&[148, 3, 0, 0], Err(Some(21))),
            (&[0, 77, 0, 0], Ok(())),
        ];
        for (options, expected) in cases {
            let expected = expected.map_err(|at| match at {
                Some(at) => IpError::Parameter {
                    problem: IcmpError::Parameter,
                    at,
                },
                None => IpError::Extension,
            });
            assert_eq!(check_v4(options), expected, "{options:?}");
        }
    }

    #[test]
    fn options_of_ipv6_are_pointed_at_as_by_linux() {
        let many = |last: &[u8]| [&[0x1e, 0].repeat(8)[..], last].concat();
        let told = |at| {
            Err(IpError::Parameter {
                problem: IcmpError::Option,
                at,
            })
        };
        let silent = Err(IpError::Extension);
        for (options, expected) in [
            (vec![1, 4, 0, 0, 0, 0], Ok(())),
            (vec![0x1e, 4, 0, 0, 0, 0], Ok(())),
            (vec![0x5e, 4, 0, 0, 0, 0], silent),
            (vec![0x9e, 4, 0, 0, 0, 0], told(42)),
            (vec![0xde, 4, 0, 0, 0, 0], told(42)),
            (vec![1, 0, 0x9e, 2, 0, 0], told(44)),
            (vec![4, 5, 0, 0, 0, 0], silent),
            (vec![0x9e, 5, 0, 0, 0, 0], silent),
            (vec![1, 4, 1, 0, 0, 0], silent),
            (vec![1, 3, 0, 0, 0, 0x9e], silent),
            (many(&[0x1e, 0, 1, 2, 0, 0]), silent),
            (many(&[0x9e, 4, 0, 0, 0, 0]), silent),
            (many(&[1, 4, 0, 0, 0, 0]), Ok(())),
        ] {
            assert_eq!(check_v6(&options, 42), expected, "{options:?}");
        }
    }
}
