//! The world of the demo, with the real daemon in it.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use vpnm_api::tunnel::SOCKET;
use vpnm_world::addresses::{NODE, SITE, SITE_NAME};
use vpnm_world::capture::Capture;
use vpnm_world::internet::{Carrier, Internet, Node, Query};
use vpnm_world::{Process, Signal, Snapshot, User, Visitor, World};

use super::report::Confinement;
use crate::exit::Exit;
use crate::output::{Problem, chain};

/// The program that is shown: this one.
const SELF: &str = "/proc/self/exe";
/// How long the daemon may take to start or to stop.
const DAEMON: Duration = Duration::from_secs(10);
/// How long a tunnel may take to come back.
const RECOVERY: Duration = Duration::from_secs(20);
/// How long one attempt at a page may take at first, and at most: what was sent while
/// there was no tunnel never comes, and a slow machine needs its time.
const PATIENCE: (Duration, Duration) = (Duration::from_millis(150), Duration::from_secs(3));
/// Between two looks at something that is about to happen.
const GLANCE: Duration = Duration::from_millis(5);
/// How long the daemon's last words may be on their way.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// Lines of the daemon's log that are kept to explain a failure.
const KEPT: usize = 8;

/// A world in which everything runs but the daemon.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) world: World,
    internet: Internet,
    node: Node,
    pub(super) capture: Capture,
    visitor: Visitor,
}

impl Stage {
    /// Builds the world and starts its internet, its node and the capture.
    pub(super) fn build() -> Result<Self, Problem> {
        let world = World::build().map_err(|error| broken("the world", &error))?;
        let internet =
            Internet::start(&world).map_err(|error| broken("the internet of the world", &error))?;
        let node = Node::start(&world, Carrier::Tls).map_err(|error| broken("the node", &error))?;
        let capture = Capture::start(&world, &node.endpoints(), None)
            .map_err(|error| broken("the capture", &error))?;
        Ok(Self {
            visitor: Visitor::new(world.client(), User::Alice),
            world,
            internet,
            node,
            capture,
        })
    }

    /// A user at the client, who may connect.
    pub(super) fn visitor(&self) -> &Visitor {
        &self.visitor
    }

    /// The node as a link, by its address.
    pub(super) fn link(&self) -> String {
        self.node.link_to(&NODE.v4.to_string())
    }

    /// The node's address and port.
    pub(super) fn server() -> SocketAddr {
        (NODE.v4, 443).into()
    }

    /// Who the web site says has come.
    pub(super) fn seen_address(&self) -> Result<IpAddr, Problem> {
        self.visitor
            .fetch((SITE.v4, 80).into(), SITE_NAME, "/address")
            .and_then(|text| text.trim().parse().map_err(io::Error::other))
            .map_err(|error| broken("the page", &error))
    }

    /// Resolves a name, and says what the resolvers of the world saw of it.
    pub(super) fn resolve(&self, name: &str) -> Result<Vec<Query>, Problem> {
        let before = self.internet.queries().len();
        self.visitor
            .resolve(name)
            .map_err(|error| broken("the name", &error))?;
        let mut queries = self.internet.queries();
        Ok(queries
            .split_off(before.min(queries.len()))
            .into_iter()
            .filter(|query| query.name == name)
            .collect())
    }

    /// Starts the daemon and waits until it listens.
    pub(super) fn start_daemon(&self) -> Result<Daemon, Problem> {
        let mut process = self
            .world
            .client()
            .command(SELF)
            .args(["daemon", "--log", "warn"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| broken("the daemon", &error))?;
        let log = Log::default();
        if let Some(stream) = process.take_stderr() {
            log.follow(stream);
        }
        let mut daemon = Daemon { process, log };
        let started = Instant::now();
        while !self.is_listening() {
            let ended = daemon
                .process
                .try_wait()
                .map_err(|error| broken("the daemon", &error))?;
            if let Some(status) = ended {
                return Err(daemon.explain(&format!("it ended at once ({status})")));
            }
            if started.elapsed() > DAEMON {
                return Err(daemon.explain("it does not listen"));
            }
            thread::sleep(GLANCE);
        }
        Ok(daemon)
    }

    fn is_listening(&self) -> bool {
        self.world
            .client()
            .run(|| UnixStream::connect(SOCKET))
            .is_ok()
    }

    /// Runs `vpnm` at the client as the user who may connect, and returns the
    /// object it printed. `input` becomes its standard input.
    pub(super) fn command(
        &self,
        arguments: &[&str],
        input: &str,
    ) -> Result<serde_json::Value, Problem> {
        let ran = || -> io::Result<std::process::Output> {
            let mut process = self
                .world
                .client()
                .command(SELF)
                .args(arguments)
                .arg("--json")
                .user(User::Alice)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()?;
            if let Some(mut stream) = process.take_stdin() {
                stream.write_all(input.as_bytes())?;
            }
            process.wait_with_output()
        };
        let name = format!("vpnm {}", arguments.join(" "));
        let output = ran().map_err(|error| broken(&name, &error))?;
        let object: serde_json::Value = serde_json::from_slice(&output.stdout).map_err(|_| {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            broken(&name, &io::Error::other(said))
        })?;
        match object.get("error") {
            None => Ok(object),
            Some(error) => {
                let part = |name: &str| {
                    error
                        .get(name)
                        .and_then(|text| text.as_str())
                        .unwrap_or_default()
                        .to_owned()
                };
                Err(Problem::new(
                    Exit::Failed,
                    "demo_failed",
                    format!("{name} failed in the world of the demo: {}", part("what")),
                    part("why"),
                    "vpnm doctor",
                ))
            }
        }
    }

    /// Tries to fetch a page, at short intervals, until one comes; returns how
    /// long it took from `since`.
    pub(super) fn wait_for_page(&self, since: Instant) -> Result<Duration, Problem> {
        let fetch = || -> io::Result<()> {
            let patience = (since.elapsed() / 4).clamp(PATIENCE.0, PATIENCE.1);
            let to = (SITE.v4, 80).into();
            let mut stream = TcpStream::connect_timeout(&to, patience)?;
            stream.set_read_timeout(Some(patience))?;
            write!(
                stream,
                "GET /address HTTP/1.1\r\nHost: {SITE_NAME}\r\nConnection: close\r\n\r\n"
            )?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            if text.starts_with("HTTP/1.1 200 ") {
                Ok(())
            } else {
                Err(io::ErrorKind::InvalidData.into())
            }
        };
        self.world
            .client()
            .run_as(User::Alice, || {
                while fetch().is_err() {
                    if since.elapsed() > RECOVERY {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    thread::sleep(GLANCE);
                }
                Ok(since.elapsed())
            })
            .map_err(|error| broken("the recovery", &error))
    }

    /// The state of the client's network.
    pub(super) fn snapshot(&self) -> Result<Snapshot, Problem> {
        Snapshot::take(self.world.client()).map_err(|error| broken("the snapshot", &error))
    }
}

/// The daemon, running at the client.
#[derive(Debug)]
pub(super) struct Daemon {
    process: Process,
    log: Log,
}

impl Daemon {
    /// The process of its engine.
    pub(super) fn engine(&self) -> Result<u32, Problem> {
        find_child(self.process.id(), "engine")
            .map_err(|error| broken("the engine", &error))?
            .ok_or_else(|| self.explain("it has no engine"))
    }

    /// Has it end by itself.
    pub(super) fn stop(mut self) -> Result<(), Problem> {
        self.process
            .signal(Signal::TERM)
            .map_err(|error| broken("the daemon", &error))?;
        let asked = Instant::now();
        loop {
            match self.process.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(self.explain(&format!("it ended with {status}"))),
                Ok(None) if asked.elapsed() > DAEMON => return Err(self.explain("it does not end")),
                Ok(None) => thread::sleep(GLANCE),
                Err(error) => return Err(broken("the daemon", &error)),
            }
        }
    }

    fn explain(&self, why: &str) -> Problem {
        thread::sleep(LAST_WORDS);
        let log = self.log.text();
        let why = if log.is_empty() {
            why.to_owned()
        } else {
            format!("{why}; the last it said was:\n{log}")
        };
        broken("the daemon", &io::Error::other(why))
    }
}

/// The last lines of a stream.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<VecDeque<String>>>);

impl Log {
    fn follow(&self, stream: impl io::Read + Send + 'static) {
        let lines = Arc::clone(&self.0);
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                if lines.len() == KEPT {
                    lines.pop_front();
                }
                lines.push_back(line);
            }
        });
    }

    fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().cloned().collect::<Vec<_>>().join("\n")
    }
}

/// The child of `parent` whose first argument is `argument`.
fn find_child(parent: u32, argument: &str) -> io::Result<Option<u32>> {
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // Processes come and go while the list is read.
        let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else {
            continue;
        };
        let is_child = status
            .lines()
            .find_map(|line| line.strip_prefix("PPid:"))
            .is_some_and(|text| text.trim() == parent.to_string());
        let is_wanted = is_child
            && fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| {
                line.split(|byte| *byte == 0).nth(1) == Some(argument.as_bytes())
            });
        if is_wanted {
            return Ok(Some(pid));
        }
    }
    Ok(None)
}

/// What the kernel says of a process.
pub(super) fn confinement(pid: u32) -> Result<Confinement, Problem> {
    fs::read_to_string(format!("/proc/{pid}/status"))
        .and_then(|status| {
            Confinement::parse(&status).ok_or_else(|| io::ErrorKind::InvalidData.into())
        })
        .map_err(|error| broken("the engine", &error))
}

/// Part of the demo that did not work.
pub(super) fn broken(part: &str, error: &dyn std::error::Error) -> Problem {
    Problem::new(
        Exit::Failed,
        "demo_failed",
        format!("the demo could not go on: {part} did not work"),
        chain(error),
        "vpnm doctor",
    )
}
