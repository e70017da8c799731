//! A gateway with one card: hosts on the network that this machine goes out by, which take
//! it for their router.

use anyhow::{Result, ensure};
use vpnm_lab::machine::{need, shell};
use vpnm_lab::session::Session;
use vpnm_world::addresses::Pair;
use vpnm_world::capture::Tally;
use vpnm_world::{Host, Signal, User};

const SITE: &str = "http://198.51.100.80/address";
const SITE_6: &str = "http://[2001:db8:100::80]/address";
/// A host of its own on the client's wire, at the far end of which the capture is.
const HOST: &str = "ip netns add host && ip link add link lan0 name mv0 type macvlan mode bridge && \
     ip link set mv0 netns host && ip -n host link set lo up && \
     ip -n host addr add 192.168.77.60/24 dev mv0 && \
     ip -n host addr add 2001:db8:77::60/64 dev mv0 nodad && ip -n host link set mv0 up && \
     ip -n host route add default via 192.168.77.2 && \
     ip -n host -6 route add default via 2001:db8:77::2";
/// Datagrams and connections to the site, resolvers and nobody, answered or not.
const SENDS: &str = "ip netns exec host bash -c 'for i in {1..50}; do \
     for to in 198.51.100.80/9 8.8.8.8/53 2001:db8:100::80/9 2001:4860:4860::8888/53; do \
     echo vpnm-probe-neighbour~ > /dev/udp/$to; done; done; \
     for to in 198.51.100.80/80 2001:db8:100::80/80; do \
     timeout 0.3 bash -c \"echo > /dev/tcp/$to\"; done' 2>/dev/null; true";

/// Every rule but the kernel's own.
const RULES_GONE: &str = "for v in -4 -6; do ip $v rule flush; \
     ip $v rule add pref 32766 lookup main; done";

/// The neighbour as the capture describes it.
const NEIGHBOUR: [&str; 2] = ["192.168.77.60:", "[2001:db8:77::60]:"];

/// The settings of a gateway with one card, and what its owner has it do.
const GATEWAY: &str = "mkdir -p /etc/vpnm && \
     echo 'serve_uplink = [\"eth0\"]' > /etc/vpnm/settings.toml && \
     echo 1 > /proc/sys/net/ipv4/ip_forward && \
     echo 1 > /proc/sys/net/ipv6/conf/all/forwarding";

/// Errors that the tunnel answers with: nobody carries this.
const ERRORS: [&str; 2] = ["icmp 192.168.77.60", "icmp6 type 1 2001:db8:77::60"];

/// A session in which the neighbour's addresses may be asked for.
fn begin() -> Result<Session> {
    need(&["curl", "dig", "ip", "nft"])?;
    let mut session = Session::begin(None)?;
    shell(session.client(), GATEWAY)?;
    session.start_daemon()?;
    shell(router(&session), HOST)?;
    session.capture().permit_gateway(Pair {
        v4: "192.168.77.60".parse()?,
        v6: "2001:db8:77::60".parse()?,
    });
    Ok(session)
}

fn router(session: &Session) -> &Host {
    session.world().router()
}

fn fetch(session: &Session, url: &str) -> Result<String> {
    let fetch = format!("ip netns exec host curl -gsS -m 8 {url}");
    shell(router(session), &fetch)
}

/// What left the client since then that is no answer of the tunnel to the neighbour.
fn strays(session: &Session, since: &Tally) -> Result<Vec<String>> {
    let tally = session.capture().tally()?.since(since);
    let is_answer = |what: &&String| {
        if ERRORS.contains(&what.as_str()) {
            return true;
        }
        let (carrier, to) = what.split_once(' ').unwrap_or_default();
        ["tcp", "udp"].contains(&carrier) && NEIGHBOUR.iter().any(|ip| to.starts_with(ip))
    };
    Ok(tally
        .leaks
        .keys()
        .filter(|what| !is_answer(what))
        .cloned()
        .collect())
}

fn comes_by_the_node(session: &Session) -> Result<()> {
    for (url, node) in [(SITE, "203.0.113.10"), (SITE_6, "2001:db8:113::10")] {
        let page = fetch(session, url)?;
        ensure!(page.trim() == node, "the site saw {page:?}");
    }
    let question = "ip netns exec host dig @8.8.8.8 site.example +short +tries=1";
    let answer = shell(router(session), question)?;
    ensure!(answer.trim() == "198.51.100.80", "{answer}");
    Ok(())
}

/// The neighbour uses the tunnel, also after engine and daemon were killed and the filter
/// was attacked, and gets nothing past it meanwhile.
pub(crate) fn neighbours_use_the_tunnel() -> Result<()> {
    let mut session = begin()?;
    let open = session.capture().tally()?;
    shell(router(&session), SENDS)?;
    ensure!(
        !strays(&session, &open)?.is_empty(),
        "an open gateway forwards"
    );
    session.connect()?;
    session.check_tunnel()?;
    let secured = session.capture().tally()?;
    comes_by_the_node(&session)?;
    let hold = |session: &Session, when: &str| -> Result<()> {
        shell(router(session), SENDS)?;
        let strays = strays(session, &secured)?;
        ensure!(strays.is_empty(), "{when}: {strays:?}");
        Ok(())
    };
    hold(&session, "connected")?;
    session.signal_engine(Signal::KILL)?;
    hold(&session, "the engine was killed")?;
    session.wait_for_state(&["connected"])?;
    comes_by_the_node(&session)?;
    for attack in ["nft flush ruleset; true", RULES_GONE] {
        shell(session.client(), attack)?;
        hold(&session, attack)?;
    }
    session.wait_for_state(&["connected"])?;
    session.kill_daemon()?;
    hold(&session, "the daemon was killed")?;
    session.start_daemon()?;
    session.wait_for_state(&["connected"])?;
    comes_by_the_node(&session)?;
    hold(&session, "connected again")?;
    session.command(&["disconnect"]).map(drop)
}

/// Without a tunnel the gateway forwards nothing, and tells its neighbour nothing.
pub(crate) fn nothing_leaves_without_a_tunnel() -> Result<()> {
    let mut session = begin()?;
    session.end_node();
    let connect = session.vpnm(User::Alice, &["connect", session.link()])?;
    ensure!(!connect.status.success(), "there is no server");
    session.wait_for_state(&["blocked"])?;
    let secured = session.capture().tally()?;
    shell(router(&session), SENDS)?;
    session.kill_daemon()?;
    shell(router(&session), SENDS)?;
    session.start_daemon()?;
    let leaks = session.capture().tally()?.since(&secured).leaks;
    ensure!(leaks.is_empty(), "{leaks:?}");
    session.command(&["disconnect"]).map(drop)
}
