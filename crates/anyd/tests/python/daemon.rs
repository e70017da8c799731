//! A daemon with the endpoints that the tests call.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyd::types::HostName;
use anyd::{Caller, Daemon, Events, Fault, Socket, Type, service};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Debug, Serialize, Deserialize, Type)]
pub(crate) struct Given {
    value: Value,
}

#[derive(Debug, Serialize, Deserialize, Type)]
pub(crate) struct Status {
    state: String,
    servers: Vec<String>,
    uid: u32,
}

/// What `subprocess.run` returns.
#[derive(Debug, Serialize, Deserialize, Type)]
pub(crate) struct Process {
    args: Vec<String>,
    returncode: i32,
    stdout: String,
    stderr: String,
}

#[derive(Debug, Fault)]
#[fault(interface = "org.example.Legacy")]
pub(crate) enum LegacyError {
    AlreadyUp { server: String },
}

#[service(interface = "org.example.Legacy")]
pub(crate) trait Legacy {
    #[access(anyone)]
    async fn echo(&self, caller: &Caller, value: Value) -> Result<Given, LegacyError>;
    #[access(anyone)]
    async fn add(&self, caller: &Caller, a: i64, b: i64) -> Result<Given, LegacyError>;
    /// Of the package's own tests, as the next one.
    #[access(anyone)]
    async fn get_sum(&self, caller: &Caller, arg1: i64, arg2: i64) -> Result<Given, LegacyError>;
    #[access(anyone)]
    async fn no_args_action(&self, caller: &Caller) -> Result<Given, LegacyError>;
    #[access(anyone)]
    async fn status(&self, caller: &Caller) -> Result<Status, LegacyError>;
    #[access(anyone)]
    async fn nothing(&self, caller: &Caller) -> Result<(), LegacyError>;
    #[access(anyone)]
    async fn connect(&self, caller: &Caller, server: HostName) -> Result<(), LegacyError>;
    #[access(anyone)]
    async fn add_node_route(
        &self,
        caller: &Caller,
        node_address: std::net::IpAddr,
    ) -> Result<Process, LegacyError>;
    #[access(uid = 4242)]
    async fn guarded(&self, caller: &Caller) -> Result<(), LegacyError>;
    #[access(anyone)]
    #[timeout("50ms")]
    async fn hang(&self, caller: &Caller) -> Result<(), LegacyError>;
    #[access(anyone)]
    async fn broken(&self, caller: &Caller) -> Result<(), LegacyError>;
    #[access(anyone)]
    async fn watch(&self, caller: &Caller, out: Events<Given>) -> Result<(), LegacyError>;
}

struct Old;

impl Legacy for Old {
    async fn echo(&self, _: &Caller, value: Value) -> Result<Given, LegacyError> {
        Ok(Given { value })
    }

    async fn add(&self, _: &Caller, a: i64, b: i64) -> Result<Given, LegacyError> {
        Ok(Given {
            value: (a + b).into(),
        })
    }

    async fn get_sum(&self, caller: &Caller, arg1: i64, arg2: i64) -> Result<Given, LegacyError> {
        self.add(caller, arg1, arg2).await
    }

    async fn no_args_action(&self, _: &Caller) -> Result<Given, LegacyError> {
        Ok(Given { value: true.into() })
    }

    async fn status(&self, caller: &Caller) -> Result<Status, LegacyError> {
        Ok(Status {
            state: "up".to_owned(),
            servers: vec!["a.example".to_owned()],
            uid: caller.uid(),
        })
    }

    async fn nothing(&self, _: &Caller) -> Result<(), LegacyError> {
        Ok(())
    }

    async fn connect(&self, _: &Caller, server: HostName) -> Result<(), LegacyError> {
        Err(LegacyError::AlreadyUp {
            server: server.into(),
        })
    }

    async fn add_node_route(
        &self,
        _: &Caller,
        node_address: std::net::IpAddr,
    ) -> Result<Process, LegacyError> {
        Ok(Process {
            args: vec!["route".to_owned(), node_address.to_string()],
            returncode: 2,
            stdout: String::new(),
            stderr: "no such route".to_owned(),
        })
    }

    async fn guarded(&self, _: &Caller) -> Result<(), LegacyError> {
        Ok(())
    }

    async fn hang(&self, _: &Caller) -> Result<(), LegacyError> {
        std::future::pending().await
    }

    async fn broken(&self, _: &Caller) -> Result<(), LegacyError> {
        panic!("as the test asks")
    }

    async fn watch(&self, _: &Caller, _: Events<Given>) -> Result<(), LegacyError> {
        Ok(())
    }
}

/// A daemon with two sockets: for everybody, and for those who know the key.
pub(crate) struct Served {
    pub(crate) place: PathBuf,
    _stop: tokio::sync::oneshot::Sender<()>,
}

pub(crate) const KEY: &[u8] = b"secret";

impl Served {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let name = format!("anyd-python-{}-{number}", std::process::id());
        let place = std::env::temp_dir().join(name);
        let (open, locked) = (place.join("open.sock"), place.join("locked.sock"));
        let daemon = Daemon::new(anyd::product!())
            .serve(LegacyService(Old))
            .listen(Socket::path(&open).mode(0o666).python())
            .listen(Socket::path(&locked).mode(0o666).python_authkey(KEY));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let ended = async {
                let _or_dropped = stopped.await;
            };
            runtime.block_on(daemon.run(ended)).unwrap();
        });
        let started = Instant::now();
        while !(open.exists() && locked.exists()) {
            assert!(started.elapsed() < Duration::from_secs(60), "no daemon");
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { place, _stop: stop }
    }

    pub(crate) fn open(&self) -> PathBuf {
        self.place.join("open.sock")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.place);
    }
}
