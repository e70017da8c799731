//! One world with the program under test in it, watched from the start.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use vpnm_world::addresses::{
    LAN_LINK, NODE, NODE_NAME, NODE_SECOND, Pair, RESOLVERS, SITE, SITE_NAME,
};
use vpnm_world::capture::{Capture, Endpoint, Protocol, Tally};
use vpnm_world::internet::{Carrier, Internet, Node};
use vpnm_world::{Host, Process, Signal, Snapshot, User, Visitor, World};

use crate::machine::{self, children, wait_for};
use crate::product;

/// Where the program under test is on the client.
pub const PROGRAM: &str = "/run/lab/vpnm";
/// What the process that keeps the packet filter is started with.
const KEEPER: &str = "keep";
/// Longest a state may take to come about.
const PATIENCE: Duration = Duration::from_secs(30);

/// What `vpnm check` says.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct LeakCheck {
    /// Attempts that were made.
    pub attempts: usize,
    /// Those that left the machine past the tunnel.
    pub leaked: Vec<String>,
}

/// A world, its internet, a node, a capture, and the daemon under test.
///
/// Fields are dropped in this order: processes end before the world does.
#[derive(Debug)]
pub struct Session {
    daemon: Option<Process>,
    node: Option<Node>,
    capture: Capture,
    internet: Internet,
    before: Snapshot,
    world: World,
    link: String,
    endpoints: Vec<Endpoint>,
    /// Whether the program is on the client.
    shown: bool,
}

impl Session {
    /// A new world with everything running but the daemon. The capture has
    /// begun; it is recorded when there is a path.
    ///
    /// # Errors
    ///
    /// When the world cannot be built.
    pub fn begin(record: Option<&Path>) -> Result<Self> {
        let world = World::build()?;
        let internet = Internet::start(&world)?;
        let node = Node::start(&world, Carrier::Tls)?;
        let endpoints = node.endpoints();
        let capture = Capture::start(&world, &endpoints, record)?;
        let before = Snapshot::take(world.client())?;
        // By address: names are looked up in a case of their own.
        let link = node.link_to(&NODE.v4.to_string());
        Ok(Self {
            daemon: None,
            node: Some(node),
            capture,
            internet,
            before,
            world,
            link,
            endpoints,
            shown: false,
        })
    }

    /// The world.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The machine under test.
    #[must_use]
    pub fn client(&self) -> &Host {
        self.world.client()
    }

    /// The world's services.
    #[must_use]
    pub fn internet(&self) -> &Internet {
        &self.internet
    }

    /// The capture on the client's wire.
    #[must_use]
    pub fn capture(&self) -> &Capture {
        &self.capture
    }

    /// Where the node listens.
    #[must_use]
    pub fn server(&self) -> SocketAddr {
        SocketAddr::new(NODE.v4.into(), 443)
    }

    /// The share link of the node.
    #[must_use]
    pub fn link(&self) -> &str {
        &self.link
    }

    /// Replaces the node's link: for another server than the embedded one,
    /// which ends. Traffic to `endpoints` counts as tunnel from now on.
    pub fn use_server(&mut self, link: String, endpoints: Vec<Endpoint>) {
        self.node = None;
        self.capture.permit(&endpoints);
        self.link = link;
        self.endpoints = endpoints;
    }

    /// Uses the server by its name from now on. Looking it up takes a resolver,
    /// which may be asked over HTTPS and in no other way.
    pub fn by_name(&mut self) {
        self.link = self.link.replace(&NODE.v4.to_string(), NODE_NAME);
        let addresses = RESOLVERS.into_iter().flat_map(|pair| pair.both());
        self.endpoints.extend(addresses.map(|address| Endpoint {
            address: SocketAddr::new(address, 443),
            protocol: Protocol::Tcp,
            confidential: true,
        }));
        self.capture.permit(&self.endpoints);
    }

    /// Nothing of the LAN reaches the server any more, though its name still says where
    /// it was.
    ///
    /// # Errors
    ///
    /// When the router does not take the filter.
    pub fn lose_server(&self) -> Result<()> {
        self.hide(&[NODE, NODE_SECOND])
    }

    /// Moves the server to its other address, or back: it is nowhere else from now on,
    /// and resolvers say so.
    ///
    /// # Errors
    ///
    /// When the router does not take the filter.
    pub fn move_server(&self, other: bool) -> Result<()> {
        let (here, gone) = if other {
            (NODE_SECOND, NODE)
        } else {
            (NODE, NODE_SECOND)
        };
        self.internet.rename(NODE_NAME, &here.both());
        self.hide(&[gone])
    }

    /// The router drops what the LAN sends to these from now on, and to no others. What
    /// the server itself sends from there still comes and goes.
    fn hide(&self, hidden: &[Pair]) -> Result<()> {
        let mut script = "add table inet hidden; delete table inet hidden; \
            add table inet hidden; \
            add chain inet hidden f { type filter hook forward priority 0; }"
            .to_owned();
        for Pair { v4, v6 } in hidden {
            for to in [format!("ip daddr {v4}"), format!("ip6 daddr {v6}")] {
                script += &format!("; add rule inet hidden f iifname {LAN_LINK} {to} drop");
            }
        }
        machine::shell(self.world.router(), &format!("nft '{script}'")).map(drop)
    }

    /// The client as it is now counts as untouched from now on.
    ///
    /// # Errors
    ///
    /// When it cannot be looked at.
    pub fn take_for_usual(&mut self) -> Result<()> {
        self.before = Snapshot::take(self.client())?;
        Ok(())
    }

    /// Ends the node: connections to it are refused from now on.
    pub fn end_node(&mut self) {
        self.node = None;
    }

    /// Starts the daemon and waits until it listens.
    ///
    /// # Errors
    ///
    /// When it ends or does not listen in time.
    pub fn start_daemon(&mut self) -> Result<()> {
        self.launch_daemon(&[])?;
        wait_for("the daemon's socket", PATIENCE, || {
            if let Some(status) = self.daemon_mut()?.try_wait()? {
                bail!("the daemon ended with {status}");
            }
            let output = self.vpnm(User::Alice, &["status", "--json"])?;
            Ok(output.status.success().then_some(()))
        })
    }

    /// Starts the daemon with these variables in its environment, and does not
    /// wait for it. With `VPNM_LAB_LOG=LEVEL` in ours, its log is shown.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn launch_daemon(&mut self, environment: &[(&str, &str)]) -> Result<()> {
        self.launch_daemon_by(&[], environment)
    }

    /// As [`Session::launch_daemon`], by a program that becomes the daemon: `by` is
    /// its command line, to which the daemon's is added.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn launch_daemon_by(&mut self, by: &[&str], environment: &[(&str, &str)]) -> Result<()> {
        if !self.shown {
            machine::show(self.client(), product::binary()?, Path::new(PROGRAM))?;
            self.shown = true;
        }
        let mut words = by.iter().copied().chain([PROGRAM, "daemon"]);
        let program = words.next().unwrap_or(PROGRAM);
        let mut command = self.client().command(program).args(words);
        match std::env::var("VPNM_LAB_LOG") {
            Ok(level) => command = command.args(["--log", &level]),
            Err(_) => command = command.stdout(Stdio::null()).stderr(Stdio::null()),
        }
        for (name, value) in environment {
            command = command.env(name, value);
        }
        self.daemon = Some(command.spawn()?);
        Ok(())
    }

    /// Waits until the daemon has ended by itself; whether it has before `limit`.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn wait_for_daemon(&mut self, limit: Duration) -> Result<bool> {
        Ok(self.end_of_daemon(limit)?.is_some())
    }

    /// How the daemon has ended by itself, if it has before `limit`.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn end_of_daemon(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        let start = std::time::Instant::now();
        while start.elapsed() < limit {
            if let Some(status) = self.daemon_mut()?.try_wait()? {
                self.daemon = None;
                return Ok(Some(status));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(None)
    }

    /// Runs the command line as `user`.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn vpnm(&self, user: User, arguments: &[&str]) -> Result<Output> {
        let command = self.client().command(PROGRAM).args(arguments).user(user);
        command.output().context("vpnm could not be started")
    }

    /// Starts the command line as `user`, and does not wait for it.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start_command(&self, user: User, arguments: &[&str]) -> Result<Process> {
        let command = self.client().command(PROGRAM).args(arguments).user(user);
        let command = command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().context("vpnm could not be started")
    }

    /// Runs the command line as a user in group `vpnm`, who must succeed, and
    /// returns what it wrote.
    ///
    /// # Errors
    ///
    /// When it fails; the text has what it said.
    pub fn command(&self, arguments: &[&str]) -> Result<String> {
        let output = self.vpnm(User::Alice, arguments)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            bail!(
                "vpnm {} ended with {}: {text}{errors}",
                arguments.join(" "),
                output.status
            );
        }
        Ok(text)
    }

    /// Connects to the session's server.
    ///
    /// # Errors
    ///
    /// What the command line says.
    pub fn connect(&self) -> Result<()> {
        self.command(&["connect", &self.link]).map(drop)
    }

    /// What `vpnm status --json` says to a user who may see everything.
    ///
    /// # Errors
    ///
    /// What the command line says.
    pub fn status(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.command(&["status", "--json"])?)?)
    }

    /// The name of the state.
    ///
    /// # Errors
    ///
    /// As [`Session::status`].
    pub fn state(&self) -> Result<String> {
        let status = self.status()?;
        let name = status.pointer("/state/name").and_then(Value::as_str);
        Ok(name.context("the status has no state")?.to_owned())
    }

    /// Waits for one of these states and returns which it is.
    ///
    /// # Errors
    ///
    /// When none comes about in time.
    pub fn wait_for_state(&self, names: &[&str]) -> Result<String> {
        let what = format!("the state to be {}", names.join(" or "));
        let mut last = String::new();
        wait_for(&what, PATIENCE, || {
            // The daemon may be between two lives.
            last = self.state().unwrap_or_default();
            Ok(names.contains(&last.as_str()).then(|| last.clone()))
        })
    }

    fn daemon_mut(&mut self) -> Result<&mut Process> {
        self.daemon.as_mut().context("the daemon does not run")
    }

    /// The daemon's process id.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn daemon_pid(&self) -> Result<u32> {
        Ok(self
            .daemon
            .as_ref()
            .context("the daemon does not run")?
            .id())
    }

    /// The engine's process id.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn engine_pid(&self) -> Result<u32> {
        let pids = children(self.daemon_pid()?)?;
        pids.first().copied().context("there is no engine")
    }

    /// The process that keeps the packet filter when the daemon dies.
    ///
    /// # Errors
    ///
    /// When there is none, or more than one.
    pub fn keeper_pid(&self) -> Result<u32> {
        let found = machine::processes(self.client(), KEEPER)?;
        ensure!(found.len() == 1, "there are {} keepers", found.len());
        found.first().copied().context("there is no keeper")
    }

    /// Sends the engine a signal.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn signal_engine(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.engine_pid()?)?;
        let pid = rustix::process::Pid::from_raw(pid).context("no process id")?;
        Ok(rustix::process::kill_process(pid, signal)?)
    }

    /// Kills the daemon at once.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn kill_daemon(&mut self) -> Result<()> {
        self.daemon_mut()?.kill()?;
        self.daemon = None;
        Ok(())
    }

    /// Sends the daemon a signal.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn signal_daemon(&self, signal: Signal) -> Result<()> {
        let daemon = self.daemon.as_ref().context("the daemon does not run")?;
        Ok(daemon.signal(signal)?)
    }

    /// Asks the daemon to end, and waits until it has.
    ///
    /// # Errors
    ///
    /// When it does not run, or ends badly.
    pub fn end_daemon(&mut self) -> Result<()> {
        let mut daemon = self.daemon.take().context("the daemon does not run")?;
        daemon.signal(Signal::TERM)?;
        let status = daemon.wait()?;
        ensure!(status.success(), "the daemon ended with {status}");
        Ok(())
    }

    /// Whether a page comes through the tunnel, and the site saw the node.
    ///
    /// # Errors
    ///
    /// When it does not come, or came another way.
    pub fn check_tunnel(&self) -> Result<()> {
        let alice = Visitor::new(self.client(), User::Alice);
        let page = alice
            .fetch((SITE.v4, 80).into(), SITE_NAME, "/address")
            .context("the site could not be reached through the tunnel")?;
        ensure!(
            page.trim() == NODE.v4.to_string(),
            "the site saw {page:?}, not the node"
        );
        Ok(())
    }

    /// What the machine's own check finds when root asks for it.
    ///
    /// # Errors
    ///
    /// When it could not be made.
    pub fn check_leaks(&self) -> Result<LeakCheck> {
        let output = self.vpnm(User::Root, &["check", "--json"])?;
        let report = serde_json::from_slice(&output.stdout);
        report.with_context(|| format!("vpnm check: {output:?}"))
    }

    /// Disconnects, ends the daemon, and makes sure that the client is as it
    /// was before anything was started.
    ///
    /// # Errors
    ///
    /// When something is not as it was.
    pub fn end(mut self) -> Result<Tally> {
        self.command(&["disconnect"])?;
        let tally = self.capture.tally()?;
        self.end_daemon()?;
        self.check_restored()?;
        Ok(tally)
    }

    /// Makes sure that the client is as it was before anything was started.
    ///
    /// # Errors
    ///
    /// Listing what differs.
    pub fn check_restored(&self) -> Result<()> {
        let changes = Snapshot::take(self.client())?.changes_since(&self.before);
        ensure!(
            changes.is_empty(),
            "the client was not restored:\n{}",
            changes.join("\n")
        );
        let kept = machine::processes(self.client(), KEEPER)?;
        ensure!(kept.is_empty(), "processes are left: {kept:?}");
        Ok(())
    }
}
