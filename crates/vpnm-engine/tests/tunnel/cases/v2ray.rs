//! A server that others wrote: the distribution's v2ray, unmodified.

use std::fs;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::Stdio;
use std::time::Instant;

use vpnm_api::Code;
use vpnm_world::Process;
use vpnm_world::addresses::{NODE, NODE_NAME, PLAIN_RESOLVER, SITE, SITE_NAME};
use vpnm_world::internet::{Carrier, ECHO_PORT};

use super::faults::code;
use super::traffic::visitor_address;
use super::{SECOND, site};
use crate::dns;
use crate::ensure;
use crate::station::{Outcome, Station};

const ID: &str = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9";
const STRANGER: &str = "0a1b2c3d-4e5f-6071-8293-00000000dead";

/// Protocol, transport and security of each inbound; ports count up from here.
const INBOUNDS: [(&str, &str, &str); 6] = [
    ("vless", "tcp", "none"),
    ("vless", "ws", "none"),
    ("vless", "ws", "tls"),
    ("vmess", "tcp", "none"),
    ("vmess", "tcp", "tls"),
    ("vmess", "ws", "tls"),
];
const FIRST_PORT: u16 = 10_000;

fn link(at: usize, id: &str) -> Outcome<String> {
    let (protocol, transport, security) = INBOUNDS.get(at).ok_or("no such inbound")?;
    let port = FIRST_PORT + u16::try_from(at)?;
    let encryption = if *protocol == "vless" { "none" } else { "auto" };
    Ok(format!(
        "{protocol}://{id}@{NODE_NAME}:{port}?encryption={encryption}&type={transport}\
         &security={security}&sni={NODE_NAME}&path=%2Fray"
    ))
}

/// The server's configuration, with its certificate inside.
fn configuration(station: &Station) -> Outcome<String> {
    let identity = station.world.authority().issue(&[NODE_NAME])?;
    let lines = |pem: &str| {
        let quoted: Vec<_> = pem
            .lines()
            .map(|line| format!("\"{}\"", line.trim()))
            .collect();
        quoted.join(",")
    };
    let certificate = lines(identity.certificate_pem());
    let key = lines(&identity.key_pem());
    let mut inbounds = Vec::new();
    for (at, (protocol, transport, security)) in INBOUNDS.iter().enumerate() {
        let port = FIRST_PORT + u16::try_from(at)?;
        inbounds.push(format!(
            r#"{{"port":{port},"listen":"0.0.0.0","protocol":"{protocol}",
            "settings":{{"clients":[{{"id":"{ID}","alterId":0}}],"decryption":"none"}},
            "streamSettings":{{"network":"{transport}","security":"{security}",
            "wsSettings":{{"path":"/ray"}},
            "tlsSettings":{{"certificates":[{{"certificate":[{certificate}],"key":[{key}]}}]}}}}}}"#
        ));
    }
    Ok(format!(
        r#"{{"log":{{"loglevel":"warning"}},"inbounds":[{}],
        "outbounds":[{{"protocol":"freedom"}}]}}"#,
        inbounds.join(",")
    ))
}

/// Every combination carries pages, names and datagrams; a stranger is told apart.
pub(super) fn carries_everything() -> Outcome {
    let mut station = Station::build(Carrier::Tcp)?;
    let node = station.world.node().clone();
    if node.command("v2ray").arg("-version").output().is_err() {
        println!("     SKIP v2ray is not installed: apt-get install v2ray");
        return Ok(());
    }
    let text = configuration(&station)?;
    let file = "/run/v2ray.json";
    node.run(|| fs::write(file, &text))?;
    let server = node.command("v2ray").args(["-config", file]);
    let mut server = server.stdout(Stdio::null()).spawn()?;
    wait_for_port(&station, &mut server)?;
    for (at, (protocol, transport, security)) in INBOUNDS.iter().enumerate() {
        let name = format!("{protocol}+{transport}+{security}");
        let address = [NODE.v4.into()];
        let begun = Instant::now();
        let stranger = code(station.connect_to(&link(at, STRANGER)?, &address));
        let stranger = stranger.map_err(|error| format!("{name} as a stranger: {error}"))?;
        ensure(stranger == Code::Rejected, || {
            format!("{name}: a stranger is told {}", stranger.name())
        })?;
        let told = begun.elapsed();
        let connected = station.connect_to(&link(at, ID)?, &address);
        let connected = connected.map_err(|error| format!("{name}: {error}"))?;
        works(&station).map_err(|error| format!("{name}: {error}"))?;
        println!(
            "     {name}: {} ms, a stranger is told after {told:?}",
            connected.latency_ms
        );
    }
    Ok(())
}

/// Waits until the server listens, or has ended.
fn wait_for_port(station: &Station, server: &mut Process) -> Outcome {
    let last = FIRST_PORT + u16::try_from(INBOUNDS.len() - 1)?;
    let port = SocketAddr::from((NODE.v4, last));
    while station
        .world
        .node()
        .run(|| TcpStream::connect(port))
        .is_err()
    {
        let ended = server.try_wait()?;
        ensure(ended.is_none(), || format!("v2ray ended: {ended:?}"))?;
        std::thread::sleep(SECOND / 10);
    }
    Ok(())
}

/// A page, a name and a datagram, as an ordinary user.
fn works(station: &Station) -> Outcome {
    let page = station.visit(|| visitor_address(site(80)))?;
    ensure(page.contains("203.0.113."), || page.clone())?;
    let resolver = SocketAddr::from((PLAIN_RESOLVER.v4, 53));
    let answer = station.visit(|| dns::by_datagram(resolver, SITE_NAME))?;
    ensure(answer.addresses == [SITE.v4], || format!("{answer:?}"))?;
    let echoed = station.visit(|| {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(5 * SECOND))?;
        socket.connect(site(ECHO_PORT))?;
        let mut space = [0; 2048];
        for n in 1..50 {
            socket.send(&vec![7; n * 20])?;
            let length = socket.recv(&mut space)?;
            if length != n * 20 {
                return Ok(false);
            }
        }
        Ok(true)
    })?;
    ensure(echoed, || "a datagram came back changed".to_owned())
}
