//! Servers that are not there, are not who they say, or do not know us: each
//! its own clear failure, and the machine stays closed. Only the black hole may be met by
//! the product's own limit: of the others that name is none of their codes.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use vpnm_lab::harness::Case;
use vpnm_lab::machine::shell;
use vpnm_lab::peer::{ID, Protocol, Transport, V2ray, Variant, WRONG_ID};
use vpnm_lab::session::Session;
use vpnm_world::addresses::NODE_NAME;
use vpnm_world::{Authority, User};

/// The exit code of a server that could not be used.
const SERVER: i32 = 5;

/// A fault, and the codes that name it.
struct Fault {
    name: &'static str,
    codes: &'static [&'static str],
    variant: Variant,
    id: &'static str,
    server: Server,
}

enum Server {
    /// As it should be.
    Good,
    /// With a certificate of an authority nobody trusts.
    Untrusted,
    /// With a certificate for another name.
    Misnamed,
    /// Not running.
    Absent,
    /// Running, but the router drops what is sent there.
    Blackhole,
    /// Running, but the router says that it cannot be reached.
    Unreachable,
}

const fn variant(protocol: Protocol, transport: Transport, tls: bool) -> Variant {
    Variant {
        protocol,
        transport,
        tls,
    }
}

const VLESS_TLS: Variant = variant(Protocol::Vless, Transport::Tcp, true);

const FAULTS: [Fault; 7] = [
    Fault {
        name: "wrong id (vless)",
        codes: &["rejected"],
        variant: VLESS_TLS,
        id: WRONG_ID,
        server: Server::Good,
    },
    Fault {
        name: "wrong id (vmess)",
        codes: &["rejected", "no_answer"],
        variant: variant(Protocol::Vmess, Transport::Tcp, false),
        id: WRONG_ID,
        server: Server::Good,
    },
    Fault {
        name: "certificate of an unknown authority",
        codes: &["certificate"],
        variant: VLESS_TLS,
        id: ID,
        server: Server::Untrusted,
    },
    Fault {
        name: "certificate for another name",
        codes: &["certificate"],
        variant: variant(Protocol::Vmess, Transport::WebSocket, true),
        id: ID,
        server: Server::Misnamed,
    },
    Fault {
        name: "closed port",
        codes: &["refused"],
        variant: VLESS_TLS,
        id: ID,
        server: Server::Absent,
    },
    Fault {
        name: "server behind a black hole",
        codes: &["timed_out", "unreachable"],
        variant: VLESS_TLS,
        id: ID,
        server: Server::Blackhole,
    },
    Fault {
        name: "unreachable server",
        codes: &["unreachable"],
        variant: VLESS_TLS,
        id: ID,
        server: Server::Unreachable,
    },
];

/// A case for each fault.
pub(crate) fn cases<'a>() -> impl Iterator<Item = Case<'a>> {
    FAULTS
        .iter()
        .map(|fault| Case::new(format!("fault: {}", fault.name), move |_| run(fault)))
}

fn run(fault: &Fault) -> Result<()> {
    let mut session = Session::begin(None)?;
    session.use_server(fault.variant.link(fault.id), fault.variant.endpoints());
    let _server = start(&session, fault)?;
    session.start_daemon()?;
    let output = session.vpnm(User::Alice, &["connect", session.link(), "--json"])?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.code() == Some(SERVER),
        "it ended with {}: {text}",
        output.status
    );
    let line = text.lines().last().context("nothing was said")?;
    let report: Value = serde_json::from_str(line)?;
    let said = |part: &str| {
        let text = report
            .pointer(&format!("/error/{part}"))
            .and_then(Value::as_str);
        text.filter(|text| !text.is_empty())
            .with_context(|| format!("there is no {part}: {line}"))
    };
    let code = said("code")?;
    ensure!(fault.codes.contains(&code), "it was called {code}: {line}");
    for part in ["what", "why", "next"] {
        said(part)?;
    }
    let state = session.state()?;
    ensure!(state == "blocked", "the state is {state}");
    ensure!(session.check_tunnel().is_err(), "the machine is open");
    let tally = session.end()?;
    ensure!(tally.leaked() == 0, "leaked: {:?}", tally.leaks);
    Ok(())
}

fn start(session: &Session, fault: &Fault) -> Result<Option<V2ray>> {
    let world = session.world();
    let identity = match fault.server {
        Server::Untrusted => Authority::new()?.issue(&[NODE_NAME])?,
        Server::Misnamed => world.authority().issue(&["other.example"])?,
        Server::Good | Server::Absent | Server::Blackhole | Server::Unreachable => {
            world.authority().issue(&[NODE_NAME])?
        }
    };
    let route = match fault.server {
        Server::Blackhole => Some("blackhole"),
        Server::Unreachable => Some("unreachable"),
        Server::Good | Server::Untrusted | Server::Misnamed | Server::Absent => None,
    };
    if let Some(kind) = route {
        shell(world.router(), &format!("ip route add {kind} 203.0.113.10"))?;
    }
    if matches!(fault.server, Server::Absent) {
        return Ok(None);
    }
    V2ray::start(world, fault.variant, &identity).map(Some)
}
