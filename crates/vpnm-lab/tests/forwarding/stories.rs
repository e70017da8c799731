//! What is forwarded, by state and setting.

use anyhow::{Context as _, Result, ensure};
use vpnm_lab::machine::{need, shell};
use vpnm_lab::session::Session;
use vpnm_world::Process;
use vpnm_world::capture::Tally;
use vpnm_world::internet::Carriage;

use crate::borrowed;
use crate::neighbours::{add, comes_by_the_node, fetch, is_refused, run};
use crate::one_card;

pub(crate) type Story = fn() -> Result<()>;

pub(crate) const CASES: &[(&str, Story)] = &[
    ("containers use the tunnel", || tunnelled(false)),
    ("containers use the tunnel, by docker's rules", || {
        tunnelled(true)
    }),
    ("without a tunnel containers are refused", blocked),
    (
        "the setting keeps containers out of the tunnel",
        refused_by_setting,
    ),
    (
        "the local network reaches containers where it may",
        local_network,
    ),
    (
        "hosts behind a network card are held back unless it is named",
        only_named_cards,
    ),
    (
        "containers that borrow the card get nothing out",
        borrowed::stays_in,
    ),
    ("strict reverse path filters change nothing", strict),
    (
        "neighbours of a gateway with one card use the tunnel",
        one_card::neighbours_use_the_tunnel,
    ),
    (
        "neighbours of a gateway with one card get nothing past it",
        one_card::nothing_leaves_without_a_tunnel,
    ),
];

const SITE: &str = "http://198.51.100.80/address";
const SITE_6: &str = "http://[2001:db8:100::80]/address";
const PROGRAMS: &[&str] = &["curl", "dig", "ip", "nft"];

/// A client with networks, and with the daemon running.
fn begin(with_docker: bool, settings: &str) -> Result<Session> {
    need(PROGRAMS)?;
    let mut session = Session::begin(None)?;
    add(&session, with_docker)?;
    let write = format!("mkdir -p /etc/vpnm && echo '{settings}' > /etc/vpnm/settings.toml");
    shell(session.client(), &write)?;
    session.start_daemon()?;
    Ok(session)
}

/// Nothing may have got past the tunnel since then.
fn end(session: &Session, since: &Tally) -> Result<()> {
    let tally = session.capture().tally()?.since(since);
    ensure!(tally.leaked() == 0, "leaked: {:?}", tally.leaks);
    ensure!(tally.plaintext_dns == 0, "asked in the clear");
    session.command(&["disconnect"]).map(drop)
}

/// Connects; what is counted from now on may not leak.
fn connect(session: &Session) -> Result<Tally> {
    session.connect()?;
    session.check_tunnel()?;
    Ok(session.capture().tally()?)
}

fn tunnelled(with_docker: bool) -> Result<()> {
    let session = begin(with_docker, "serve = [\"eth1\"]")?;
    let secured = connect(&session)?;
    // Without rules for them docker's policy holds back all but docker0.
    let others: &[&str] = if with_docker {
        &[]
    } else {
        &["shop", "behind"]
    };
    for place in ["one", "two"].iter().chain(others) {
        comes_by_the_node(&session, place)?;
        for server in ["8.8.8.8", "192.168.77.1", "2001:4860:4860::8888"] {
            for way in ["+notcp", "+tcp"] {
                let question = format!("dig @{server} site.example {way} +short +tries=1");
                let answer = run(&session, place, &question)?;
                ensure!(
                    answer.trim() == "198.51.100.80",
                    "{place} {question}: {answer}"
                );
            }
        }
    }
    ensure!(session.status()?.pointer("/forwarding") == Some(&true.into()));
    carries_bulk(&session)?;
    carries_datagrams(&session)?;
    inside_goes_on(&session)?;
    end(&session, &secured)
}

/// Large packets, both ways, and datagrams that come back.
fn carries_bulk(session: &Session) -> Result<()> {
    let size = "-o /dev/null -w '%{size_download} %{size_upload}'";
    let down = run(
        session,
        "one",
        &format!("curl -sS -m 20 {size} http://198.51.100.80/bytes/50000000"),
    )?;
    ensure!(down.trim() == "50000000 0", "{down}");
    let upload = "head -c 20000000 /dev/zero > /run/zeros && curl -sS -m 20 -T /run/zeros";
    let site = "http://198.51.100.80/upload";
    let up = format!("sh -c \"{upload} -o /dev/null -w %{{size_upload}} {site}\"");
    let up = run(session, "one", &up)?;
    ensure!(up.trim() == "20000000", "{up}");
    let echo = "bash -c 'exec 3<>/dev/udp/198.51.100.80/7; echo ping >&3; timeout 8 head -c 5 <&3'";
    let echo = run(session, "one", echo)?;
    ensure!(echo.trim() == "ping", "{echo}");
    Ok(())
}

/// Datagrams in one packet and in fragments come back, over both families; echo
/// requests, which no server carries, are led in as well and end there.
fn carries_datagrams(session: &Session) -> Result<()> {
    const ASK: &str = r"
import socket, struct
V4, V6 = ('198.51.100.80', socket.AF_INET), ('2001:db8:100::80', socket.AF_INET6)
for to, family in [V4, V6]:
    for size in [1, 1400, 1473, 4000, 9000]:
        with socket.socket(family, socket.SOCK_DGRAM) as s:
            s.settimeout(1)
            payload = bytes(i % 251 for i in range(size))
            for attempt in range(8):
                s.sendto(payload, (to, 7))
                try:
                    back = s.recv(65535)
                    break
                except TimeoutError:
                    continue
            else:
                raise SystemExit(f'no answer of {size} bytes from {to}')
            assert back == payload, (to, size, len(back))
echoes = [(*V4, socket.IPPROTO_ICMP, 8), (*V6, socket.IPPROTO_ICMPV6, 128)]
for to, family, protocol, request in echoes:
    with socket.socket(family, socket.SOCK_RAW, protocol) as s:
        for size in [56, 3000]:
            head = struct.pack('!BBHHH', request, 0, 0, 7671, size)
            s.sendto(head + bytes(size), (to, 0))
";
    let script = format!("ip netns exec one python3 - <<'END'\n{ASK}END");
    shell(session.client(), &script).map(drop)
}

/// Between containers, and between this host and them, all is as it was.
fn inside_goes_on(session: &Session) -> Result<()> {
    let _container = serve(session, "ip netns exec one")?;
    for url in ["http://172.17.0.2:8080/", "http://[fd00:17::2]:8080/"] {
        greets(fetch(session, "two", url)).context("from container to container")?;
        let page = shell(session.client(), &format!("curl -gsS -m 8 {url}"));
        greets(page).context("from the host to a container")?;
    }
    let _host = serve(session, "exec")?;
    for url in ["http://172.17.0.1:8080/", "http://[fd00:17::1]:8080/"] {
        greets(fetch(session, "two", url)).context("from a container to the host")?;
    }
    Ok(())
}

fn greets(page: Result<String>) -> Result<()> {
    let page = page?;
    ensure!(page.trim() == "hello", "the page is {page:?}");
    Ok(())
}

/// A small server on port 8080 that greets everybody; `within` is the command that
/// runs others in its place.
fn serve(session: &Session, within: &str) -> Result<Process> {
    const SERVER: &str = "import socket\n\
        listener = socket.create_server(('::', 8080), family=socket.AF_INET6, dualstack_ipv6=True)\n\
        while True:\n\
        \x20 client, _ = listener.accept()\n\
        \x20 client.recv(4096)\n\
        \x20 client.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\nhello\\n')\n\
        \x20 client.close()";
    let command = session.client().command("/bin/sh");
    let script = format!("{within} python3 -c \"{SERVER}\"");
    let process = command.args(["-c", &script]).spawn()?;
    let here = within.strip_suffix("exec").map_or(within, str::trim);
    let try_it = "curl -gsS --retry 20 --retry-delay 1 --retry-connrefused http://[::1]:8080/";
    shell(session.client(), &format!("{here} {try_it}"))?;
    Ok(process)
}

fn blocked() -> Result<()> {
    let mut session = begin(false, "")?;
    session.end_node();
    let connect = session.vpnm(vpnm_world::User::Alice, &["connect", session.link()])?;
    ensure!(!connect.status.success(), "there is no server");
    session.wait_for_state(&["blocked"])?;
    let secured = session.capture().tally()?;
    for place in ["one", "shop"] {
        is_refused(&session, place, SITE)?;
        is_refused(&session, place, SITE_6)?;
        is_refused(&session, place, "http://192.168.77.9/address")?;
    }
    inside_goes_on(&session)?;
    session.kill_daemon()?;
    is_refused(&session, "one", SITE)?;
    session.start_daemon()?;
    end(&session, &secured)
}

fn refused_by_setting() -> Result<()> {
    let session = begin(false, "forwarding = \"block\"")?;
    let secured = connect(&session)?;
    is_refused(&session, "one", SITE)?;
    is_refused(&session, "one", SITE_6)?;
    inside_goes_on(&session)?;
    ensure!(session.status()?.pointer("/forwarding") == Some(&false.into()));
    end(&session, &secured)
}

/// Who is on the network that this host goes out by is held back even then. Nobody is
/// told: errors do not leave either.
fn only_named_cards() -> Result<()> {
    for settings in ["", "serve = [\"eth0\"]"] {
        let session = begin(false, settings)?;
        let secured = connect(&session)?;
        for url in [SITE, SITE_6] {
            let page = run(&session, "behind", &format!("curl -gsS -m 2 {url}"));
            ensure!(page.is_err(), "{settings:?}: {page:?}");
        }
        comes_by_the_node(&session, "one")?;
        let neighbour = "ip route add 192.0.3.0/24 via 192.168.77.2; curl -m 1 192.0.3.1; true";
        shell(session.world().router(), neighbour)?;
        let rules = shell(session.client(), "nft list chain inet vpnm forward")?;
        let refused = rules.lines().find(|line| line.contains("@uplinks"));
        let refused = refused.context("there is no such rule")?;
        ensure!(!refused.contains("packets 0 "), "nothing came: {refused}");
        end(&session, &secured)?;
    }
    Ok(())
}

/// The router's side of the LAN asks the container's published port.
fn local_network() -> Result<()> {
    for (settings, reachable) in [("lan = true", true), ("", false)] {
        let session = begin(true, settings)?;
        session.connect()?;
        comes_by_the_node(&session, "one")?;
        let server = serve(&session, "ip netns exec one")?;
        let outside = "curl -sS -m 3 http://192.168.77.2:8080/";
        let page = shell(session.world().router(), outside);
        ensure!(page.is_ok() == reachable, "{settings:?}: {page:?}");
        let neighbour = fetch(&session, "one", "http://192.168.77.9/address");
        let direct = neighbour.is_ok_and(|page| page.trim() == "192.168.77.2");
        ensure!(
            direct == reachable,
            "{settings:?}: the neighbour was reached otherwise"
        );
        let name = run(
            &session,
            "one",
            "dig @192.168.77.1 site.example +short +tries=1",
        )?;
        ensure!(name.trim() == "198.51.100.80", "{name}");
        let plain = session.internet().queries();
        ensure!(
            !plain.iter().any(|query| query.carriage == Carriage::Plain),
            "asked in the clear"
        );
        drop(server);
        session.command(&["disconnect"])?;
    }
    Ok(())
}

fn strict() -> Result<()> {
    let session = begin(true, "")?;
    let strict = "for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 1 > $f; done";
    shell(session.client(), strict)?;
    let secured = connect(&session)?;
    comes_by_the_node(&session, "one")?;
    inside_goes_on(&session)?;
    end(&session, &secured)
}
