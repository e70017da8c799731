//! A service manager.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Pid, Signal, kill_process};

/// Starts daemons in a directory of its own, and hears what they say.
pub(crate) struct Manager {
    place: PathBuf,
    socket: UnixDatagram,
}

/// What a daemon is started with.
#[derive(Default)]
pub(crate) struct Passed {
    /// At most three, with their names.
    pub(crate) fds: Vec<(&'static str, OwnedFd)>,
    pub(crate) watchdog: Option<Duration>,
}

impl Manager {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let name = format!("anyd-systemd-{}-{number}", std::process::id());
        let place = std::env::temp_dir().join(name);
        std::fs::create_dir(&place).unwrap();
        let socket = UnixDatagram::bind(place.join("notify")).unwrap();
        let patience = Some(Duration::from_secs(60));
        socket.set_read_timeout(patience).unwrap();
        Self { place, socket }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }

    /// Starts one of the daemons of this file's neighbour.
    pub(crate) fn start(&self, role: &str, passed: Passed) -> Daemon {
        // The shell puts what it is given where a service manager puts it.
        let places = ["3<&0", "4<&1", "5<&2"];
        let redirected = places.get(..passed.fds.len()).unwrap().join(" ");
        let rest = "</dev/null >/dev/null 2>/dev/null";
        let script =
            format!("export LISTEN_PID=$$ WATCHDOG_PID=$$; exec \"$@\" {redirected} {rest}");
        let names: Vec<_> = passed.fds.iter().map(|(name, _)| *name).collect();
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", &script, "sh"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", role, "--nocapture"])
            .env("ANYD_TEST_DAEMON", &self.place)
            .env("NOTIFY_SOCKET", self.path("notify"))
            .env("LISTEN_FDS", names.len().to_string())
            .env("LISTEN_FDNAMES", names.join(":"));
        if let Some(time) = passed.watchdog {
            command.env("WATCHDOG_USEC", time.as_micros().to_string());
        }
        let mut fds = passed.fds.into_iter();
        let mut next = || {
            let fd = fds.next();
            fd.map_or_else(Stdio::null, |(_, fd)| Stdio::from(fd))
        };
        command.stdin(next()).stdout(next()).stderr(next());
        Daemon(command.spawn().unwrap())
    }

    /// The next datagram, and the descriptors that came with it.
    pub(crate) fn hear_all(&self) -> (String, Vec<OwnedFd>) {
        let mut room = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(
            &self.socket,
            &mut [IoSliceMut::new(&mut room)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )
        .unwrap();
        let mut fds = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(arrived) = message {
                fds.extend(arrived);
            }
        }
        let text = room.get(..received.bytes).unwrap();
        (String::from_utf8(text.to_vec()).unwrap(), fds)
    }

    /// The next datagram, with which no descriptor comes.
    pub(crate) fn hear(&self) -> String {
        let (text, fds) = self.hear_all();
        assert!(fds.is_empty(), "descriptors came with {text}");
        text
    }

    /// The next datagram that does not feed the watchdog.
    pub(crate) fn hear_news(&self) -> String {
        loop {
            let text = self.hear();
            if text != "WATCHDOG=1" {
                return text;
            }
        }
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.place);
    }
}

/// A running daemon.
pub(crate) struct Daemon(Child);

impl Daemon {
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.0.id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// Waits for its end, which it must come to by itself.
    pub(crate) fn ends_well(mut self) {
        assert!(self.0.wait().unwrap().success());
    }

    pub(crate) fn crash(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _ended = self.0.wait();
    }
}
