//! What fails, and what it leaves behind.

use anyhow::{Result, ensure};
use vpnm_lab::machine::shell;
use vpnm_lab::session::Session;
use vpnm_world::{Signal, User};

use crate::scene::{Scene, connected, ensure_blocked, refusal, status, with_daemon};

pub(crate) const CASES: &[Scene] = &[
    (
        "a server that cannot be used leaves the machine blocked",
        unusable_servers,
    ),
    ("what is no link changes nothing", no_link),
    (
        "a machine that cannot carry a tunnel is left alone",
        no_tun_device,
    ),
    (
        "an interface of somebody else's is left alone",
        foreign_interface,
    ),
    ("a full disk refuses and changes nothing", full_disk),
    ("a second daemon is told of the first", second_daemon),
    ("a stranger sees little and changes nothing", stranger),
    (
        "wrong settings refuse to connect and open nothing",
        wrong_settings,
    ),
    (
        "other resolvers in the settings are asked from then on",
        other_resolvers,
    ),
    ("lockdown blocks before and after a tunnel", lockdown),
    (
        "ending the daemon opens nothing, cleaning up opens everything",
        ending,
    ),
];

fn unusable_servers() -> Result<()> {
    let session = with_daemon()?;
    let good = session.link().to_owned();
    let id = good.split(['/', '@']).nth(2).unwrap_or_default().to_owned();
    let other_id = "00000000-0000-4000-8000-000000000000";
    let cases = [
        (good.replace(":443?", ":444?"), &["refused"][..]),
        (
            good.replace("sni=node.example", "sni=other.example"),
            &["certificate"],
        ),
        (good.replace(&id, other_id), &["rejected"]),
        (
            good.replace("203.0.113.10:443?", "203.0.113.99:443?"),
            &["unreachable", "timed_out"],
        ),
        (
            good.replace("security=tls&sni=node.example", "security=none"),
            &["rejected", "protocol", "no_answer"],
        ),
        (
            good.replace("203.0.113.10:443?", "nobody.invalid:443?"),
            &["name_not_found"],
        ),
    ];
    for (link, codes) in cases {
        ensure!(link != good, "the link is as it was");
        let code = refusal(&session, User::Alice, &["connect", &link])?;
        ensure!(
            codes.contains(&code.as_str()),
            "{link}: {code}, not {codes:?}"
        );
        ensure!(
            session.state()? == "blocked",
            "{link}: {}",
            session.state()?
        );
        ensure!(status(&session, "/state/cause/code")? == code);
        ensure_blocked(&session)?;
        session.command(&["disconnect"])?;
        session.check_restored()?;
    }
    session.connect()?;
    session.check_tunnel()?;
    session.end()?;
    Ok(())
}

fn no_link() -> Result<()> {
    let session = with_daemon()?;
    for link in [
        "vless://",
        "http://example.com",
        "vless://@h:1",
        "vmess://!!",
        "ss://a@b:1",
        "",
    ] {
        refusal(&session, User::Alice, &["connect", link])?;
        ensure!(session.state()? == "disconnected", "{link}");
    }
    session.check_restored()
}

fn no_tun_device() -> Result<()> {
    let session = with_daemon()?;
    shell(session.client(), "mount -t tmpfs none /dev/net")?;
    let code = refusal(&session, User::Alice, &["connect", session.link()])?;
    ensure!(code == "no_tun_device", "{code}");
    ensure!(session.state()? == "disconnected");
    session.check_restored()?;
    shell(session.client(), "umount /dev/net")?;
    session.connect()?;
    session.end()?;
    Ok(())
}

fn foreign_interface() -> Result<()> {
    let session = with_daemon()?;
    shell(
        session.client(),
        "ip link add vpnm0 type veth peer name other0",
    )?;
    let code = refusal(&session, User::Alice, &["connect", session.link()])?;
    ensure!(code == "foreign", "{code}");
    ensure!(session.state()? == "disconnected");
    shell(session.client(), "ip link show vpnm0 && ip link del vpnm0")?;
    session.check_restored()?;
    session.connect()?;
    session.end()?;
    Ok(())
}

fn full_disk() -> Result<()> {
    let session = with_daemon()?;
    let full = "mkdir -p /var/lib/vpnm && mount -t tmpfs -o size=4k,nr_inodes=1 none /var/lib/vpnm";
    shell(session.client(), full)?;
    let code = refusal(&session, User::Alice, &["connect", session.link()])?;
    ensure!(code == "journal_write", "{code}");
    ensure!(session.state()? == "disconnected");
    shell(session.client(), "umount /var/lib/vpnm")?;
    session.connect()?;
    session.end()?;
    Ok(())
}

fn second_daemon() -> Result<()> {
    let session = connected()?;
    let pid = session.daemon_pid()?;
    let code = refusal(&session, User::Root, &["daemon"])?;
    ensure!(code == "daemon_runs", "{code}");
    let output = session.vpnm(User::Root, &["daemon"])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(said.contains("another daemon is running"), "{said}");
    ensure!(refusal(&session, User::Root, &["cleanup"])? == "daemon_runs");
    ensure!(session.daemon_pid()? == pid && session.state()? == "connected");
    session.check_tunnel()?;
    session.end()?;
    Ok(())
}

fn stranger() -> Result<()> {
    let session = connected()?;
    for command in [
        &["connect"][..],
        &["disconnect"],
        &["reconnect"],
        &["lockdown", "on"],
    ] {
        refusal(&session, User::Mallory, command)?;
    }
    // The group may lock, only root may unlock.
    session.command(&["lockdown", "on"])?;
    refusal(&session, User::Alice, &["lockdown", "off"])?;
    let output = session.vpnm(User::Mallory, &["status", "--json"])?;
    let seen = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(seen.contains("connected"), "{seen}");
    for secret in ["203.0.113.10", "node.example", "vless"] {
        ensure!(!seen.contains(secret), "{secret} in {seen}");
    }
    ensure!(
        session
            .vpnm(User::Root, &["lockdown", "off"])?
            .status
            .success()
    );
    session.check_tunnel()?;
    session.end()?;
    Ok(())
}

fn wrong_settings() -> Result<()> {
    let mut session = connected()?;
    shell(
        session.client(),
        "mkdir -p /etc/vpnm && echo 'lna = true' > /etc/vpnm/settings.toml",
    )?;
    let code = refusal(&session, User::Alice, &["reconnect"])?;
    ensure!(code == "settings", "{code}");
    session.check_tunnel()?;
    session.kill_daemon()?;
    session.start_daemon()?;
    ensure!(session.wait_for_state(&["blocked", "connected"])? == "blocked");
    ensure!(status(&session, "/state/cause/code")? == "settings");
    ensure_blocked(&session)?;
    shell(session.client(), "rm -r /etc/vpnm")?;
    session.command(&["connect"])?;
    session.check_tunnel()?;
    session.end()?;
    Ok(())
}

fn other_resolvers() -> Result<()> {
    let session = connected()?;
    let before = status(&session, "/verified/resolver")?;
    ensure!(before == "1.1.1.1", "{before}");
    let settings =
        "[[dns]]\naddresses = [\"9.9.9.9\"]\nname = \"dns.quad9.net\"\npath = \"/dns-query\"";
    let write =
        format!("mkdir -p /etc/vpnm && printf '%s\\n' '{settings}' > /etc/vpnm/settings.toml");
    shell(session.client(), &write)?;
    session.command(&["reconnect"])?;
    let after = status(&session, "/verified/resolver")?;
    ensure!(after == "9.9.9.9", "{after}");
    session.check_tunnel()?;
    shell(session.client(), "rm -r /etc/vpnm")?;
    session.end()?;
    Ok(())
}

fn lockdown() -> Result<()> {
    let mut session = with_daemon()?;
    session.command(&["lockdown", "on"])?;
    ensure!(status(&session, "/state/cause/code")? == "lockdown");
    ensure_blocked(&session)?;
    session.connect()?;
    session.check_tunnel()?;
    session.command(&["disconnect"])?;
    ensure!(status(&session, "/state/cause/code")? == "lockdown");
    ensure_blocked(&session)?;
    session.kill_daemon()?;
    session.start_daemon()?;
    ensure!(
        session.wait_for_state(&["blocked"])? == "blocked",
        "lockdown was forgotten"
    );
    ensure_blocked(&session)?;
    ensure!(
        session
            .vpnm(User::Root, &["lockdown", "off"])?
            .status
            .success()
    );
    ensure!(session.state()? == "disconnected");
    session.end_daemon()?;
    session.check_restored()
}

fn ending() -> Result<()> {
    let mut session = connected()?;
    session.end_daemon()?;
    ensure_blocked(&session)?;
    session.start_daemon()?;
    crate::scene::wait_for_tunnel(&session)?;
    session.signal_daemon(Signal::TERM)?;
    ensure!(
        session.wait_for_daemon(crate::scene::PATIENCE)?,
        "it did not end"
    );
    ensure_blocked(&session)?;
    clean_up(&session)
}

/// Removes everything without a daemon, twice, and makes sure that it is gone.
pub(crate) fn clean_up(session: &Session) -> Result<()> {
    for _ in 0..2 {
        let output = session.vpnm(User::Root, &["cleanup"])?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    session.check_restored()
}
