//! Connections that can never continue end at once, and the program is told; those
//! that can go on do.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use vpnm_lab::harness::{self, Case, Options, Outcome, Skip};
use vpnm_lab::machine::{need, shell, wait_for};
use vpnm_lab::session::Session;
use vpnm_world::Signal;

/// For how long the kernel repeats a question that nobody answers.
const REPEATED: Duration = Duration::from_secs(4);
/// Longest until a program knows; without help it would wait for ever.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> Result<ExitCode> {
    let options = Options::parse(std::env::args().skip(1))?;
    let cases = [
        Case::new("what was open before the tunnel ends with it", |_| before()),
        Case::new("the engine's death ends what it carried", |_| {
            engine_death()
        }),
        Case::new("what began in the tunnel ends before it is gone", |_| {
            disconnect()
        }),
        Case::new("connections of this host and its network go on", |_| near()),
        Case::new("who was asked for on the link is asked for no more", |_| {
            neighbours()
        }),
    ];
    Ok(match harness::run(&options, &cases)? {
        Outcome::Elsewhere(code) => code,
        Outcome::Ran { passed: true } => ExitCode::SUCCESS,
        Outcome::Ran { passed: false } => ExitCode::FAILURE,
    })
}

/// A connection to an echo service, held by a program that only waits.
struct Waiting<'a> {
    session: &'a Session,
    name: &'static str,
}

impl<'a> Waiting<'a> {
    fn open(session: &'a Session, name: &'static str, address: &str) -> Result<Self> {
        // It writes how the connection ended, or what came in answer to a signal.
        const PROGRAM: &str = "import errno, signal, socket\n\
            s = socket.create_connection(('ADDRESS', 7), 8); s.settimeout(None)\n\
            signal.signal(signal.SIGUSR1, lambda *_: s.sendall(b'echo'))\n\
            print('open', flush=True)\n\
            try: print(s.recv(4).decode(), flush=True)\n\
            except OSError as e: print(errno.errorcode[e.errno], flush=True)\n";
        let program = PROGRAM.replace("ADDRESS", address);
        let file = format!("/run/{name}");
        let start = format!(
            "cat > {file}.py <<'END'\n{program}END\n\
             python3 {file}.py > {file} 2>&1 & echo $! > {file}.pid"
        );
        shell(session.client(), &start)?;
        let waiting = Self { session, name };
        waiting.says("open")?;
        Ok(waiting)
    }

    fn text(&self) -> Result<String> {
        shell(self.session.client(), &format!("cat /run/{}", self.name))
    }

    /// Waits until the program has written this.
    fn says(&self, word: &str) -> Result<()> {
        self.says_one_of(&[word])
    }

    fn says_one_of(&self, words: &[&str]) -> Result<()> {
        let mut text = String::new();
        let said = wait_for(&words.join(" or "), PATIENCE, || {
            text = self.text()?;
            Ok(text.lines().any(|line| words.contains(&line)).then_some(()))
        });
        said.with_context(|| format!("{} wrote {text:?}", self.name))
    }

    /// Whether the connection still carries something there and back.
    fn goes_on(&self) -> Result<()> {
        let text = self.text()?;
        ensure!(text.trim() == "open", "{} wrote {text:?}", self.name);
        let signal = format!("kill -USR1 $(cat /run/{}.pid)", self.name);
        shell(self.session.client(), &signal)?;
        self.says("echo")
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let end = format!("kill $(cat /run/{}.pid)", self.name);
        // It may have ended by itself.
        let _ended = shell(self.session.client(), &end);
    }
}

const SITE: &str = "198.51.100.80";
const SITE_6: &str = "2001:db8:100::80";
const NEIGHBOUR: &str = "192.168.77.9";
const ENDED: &str = "ECONNABORTED";

fn begin(settings: &str) -> Result<Session> {
    need(&["python3"])?;
    if !vpnm_host::can_sever()? {
        return Err(Skip("this kernel cannot end connections".to_owned()).into());
    }
    let mut session = Session::begin(None)?;
    let write = format!("mkdir -p /etc/vpnm && echo '{settings}' > /etc/vpnm/settings.toml");
    shell(session.client(), &write)?;
    session.start_daemon()?;
    Ok(session)
}

fn before() -> Result<()> {
    let session = begin("")?;
    let early = Waiting::open(&session, "early", SITE)?;
    let early_6 = Waiting::open(&session, "early6", SITE_6)?;
    session.connect()?;
    early.says(ENDED)?;
    early_6.says(ENDED)?;
    session.check_tunnel()
}

fn engine_death() -> Result<()> {
    let session = begin("")?;
    session.connect()?;
    let inside = Waiting::open(&session, "inside", SITE)?;
    let inside_6 = Waiting::open(&session, "inside6", SITE_6)?;
    session.signal_engine(Signal::KILL)?;
    inside.says(ENDED)?;
    inside_6.says(ENDED)?;
    session.wait_for_state(&["connected"])?;
    // What begins afterwards is left alone.
    Waiting::open(&session, "after", SITE)?.goes_on()
}

fn disconnect() -> Result<()> {
    let session = begin("")?;
    session.connect()?;
    let inside = Waiting::open(&session, "inside", SITE)?;
    session.command(&["disconnect"])?;
    // The engine resets what it carries, if it comes to it before the daemon.
    inside.says_one_of(&[ENDED, "ECONNRESET"])
}

fn near() -> Result<()> {
    let session = begin("lan = true")?;
    let neighbour = Waiting::open(&session, "neighbour", NEIGHBOUR)?;
    let server = "python3 -c \"import socket; l = socket.create_server(('', 7))\nwhile 1:\n \
        c, _ = l.accept(); c.sendall(c.recv(4))\" > /run/server 2>&1 & echo $! > /run/server.pid; \
        until ss -ltn | grep -q :7; do sleep 0.1; done";
    shell(session.client(), server)?;
    let own = Waiting::open(&session, "own", "192.168.77.2")?;
    session.connect()?;
    session.signal_engine(Signal::KILL)?;
    session.wait_for_state(&["connected"])?;
    neighbour.goes_on()?;
    own.goes_on()?;
    session.command(&["disconnect"])?;
    shell(session.client(), "kill $(cat /run/server.pid)").map(drop)
}

/// What the kernel asks on the link of an open host it repeats for three seconds.
fn neighbours() -> Result<()> {
    need(&["bash"])?;
    let ask = "for to in 192.168.77.200 2001:db8:77::200; do \
        bash -c \"echo > /dev/udp/$to/9\"; done 2>/dev/null; true";
    let mut session = Session::begin(None)?;
    session.start_daemon()?;
    let before = session.capture().tally()?;
    shell(session.client(), ask)?;
    wait_for("the questions", PATIENCE, || {
        let asked = session.capture().tally()?.since(&before).leaked();
        Ok((asked >= 2).then_some(()))
    })?;
    session.connect()?;
    let connected = session.capture().tally()?;
    shell(session.client(), ask)?;
    std::thread::sleep(REPEATED);
    let sent = session.capture().tally()?.since(&connected);
    ensure!(sent.leaked() == 0, "left: {:?}", sent.leaks);
    session.end().map(drop)
}
