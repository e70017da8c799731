//! The daemon's side of the contract: who asks, and what is shown to whom.

use anyd::{Caller, Events};
use tokio::sync::{mpsc, oneshot, watch};
use vpnm_api::tunnel::{CONTROL_GROUP, Tunnel, TunnelError};
use vpnm_api::{Code, Failure, ShareLink, Status};

use crate::actor::Request;
use crate::tsm::Command;

/// Answers clients.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) status: watch::Receiver<Status>,
}

impl Service {
    async fn ask(&self, caller: &Caller, command: Command) -> Result<Status, TunnelError> {
        let gone = |_| Failure::from(Code::Stopping);
        let (reply, answer) = oneshot::channel();
        let request = Request::Command(command, reply);
        self.requests
            .send(request)
            .await
            .map_err(|_| Failure::from(Code::Stopping))?;
        answer.await.map_err(gone)??;
        Ok(self.shown_to(caller))
    }

    fn shown_to(&self, caller: &Caller) -> Status {
        show(self.status.borrow().clone(), caller)
    }
}

/// What this caller may see of a status.
fn show(status: Status, caller: &Caller) -> Status {
    if caller.is_root() || caller.in_group(CONTROL_GROUP) {
        status
    } else {
        status.redacted()
    }
}

impl Tunnel for Service {
    async fn status(&self, caller: &Caller) -> Result<Status, TunnelError> {
        Ok(self.shown_to(caller))
    }

    async fn watch(&self, caller: &Caller, mut events: Events<Status>) -> Result<(), TunnelError> {
        let mut status = self.status.clone();
        loop {
            let now = status.borrow_and_update().clone();
            let heard = events.send(show(now, caller)).await;
            if heard.is_err() || status.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    async fn connect(
        &self,
        caller: &Caller,
        link: Option<ShareLink>,
    ) -> Result<Status, TunnelError> {
        self.ask(caller, Command::Connect(link)).await
    }

    async fn disconnect(&self, caller: &Caller) -> Result<Status, TunnelError> {
        self.ask(caller, Command::Disconnect).await
    }

    async fn reconnect(&self, caller: &Caller) -> Result<Status, TunnelError> {
        self.ask(caller, Command::Reconnect).await
    }

    async fn lockdown(&self, caller: &Caller) -> Result<Status, TunnelError> {
        self.ask(caller, Command::Lockdown(true)).await
    }

    async fn lift_lockdown(&self, caller: &Caller) -> Result<Status, TunnelError> {
        self.ask(caller, Command::Lockdown(false)).await
    }
}
