//! What names are answered with, and by what way.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

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
        let answer = station.visit(|| Ok(dns::by_datagram(resolver, SITE_NAME)))?;
        ensure(
            answer.as_ref().is_ok_and(|answer| *answer == expected),
            || format!("{resolver} by datagram: {answer:?}"),
        )?;
        let answer = station.visit(|| Ok(dns::by_stream(resolver, SITE_NAME)))?;
        ensure(
            answer.as_ref().is_ok_and(|answer| *answer == expected),
            || format!("{resolver} by stream: {answer:?}"),
        )?;
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

/// Different names in bursts, from one socket: each is answered, and by one connection.
pub(super) fn names_in_bursts() -> Outcome {
    const BURSTS: u16 = 20;
    const BURST: u16 = 100;
    let mut station = Station::build(Carrier::Tls)?;
    station.connect()?;
    let resolver = SocketAddr::from((PLAIN_RESOLVER.v4, 53));
    let begun = Instant::now();
    let answered = station.visit(|| {
        let mut answered = 0;
        for burst in 0..BURSTS {
            let names = (0..BURST).map(|n| format!("n{n}.b{burst}.example.com"));
            answered += dns::burst(resolver, names)?;
        }
        Ok(answered)
    })?;
    println!("     {answered} answers in {:?}", begun.elapsed());
    let all = usize::from(BURSTS * BURST);
    ensure(answered == all, || {
        format!("{answered} of {all} were answered")
    })?;
    let asked = station.internet.queries().into_iter();
    let asked = asked
        .filter(|query| query.name.ends_with(".example.com"))
        .count();
    // A few may be asked twice, where an answer was late.
    ensure(asked <= all + all / 20, || {
        format!("{asked} queries went out for {all}")
    })
}
