//! A daemon to attack, and those who attack it.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyd::{Daemon, Limits, Socket, Trust};
use rustix::process::geteuid;
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::target::{State, TargetBlocking, TargetService, Victim};

/// The user that attacks.
pub(crate) const MALLORY: u32 = 1000;

/// Longer than anything takes on the slowest machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn is_root() -> bool {
    geteuid().is_root()
}

/// Whether a test must be passed over, which it says.
pub(crate) fn skip(reason: &str) -> bool {
    assert!(
        std::env::var("VPNM_LAB").as_deref() != Ok("require"),
        "cannot run: {reason}"
    );
    println!("SKIP {reason}");
    true
}

/// Runs in a thread that has the rights of `uid` and no others. Without root's
/// rights the tests' own user stands in.
pub(crate) fn as_user<T: Send + 'static>(
    uid: u32,
    action: impl FnOnce() -> T + Send + 'static,
) -> T {
    let thread = std::thread::spawn(move || {
        if is_root() {
            let gid = rustix::process::Gid::from_raw(uid);
            let user = rustix::process::Uid::from_raw(uid);
            set_thread_groups(&[]).unwrap();
            set_thread_res_gid(gid, gid, gid).unwrap();
            set_thread_res_uid(user, user, user).unwrap();
        }
        action()
    });
    thread.join().unwrap()
}

/// A runtime for one thread.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// A directory that goes with the test.
pub(crate) struct Place(pub(crate) PathBuf);

impl Place {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let name = format!("anyd-attack-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join("d.sock")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

/// A running daemon.
pub(crate) struct Arena {
    pub(crate) place: Place,
    pub(crate) state: Arc<State>,
    pub(crate) records: Arc<Mutex<Vec<String>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<anyd::Result<()>>>,
}

impl Arena {
    pub(crate) fn new(limits: Limits) -> Self {
        Self::with(limits, |daemon| daemon)
    }

    pub(crate) fn with(limits: Limits, more: impl FnOnce(Daemon) -> Daemon) -> Self {
        let place = Place::new();
        let state = Arc::new(State::default());
        let records = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&records);
        let daemon = Daemon::new(anyd::product!())
            .serve(TargetService(Victim(Arc::clone(&state))))
            .listen(Socket::path(place.socket()).mode(0o666))
            .limits(limits)
            .audit(move |record| kept.lock().unwrap().push(record.to_string()));
        let daemon = more(daemon);
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            runtime().block_on(daemon.run(async {
                let _or_dropped = stopped.await;
            }))
        });
        let arena = Self {
            place,
            state,
            records,
            stop: Some(stop),
            thread: Some(thread),
        };
        until("the daemon listens", || {
            UnixStream::connect(arena.path()).is_ok()
        });
        arena
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.place.socket()
    }

    /// An honest client, of the tests' own user.
    pub(crate) fn honest(&self) -> TargetBlocking {
        let client = anyd::blocking::Client::open_trusting(self.path(), Trust::RootOrSelf);
        client.unwrap().timeout(PATIENCE).into()
    }

    /// The attacker, connected.
    pub(crate) fn attacker(&self) -> Raw {
        let path = self.path();
        as_user(MALLORY, move || Raw::connect(&path))
    }

    /// The daemon still serves others.
    pub(crate) fn assert_alive(&self) {
        let said = self.honest().echo("alive".parse().unwrap()).unwrap();
        assert_eq!(said.arg, "alive");
    }

    pub(crate) fn ask_to_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ended = stop.send(());
        }
    }

    pub(crate) fn wait_for_end(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap().unwrap();
        }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        self.ask_to_stop();
        if !std::thread::panicking() {
            self.wait_for_end();
        }
    }
}

/// Waits for something to become true.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A client without manners: bytes in, messages out.
pub(crate) struct Raw {
    pub(crate) stream: UnixStream,
    inbox: Vec<u8>,
}

impl Raw {
    pub(crate) fn connect(path: &Path) -> Self {
        Self::of(UnixStream::connect(path).unwrap())
    }

    pub(crate) fn of(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream,
            inbox: Vec::new(),
        }
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.send_bytes(format!("{text}\0").as_bytes());
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        match self.stream.write_all(bytes) {
            // The daemon has closed, perhaps with a reason to be received.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
            sent => sent.unwrap(),
        }
    }

    /// The next message; `None` when the daemon has closed.
    pub(crate) fn receive(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.inbox.iter().position(|byte| *byte == 0) {
                let message: Vec<u8> = self.inbox.drain(..=end).collect();
                return Some(serde_json::from_slice(&message[..end]).unwrap());
            }
            let mut room = [0; 65536];
            match self.stream.read(&mut room) {
                Ok(0) => return None,
                Ok(count) => self.inbox.extend_from_slice(&room[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("the daemon neither answers nor closes: {error}"),
            }
        }
    }

    pub(crate) fn ask(&mut self, text: &str) -> Value {
        self.send(text);
        self.receive().expect("an answer")
    }

    pub(crate) fn ask_error(&mut self, text: &str) -> (String, Value) {
        let mut answer = self.ask(text);
        let name = answer["error"].as_str().unwrap_or_default().to_owned();
        (name, answer["parameters"].take())
    }
}

/// A call of the service under attack.
pub(crate) fn call(method: &str, parameters: &str) -> String {
    format!(r#"{{"method":"org.example.Target.{method}","parameters":{parameters}}}"#)
}

/// Limits with which an attack does not take long.
pub(crate) fn brisk() -> Limits {
    Limits {
        rate: anyd::Rate::per_sec(1_000_000),
        ..Limits::default()
    }
}
