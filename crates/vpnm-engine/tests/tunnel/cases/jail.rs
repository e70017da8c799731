//! The jail, seen from outside.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use vpnm_world::User;
use vpnm_world::addresses::SITE_NAME;
use vpnm_world::internet::Carrier;

use super::traffic::visitor_address;
use super::{SECOND, site};
use crate::calls::{self, Tracer};
use crate::station::{Outcome, REDIRECT, Station};
use crate::{dns, ensure};

pub(super) fn in_its_jail() -> Outcome {
    let mut station = Station::build(Carrier::Tls)?;
    station.connect()?;
    let status = fs::read_to_string(format!("/proc/{}/status", station.process.id()))?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default()
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let uid = User::Engine.uid().to_string();
    let expected = [
        ("Uid:", uid.as_str()),
        ("CapEff:", "0000000000000000"),
        ("CapPrm:", "0000000000000000"),
        ("NoNewPrivs:", "1"),
        ("Seccomp:", "2"),
        ("Threads:", "1"),
    ];
    for (name, value) in expected {
        let found = field(name);
        ensure(found == value, || format!("{name} is {found}, not {value}"))?;
    }
    Ok(())
}

/// A session that does everything once, watched from outside.
pub(super) fn every_call_is_made() -> Outcome {
    let (mut station, tracer) = Station::build_watched(Carrier::Tls, Tracer::follow)?;
    station.connect()?;
    station.visit(|| visitor_address(site(80)))?;
    let redirected = SocketAddr::from((Ipv4Addr::LOCALHOST, REDIRECT));
    station.visit(|| dns::by_datagram(redirected, SITE_NAME))?;
    station.visit(|| dns::by_stream(redirected, SITE_NAME))?;
    close_control(&mut station)?;
    // Only then wait for it: two waiting threads would take each other's news.
    let counts = tracer.counts()?;
    station.process.wait()?;
    let unused = calls::unused(&counts);
    ensure(unused.is_empty(), || {
        format!("listed and never made: {unused:?}")
    })
}

/// What the daemon's death looks like from the engine.
fn close_control(station: &mut Station) -> Outcome {
    let unconnected = anyd::blocking::Client::from_stream(UnixStream::pair()?.0);
    station.engine = unconnected.into();
    Ok(())
}

pub(super) fn ends_with_daemon() -> Outcome {
    let mut station = Station::build(Carrier::Tls)?;
    station.connect()?;
    close_control(&mut station)?;
    let begun = Instant::now();
    while begun.elapsed() < 5 * SECOND {
        if let Some(status) = station.process.try_wait()? {
            return ensure(status.success(), || format!("it ended with {status}"));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Err("the engine outlives the daemon".into())
}
