//! The service under attack.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyd::types::{Secret, Text};
use anyd::{Caller, Events, Fault, Type, service};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

#[derive(Debug, Serialize, Deserialize, Type)]
pub(crate) struct Said {
    pub(crate) arg: String,
}

#[derive(Debug, Serialize, Deserialize, Type)]
pub(crate) struct Seen {
    pub(crate) uid: u32,
    pub(crate) foreign: bool,
}

#[derive(Debug, Fault)]
#[fault(interface = "org.example.Target")]
pub(crate) enum TargetError {
    Wrong,
}

#[service(interface = "org.example.Target")]
pub(crate) trait Target {
    #[access(anyone)]
    async fn echo(&self, caller: &Caller, arg: Text<0, 2000000>) -> Result<Said, TargetError>;
    #[access(anyone)]
    async fn whoami(&self, caller: &Caller) -> Result<Seen, TargetError>;
    #[access(root)]
    async fn guarded(&self, caller: &Caller) -> Result<(), TargetError>;
    /// Waits until the test opens the gate.
    #[access(anyone)]
    async fn slow(&self, caller: &Caller) -> Result<(), TargetError>;
    /// As `slow`, and keeps its turn.
    #[access(anyone)]
    #[exclusive]
    async fn held(&self, caller: &Caller) -> Result<(), TargetError>;
    #[access(anyone)]
    async fn boom(&self, caller: &Caller) -> Result<(), TargetError>;
    /// Sends without end.
    #[access(anyone)]
    async fn flood(&self, caller: &Caller, out: Events<Said>) -> Result<(), TargetError>;
    /// Never sends.
    #[access(anyone)]
    async fn watch(&self, caller: &Caller, out: Events<Said>) -> Result<(), TargetError>;
    #[access(root)]
    #[fds(in = 1)]
    async fn keep(&self, caller: &Caller, fds: Vec<OwnedFd>) -> Result<(), TargetError>;
    #[access(anyone)]
    #[exclusive]
    async fn alone(&self, caller: &Caller) -> Result<(), TargetError>;
    #[access(anyone)]
    #[rate(1, per = "200ms")]
    async fn seldom(&self, caller: &Caller) -> Result<(), TargetError>;
    #[access(anyone)]
    #[audit(fields(name, password))]
    async fn unlock(
        &self,
        caller: &Caller,
        name: String,
        password: Secret<String>,
    ) -> Result<(), TargetError>;
}

/// What the tests see of the service.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) gate: Notify,
    pub(crate) started: AtomicUsize,
    pub(crate) finished: AtomicUsize,
    pub(crate) cancelled: AtomicUsize,
    pub(crate) streams: AtomicUsize,
    pub(crate) together: AtomicUsize,
    pub(crate) most_together: AtomicUsize,
}

/// Counts while it lives.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Debug, Default)]
pub(crate) struct Victim(pub(crate) Arc<State>);

impl Target for Victim {
    async fn echo(&self, _: &Caller, arg: Text<0, 2000000>) -> Result<Said, TargetError> {
        Ok(Said { arg: arg.into() })
    }

    async fn whoami(&self, caller: &Caller) -> Result<Seen, TargetError> {
        Ok(Seen {
            uid: caller.uid(),
            foreign: caller.is_foreign(),
        })
    }

    async fn guarded(&self, _: &Caller) -> Result<(), TargetError> {
        Ok(())
    }

    async fn slow(&self, caller: &Caller) -> Result<(), TargetError> {
        self.0.started.fetch_add(1, Ordering::SeqCst);
        tokio::select! {
            () = self.0.gate.notified() => {}
            () = caller.cancelled() => {
                self.0.cancelled.fetch_add(1, Ordering::SeqCst);
                self.0.gate.notified().await;
            }
        }
        self.0.finished.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn held(&self, caller: &Caller) -> Result<(), TargetError> {
        self.slow(caller).await
    }

    async fn boom(&self, _: &Caller) -> Result<(), TargetError> {
        panic!("as the test asks")
    }

    async fn flood(&self, _: &Caller, mut out: Events<Said>) -> Result<(), TargetError> {
        let _one = Counted::new(&self.0.streams);
        let arg = "x".repeat(1000);
        while out.send(Said { arg: arg.clone() }).await.is_ok() {}
        Ok(())
    }

    async fn watch(&self, _: &Caller, _out: Events<Said>) -> Result<(), TargetError> {
        let _one = Counted::new(&self.0.streams);
        std::future::pending().await
    }

    async fn keep(&self, _: &Caller, fds: Vec<OwnedFd>) -> Result<(), TargetError> {
        assert_eq!(fds.len(), 1, "as the signature says");
        Ok(())
    }

    async fn alone(&self, _: &Caller) -> Result<(), TargetError> {
        let _one = Counted::new(&self.0.together);
        let together = self.0.together.load(Ordering::SeqCst);
        self.0.most_together.fetch_max(together, Ordering::SeqCst);
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn seldom(&self, _: &Caller) -> Result<(), TargetError> {
        Ok(())
    }

    async fn unlock(
        &self,
        _: &Caller,
        _name: String,
        password: Secret<String>,
    ) -> Result<(), TargetError> {
        if password.expose() == "right" {
            return Ok(());
        }
        Err(TargetError::Wrong)
    }
}
