//! What the daemon does for an engine, in as few lines as a test needs.

use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use vpnm_api::engine::{EngineBlocking, EngineConfig, Established, LocalNames};
use vpnm_api::{Profile, Upstream};
use vpnm_world::addresses::{CLOUDFLARE, CLOUDFLARE_NAME, NODE, NODE_SECOND, QUAD9, QUAD9_NAME};
use vpnm_world::internet::{Carrier, Internet, Node};
use vpnm_world::{Host, User, World, links};

/// Any error of the set-up ends the test.
pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Where the daemon's redirect would lead sockets that pin an interface.
pub(crate) const REDIRECT: u16 = 1053;
const LINK: &str = "vpnm0";
const TABLE: &str = "7670";

/// A world with an engine that serves its client.
pub(crate) struct Station {
    pub(crate) engine: EngineBlocking,
    pub(crate) process: Child,
    pub(crate) internet: Internet,
    pub(crate) node: Node,
    pub(crate) world: World,
    _tun: OwnedFd,
}

impl Station {
    /// Builds the world, starts the engine in its jail and hands it the device.
    pub(crate) fn build(carrier: Carrier) -> Outcome<Self> {
        Self::build_watched(carrier, |_| Ok(())).map(|(station, ())| station)
    }

    /// As [`Self::build`]; `watch` sees the engine's process before it is handed anything.
    pub(crate) fn build_watched<T>(
        carrier: Carrier,
        watch: impl FnOnce(&Child) -> Outcome<T>,
    ) -> Outcome<(Self, T)> {
        let world = World::build()?;
        let internet = Internet::start(&world)?;
        let node = Node::start(&world, carrier)?;
        let (tun, listeners, process, control) = world.client().run(equip)?;
        let watching = watch(&process)?;
        route(world.client())?;
        let mut engine = EngineBlocking::from(anyd::blocking::Client::from_stream(control));
        let mut descriptors = vec![tun.as_fd()];
        descriptors.extend(listeners.iter().map(|listener| listener.as_fd()));
        engine.start(config()?, &descriptors)?;
        let station = Self {
            engine,
            process,
            internet,
            node,
            world,
            _tun: tun,
        };
        Ok((station, watching))
    }

    /// Connects to the node's first address.
    pub(crate) fn connect(&mut self) -> Outcome<Established> {
        let link = self.node.link();
        self.connect_to(&link, &NODE.both())
    }

    /// Connects to the node's second address.
    pub(crate) fn switch(&mut self) -> Outcome<Established> {
        let link = self.node.link();
        self.connect_to(&link, &NODE_SECOND.both())
    }

    /// Connects by a link.
    pub(crate) fn connect_to(&mut self, link: &str, server: &[IpAddr]) -> Outcome<Established> {
        let profile: Profile = link.parse()?;
        Ok(self
            .engine
            .connect(profile.into(), server.to_vec(), false)?)
    }

    /// Runs work on the client as an ordinary user.
    pub(crate) fn visit<T: Send>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send,
    ) -> io::Result<T> {
        self.world.client().run_as(User::Alice, work)
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn config() -> Outcome<EngineConfig> {
    Ok(EngineConfig {
        mtu: 1500,
        dns: vec![
            Upstream::new(CLOUDFLARE.both().to_vec(), CLOUDFLARE_NAME, "/dns-query")?,
            Upstream::new(QUAD9.both().to_vec(), QUAD9_NAME, "/dns-query")?,
        ],
        local: LocalNames::default(),
    })
}

/// On the client: the device, the listeners, the engine's process and its control socket.
fn equip() -> io::Result<(OwnedFd, Vec<OwnedFd>, Child, UnixStream)> {
    let options = vpnm_host::tun::Options {
        owner: User::Engine.uid(),
        multi_queue: false,
    };
    let tun = vpnm_host::tun::open(options).map_err(io::Error::other)?.fd;
    let mut listeners = Vec::new();
    for loopback in [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ] {
        let address = SocketAddr::new(loopback, REDIRECT);
        let datagrams = UdpSocket::bind(address)?;
        let streams = TcpListener::bind(address)?;
        datagrams.set_nonblocking(true)?;
        streams.set_nonblocking(true)?;
        listeners.extend([OwnedFd::from(datagrams), OwnedFd::from(streams)]);
    }
    let (ours, theirs) = UnixStream::pair()?;
    let process = Command::new("/proc/self/exe")
        .arg(super::ENGINE)
        .uid(User::Engine.uid())
        .gid(User::Engine.uid())
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()?;
    Ok((tun, listeners, process, ours))
}

/// Leads everything but the engine's own sockets into the device.
fn route(client: &Host) -> Outcome {
    let uid = User::Engine.uid();
    let commands = [
        format!("link set {LINK} up mtu 1500 txqueuelen 4096"),
        format!("-4 address add 10.77.0.2/32 dev {LINK}"),
        format!("-4 route add default dev {LINK} table {TABLE}"),
        format!("-6 route add default dev {LINK} table {TABLE}"),
        format!("-4 rule add pref 7600 uidrange {uid}-{uid} lookup main"),
        format!("-6 rule add pref 7600 uidrange {uid}-{uid} lookup main"),
        "-4 rule add pref 7610 not iif lo lookup main".to_owned(),
        format!("-4 rule add pref 7611 lookup {TABLE}"),
        format!("-6 rule add pref 7611 lookup {TABLE}"),
    ];
    for command in commands {
        let ran = client.command("ip").args(command.split(' ')).output()?;
        if !ran.status.success() {
            return Err(format!("ip {command}: {}", String::from_utf8_lossy(&ran.stderr)).into());
        }
    }
    let own = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2).into();
    Ok(client.run(|| links::add_address(LINK, own, 128))?)
}
