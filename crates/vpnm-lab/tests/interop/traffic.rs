//! What people do, through a tunnel to an unmodified server.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use vpnm_lab::machine::{need, shell, shell_as, wait_for};
use vpnm_lab::peer::{ID, Protocol, V2ray, Variant};
use vpnm_lab::session::Session;
use vpnm_world::addresses::{GATEWAY, NODE, NODE_NAME, PLAIN_RESOLVER, SITE, SITE_NAME};
use vpnm_world::internet::{Carriage, ECHO_PORT};
use vpnm_world::{User, Visitor};

const PARALLEL: usize = 1_000;
/// Longest until the iperf3 server takes another measurement.
const BUSY: Duration = Duration::from_secs(10);
/// How long the idle connection is left alone.
const IDLE: Duration = Duration::from_secs(20);

/// Everything through one variant.
pub(crate) fn run(variant: Variant) -> Result<()> {
    need(&["curl", "dig", "iperf3"])?;
    let mut session = Session::begin(None)?;
    let identity = session.world().authority().issue(&[NODE_NAME])?;
    session.use_server(variant.link(ID), variant.endpoints());
    let server = V2ray::start(session.world(), variant, &identity)?;
    session.start_daemon()?;
    session.connect()?;
    let idle = Visitor::new(session.client(), User::Alice).connect((SITE.v4, ECHO_PORT).into())?;
    let since = std::time::Instant::now();
    pages(&session).context("pages")?;
    names(&session).context("names")?;
    rates(&session).context("rates")?;
    parallel(&session, mistaken(variant)).context("connections at the same time")?;
    std::thread::sleep(IDLE.saturating_sub(since.elapsed()));
    echo(idle).context("the connection that was idle")?;
    let tally = session.end()?;
    drop(server);
    ensure!(tally.leaked() == 0, "leaked: {:?}", tally.leaks);
    ensure!(tally.unaccounted() == 0, "frames are unaccounted for");
    Ok(())
}

/// Both families, plain and TLS, HTTP/1.1 and HTTP/2; the site sees the node.
fn pages(session: &Session) -> Result<()> {
    for (family, node) in [("-4", NODE.v4.to_string()), ("-6", NODE.v6.to_string())] {
        for (version, scheme) in [
            ("--http1.1", "http"),
            ("--http1.1", "https"),
            ("--http2", "https"),
        ] {
            let get = format!("curl -sS --max-time 10 {family} {version} {scheme}://{SITE_NAME}");
            let page = shell_as(session.client(), User::Alice, &format!("{get}/address"))?;
            ensure!(
                page.trim() == node,
                "{get}: the site saw {page:?}, not {node}"
            );
        }
    }
    let size = 20_000_000;
    let get = format!("curl -sS --max-time 30 https://{SITE_NAME}/bytes/{size} | wc -c");
    let length = shell_as(session.client(), User::Alice, &get)?;
    ensure!(
        length.trim() == size.to_string(),
        "a page of {size} bytes came as {length}"
    );
    let put = format!(
        "head -c {size} /dev/zero | curl -sS --max-time 30 --http2 -X POST --data-binary @- https://{SITE_NAME}/upload"
    );
    let received = shell_as(session.client(), User::Alice, &put)?;
    ensure!(
        received.trim() == size.to_string(),
        "{size} bytes arrived as {received}"
    );
    Ok(())
}

/// Whichever resolver is asked, and however: the answer is there, and nobody
/// was asked in the clear by the client.
fn names(session: &Session) -> Result<()> {
    let resolvers = [
        PLAIN_RESOLVER.v4.to_string(),
        PLAIN_RESOLVER.v6.to_string(),
        GATEWAY.v4.to_string(),
        GATEWAY.v6.to_string(),
    ];
    for resolver in resolvers {
        for transport in ["+notcp", "+tcp"] {
            let ask = format!("dig {transport} +short +time=5 +tries=1 @{resolver} {SITE_NAME} A");
            let answer = shell_as(session.client(), User::Mallory, &ask)?;
            ensure!(answer.trim() == SITE.v4.to_string(), "{ask}: {answer:?}");
        }
    }
    let queries = session.internet().queries();
    let strange = queries
        .iter()
        .find(|query| query.carriage == Carriage::Plain && !NODE.both().contains(&query.from));
    ensure!(strange.is_none(), "asked in the clear: {strange:?}");
    let hidden = queries
        .iter()
        .any(|query| query.carriage == Carriage::Https && query.name == SITE_NAME);
    ensure!(hidden, "nobody was asked over HTTPS");
    Ok(())
}

/// iperf3, TCP both ways and UDP.
fn rates(session: &Session) -> Result<()> {
    let mut server =
        session
            .world()
            .internet()
            .command("iperf3")
            .args(["-s", "-B", &SITE.v4.to_string()]);
    server = server.stdout(std::process::Stdio::null());
    let _server = server.spawn()?;
    std::thread::sleep(Duration::from_millis(300));
    for flags in ["", "-R", "-u -b 4M -l 1200"] {
        let measure = format!("iperf3 -J -t 2 -c {} {flags}", SITE.v4);
        let report = wait_for("the iperf3 server to be free", BUSY, || {
            let report: Value = serde_json::from_str(&shell(session.client(), &measure)?)?;
            // It ends a measurement a moment after its client does.
            let error = report.get("error").and_then(Value::as_str);
            Ok((!error.is_some_and(|error| error.contains("busy"))).then_some(report))
        })?;
        let udp = flags.starts_with("-u");
        let sum = if udp { "/end/sum" } else { "/end/sum_received" };
        let number = |name: &str| {
            let value = report
                .pointer(&format!("{sum}/{name}"))
                .and_then(Value::as_f64);
            value.with_context(|| format!("{measure}: no {name}: {report}"))
        };
        let rate = number("bits_per_second")?;
        let least = if udp { 3e6 } else { 10e6 };
        ensure!(rate > least, "{measure}: {rate} bit/s");
        if udp {
            let lost = number("lost_percent")?;
            ensure!(lost < 5.0, "{lost} % of the datagrams were lost");
        }
    }
    Ok(())
}

/// Of the connections at the same time, how many the server may take for
/// replays. v2ray remembers VMess requests in a cuckoo filter, which mistakes
/// about one in a thousand new ones for one it knows (its log: "replayed
/// request"), and then keeps the client waiting.
fn mistaken(variant: Variant) -> usize {
    match variant.protocol {
        Protocol::Vless => 0,
        Protocol::Vmess => PARALLEL / 200,
    }
}

/// As many connections as a browser's worst day, all open, all answered.
fn parallel(session: &Session, mistaken: usize) -> Result<()> {
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: most,
            maximum: most,
        },
    )?;
    let to: SocketAddr = (SITE.v4, ECHO_PORT).into();
    let streams = session.client().run_as(User::Alice, || {
        (0..PARALLEL)
            .map(|_| TcpStream::connect_timeout(&to, Duration::from_secs(20)))
            .collect::<Result<Vec<_>, _>>()
    })?;
    for (mut stream, number) in streams.iter().zip(0_u32..) {
        stream.write_all(&number.to_be_bytes())?;
    }
    let mut silent = 0;
    for (mut stream, number) in streams.iter().zip(0_u32..) {
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut answer = [0; 4];
        match stream.read_exact(&mut answer) {
            Ok(()) => ensure!(
                u32::from_be_bytes(answer) == number,
                "connection {number} got another's answer"
            ),
            Err(error) if error.kind() == ErrorKind::WouldBlock => silent += 1,
            Err(error) => return Err(error).with_context(|| format!("connection {number}")),
        }
    }
    ensure!(
        silent <= mistaken,
        "{silent} connections got no answer, {mistaken} may"
    );
    Ok(())
}

fn echo(mut stream: TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"still there?")?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    ensure!(
        &answer == b"still there?",
        "another answer than what was said"
    );
    Ok(())
}
