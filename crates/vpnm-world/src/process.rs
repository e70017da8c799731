//! Processes started inside a host, which never outlive the world.

use std::ffi::OsStr;
use std::io;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use rustix::process::{Pid, Signal};

use crate::host::Host;
use crate::sys::{self, Credentials};

/// Who runs a command inside the world; the ids of the world's `/etc/passwd`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// root, with every capability over the world.
    Root,
    /// An ordinary user in group `vpnm` (uid 1000).
    Alice,
    /// An ordinary user in no group (uid 1001).
    Mallory,
    /// The engine's user `_vpnm` (uid 7670).
    Engine,
}

impl User {
    /// The user's number.
    #[must_use]
    pub fn uid(self) -> u32 {
        self.credentials().uid
    }

    /// Makes the calling thread, and only it, this user's. There is no way back.
    pub(crate) fn become_on_this_thread(self) -> io::Result<()> {
        sys::become_user(self.credentials())
    }

    fn credentials(self) -> Credentials {
        let (uid, group) = match self {
            Self::Root => (0, None),
            Self::Alice => (1000, Some(7671)),
            Self::Mallory => (1001, None),
            Self::Engine => (7670, None),
        };
        Credentials {
            uid,
            gid: uid,
            group,
        }
    }
}

/// A command to run inside a host; built like [`std::process::Command`].
///
/// It starts in a process group of its own, with `/` as working directory,
/// and is killed when the world ends, however that happens.
#[derive(Debug)]
pub struct Command {
    inner: std::process::Command,
    host: Host,
    user: User,
}

impl Command {
    pub(crate) fn new(host: Host, program: &OsStr) -> Self {
        let mut inner = std::process::Command::new(program);
        inner.stdin(Stdio::null());
        Self {
            inner,
            host,
            user: User::Root,
        }
    }

    /// Appends an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.inner.arg(argument);
        self
    }

    /// Appends arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.inner.args(arguments);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.inner.env(name, value);
        self
    }

    /// Starts with an empty environment.
    #[must_use]
    pub fn env_clear(mut self) -> Self {
        self.inner.env_clear();
        self
    }

    /// The name the program sees as its own (`argv[0]`).
    #[must_use]
    pub fn arg0(mut self, name: impl AsRef<OsStr>) -> Self {
        use std::os::unix::process::CommandExt as _;
        self.inner.arg0(name);
        self
    }

    /// Runs it as another user; root if not said.
    #[must_use]
    pub fn user(mut self, user: User) -> Self {
        self.user = user;
        self
    }

    /// Standard input; null if not said.
    #[must_use]
    pub fn stdin(mut self, to: Stdio) -> Self {
        self.inner.stdin(to);
        self
    }

    /// Standard output; inherited if not said.
    #[must_use]
    pub fn stdout(mut self, to: Stdio) -> Self {
        self.inner.stdout(to);
        self
    }

    /// Standard error; inherited if not said.
    #[must_use]
    pub fn stderr(mut self, to: Stdio) -> Self {
        self.inner.stderr(to);
        self
    }

    /// Starts it.
    ///
    /// # Errors
    ///
    /// Those of [`std::process::Command::spawn`], or of entering the namespaces.
    pub fn spawn(self) -> io::Result<Process> {
        let Self {
            mut inner,
            host,
            user,
        } = self;
        let (net, mounts) = host.namespace().duplicate()?;
        sys::confine(&mut inner, net, mounts, user.credentials());
        let child = host.keeper().spawn(inner)?;
        Ok(Process { child, _host: host })
    }

    /// Runs it to its end and collects what it wrote.
    ///
    /// # Errors
    ///
    /// As [`Command::spawn`].
    pub fn output(self) -> io::Result<Output> {
        self.stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?
            .wait_with_output()
    }
}

/// A process inside the world; killed with its group when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    _host: Host,
}

impl Process {
    /// The process's number, as the machine counts.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Takes the writing end of a piped standard input.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Takes the reading end of a piped standard output.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Takes the reading end of a piped standard error.
    pub fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Sends a signal to the process alone.
    ///
    /// # Errors
    ///
    /// Those of `kill(2)`.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(rustix::process::kill_process(self.pid()?, signal)?)
    }

    /// Kills the process alone (`SIGKILL`) and waits for its end.
    ///
    /// # Errors
    ///
    /// Those of `kill(2)` and `wait(2)`.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }

    /// Waits for the end.
    ///
    /// # Errors
    ///
    /// Those of `wait(2)`.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }

    /// The exit status, if it has ended.
    ///
    /// # Errors
    ///
    /// Those of `wait(2)`.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits for the end and collects what was piped.
    ///
    /// # Errors
    ///
    /// Those of reading and of `wait(2)`.
    pub fn wait_with_output(mut self) -> io::Result<Output> {
        use std::io::Read as _;
        let (stdout, stderr) = (self.child.stdout.take(), self.child.stderr.take());
        let errors = thread::spawn(move || {
            let mut bytes = Vec::new();
            stderr
                .map_or(Ok(0), |mut pipe| pipe.read_to_end(&mut bytes))
                .map(|_| bytes)
        });
        let mut bytes = Vec::new();
        stdout.map_or(Ok(0), |mut pipe| pipe.read_to_end(&mut bytes))?;
        let stderr = errors
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(Output {
            status: self.child.wait()?,
            stdout: bytes,
            stderr,
        })
    }

    fn pid(&self) -> io::Result<Pid> {
        i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let (Ok(None), Ok(pid)) = (self.child.try_wait(), self.pid()) {
            // Failure means that they are gone already.
            rustix::process::kill_process_group(pid, Signal::KILL).ok();
            self.child.wait().ok();
        }
    }
}

type Order = (std::process::Command, SyncSender<io::Result<Child>>);

/// The thread that starts every process of a world.
///
/// A child's death signal fires when the *thread* that started it ends, so
/// this one lives as long as the world does.
#[derive(Debug)]
pub(crate) struct Keeper {
    orders: Option<SyncSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    pub(crate) fn start() -> io::Result<Arc<Self>> {
        let (orders, inbox) = sync_channel::<Order>(16);
        let thread = thread::Builder::new()
            .name("world-keeper".to_owned())
            .spawn(move || {
                for (mut command, reply) in inbox {
                    // A requester that has gone has nobody to tell.
                    reply.send(command.spawn()).ok();
                }
            })?;
        Ok(Arc::new(Self {
            orders: Some(orders),
            thread: Some(thread),
        }))
    }

    fn spawn(&self, command: std::process::Command) -> io::Result<Child> {
        let gone = || io::Error::other("the world has ended");
        let (reply, answer) = sync_channel(1);
        let orders = self.orders.as_ref().ok_or_else(gone)?;
        orders.send((command, reply)).map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())?
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}
