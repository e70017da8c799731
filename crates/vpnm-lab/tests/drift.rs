//! Whatever others delete of what the daemon set up is put back, and said so.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use vpnm_lab::harness::{self, Case, Options, Outcome};
use vpnm_lab::machine::{need, shell, wait_for};
use vpnm_lab::session::Session;

/// Far more than it takes; a look at everything is due every 30 s in any case.
const PATIENCE: Duration = Duration::from_secs(15);

fn main() -> Result<ExitCode> {
    let options = Options::parse(std::env::args().skip(1))?;
    let cases = [
        Case::new("each object is put back when it is deleted", |_| each()),
        Case::new(
            "the packet filter cannot be changed, or is put back",
            |_| filter(),
        ),
        Case::new("what the host itself changes is no repair", |_| {
            adaptation()
        }),
        Case::new("settings of the kernel that somebody changes", |_| {
            settings()
        }),
    ];
    Ok(match harness::run(&options, &cases)? {
        Outcome::Elsewhere(code) => code,
        Outcome::Ran { passed: true } => ExitCode::SUCCESS,
        Outcome::Ran { passed: false } => ExitCode::FAILURE,
    })
}

/// Everything of ours that others can take away, one command for each.
fn damages(session: &Session) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for family in ["-4", "-6"] {
        let rules = shell(session.client(), &format!("ip -j {family} rule"))?;
        let rules: Vec<Value> = serde_json::from_str(&rules)?;
        let priority = |rule: &Value| rule.get("priority").and_then(Value::as_u64);
        let ours = rules
            .iter()
            .filter_map(priority)
            .filter(|p| (7600..=7620).contains(p));
        all.extend(ours.map(|p| format!("ip {family} rule del pref {p}")));
        all.push(format!(
            "ip {family} route del default dev vpnm0 table 7670"
        ));
        all.push(format!(
            "ip {family} route del unreachable default table 7670"
        ));
        all.push(format!("ip {family} route flush table 7670"));
    }
    let others = [
        "ip addr del 198.18.76.70/32 dev vpnm0",
        "ip addr del fd76:706e:6d30::1/128 dev vpnm0",
        "ip route del local 198.18.76.70 dev vpnm0 table local",
        "ip -6 route del local fd76:706e:6d30::1 dev vpnm0 table local",
        "ip link set vpnm0 down",
        "ip link set vpnm0 mtu 1400",
        "ip link set vpnm0 txqueuelen 100",
    ];
    all.extend(others.map(str::to_owned));
    Ok(all)
}

/// How much was repaired so far, what last, and whether it is known when.
fn repairs(session: &Session) -> Result<(u64, String, bool)> {
    let status = session.status()?;
    let part = |name: &str| status.pointer(&format!("/repairs/{name}")).cloned();
    let count = part("count").and_then(|count| count.as_u64());
    let last = part("last").and_then(|last| Some(last.as_str()?.to_owned()));
    let at = part("at").is_some_and(|at| at.is_u64());
    Ok((
        count.context("no count")?,
        last.context("nothing was last")?,
        at,
    ))
}

/// What is there of ours, without what counts.
fn ours(session: &Session) -> Result<String> {
    let list = "ip rule; ip -6 rule; ip route show table 7670; ip -6 route show table 7670; \
        ip route show table local dev vpnm0; ip -6 route show table local dev vpnm0; \
        ip -o addr show dev vpnm0; ip -o link show dev vpnm0; nft -s list table inet vpnm";
    shell(session.client(), list)
}

fn each() -> Result<()> {
    need(&["ip", "nft"])?;
    let mut session = Session::begin(None)?;
    session.start_daemon()?;
    session.connect()?;
    let whole = ours(&session)?;
    for damage in damages(&session)? {
        let (before, ..) = repairs(&session)?;
        shell(session.client(), &damage)?;
        wait_for("the repair", PATIENCE, || {
            Ok((ours(&session)? == whole).then_some(()))
        })
        .with_context(|| damage.clone())?;
        wait_for("the word of it", PATIENCE, || {
            let (count, last, at) = repairs(&session)?;
            Ok((count > before && !last.is_empty() && at).then_some(()))
        })
        .with_context(|| damage.clone())?;
        session.check_tunnel().with_context(|| damage.clone())?;
    }
    ensure!(session.state()? == "connected");
    session.end().map(drop)
}

/// What others may try on each chain of ours, a set, and whole tables.
fn attempts_on_the_filter(session: &Session) -> Result<Vec<String>> {
    let tables = shell(session.client(), "nft -j list chains")?;
    let tables: Value = serde_json::from_str(&tables)?;
    let objects = tables.pointer("/nftables").and_then(Value::as_array);
    let chains = objects.context("no list")?.iter().filter_map(|object| {
        let part = |name: &str| object.pointer(&format!("/chain/{name}"))?.as_str();
        let (family, table, chain) = (part("family")?, part("table")?, part("name")?);
        (table == "vpnm").then(|| format!("{family} vpnm {chain}"))
    });
    let chains: Vec<String> = chains.collect();
    ensure!(chains.len() >= 8, "{chains:?}");
    let mut all: Vec<String> = chains
        .iter()
        .map(|c| format!("nft flush chain {c}"))
        .collect();
    let opened = chains.iter().filter(|chain| !chain.ends_with("redirect"));
    all.extend(opened.map(|c| format!("nft insert rule {c} accept")));
    all.push("nft flush set inet vpnm servers4".to_owned());
    for family in ["inet", "netdev", "arp"] {
        all.push(format!("nft delete table {family} vpnm"));
    }
    all.push("nft flush ruleset".to_owned());
    Ok(all)
}

/// Where the kernel keeps others from tables with an owner, each attempt fails;
/// elsewhere it is undone and said so.
fn filter() -> Result<()> {
    need(&["ip", "nft"])?;
    let mut session = Session::begin(None)?;
    session.start_daemon()?;
    session.connect()?;
    let list = "nft -s list ruleset";
    let whole = shell(session.client(), list)?;
    for attempt in attempts_on_the_filter(&session)? {
        let (before, ..) = repairs(&session)?;
        let succeeded = shell(session.client(), &attempt).is_ok();
        wait_for("the packet filter as it was", PATIENCE, || {
            Ok((shell(session.client(), list)? == whole).then_some(()))
        })
        .with_context(|| attempt.clone())?;
        let kept = !succeeded || attempt == "nft flush ruleset";
        wait_for("the word of it", PATIENCE, || {
            Ok((kept || repairs(&session)?.0 > before).then_some(()))
        })
        .with_context(|| attempt.clone())?;
        session.check_tunnel().with_context(|| attempt.clone())?;
    }
    ensure!(session.state()? == "connected");
    session.end().map(drop)
}

fn adaptation() -> Result<()> {
    need(&["ip"])?;
    let mut session = Session::begin(None)?;
    session.start_daemon()?;
    session.connect()?;
    let (before, ..) = repairs(&session)?;
    let bridge = "ip link add docker0 type bridge && ip addr add 172.17.0.1/16 dev docker0 && \
        ip link set docker0 up && ip tuntap add port0 mode tap && ip link set port0 master docker0";
    shell(session.client(), bridge)?;
    wait_for("the bridge to be known", PATIENCE, || {
        Ok(ours(&session)?
            .contains("to 172.17.0.0/16 lookup main")
            .then_some(()))
    })?;
    ensure!(repairs(&session)?.0 == before, "{:?}", repairs(&session)?);
    session.check_tunnel()
}

/// More than it takes to look at everything after a change.
const SETTLED: Duration = Duration::from_millis(300);

/// Settings under /proc/sys/net and the values they get and had.
const SETTINGS: [(&str, u8, u8); 10] = [
    ("ipv6/conf/vpnm0/disable_ipv6", 1, 0),
    ("ipv4/conf/all/rp_filter", 1, 0),
    ("ipv4/conf/vpnm0/rp_filter", 1, 0),
    ("ipv4/conf/eth0/rp_filter", 2, 0),
    ("ipv4/conf/all/arp_ignore", 1, 0),
    ("ipv4/conf/all/arp_announce", 2, 0),
    ("ipv4/conf/all/accept_local", 1, 0),
    ("ipv4/conf/vpnm0/ignore_routes_with_linkdown", 1, 0),
    ("ipv4/ip_forward", 1, 0),
    ("ipv6/conf/all/forwarding", 1, 0),
];

/// None of them is ours, so none is set: with each the tunnel carries on, and without
/// it everything is as before. What a setting makes of our link is put back.
fn settings() -> Result<()> {
    need(&["ip", "nft", "curl"])?;
    let mut session = Session::begin(None)?;
    session.start_daemon()?;
    session.connect()?;
    let whole = ours(&session)?;
    let connected = session.capture().tally()?;
    let set = |path: &str, value: u8| {
        shell(
            session.client(),
            &format!("echo {value} > /proc/sys/net/{path}"),
        )
    };
    for (path, other, usual) in SETTINGS {
        set(path, other)?;
        // The daemon has looked by then, so that it must hear of the way back, too.
        std::thread::sleep(SETTLED);
        session.check_tunnel().with_context(|| path.to_owned())?;
        set(path, usual)?;
        is_whole(&session, &whole).with_context(|| path.to_owned())?;
    }
    let (before, ..) = repairs(&session)?;
    set("ipv6/conf/vpnm0/addr_gen_mode", 0)?;
    is_whole(&session, &whole)?;
    wait_for("the word of it", PATIENCE, || {
        Ok((repairs(&session)?.0 > before).then_some(()))
    })?;
    ensure!(session.state()? == "connected");
    let sent = session.capture().tally()?.since(&connected);
    ensure!(sent.leaked() == 0, "left: {:?}", sent.leaks);
    session.end().map(drop)
}

/// Waits until everything of ours is as it was, and carries both families.
fn is_whole(session: &Session, whole: &str) -> Result<()> {
    wait_for("everything as it was", PATIENCE, || {
        Ok((ours(session)? == whole).then_some(()))
    })?;
    let page = "curl -gsS -m 8 http://[2001:db8:100::80]/address";
    let seen_from = shell(session.client(), page)?;
    ensure!(seen_from.trim() == "2001:db8:113::10", "{seen_from:?}");
    session.check_tunnel().map(drop)
}
