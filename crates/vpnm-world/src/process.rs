//! Processes started inside a host, which never outlive the world.

use std::ffi::OsStr;
use std::io;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::thread;

use rustix::process::{Pid, Signal};

use crate::place::Place;
use crate::sys;
use crate::user::User;

/// A command to run inside a host; built like [`std::process::Command`].
///
/// It starts in a process group of its own, with `/` as working directory,
/// and is killed when the world ends, however that happens.
#[derive(Debug)]
pub struct Command {
    inner: std::process::Command,
    place: Arc<Place>,
    user: User,
}

impl Command {
    pub(crate) fn new(place: Arc<Place>, program: &OsStr) -> Self {
        let mut inner = std::process::Command::new(program);
        inner.stdin(Stdio::null());
        Self {
            inner,
            place,
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
            place,
            user,
        } = self;
        let (net, mounts) = place.namespace.duplicate()?;
        sys::confine(&mut inner, net, mounts, user.credentials());
        let child = place.keeper.spawn(inner)?;
        Ok(Process {
            child,
            _place: place,
        })
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
    _place: Arc<Place>,
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
