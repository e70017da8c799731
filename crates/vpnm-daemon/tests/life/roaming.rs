//! The network below the tunnel goes, comes back, and is another: how soon the tunnel
//! follows, and which connections live on.
//!
//! Each case prints how long it took from a network that can be used to a page through
//! the tunnel; what it makes sure of is that both come about.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use vpnm_lab::machine::{need, shell, wait_for};
use vpnm_lab::session::Session;
use vpnm_world::addresses::{SITE, SITE_NAME};
use vpnm_world::internet::ECHO_PORT;
use vpnm_world::{Host, Signal, User, Visitor};

use crate::scene::{PATIENCE, Scene, connected, interface, tell, wait_for_tunnel, with_daemon};

pub(crate) const CASES: &[Scene] = &[
    ("roaming: a link that flaps costs no connection", link_flaps),
    (
        "roaming: a cable that is pulled costs no connection",
        cable_is_pulled,
    ),
    (
        "roaming: another address by another router is followed",
        another_network,
    ),
    ("roaming: another interface is followed", another_interface),
    ("roaming: a second way out changes nothing", second_way),
    (
        "roaming: an address costs the connections that use it, and no other",
        addresses_go,
    ),
    (
        "roaming: temporary addresses come and go",
        temporary_addresses,
    ),
    (
        "roaming: a network that never was there is waited for",
        network_goes,
    ),
    ("roaming: a machine that stood still goes on", stands_still),
    (
        "roaming: no frame leaves by an interface that gets its name back",
        former_names,
    ),
    (
        "roaming: a server that dies while nobody looks is found out",
        silent_death,
    ),
];

/// The cable, from the router's side: the client sees no more than that it is pulled.
const PULL: &str = "ip link set lan0 down";
const PLUG: &str = "ip link set lan0 up && ip addr replace 2001:db8:77::1/64 dev lan0 && \
     ip addr replace 2001:db8:77::9/64 dev lan0 && ip addr replace fe80::1/64 dev lan0";
const DEFAULT_ROUTES: &str = "ip addr replace 2001:db8:77::2/64 dev eth0 && \
     ip route replace default via 192.168.77.1 dev eth0 && \
     ip -6 route replace default via 2001:db8:77::1 dev eth0";

/// A connection through the tunnel to somebody who says everything again.
struct Echo(TcpStream);

impl Echo {
    fn open(session: &Session) -> Result<Self> {
        let alice = Visitor::new(session.client(), User::Alice);
        let stream = alice.connect((SITE.v4, ECHO_PORT).into())?;
        let mut echo = Self(stream);
        echo.say()?;
        Ok(echo)
    }

    /// Whether it lives on when all that follows from a change has happened.
    fn outlives_it(&mut self) -> Result<()> {
        std::thread::sleep(Duration::from_millis(500));
        self.say().context("the connection from before")
    }

    /// Makes sure that it comes to its end without having been asked anything.
    fn is_ended(&mut self) -> Result<()> {
        self.0.set_read_timeout(Some(PATIENCE))?;
        match self.0.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => bail!("it says something"),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
            Err(error) => Err(error).context("it is not ended"),
        }
    }

    /// Says something and waits until it is heard again.
    fn say(&mut self) -> Result<()> {
        self.0.set_read_timeout(Some(PATIENCE))?;
        self.0.write_all(b"still there?")?;
        let mut heard = [0; 12];
        self.0.read_exact(&mut heard)?;
        ensure!(&heard == b"still there?", "it says something else");
        Ok(())
    }
}

/// Makes the network usable, and measures until a page comes through the tunnel, by
/// the same interface as before.
fn measure(session: &Session, what: &str, on: &Host, script: &str) -> Result<()> {
    let before = interface(session)?;
    shell(on, script)?;
    back(session, what, Instant::now())?;
    ensure!(interface(session)? == before, "{what}: another interface");
    Ok(())
}

/// Waits for a page through the tunnel, and says how long that took.
fn back(session: &Session, what: &str, usable: Instant) -> Result<()> {
    wait_for("a connection through the tunnel", PATIENCE, || {
        Ok(is_passable(session).then_some(()))
    })?;
    let connection = usable.elapsed();
    let alice = Visitor::new(session.client(), User::Alice);
    wait_for("a name", PATIENCE, || Ok(alice.resolve(SITE_NAME).ok()))?;
    let name = usable.elapsed();
    wait_for_tunnel(session)?;
    tell(&format!(
        "{what}: a connection after {} ms, a name after {} ms, all verified after {} ms",
        connection.as_millis(),
        name.as_millis(),
        usable.elapsed().as_millis()
    ))?;
    Ok(())
}

/// Whether a new connection is answered at once: what waits for a first packet to be
/// sent again is asked anew instead.
fn is_passable(session: &Session) -> bool {
    let limit = Duration::from_millis(250);
    let asked = session.client().run_as(User::Alice, || {
        let mut stream = TcpStream::connect_timeout(&(SITE.v4, ECHO_PORT).into(), limit)?;
        stream.set_read_timeout(Some(limit))?;
        stream.write_all(b"?")?;
        stream.read_exact(&mut [0])
    });
    asked.is_ok()
}

fn link_flaps() -> Result<()> {
    let session = connected()?;
    let mut echo = Echo::open(&session)?;
    shell(session.client(), "ip link set eth0 down && sleep 3")?;
    ensure!(session.state()? == "reconnecting", "connected by nothing");
    let up = format!("ip link set eth0 up && {DEFAULT_ROUTES}");
    measure(&session, "a link that flaps", session.client(), &up)?;
    echo.outlives_it()?;
    session.command(&["disconnect"]).map(drop)
}

fn cable_is_pulled() -> Result<()> {
    let session = connected()?;
    let router = session.world().router();
    for (what, time) in [
        ("a cable pulled for 3 s", 3),
        ("a cable pulled for 20 s", 20),
    ] {
        let mut echo = Echo::open(&session)?;
        shell(router, PULL)?;
        let pulled = Instant::now();
        while pulled.elapsed() < Duration::from_secs(time) {
            // Programs go on asking.
            let _in_vain = is_passable(&session);
        }
        measure(&session, what, router, PLUG)?;
        echo.outlives_it()?;
    }
    session.command(&["disconnect"]).map(drop)
}

/// The machine gets another address, and another router.
fn another_network() -> Result<()> {
    let session = connected()?;
    shell(
        session.world().router(),
        "ip addr add 192.168.78.1/24 dev lan0",
    )?;
    let other = "ip addr flush dev eth0 && ip addr add 192.168.78.50/24 dev eth0 && \
         ip route replace default via 192.168.78.1 dev eth0";
    measure(&session, "another network", session.client(), other)?;
    session.command(&["reconnect"])?;
    session.check_tunnel()?;
    session.command(&["disconnect"]).map(drop)
}

const SECOND: &str = "ip link add link eth0 name eth1 type macvlan mode bridge && \
     ip addr add 192.168.77.50/24 dev eth1 && ip link set eth1 up";

/// From one interface to another, as from a cable to a radio: both are there.
fn another_interface() -> Result<()> {
    let session = connected()?;
    shell(session.client(), SECOND)?;
    let moved = "ip route del default dev eth0; ip -6 route del default; \
         ip route add default via 192.168.77.1 dev eth1";
    measure(&session, "another interface", session.client(), moved)?;
    let back = "ip route replace default via 192.168.77.1 dev eth0; ip link del eth1";
    measure(&session, "the first interface", session.client(), back)?;
    session.command(&["disconnect"]).map(drop)
}

/// A radio that joins while the cable is in: the way out stays the better one.
fn second_way() -> Result<()> {
    let session = connected()?;
    let mut echo = Echo::open(&session)?;
    shell(
        session.client(),
        &format!("{SECOND} && ip route add default via 192.168.77.1 dev eth1 metric 600"),
    )?;
    echo.outlives_it()?;
    shell(session.client(), "ip link del eth1")?;
    echo.outlives_it()?;
    session.command(&["disconnect"]).map(drop)
}

/// Addresses that go: one that nobody uses, and one that some use.
fn addresses_go() -> Result<()> {
    need(&["ss"])?;
    let session = connected()?;
    let client = session.client();
    let mut echo = Echo::open(&session)?;
    shell(
        client,
        "ip addr add 198.51.100.77/24 dev eth0 && ip addr add 192.168.77.50/24 dev eth0",
    )?;
    echo.outlives_it()?;
    shell(client, "ip addr del 198.51.100.77/24 dev eth0")?;
    echo.outlives_it()?;
    shell(
        client,
        "ip route replace default via 192.168.77.1 dev eth0 src 192.168.77.50",
    )?;
    let mut other = Echo::open(&session)?;
    let by_it = "ss -Htn dst 203.0.113.10 src 192.168.77.50";
    ensure!(
        !shell(client, by_it)?.is_empty(),
        "the other address is not used"
    );
    // The route goes with the address that it names.
    shell(
        client,
        "ip route replace default via 192.168.77.1 dev eth0 src 192.168.77.2 && \
         ip addr del 192.168.77.50/24 dev eth0",
    )?;
    other.is_ended()?;
    echo.outlives_it()?;
    wait_for_tunnel(&session)?;
    echo.outlives_it()?;
    session.command(&["disconnect"]).map(drop)
}

/// IPv6 addresses for privacy (RFC 8981): what is connected keeps its own, what comes
/// after takes the new one, and one that is taken away later is nobody's loss.
fn temporary_addresses() -> Result<()> {
    need(&["ss"])?;
    let session = with_daemon()?;
    let by_v6 = session
        .link()
        .replace("203.0.113.10:443", "[2001:db8:113::10]:443");
    session.command(&["connect", &by_v6])?;
    let mut echo = Echo::open(&session)?;
    shell(
        session.client(),
        "sysctl -q net.ipv6.conf.eth0.use_tempaddr=2 && \
         ip -6 addr add 2001:db8:77::50/64 dev eth0 mngtmpaddr",
    )?;
    let temporary = "ip -6 -o addr show dev eth0 temporary | grep -o '2001:db8:77:[^/ ]*'";
    let temporary = wait_for("a temporary address", PATIENCE, || {
        Ok(shell(session.client(), temporary).ok())
    })?;
    echo.outlives_it()?;
    let mut private = Echo::open(&session)?;
    let by_it = format!("ss -Htn dst [2001:db8:113::10] src [{}]", temporary.trim());
    ensure!(
        !shell(session.client(), &by_it)?.is_empty(),
        "the temporary address is not used"
    );
    private.outlives_it()?;
    shell(
        session.client(),
        "ip -6 addr del 2001:db8:77::50/64 dev eth0",
    )?;
    echo.outlives_it()?;
    ensure!(session.state()? == "connected");
    ensure!(is_passable(&session), "nothing new can be connected");
    session.command(&["disconnect"]).map(drop)
}

/// The link is down when somebody asks.
fn network_goes() -> Result<()> {
    let session = connected()?;
    shell(session.client(), "ip link set eth0 down")?;
    ensure!(
        session.command(&["reconnect"]).is_err(),
        "connected without a network"
    );
    ensure!(session.state()? == "reconnecting");
    let up = format!("ip link set eth0 up && {DEFAULT_ROUTES}");
    measure(&session, "a network that came late", session.client(), &up)?;
    session.command(&["disconnect"]).map(drop)
}

/// As near as a test comes to sleep: nothing of the machine's runs, its link goes and
/// comes back, and it finds everything later than it was.
fn stands_still() -> Result<()> {
    let session = connected()?;
    let mut echo = Echo::open(&session)?;
    session.signal_engine(Signal::STOP)?;
    session.signal_daemon(Signal::STOP)?;
    shell(
        session.client(),
        &format!("ip link set eth0 down && sleep 5 && ip link set eth0 up && {DEFAULT_ROUTES}"),
    )?;
    let usable = Instant::now();
    session.signal_engine(Signal::CONT)?;
    session.signal_daemon(Signal::CONT)?;
    back(&session, "a machine that stood still", usable)?;
    echo.outlives_it()?;
    session.command(&["disconnect"]).map(drop)
}

/// Nobody uses the tunnel, so that nothing shows that its server is gone.
fn silent_death() -> Result<()> {
    let session = connected()?;
    let died = Instant::now();
    shell(session.world().node(), "ip link set eth0 down")?;
    wait_for("the state to say so", 4 * PATIENCE, || {
        Ok((session.state()? != "connected").then_some(()))
    })?;
    tell(&format!(
        "a silent server: found out after {} s",
        died.elapsed().as_secs()
    ))?;
    shell(
        session.world().node(),
        "ip link set eth0 up && ip route replace default via 203.0.113.1",
    )?;
    wait_for_tunnel(&session)?;
    session.command(&["disconnect"]).map(drop)
}

/// Frames past the IP stack without a pause, while the interface gets its first name back,
/// the second again, and so on, and the first in the end.
const NAMES_TO_AND_FRO: &str = r#"python3 -c '
import socket, subprocess, threading
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
raw.bind(("wan0", 0))
frame = bytes([255] * 6 + [2, 0, 0, 0, 0, 1, 0x88, 0xb5]) + b"x" * 64
over = threading.Event()
def flood():
    while not over.is_set():
        try: raw.send(frame)
        except OSError: pass
thread = threading.Thread(target=flood)
thread.start()
for old, new in [("wan0", "eth0"), ("eth0", "wan0")] * 5 + [("wan0", "eth0")]:
    subprocess.run(["ip", "link", "set", old, "name", new], check=True)
over.set()
thread.join()
'"#;

/// How many frames leave while an interface gets a name back and the daemon is stopped.
fn left_by_a_former_name(environment: &[(&str, &str)]) -> Result<u64> {
    let mut session = Session::begin(None)?;
    session.launch_daemon(environment)?;
    wait_for("the daemon", PATIENCE, || {
        Ok(session.status().is_ok().then_some(()))
    })?;
    session.connect()?;
    shell(session.client(), "ip link set eth0 name wan0")?;
    wait_for("the packet filter to know the new name", PATIENCE, || {
        let chain = shell(session.client(), "nft list chain netdev vpnm egress")?;
        Ok(chain.contains("wan0").then_some(()))
    })?;
    session.signal_daemon(Signal::STOP)?;
    let before = session.capture().tally()?;
    shell(session.client(), NAMES_TO_AND_FRO)?;
    let seen = session.capture().tally()?.since(&before);
    session.signal_daemon(Signal::CONT)?;
    wait_for_tunnel(&session)?;
    session.command(&["disconnect"])?;
    session.check_restored()?;
    Ok(seen.leaked())
}

fn former_names() -> Result<()> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut numbers = release.split(['.', '-']).map(str::parse::<u32>);
    let version = (numbers.next().transpose()?, numbers.next().transpose()?);
    if version < (Some(6), Some(16)) {
        return tell("SKIP this kernel takes no name that nobody has");
    }
    let left = left_by_a_former_name(&[])?;
    ensure!(left == 0, "{left} frames left");
    let left = left_by_a_former_name(&[("VPNM_LINUX", "6.15")])?;
    ensure!(left > 0, "the flood is blind");
    tell(&format!(
        "{left} frames on an older kernel, none on this one"
    ))
}
