//! Containers with an interface of their own on the host's network (`macvlan`,
//! `ipvlan`): what they send passes none of the host's IP hooks, only those of the
//! card.

use anyhow::{Context as _, Result, ensure};
use vpnm_lab::machine::{need, shell};
use vpnm_lab::session::Session;

/// Ways to lend a container the card.
const KINDS: [&str; 5] = [
    "macvlan mode bridge",
    "macvlan mode private",
    "ipvlan mode l2",
    "ipvlan mode l3",
    "ipvlan mode l3s",
];

/// What a link needs and every machine on it may ask: who has an address.
const LINK_TALK: [&str; 3] = ["arp request ", "icmp6 type 135 ", "icmp6 type 136 "];

/// Everything a program in the container would send, and frames past its IP stack.
const SENDS: &str = r"
import socket, sys
def send(family, kind, to, payload=b'vpnm-probe-container~'):
    s = socket.socket(family, kind)
    s.settimeout(0.05)
    try:
        s.sendto(payload, to) if kind == socket.SOCK_DGRAM else s.connect(to)
    except OSError:
        pass
for _ in range(4):
    for to in ['198.51.100.80', '8.8.8.8', '192.168.77.1', '192.168.77.9', '2001:db8:100::80']:
        family = socket.AF_INET6 if ':' in to else socket.AF_INET
        for port in [9, 53, 443]:
            send(family, socket.SOCK_DGRAM, (to, port))
            send(family, socket.SOCK_STREAM, (to, port))
        send(family, socket.SOCK_DGRAM, (to, 9), b'x' * 4000)
frame = bytes.fromhex('ffffffffffff 020000007702 0800') + b'vpnm-probe-container~' * 3
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
raw.bind(('mv0', 0))
for _ in range(20):
    try:
        raw.send(frame)
    except OSError:
        pass
";

/// Nothing of such a container leaves, whichever way it borrows the card.
pub(crate) fn stays_in() -> Result<()> {
    need(&["ip", "python3"])?;
    let mut session = Session::begin(None)?;
    session.start_daemon()?;
    session.connect()?;
    session.check_tunnel()?;
    for kind in KINDS {
        if !is_known(&session, kind)? {
            eprintln!("SKIP this kernel has no {kind}");
            continue;
        }
        lend(&session, kind)?;
        let secured = session.capture().tally()?;
        shell(session.client(), &send())?;
        let mut tally = session.capture().tally()?.since(&secured);
        let is_link_talk = |what: &str| LINK_TALK.iter().any(|kind| what.starts_with(kind));
        tally.leaks.retain(|what, _| !is_link_talk(what));
        ensure!(tally.leaked() == 0, "{kind}: {:?}", tally.leaks);
        shell(session.client(), "ip netns del box")?;
    }
    session.check_tunnel()?;
    sees_what_leaves(&session)
}

/// Proof that it would have been seen.
fn sees_what_leaves(session: &Session) -> Result<()> {
    session.command(&["disconnect"])?;
    lend(session, KINDS[0])?;
    let open = session.capture().tally()?;
    shell(session.client(), &send())?;
    let seen = session.capture().tally()?.since(&open);
    ensure!(seen.leaked() > 0, "an open machine keeps it in");
    Ok(())
}

fn send() -> String {
    format!("ip netns exec box python3 - <<'END'\n{SENDS}END")
}

/// Whether the kernel can lend the card this way; `macvlan` every kernel can.
fn is_known(session: &Session, kind: &str) -> Result<bool> {
    if kind.starts_with("macvlan") {
        return Ok(true);
    }
    let script = format!("ip link add link eth0 name mv0 type {kind} && ip link del mv0");
    match shell(session.client(), &script) {
        Err(error) if format!("{error:#}").contains("Unknown device type") => Ok(false),
        tried => tried.map(|_| true),
    }
}

/// A container with the card lent to it.
fn lend(session: &Session, kind: &str) -> Result<()> {
    let script = format!(
        "ip netns add box && ip link add link eth0 name mv0 type {kind} && \
         ip link set mv0 netns box && ip -n box link set lo up && \
         ip -n box addr add 192.168.77.60/24 dev mv0 && \
         ip -n box addr add 2001:db8:77::60/64 dev mv0 nodad && ip -n box link set mv0 up && \
         ip -n box route add default via 192.168.77.1 dev mv0 && \
         ip -n box -6 route add default via 2001:db8:77::1 dev mv0"
    );
    shell(session.client(), &script)
        .map(drop)
        .with_context(|| kind.to_owned())
}
