//! Names resolve beside everything that keeps a host's resolver settings, none is
//! asked for in the clear, and afterwards the settings are those of before.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use vpnm_lab::harness::Case;
use vpnm_lab::machine::{need, shell, shell_as, wait_for};
use vpnm_lab::programs::Programs;
use vpnm_lab::resolver::{NetworkManager, Resolved, Told, check_names};
use vpnm_lab::session::Session;
use vpnm_world::User;
use vpnm_world::addresses::{CLIENT, SITE};

const PATIENCE: Duration = Duration::from_secs(10);
const NAME: &str = "site.example";

pub(crate) fn cases<'a>() -> Vec<Case<'a>> {
    vec![
        Case::new("systemd-resolved that asks the LAN for every name", |_| {
            resolved()
        }),
        Case::new("a message bus that hangs", |_| hanging()),
        Case::new("NetworkManager that writes resolv.conf", |_| manager()),
        Case::new("openresolv that writes resolv.conf", |_| {
            resolvconf(&OPENRESOLV)
        }),
        Case::new("Debian's resolvconf that writes resolv.conf", |_| {
            resolvconf(&DEBIAN)
        }),
        Case::new("resolv.conf that names nobody", |_| nobody()),
        Case::new("resolv.conf that names link-local servers", |_| {
            link_local()
        }),
    ]
}

fn resolved() -> Result<()> {
    let mut session = Session::begin(None)?;
    let mut resolved = Resolved::start(session.client())?;
    let before = Told::on(session.client())?;
    session.start_daemon()?;
    session.connect()?;
    let connected = session.capture().tally()?;
    wait_until_told(&session)?;
    check_keeper(&session, "systemd-resolved (stub)")?;
    check_names(session.client(), NAME)?;
    resolved.restart(session.client())?;
    wait_until_told(&session)?;
    check_names(session.client(), NAME)?;
    // Somebody else takes it away; the next look puts it back.
    shell(session.client(), "resolvectl revert vpnm0")?;
    resolved.restart(session.client())?;
    wait_until_told(&session)?;
    check_names(session.client(), NAME)?;
    let status = session.status()?;
    let hints = status.pointer("/hints").and_then(|hints| hints.as_array());
    ensure!(hints.is_some_and(Vec::is_empty), "hints: {hints:?}");
    let sent = session.capture().tally()?.since(&connected);
    ensure!(sent.leaked() == 0, "left: {:?}", sent.leaks);
    session.command(&["disconnect"])?;
    Told::on(session.client())?.check_same_as(&before)?;

    // Killed, it leaves nothing behind that the link does not take along.
    session.connect()?;
    wait_until_told(&session)?;
    session.kill_daemon()?;
    let cleanup = session.vpnm(User::Root, &["cleanup"])?;
    ensure!(cleanup.status.success(), "vpnm cleanup failed");
    wait_for("systemd-resolved to forget the link", PATIENCE, || {
        let same = Told::on(session.client())?.check_same_as(&before);
        Ok(same.ok())
    })
}

/// Makes sure that `vpnm doctor` tells who writes `resolv.conf`.
fn check_keeper(session: &Session, keeper: &str) -> Result<()> {
    // Whatever else it finds here is no matter.
    let output = session.vpnm(User::Root, &["doctor", "--json"])?;
    let findings: Value = serde_json::from_slice(&output.stdout)?;
    let checks = findings.get("checks").and_then(Value::as_array);
    let is_it = |check: &&Value| check.get("name").is_some_and(|name| name == "resolver");
    let check = checks.and_then(|checks| checks.iter().find(is_it));
    let found = check.and_then(|check| check.get("found")?.as_str());
    ensure!(
        found.is_some_and(|found| found.ends_with(keeper)),
        "written by {keeper}, not {found:?}"
    );
    Ok(())
}

/// Waits until systemd-resolved sends every name into the tunnel.
pub(crate) fn wait_until_told(session: &Session) -> Result<()> {
    wait_for("systemd-resolved to know the tunnel", PATIENCE, || {
        let text = shell(
            session.client(),
            "resolvectl dns vpnm0 && resolvectl domain vpnm0",
        );
        let text = text.unwrap_or_default();
        Ok((text.contains("198.18.76.71") && text.contains("~.")).then_some(()))
    })
}

fn hanging() -> Result<()> {
    let mut session = Session::begin(None)?;
    let resolved = Resolved::start(session.client())?;
    let before = Told::on(session.client())?;
    resolved.stop_bus(true)?;
    session.start_daemon()?;
    session.connect()?;
    session.check_tunnel()?;
    wait_for("a hint that names may not resolve", PATIENCE, || {
        let hints = session.status()?.pointer("/hints").cloned();
        let text = hints.unwrap_or_default().to_string();
        Ok(text.contains("names may resolve").then_some(()))
    })?;
    resolved.stop_bus(false)?;
    wait_until_told(&session)?;
    check_names(session.client(), NAME)?;
    session.command(&["disconnect"])?;
    Told::on(session.client())?.check_same_as(&before)
}

fn manager() -> Result<()> {
    const WRITTEN: &str = "192.168.77.9";
    let mut session = Session::begin(None)?;
    let _manager = NetworkManager::start(session.client())?;
    session.start_daemon()?;
    session.connect()?;
    let connected = session.capture().tally()?;
    check_names(session.client(), NAME)?;
    check_keeper(&session, "NetworkManager")?;
    // It sees the tunnel's link as somebody else's ...
    let devices = shell(session.client(), "nmcli -t -f DEVICE,STATE device")?;
    ensure!(
        devices.contains("vpnm0:connected (externally)\n"),
        "it took the link: {devices}"
    );
    // ... and writes the file whenever it likes.
    let change =
        format!("nmcli connection modify wire ipv4.dns {WRITTEN} && nmcli device reapply eth0");
    shell(session.client(), &change)?;
    wait_for("NetworkManager to write the file", PATIENCE, || {
        let text = shell(session.client(), "cat /etc/resolv.conf")?;
        Ok(text.contains(WRITTEN).then_some(()))
    })?;
    check_names(session.client(), NAME)?;
    session.wait_for_state(&["connected"])?;
    session.check_tunnel()?;
    let sent = session.capture().tally()?.since(&connected);
    ensure!(sent.plaintext_dns == 0, "left: {:?}", sent.leaks);
    session.command(&["disconnect"])?;
    let text = shell(session.client(), "cat /etc/resolv.conf")?;
    ensure!(text.contains(WRITTEN), "resolv.conf is {text:?}");
    Ok(())
}

/// A program named `resolvconf`: where it comes from, what its package sets up when
/// it is installed, and the line by which it is told.
struct Resolvconf {
    programs: fn() -> Result<Programs>,
    set_up: &'static str,
    keeper: &'static str,
}

const OPENRESOLV: Resolvconf = Resolvconf {
    programs: Programs::openresolv,
    set_up: ":",
    keeper: "openresolv",
};
const DEBIAN: Resolvconf = Resolvconf {
    programs: Programs::resolvconf,
    set_up: "mkdir -p /run/resolvconf/interface && resolvconf --enable-updates && \
        ln -sf ../run/resolvconf/resolv.conf /etc/resolv.conf",
    keeper: "resolvconf",
};

/// Everything there is to know about the files, down to when they were changed.
const FILES: &str = "find /etc/resolv.conf* /etc/resolvconf* /run/resolvconf \
    -printf '%p %y %l %m %U:%G %i %s %T@ %C@\n' 2>/dev/null | sort; cat /etc/resolv.conf";

fn resolvconf(kind: &Resolvconf) -> Result<()> {
    let mut session = Session::begin(None)?;
    (kind.programs)()?.show(session.client())?;
    let client = session.client().clone();
    shell(&client, kind.set_up)?;
    let learn = |server: &str| {
        let script = format!("printf 'search lan\nnameserver {server}\n' | resolvconf -a eth0");
        shell(&client, &script)
    };
    learn("192.168.77.1")?;
    let before = shell(&client, FILES)?;
    ensure!(before.contains("nameserver 192.168.77.1"), "{before}");
    let check_untouched = |when: &str| {
        let now = shell(&client, FILES)?;
        ensure!(now == before, "{when}: before\n{before}now\n{now}");
        Ok(())
    };
    session.start_daemon()?;
    session.connect()?;
    check_keeper(&session, kind.keeper)?;
    check_names(session.client(), NAME)?;
    check_untouched("while connected")?;
    session.kill_daemon()?;
    let cleanup = session.vpnm(User::Root, &["cleanup"])?;
    ensure!(cleanup.status.success(), "vpnm cleanup failed");
    check_untouched("killed and cleaned up")?;

    // It may be told of other servers at any time, and keeps them.
    session.start_daemon()?;
    session.connect()?;
    let connected = session.capture().tally()?;
    learn("192.168.77.9")?;
    check_names(session.client(), NAME)?;
    let sent = session.capture().tally()?.since(&connected);
    ensure!(sent.plaintext_dns == 0, "left: {:?}", sent.leaks);
    session.command(&["disconnect"])?;
    let text = shell(session.client(), "cat /etc/resolv.conf")?;
    ensure!(text.contains("192.168.77.9"), "resolv.conf is {text:?}");
    Ok(())
}

fn nobody() -> Result<()> {
    let mut session = Session::begin(None)?;
    session.start_daemon()?;
    session.connect()?;
    let connected = session.capture().tally()?;
    let files = [
        ("empty", ": > /etc/resolv.conf"),
        ("comments", "echo '# nothing' > /etc/resolv.conf"),
        ("search alone", "echo 'search lan' > /etc/resolv.conf"),
        (
            "a link that leads nowhere",
            "ln -sf /run/gone /etc/resolv.conf",
        ),
        ("missing", "rm /etc/resolv.conf"),
    ];
    for (what, script) in files {
        shell(session.client(), script)?;
        check_names(session.client(), NAME).with_context(|| what)?;
    }
    let sent = session.capture().tally()?.since(&connected);
    ensure!(sent.leaked() == 0, "left: {:?}", sent.leaks);
    session.command(&["disconnect"]).map(drop)
}

/// The router's own address, as an advertisement of its tells it, and somebody's who is
/// not there: both are answered for, by datagram and by stream, and nobody is asked.
/// Nobody on the link can ask in turn, not even where the LAN is allowed.
fn link_local() -> Result<()> {
    need(&["dig", "ss"])?;
    let mut session = Session::begin(None)?;
    let lan = "mkdir -p /etc/vpnm && echo 'lan = true' > /etc/vpnm/settings.toml";
    shell(session.client(), lan)?;
    session.start_daemon()?;
    session.connect()?;
    let connected = session.capture().tally()?;
    for server in ["fe80::1", "fe80::dead"] {
        let only = format!("echo 'nameserver {server}%eth0' > /etc/resolv.conf");
        shell(session.client(), &only)?;
        check_names(session.client(), NAME).with_context(|| server)?;
        for by in ["+notcp", "+tcp"] {
            let ask = format!("dig +short +tries=1 +time=4 {by} @{server}%eth0 {NAME} A");
            let answer = shell_as(session.client(), User::Mallory, &ask)?;
            ensure!(answer.trim() == SITE.v4.to_string(), "{ask}: {answer:?}");
        }
    }
    let sent = session.capture().tally()?.since(&connected);
    ensure!(sent.plaintext_dns == 0, "left: {:?}", sent.leaks);
    check_nobody_asks_from_outside(&session)?;
    session.command(&["disconnect"]).map(drop)
}

/// Asks whoever listens on every address of the client, which is the listener for
/// redirected queries, from the LAN.
fn check_nobody_asks_from_outside(session: &Session) -> Result<()> {
    let list = shell(session.client(), "ss -Hlnu6 | awk '{print $4}'")?;
    let open = list
        .lines()
        .filter(|at| at.starts_with("[::]") || at.starts_with('*'));
    let ports: Vec<&str> = open.filter_map(|at| Some(at.rsplit_once(':')?.1)).collect();
    ensure!(!ports.is_empty(), "nobody listens: {list}");
    for port in ports {
        for to in [CLIENT.v6.to_string(), "fe80::ff:fe00:7702%lan0".to_owned()] {
            for by in ["+notcp", "+tcp"] {
                let ask = format!("dig +short +tries=1 +time=1 {by} -p {port} @{to} {NAME} A");
                let answer = shell(session.world().router(), &format!("{ask} || true"))?;
                let answered = answer.contains(&SITE.v4.to_string());
                ensure!(!answered, "{to} answered from port {port}: {answer}");
            }
        }
    }
    Ok(())
}
