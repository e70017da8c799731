//! Names that are never asked for upstream: answered here, or the local network's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::wire::kind;

/// How a special name is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Special {
    /// It does not exist; the zone is this many bytes of the name's tail.
    NoName { zone: usize },
    /// It means something in the local network only; the zone is as above.
    Local { zone: usize },
    /// It is this address.
    Address(IpAddr),
    /// It exists without data of the asked type.
    NoData,
}

/// Zones that do not exist for this resolver, in wire form.
const ABSENT: &[&[u8]] = &[
    // Browsers ask these to learn whether to leave the system's resolver.
    b"\x13use-application-dns\x03net\0",
    b"\x04mask\x06icloud\x03com\0",
    b"\x07mask-h2\x06icloud\x03com\0",
    // Multicast DNS, which no resolver is asked by (RFC 6762 section 22.1), Tor (RFC
    // 7686), names that never exist (RFC 6761 section 6.4).
    b"\x05local\0",
    b"\x05onion\0",
    b"\x07invalid\0",
    // Addresses of nobody and of the machine itself (RFC 6303 section 4.2).
    b"\x010\x07in-addr\x04arpa\0",
    b"\x03127\x07in-addr\x04arpa\0",
];

/// Zones about which only the local network can say anything, in wire form.
const LOCAL: &[&[u8]] = &[
    // Home networks (RFC 8375), private use (ICANN, 2024).
    b"\x04home\x04arpa\0",
    b"\x08internal\0",
    // What routers call the network behind them (RFC 6762 appendix G, the names in
    // widespread use of ICANN's collision studies, and a router's own): nobody else can
    // say anything about these, and would learn what there is at home.
    b"\x03lan\0",
    b"\x0blocaldomain\0",
    b"\x04home\0",
    b"\x04corp\0",
    b"\x08intranet\0",
    b"\x07private\0",
    b"\x05fritz\x03box\0",
    // Addresses that mean nothing outside the local network (RFC 6303 section 4).
    b"\x0210\x07in-addr\x04arpa\0",
    b"\x03254\x03169\x07in-addr\x04arpa\0",
    b"\x03168\x03192\x07in-addr\x04arpa\0",
    b"\x01c\x01f\x03ip6\x04arpa\0",
    b"\x01d\x01f\x03ip6\x04arpa\0",
    b"\x018\x01e\x01f\x03ip6\x04arpa\0",
    b"\x019\x01e\x01f\x03ip6\x04arpa\0",
    b"\x01a\x01e\x01f\x03ip6\x04arpa\0",
    b"\x01b\x01e\x01f\x03ip6\x04arpa\0",
];

/// `172.in-addr.arpa`, of which 16 to 31 are private.
const NET_172: &[u8] = b"\x03172\x07in-addr\x04arpa\0";
/// The name of the machine itself (RFC 6761 section 6.3).
const LOCALHOST: &[u8] = b"\x09localhost\0";

/// What to answer for a lower-case name in wire form, if it is special.
pub(crate) fn special(name: &[u8], asked: u16) -> Option<Special> {
    if is_under(name, LOCALHOST) {
        return Some(match asked {
            kind::A => Special::Address(Ipv4Addr::LOCALHOST.into()),
            kind::AAAA => Special::Address(Ipv6Addr::LOCALHOST.into()),
            _ => Special::NoData,
        });
    }
    let absent = ABSENT.iter().find(|zone| is_under(name, zone));
    if let Some(zone) = absent {
        return Some(Special::NoName { zone: zone.len() });
    }
    let local = LOCAL.iter().find(|zone| is_under(name, zone));
    let local = local.map(|zone| zone.len()).or_else(|| private_172(name));
    if let Some(zone) = local {
        return Some(Special::Local { zone });
    }
    // A bare host name is a matter of the local network.
    let is_bare = name
        .first()
        .is_some_and(|length| usize::from(*length) + 2 == name.len());
    let is_host_query = matches!(asked, kind::A | kind::AAAA | kind::HTTPS);
    (is_bare && is_host_query).then_some(Special::Local { zone: name.len() })
}

/// Whether `name` is `zone` or below it, at a label's boundary.
pub(crate) fn is_under(name: &[u8], zone: &[u8]) -> bool {
    tail_at_label(name, zone.len()) == Some(zone)
}

/// The last `length` bytes of a name, if a label begins there.
fn tail_at_label(name: &[u8], length: usize) -> Option<&[u8]> {
    let mut rest = name;
    while rest.len() > length {
        let skip = usize::from(*rest.first()?) + 1;
        rest = rest.get(skip..)?;
    }
    (rest.len() == length).then_some(rest)
}

/// The zone `16…31.172.in-addr.arpa` a name is under, as a length in bytes.
fn private_172(name: &[u8]) -> Option<usize> {
    let zone = NET_172.len() + 3;
    let octet = tail_at_label(name, zone)?.strip_suffix(NET_172)?;
    let (length, digits) = octet.split_first()?;
    let number: u8 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (*length == 2 && (16..=31).contains(&number)).then_some(zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(name: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        for label in name.split('.').filter(|label| !label.is_empty()) {
            bytes.push(u8::try_from(label.len()).unwrap());
            bytes.extend(label.bytes());
        }
        bytes.push(0);
        bytes
    }

    #[test]
    fn local_matters_stay_here() {
        let gone = [
            "use-application-dns.net",
            "printer.local",
            "local",
            "mask.icloud.com",
            "1.0.0.127.in-addr.arpa",
        ];
        for name in gone {
            let answer = special(&wire(name), kind::A);
            assert!(matches!(answer, Some(Special::NoName { .. })), "{name}");
        }
        let local = [
            "router",
            "1.0.168.192.in-addr.arpa",
            "9.20.172.in-addr.arpa",
            "x.d.f.ip6.arpa",
            "nas.lan",
            "printer.fritz.box",
            "wiki.intranet",
            "gateway.localdomain",
        ];
        for name in local {
            let answer = special(&wire(name), kind::A);
            assert!(matches!(answer, Some(Special::Local { .. })), "{name}");
        }
        let here = special(&wire("a.localhost"), kind::AAAA);
        assert_eq!(here, Some(Special::Address(Ipv6Addr::LOCALHOST.into())));
    }

    #[test]
    fn the_rest_of_the_world_is_asked() {
        let asked = [
            "example.com",
            "notlocal.com",
            "xlocal.",
            "9.32.172.in-addr.arpa",
            "8.8.8.8.in-addr.arpa",
            "www.use-application-dns.net.example",
            "icloud.com",
            "www.box",
            "lan.example",
            "xlan.com",
        ];
        for name in asked {
            assert_eq!(special(&wire(name), kind::PTR), None, "{name}");
        }
        assert_eq!(special(&wire("com"), kind::SOA), None);
        assert_eq!(special(&wire(""), kind::A), None);
    }
}
