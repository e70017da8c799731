//! The demo, act by act.

use std::thread;
use std::time::{Duration, Instant};

use vpnm_world::addresses::{CLIENT, NODE, SITE_NAME, SITE_V4_NAME};
use vpnm_world::capture::Tally;
use vpnm_world::internet::Carriage;
use vpnm_world::probe::{Plan, Prober};
use vpnm_world::{Signal, Transfer};

use super::report::Report;
use super::screen::{Screen, number, percent, rate};
use super::stage::{Daemon, Stage, broken, confinement};
use crate::exit::Exit;
use crate::output::{Failure, Problem, latency};

/// How long each transfer is measured.
const TRANSFER: Duration = Duration::from_millis(700);
/// How long probes run before the engine is killed, and after it is back.
const AROUND: Duration = Duration::from_millis(300);
/// The fewest probes that are called a test.
const PROBES: u64 = 1000;

/// Tells the whole story and returns what was measured.
pub(super) fn tell(screen: &mut Screen) -> Result<Report, Failure> {
    let started = Instant::now();
    let mut report = Report::default();
    screen.opening(&map())?;
    let stage = Stage::build()?;
    direct(&stage, screen, &mut report)?;
    let before = stage.snapshot()?;
    let wanted = tally(&stage)?;
    let daemon = connect(&stage, screen, &mut report)?;
    tunnelled(&stage, screen, &mut report)?;
    kill(&stage, &daemon, screen, &mut report)?;
    account(&stage, &wanted, &mut report)?;
    disconnect(&stage, daemon, screen, &report)?;
    let changes = stage.snapshot()?.changes_since(&before);
    report.host_restored = changes.is_empty();
    screen.proved(
        report.host_restored,
        "restored",
        &if changes.is_empty() {
            "links, addresses, routes, rules, firewall and resolver are as they were before"
                .to_owned()
        } else {
            changes.join("\n")
        },
    )?;
    report.elapsed_ms = millis(started.elapsed());
    report.judge(NODE.v4.into());
    if report.ok {
        screen.closing(started.elapsed())?;
    }
    Ok(report)
}

fn map() -> String {
    format!(
        "   client ------- router ---+--- internet   {SITE_NAME}, resolvers\n\
         \x20  {:<13}  capture   +--- node       {}, a VLESS server with TLS",
        CLIENT.v4, NODE.v4
    )
}

/// Act 1: what it is like without a tunnel.
fn direct(stage: &Stage, screen: &mut Screen, report: &mut Report) -> Result<(), Failure> {
    screen.act("Without a tunnel")?;
    let before = tally(stage)?;
    let address = stage.seen_address()?;
    report.direct_address = Some(address);
    screen.seen(
        "page",
        &format!("{SITE_NAME} saw {address}, the client itself"),
    )?;
    stage.resolve(SITE_NAME)?;
    report.direct_plaintext_dns_packets = tally(stage)?.since(&before).plaintext_dns;
    screen.seen(
        "name",
        &format!(
            "{SITE_NAME} was asked for in the clear: {} packets that anybody on the way can read",
            report.direct_plaintext_dns_packets
        ),
    )?;
    let (down, up) = transfers(stage)?;
    report.direct_down_bps = down.bits_per_second();
    report.direct_up_bps = up.bits_per_second();
    screen.seen(
        "speed",
        &format!(
            "{} down, {} up",
            rate(report.direct_down_bps),
            rate(report.direct_up_bps)
        ),
    )?;
    Ok(())
}

/// Act 2: the real commands.
fn connect(stage: &Stage, screen: &mut Screen, report: &mut Report) -> Result<Daemon, Failure> {
    screen.act(&format!("vpnm connect 'vless://...@{}'", Stage::server()))?;
    let daemon = stage.start_daemon()?;
    let begun = Instant::now();
    let status = stage.command(&["connect", "-"], &stage.link())?;
    report.connect_ms = millis(begun.elapsed());
    let state = |name: &str| status.get("state").and_then(|state| state.get(name));
    report.connected = state("name").and_then(|name| name.as_str()) == Some("connected");
    let answered = state("latency_ms")
        .and_then(serde_json::Value::as_u64)
        .unwrap_or_default();
    screen.proved(
        report.connected,
        "connected",
        &format!(
            "in {} ms; a query was answered through the tunnel in {}",
            report.connect_ms,
            latency(answered)
        ),
    )?;
    report.engine = confinement(daemon.engine()?)?;
    screen.proved(
        report.engine.is_tight(),
        "engine",
        &format!(
            "uid {}, capabilities {:#x}, {}, {}",
            report.engine.uid,
            report.engine.capabilities,
            if report.engine.no_new_privileges {
                "can gain none"
            } else {
                "can gain more"
            },
            if report.engine.seccomp {
                "system calls filtered"
            } else {
                "system calls not filtered"
            }
        ),
    )?;
    Ok(daemon)
}

/// Act 3: the same as in act 1, through the tunnel.
fn tunnelled(stage: &Stage, screen: &mut Screen, report: &mut Report) -> Result<(), Failure> {
    screen.act("Through the tunnel")?;
    let before = tally(stage)?;
    let address = stage.seen_address()?;
    report.exit_address = Some(address);
    let node = NODE.both();
    screen.proved(
        node.contains(&address),
        "page",
        &format!("{SITE_NAME} saw {address}, the node"),
    )?;
    // A name that nobody has asked for yet.
    let queries = stage.resolve(SITE_V4_NAME)?;
    let plain = tally(stage)?.since(&before).plaintext_dns;
    report.resolver = queries.first().map(|query| query.resolver);
    report.dns_over_tunnel = !queries.is_empty()
        && plain == 0
        && queries
            .iter()
            .all(|query| query.carriage == Carriage::Https && node.contains(&query.from));
    let resolver = report
        .resolver
        .map_or_else(|| "nobody".to_owned(), |resolver| resolver.to_string());
    screen.proved(
        report.dns_over_tunnel,
        "name",
        &format!("{SITE_V4_NAME} was asked of {resolver} by HTTPS from the node; {plain} packets in the clear"),
    )?;
    let (down, up) = transfers(stage)?;
    report.throughput_down_bps = down.bits_per_second();
    report.throughput_up_bps = up.bits_per_second();
    screen.seen(
        "speed",
        &format!(
            "{} down, {} up; {} % and {} % of the bare wire, all of it on this machine's {}",
            rate(report.throughput_down_bps),
            rate(report.throughput_up_bps),
            percent(report.throughput_down_bps, report.direct_down_bps),
            percent(report.throughput_up_bps, report.direct_up_bps),
            cores(),
        ),
    )?;
    Ok(())
}

fn cores() -> String {
    match thread::available_parallelism() {
        Ok(count) if count.get() == 1 => "one core".to_owned(),
        Ok(count) => format!("{count} cores"),
        Err(_) => "cores".to_owned(),
    }
}

/// Act 4: the engine dies while everything tries to get out.
fn kill(
    stage: &Stage,
    daemon: &Daemon,
    screen: &mut Screen,
    report: &mut Report,
) -> Result<(), Failure> {
    screen.act("The engine is killed in the middle of a transfer")?;
    let before = tally(stage)?;
    let prober = Prober::start(stage.world.client(), Plan::everything(Stage::server()))
        .map_err(|error| broken("the probes", &error))?;
    let visitor = stage.visitor().clone();
    // It is cut off and may take seconds to notice; nobody waits for it.
    thread::spawn(move || visitor.download(4 * AROUND));
    thread::sleep(AROUND);
    let engine = daemon.engine()?;
    let killed = Instant::now();
    kill_process(engine)?;
    let recovered = stage.wait_for_page(killed)?;
    report.recovery_ms = millis(recovered);
    thread::sleep(AROUND);
    let patience = Instant::now();
    while prober.fired() < PROBES && patience.elapsed() < Duration::from_secs(5) {
        thread::sleep(Duration::from_millis(10));
    }
    let attempts = prober.stop();
    report.probes = attempts.values().map(|kind| kind.attempted).sum();
    report.probe_kinds = u64::try_from(attempts.len()).unwrap_or(u64::MAX);
    let seen = tally(stage)?.since(&before);
    screen.proved(
        seen.leaked() == 0 && seen.unaccounted() == 0,
        "wire",
        &format!(
            "{} attempts in {} ways to get past the tunnel; {} packets captured, {} outside the tunnel",
            number(report.probes),
            report.probe_kinds,
            number(seen.frames),
            number(seen.leaked())
        ),
    )?;
    screen.proved(
        true,
        "recovery",
        &format!(
            "the next page came {} ms after the kill, through a new engine",
            report.recovery_ms
        ),
    )?;
    Ok(())
}

fn kill_process(pid: u32) -> Result<(), Problem> {
    i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .ok_or(rustix::io::Errno::SRCH)
        .and_then(|pid| rustix::process::kill_process(pid, Signal::KILL))
        .map_err(|error| broken("the kill", &error))
}

/// Counts everything on the wire since the tunnel was wanted.
fn account(stage: &Stage, wanted: &Tally, report: &mut Report) -> Result<(), Failure> {
    let seen = tally(stage)?.since(wanted);
    report.captured_packets = seen.frames;
    report.leaked_packets = seen.leaked();
    report.leaks = seen
        .leaks
        .iter()
        .map(|(what, count)| format!("{what} x{count}"))
        .collect();
    report.unaccounted_packets = seen.unaccounted();
    report.plaintext_dns_packets = seen.plaintext_dns;
    Ok(())
}

/// Act 5: back to how it was.
fn disconnect(
    stage: &Stage,
    daemon: Daemon,
    screen: &mut Screen,
    report: &Report,
) -> Result<(), Failure> {
    screen.act("vpnm disconnect")?;
    stage.command(&["disconnect"], "")?;
    let address = stage.seen_address()?;
    screen.proved(
        Some(address) == report.direct_address,
        "page",
        &format!("{SITE_NAME} saw {address} again"),
    )?;
    daemon.stop()?;
    Ok(())
}

fn transfers(stage: &Stage) -> Result<(Transfer, Transfer), Problem> {
    let down = stage
        .visitor()
        .download(TRANSFER)
        .map_err(|error| broken("the download", &error))?;
    let up = stage
        .visitor()
        .upload(TRANSFER)
        .map_err(|error| broken("the upload", &error))?;
    Ok((down, up))
}

fn tally(stage: &Stage) -> Result<Tally, Problem> {
    stage.capture.tally().map_err(|error| {
        Problem::new(
            Exit::Failed,
            "demo_failed",
            "the capture failed, so nothing can be proved",
            error.to_string(),
            "vpnm demo",
        )
    })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
