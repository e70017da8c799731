//! How it must fail: at once, and with a name.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Instant;

use anyd::CallError;
use vpnm_api::Code;
use vpnm_api::engine::{EngineError, Established};
use vpnm_world::addresses::{NODE, PLAIN_RESOLVER, SITE, SITE_NAME};
use vpnm_world::internet::Carrier;

use super::{SECOND, SERVFAIL, site};
use crate::station::{Outcome, Station};
use crate::{dns, ensure};

pub(super) fn no_way_out() -> Outcome {
    let station = Station::build(Carrier::Tcp)?;
    let begun = Instant::now();
    let refused = station.visit(|| TcpStream::connect_timeout(&site(80), 5 * SECOND));
    ensure(refused.is_err(), || {
        "a connection was made without a way out".to_owned()
    })?;
    let resolver = SocketAddr::from((PLAIN_RESOLVER.v4, 53));
    let answer = station.visit(|| dns::by_datagram(resolver, SITE_NAME))?;
    ensure(answer.rcode == SERVFAIL, || format!("{answer:?}"))?;
    let took = begun.elapsed();
    ensure(took < 2 * SECOND, || format!("it took {took:?}"))
}

/// The code of the failure that a connection was expected to end in.
pub(super) fn code(result: Outcome<Established>) -> Outcome<Code> {
    let error = result.err().ok_or("the connection was made")?;
    let error = *error.downcast::<CallError<EngineError>>()?;
    let CallError::Remote(EngineError::Failed { failure }) = error else {
        return Err(error.into());
    };
    println!("     {failure}");
    Ok(failure.code)
}

/// Each says what it is by itself: what the engine's own limit ends is called otherwise.
pub(super) fn typed_faults() -> Outcome {
    let mut station = Station::build(Carrier::Tls)?;
    let link = station.node.link();
    let id = link
        .trim_start_matches("vless://")
        .split('@')
        .next()
        .unwrap_or_default()
        .to_owned();
    let node = NODE.both();
    let cases = [
        (Code::Refused, link.replace(":443", ":444"), node.to_vec()),
        (
            Code::Rejected,
            link.replace(&id, "00000000-0000-4000-8000-00000000dead"),
            node.to_vec(),
        ),
        (
            Code::Certificate,
            link.replace("sni=node.example", "sni=other.example"),
            node.to_vec(),
        ),
        (Code::Tls, link.replace(":443", ":80"), vec![SITE.v4.into()]),
        (
            Code::Unreachable,
            link,
            vec![Ipv4Addr::new(192, 168, 77, 200).into()],
        ),
    ];
    for (expected, link, server) in cases {
        let found = code(station.connect_to(&link, &server))?;
        ensure(found == expected, || {
            format!("{} instead of {}", found.name(), expected.name())
        })?;
    }
    Ok(())
}
