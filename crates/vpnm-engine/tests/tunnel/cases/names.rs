//! What names are answered with, and by what way.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use vpnm_world::addresses::{PLAIN_RESOLVER, SITE, SITE_NAME};
use vpnm_world::internet::{Carriage, Carrier};

use crate::dns::{self, Answer};
use crate::ensure;
use crate::station::{Outcome, REDIRECT, Station};

pub(super) fn names() -> Outcome {
    let mut station = Station::build(Carrier::Tls)?;
    station.connect()?;
    let expected = Answer {
        rcode: 0,
        addresses: vec![SITE.v4.into()],
    };
    for resolver in [
        SocketAddr::from((PLAIN_RESOLVER.v4, 53)),
        SocketAddr::from((PLAIN_RESOLVER.v6, 53)),
        SocketAddr::from((Ipv4Addr::LOCALHOST, REDIRECT)),
        SocketAddr::from((Ipv6Addr::LOCALHOST, REDIRECT)),
    ] {
        let answer = station.visit(|| dns::by_datagram(resolver, SITE_NAME))?;
        ensure(answer == expected, || {
            format!("{resolver} by datagram: {answer:?}")
        })?;
        let answer = station.visit(|| dns::by_stream(resolver, SITE_NAME))?;
        ensure(answer == expected, || {
            format!("{resolver} by stream: {answer:?}")
        })?;
    }
    let queries = station.internet.queries();
    ensure(!queries.is_empty(), || "no query arrived".to_owned())?;
    let plain = queries
        .iter()
        .find(|query| query.carriage == Carriage::Plain);
    ensure(plain.is_none(), || format!("{plain:?}"))
}

pub(super) fn understood_by_dig() -> Outcome {
    let mut station = Station::build(Carrier::Tls)?;
    station.connect()?;
    let client = station.world.client();
    if client.command("dig").arg("-v").output().is_err() {
        println!("     SKIP dig is not installed");
        return Ok(());
    }
    let address = SITE.v4.to_string();
    let cases = [
        ("@8.8.8.8 site.example A", address.as_str()),
        ("@8.8.8.8 SiTe.ExAmPlE A", "SiTe.ExAmPlE."),
        ("@8.8.8.8 site.example A +tcp", address.as_str()),
        ("@2001:4860:4860::8888 site.example A", address.as_str()),
        ("@8.8.8.8 site.example A +noedns", address.as_str()),
        ("@8.8.8.8 site.example A +dnssec", "flags: do;"),
        ("@8.8.8.8 site.example ANY +notcp", "RFC8482"),
        ("@8.8.8.8 version.bind CH TXT", "status: REFUSED"),
        (
            "@8.8.8.8 site.example A +edns=1 +noednsnegotiation",
            "status: BADVERS",
        ),
        ("@8.8.8.8 site.example A +opcode=notify", "status: NOTIMP"),
        ("@8.8.8.8 use-application-dns.net A", "status: NXDOMAIN"),
        ("@8.8.8.8 nowhere.invalid A", "status: NXDOMAIN"),
        ("@8.8.8.8 printer.local A", "status: NXDOMAIN"),
        ("@8.8.8.8 localhost AAAA", "::1"),
        (
            "@8.8.8.8 site.example A +subnet=192.0.2.0/24",
            address.as_str(),
        ),
    ];
    for (arguments, expected) in cases {
        let dig = client.command("dig").args(["+tries=1", "+time=5"]);
        let ran = dig.args(arguments.split(' ')).output()?;
        let text = String::from_utf8_lossy(&ran.stdout);
        let is_clean = !text.contains("Warning") && !text.contains("malformed");
        ensure(text.contains(expected) && is_clean, || {
            format!("dig {arguments}: {text}")
        })?;
    }
    Ok(())
}
