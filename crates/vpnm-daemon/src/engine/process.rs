//! The engine's process: started, watched, killed.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::Child;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tracing::Level;
use tracing::level_filters::LevelFilter;
use vpnm_api::Note;

use super::identity::Identity;
use super::log;
use super::sys::{self, Bond};

/// The only variables of ours the engine may know: where the system's certificate
/// authorities are.
const VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];
/// Tells the engine that whoever reads its log stamps every line.
const STAMPED: (&str, &str) = ("JOURNAL_STREAM", "vpnmd");

/// From a process's last word to its end.
const MOMENT: Duration = Duration::from_millis(300);

/// A running engine; killed when it is dropped.
#[derive(Debug)]
pub(super) struct Process {
    kill: oneshot::Sender<()>,
    watch: JoinHandle<()>,
    end: watch::Receiver<Option<Note>>,
}

/// Starts an engine; `exited` is told its end unless it was killed by us.
///
/// Must be called from the daemon's first thread: the engine dies with the
/// thread that started it.
pub(super) fn start(
    identity: Identity,
    exited: impl FnOnce(Note) + 'static,
) -> io::Result<(Process, OwnedFd)> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("vpnm")
        .args(["engine", "--log", log_level()])
        .current_dir("/")
        .env_clear()
        .env(STAMPED.0, STAMPED.1)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        // Not ours: that may be a terminal.
        .stderr(Stdio::piped());
    let known = VARIABLES
        .iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)));
    command.envs(known);
    sys::confine(&mut command, theirs.as_fd(), identity, Bond::Parent);
    let reserved = reserve_control()?;
    let child = tokio::process::Command::from(command).spawn();
    drop(reserved);
    let mut child = child?;
    if let Some(stderr) = child.stderr.take() {
        tokio::task::spawn_local(log::pass_on(stderr));
    }
    let (kill, killed) = oneshot::channel();
    let (ended, end) = watch::channel(None);
    let exited = move |note: Note| {
        // Nobody may be interested.
        let _alone = ended.send(Some(note.clone()));
        exited(note);
    };
    let watch = tokio::task::spawn_local(attend(child, killed, exited));
    let process = Process { kill, watch, end };
    Ok((process, ours.into()))
}

/// Starts this program, with these arguments, as somebody without any rights. What it
/// writes is the caller's to read.
pub(crate) fn spawn_as(
    identity: Identity,
    arguments: &[String],
) -> io::Result<std::process::Child> {
    let mut command = this_program(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    spawn(command, identity, Bond::Parent)
}

/// Starts this program, with this argument and input, as somebody without any rights
/// who goes on when we end.
pub(crate) fn spawn_to_stay(identity: Identity, argument: &str, input: OwnedFd) -> io::Result<()> {
    let mut command = this_program(&[argument.to_owned()]);
    command.stdin(input).stdout(Stdio::null());
    // The one between ends at once; somebody else may have heard of that.
    let _reaped = spawn(command, identity, Bond::None)?.wait();
    Ok(())
}

fn this_program(arguments: &[String]) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("vpnm")
        .args(arguments)
        .current_dir("/")
        .env_clear()
        .stderr(Stdio::null());
    command
}

fn spawn(mut command: Command, identity: Identity, bond: Bond) -> io::Result<std::process::Child> {
    let nothing = File::open("/dev/null")?;
    sys::confine(&mut command, nothing.as_fd(), identity, bond);
    let reserved = reserve_control()?;
    let child = command.spawn();
    drop(reserved);
    child
}

/// The level the daemon logs at, which is the engine's too.
fn log_level() -> &'static str {
    match LevelFilter::current().into_level() {
        Some(Level::TRACE) => "trace",
        Some(Level::DEBUG) => "debug",
        Some(Level::INFO) => "info",
        Some(Level::WARN) => "warn",
        Some(Level::ERROR) | None => "error",
    }
}

/// Keeps the control's number and those below taken, so that no descriptor which
/// the start of a process needs for itself is where the control will be put.
fn reserve_control() -> io::Result<Vec<File>> {
    let mut reserved = Vec::new();
    loop {
        let file = File::open("/dev/null")?;
        if file.as_raw_fd() > sys::CONTROL {
            return Ok(reserved);
        }
        reserved.push(file);
    }
}

async fn attend(mut child: Child, killed: oneshot::Receiver<()>, exited: impl FnOnce(Note)) {
    tokio::select! {
        status = child.wait() => exited(describe(status)),
        _ = killed => {
            if let Err(error) = child.kill().await {
                tracing::warn!(%error, "the engine cannot be killed");
            }
        }
    }
}

fn describe(status: io::Result<ExitStatus>) -> Note {
    match status {
        Ok(status) => Note::new(&status.to_string()),
        Err(error) => Note::new(&error.to_string()),
    }
}

impl Process {
    /// How it ended, if it did or does within a moment.
    pub(super) fn end(&self) -> impl Future<Output = Option<Note>> + use<> {
        let mut end = self.end.clone();
        async move {
            let ended = end.wait_for(Option::is_some);
            let ended = tokio::time::timeout(MOMENT, ended).await.ok()?;
            ended.ok()?.clone()
        }
    }

    /// Kills it, and waits until it is gone and its descriptors with it.
    pub(super) async fn kill(self) {
        // Either end may be gone already; what counts is the end of the watch.
        let _gone = self.kill.send(());
        let _ended = self.watch.await;
    }
}
