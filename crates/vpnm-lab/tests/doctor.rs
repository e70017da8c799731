//! `vpnm doctor` on a machine with faults, each made for real.

use std::net::{TcpListener, UdpSocket};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use vpnm_lab::harness::{self, Case, Options, Outcome};
use vpnm_lab::machine::{need, shell};
use vpnm_lab::session::Session;
use vpnm_world::User;

fn main() -> Result<ExitCode> {
    let options = Options::parse(std::env::args().skip(1))?;
    let cases = [
        Case::new("each fault is named, and gone when it is undone", |_| {
            faults()
        }),
        Case::new(
            "without rights and without a daemon it says what it cannot see",
            |_| alone(),
        ),
        Case::new("the fix that is named mends the fault", |_| fixes()),
        Case::new("who answers queries is found", |_| resolvers()),
        Case::new("a dead daemon's block is found", |_| left_over()),
    ];
    Ok(match harness::run(&options, &cases)? {
        Outcome::Elsewhere(code) => code,
        Outcome::Ran { passed: true } => ExitCode::SUCCESS,
        Outcome::Ran { passed: false } => ExitCode::FAILURE,
    })
}

/// How to make a fault and to undo it, the check that names it, and how much it matters.
struct Fault {
    make: &'static str,
    undo: &'static str,
    check: &'static str,
    severity: &'static str,
}

const fn fault(
    check: &'static str,
    severity: &'static str,
    make: &'static str,
    undo: &'static str,
) -> Fault {
    Fault {
        make,
        undo,
        check,
        severity,
    }
}

const FAULTS: &[Fault] = &[
    fault(
        "rp-filter",
        "note",
        "echo 1 > /proc/sys/net/ipv4/conf/eth0/rp_filter",
        "echo 0 > /proc/sys/net/ipv4/conf/eth0/rp_filter",
    ),
    fault(
        "link-down",
        "note",
        "echo 1 > /proc/sys/net/ipv4/conf/all/ignore_routes_with_linkdown",
        "echo 0 > /proc/sys/net/ipv4/conf/all/ignore_routes_with_linkdown",
    ),
    fault(
        "link-down",
        "note",
        "echo 1 > /proc/sys/net/ipv6/conf/eth0/ignore_routes_with_linkdown",
        "echo 0 > /proc/sys/net/ipv6/conf/eth0/ignore_routes_with_linkdown",
    ),
    fault(
        "localnet",
        "note",
        "echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet",
        "echo 0 > /proc/sys/net/ipv4/conf/eth0/route_localnet",
    ),
    fault(
        "forwarding",
        "note",
        "echo 1 > /proc/sys/net/ipv4/ip_forward",
        "echo 0 > /proc/sys/net/ipv4/ip_forward",
    ),
    fault(
        "earlier",
        "warning",
        "ip rule add pref 100 lookup 52",
        "ip rule del pref 100",
    ),
    fault(
        "earlier",
        "warning",
        "ip -6 rule add pref 100 lookup 52",
        "ip -6 rule del pref 100",
    ),
    fault(
        "later",
        "note",
        "ip rule add pref 9000 lookup 2022",
        "ip rule del pref 9000",
    ),
    fault(
        "our-place",
        "problem",
        "ip rule add pref 7610 lookup 5",
        "ip rule del pref 7610",
    ),
    fault(
        "our-place",
        "problem",
        "ip rule add pref 20000 lookup 7670",
        "ip rule del pref 20000",
    ),
    fault(
        "our-place",
        "problem",
        "ip -6 route add 2001:db8:9::/64 dev eth0 table 7670",
        "ip -6 route flush table 7670",
    ),
    fault(
        "leftovers",
        "warning",
        "ip rule add pref 7618 lookup 7670 protocol 118",
        "ip rule del pref 7618",
    ),
    fault(
        "other-vpns",
        "warning",
        "ip tuntap add dev tun7 mode tun && ip link set tun7 up",
        "ip link del tun7",
    ),
    fault(
        "interface",
        "problem",
        "ip tuntap add dev vpnm0 mode tun",
        "ip link del vpnm0",
    ),
    fault(
        "containers",
        "note",
        "ip link add docker0 type bridge",
        "ip link del docker0",
    ),
    fault(
        "mtu",
        "problem",
        "ip link set eth0 mtu 1000",
        "ip link set eth0 mtu 1500 && sleep 1 && \
         ip -6 addr add 2001:db8:77::2/64 dev eth0 nodad && \
         ip -6 route add default via 2001:db8:77::1",
    ),
    fault(
        "privacy",
        "note",
        "ip addr add 2001:db8:5::5054:ff:fe12:3456/64 dev eth0 nodad",
        "ip addr del 2001:db8:5::5054:ff:fe12:3456/64 dev eth0",
    ),
    fault(
        "uplink",
        "problem",
        "ip route del default && ip -6 route del default",
        "ip route add default via 192.168.77.1 && ip -6 route add default via 2001:db8:77::1",
    ),
    fault(
        "ways-out",
        "note",
        "ip link add eth9 type veth peer name far9 && ip link set eth9 up && \
         ip route add default dev eth9 metric 900",
        "ip link del eth9",
    ),
    fault(
        "addresses",
        "problem",
        "for n in 198.18.76.1/24 10.176.76.1/24 172.30.76.1/24 192.168.176.1/24; \
         do ip addr add $n dev lo; done",
        "for n in 198.18.76.1/24 10.176.76.1/24 172.30.76.1/24 192.168.176.1/24; \
         do ip addr del $n dev lo; done",
    ),
    fault(
        "ipv6",
        "note",
        "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6",
        "echo 0 > /proc/sys/net/ipv6/conf/all/disable_ipv6 && sleep 1 && \
         ip -6 addr add 2001:db8:77::2/64 dev eth0 nodad && \
         ip -6 route add default via 2001:db8:77::1",
    ),
    fault(
        "drops",
        "warning",
        "nft 'add table ip other; add chain ip other out \
         { type filter hook output priority 0; policy drop; }'",
        "nft delete table ip other",
    ),
    fault(
        "nat",
        "note",
        "nft 'add table ip other; add chain ip other out \
         { type nat hook output priority -100; }'",
        "nft delete table ip other",
    ),
    fault(
        "settings",
        "problem",
        "mkdir -p /etc/vpnm && echo lna=true > /etc/vpnm/settings.toml",
        "rm /etc/vpnm/settings.toml",
    ),
    fault(
        "directory",
        "problem",
        "chmod 777 /run/vpnm",
        "chmod 755 /run/vpnm",
    ),
    fault(
        "group",
        "warning",
        "cp /etc/group /run/kept && sed -i /^vpnm:/d /etc/group",
        "cat /run/kept > /etc/group",
    ),
];

/// Checks whose fix can be typed as it stands.
const TYPED: [&str; 5] = [
    "earlier",
    "our-place",
    "other-vpns",
    "interface",
    "directory",
];

/// The checks by name: severity, and what to type.
fn doctor(session: &Session, user: User) -> Result<Vec<(String, String, String)>> {
    let output = session.vpnm(user, &["doctor", "--json"])?;
    let report: Value = serde_json::from_slice(&output.stdout).context("no JSON")?;
    let checks = report.pointer("/checks").and_then(Value::as_array);
    let text = |check: &Value, name: &str| {
        let text = check.get(name).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let checks = checks.context("there are no checks")?.iter();
    let checks: Vec<_> = checks
        .map(|check| {
            (
                text(check, "name"),
                text(check, "severity"),
                text(check, "next"),
            )
        })
        .collect();
    let has_problem = checks.iter().any(|(_, severity, _)| severity == "problem");
    ensure!(
        output.status.code() == Some(i32::from(has_problem)),
        "it ended with {}: {checks:?}",
        output.status
    );
    Ok(checks)
}

fn severity(session: &Session, user: User, name: &str) -> Result<(String, String)> {
    let checks = doctor(session, user)?;
    let found = checks.into_iter().find(|(check, ..)| check == name);
    let (_, severity, next) = found.with_context(|| format!("there is no check {name}"))?;
    Ok((severity, next))
}

fn faults() -> Result<()> {
    need(&["ip", "nft"])?;
    let mut session = Session::begin(None)?;
    session.start_daemon()?;
    for fault in FAULTS {
        let name = fault.check;
        let (before, _) = severity(&session, User::Root, name)?;
        shell(session.client(), fault.make)?;
        let (found, next) = severity(&session, User::Root, name)?;
        shell(session.client(), fault.undo)?;
        ensure!(
            found == fault.severity,
            "{name} with {:?}: {found}",
            fault.make
        );
        let says_what_to_do = ["note", "good"].contains(&found.as_str()) || !next.is_empty();
        ensure!(says_what_to_do, "{name} does not say what to type");
        let (after, _) = severity(&session, User::Root, name)?;
        ensure!(
            before == after,
            "{name} was {before} before, is {after} after"
        );
        ensure!(before != found, "{name} is {found} also without the fault");
    }
    Ok(())
}

fn fixes() -> Result<()> {
    need(&["ip"])?;
    let mut session = Session::begin(None)?;
    session.start_daemon()?;
    for fault in FAULTS.iter().filter(|fault| TYPED.contains(&fault.check)) {
        let name = fault.check;
        shell(session.client(), fault.make)?;
        let (_, next) = severity(&session, User::Root, name)?;
        let (_, typed) = next.split_once("sudo ").context("no command is named")?;
        shell(session.client(), &typed.replace("sudo ", ""))
            .with_context(|| format!("{name} with {:?}", fault.make))?;
        let (after, _) = severity(&session, User::Root, name)?;
        ensure!(after == "good", "{name} is {after} after {typed:?}");
        // The fix may have undone all of it, or have left what does no harm.
        drop(shell(session.client(), fault.undo));
    }
    Ok(())
}

fn resolvers() -> Result<()> {
    const CHECK: &str = "port-53";
    let mut session = Session::begin(None)?;
    session.start_daemon()?;
    let client = session.client();
    for address in ["127.0.0.1:53", "[::]:53", "[::1]:53"] {
        let by_datagram = client.run(|| UdpSocket::bind(address))?;
        let (found, _) = severity(&session, User::Mallory, CHECK)?;
        ensure!(found == "note", "{address} by UDP: {found}");
        drop(by_datagram);
        let by_stream = client.run(|| TcpListener::bind(address))?;
        let (found, _) = severity(&session, User::Mallory, CHECK)?;
        ensure!(found == "note", "{address} by TCP: {found}");
        drop(by_stream);
        let (found, _) = severity(&session, User::Mallory, CHECK)?;
        ensure!(found == "good", "nobody answers on {address}: {found}");
    }
    Ok(())
}

fn alone() -> Result<()> {
    let mut session = Session::begin(None)?;
    session.start_daemon()?;
    session.kill_daemon()?;
    let checks = doctor(&session, User::Mallory)?;
    ensure!(checks.len() >= 45, "{} checks", checks.len());
    let of = |name: &str| {
        let found = checks.iter().find(|(check, ..)| check == name);
        found.map_or("", |(_, severity, _)| severity.as_str())
    };
    for name in [
        "filter", "egress", "endings", "drops", "nat", "journal", "tunnel",
    ] {
        ensure!(of(name) == "unknown", "{name} is {}", of(name));
    }
    for name in ["uplink", "addresses", "earlier", "rp-filter", "mtu"] {
        ensure!(of(name) == "good", "{name} is {}", of(name));
    }
    ensure!(of("daemon") == "problem" && of("member") == "warning");
    Ok(())
}

fn left_over() -> Result<()> {
    let mut session = Session::begin(None)?;
    session.start_daemon()?;
    session.connect()?;
    let (healthy, _) = severity(&session, User::Alice, "leftovers")?;
    ensure!(healthy == "good", "{healthy}");
    session.kill_daemon()?;
    let (found, next) = severity(&session, User::Alice, "leftovers")?;
    ensure!(
        found == "problem" && next.contains("vpnm cleanup"),
        "{found}: {next}"
    );
    Ok(())
}
