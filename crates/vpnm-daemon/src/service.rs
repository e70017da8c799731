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

#[cfg(test)]
mod tests {
    use anyd::{CallError, Peer};
    use vpnm_api::tunnel::{TunnelClient, TunnelService};
    use vpnm_api::{Goal, Server, State};

    use super::*;

    fn blocked() -> Status {
        Status {
            state: State::Blocked {
                cause: Failure::new(Code::Refused, "192.0.2.1:443"),
            },
            goal: Goal::Secured,
            server: Some(Server {
                name: "home".into(),
                address: "vpn.example.com:443".into(),
                kind: "vless+tcp".into(),
                confidential: false,
            }),
            ..Status::disconnected("0")
        }
    }

    /// A daemon whose heart grants everything, and its client.
    fn client_of(peer: Peer) -> TunnelClient {
        let (requests, mut asked) = mpsc::channel::<Request>(1);
        let (shown, status) = watch::channel(blocked());
        tokio::spawn(async move {
            while let Some(Request::Command(_, reply)) = asked.recv().await {
                drop(reply.send(Ok(())));
            }
            drop(shown);
        });
        let service = TunnelService(Service { requests, status });
        anyd::test::pair(service, peer).into()
    }

    #[tokio::test]
    async fn root_sees_everything_and_may_do_everything() {
        let mut root = client_of(Peer::uid(0));
        assert_eq!(root.status().await.unwrap(), blocked());
        assert_eq!(root.connect(None).await.unwrap(), blocked());
        root.disconnect().await.unwrap();
        root.reconnect().await.unwrap();
        root.lockdown().await.unwrap();
        root.lift_lockdown().await.unwrap();
    }

    #[tokio::test]
    async fn a_stranger_sees_that_it_is_blocked_and_no_more() {
        let mut stranger = client_of(Peer::uid(1000));
        assert_eq!(stranger.status().await.unwrap(), blocked().redacted());
        let seen = stranger.watch().await.unwrap().next().await.unwrap();
        assert_eq!(seen.unwrap(), blocked().redacted());
    }

    #[tokio::test]
    async fn a_stranger_changes_nothing() {
        let mut stranger = client_of(Peer::uid(1000));
        assert!(matches!(
            stranger.connect(None).await,
            Err(CallError::Denied { .. })
        ));
        assert!(matches!(
            stranger.disconnect().await,
            Err(CallError::Denied { .. })
        ));
        assert!(matches!(
            stranger.reconnect().await,
            Err(CallError::Denied { .. })
        ));
        assert!(matches!(
            stranger.lockdown().await,
            Err(CallError::Denied { .. })
        ));
        assert!(matches!(
            stranger.lift_lockdown().await,
            Err(CallError::Denied { .. })
        ));
    }
}
