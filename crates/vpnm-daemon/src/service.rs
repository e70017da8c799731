//! The daemon's side of the contract: who asks, and what is shown to whom.

use anyd::{Caller, Events};
use tokio::sync::{mpsc, oneshot, watch};
use vpnm_api::tunnel::{CONTROL_GROUP, Tunnel, TunnelError};
use vpnm_api::{Code, Failure, ShareLink, Status};

use crate::request::Request;
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
    use anyd::{CallError, Daemon, Groups, Peer, Product};
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
        let daemon = Daemon::new(Product::default())
            .groups(Groups::fixed([(CONTROL_GROUP, GROUP)]))
            .serve(service);
        anyd::test::connect(daemon, peer).into()
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

    const GROUP: u32 = 27;

    /// Everybody who could call: their place in the rows of [`MAY`] is their place here.
    /// Whoever is root in a container is somebody else here, and so are its groups.
    fn peers() -> [(&'static str, Peer); 6] {
        [
            ("root", Peer::uid(0)),
            ("a member of the group", Peer::uid(1000).groups([GROUP])),
            ("a stranger", Peer::uid(1001)),
            (
                "root of a container",
                Peer::uid(100_000).groups([100_000 + GROUP]),
            ),
            (
                "the engine",
                Peer::uid(vpnm_host::names::ENGINE_FALLBACK_ID),
            ),
            ("the leak check", Peer::uid(vpnm_host::names::PROBE_ID)),
        ]
    }

    /// Who may call what.
    const MAY: [(&str, [bool; 6]); 7] = [
        ("Status", [true; 6]),
        ("Watch", [true; 6]),
        ("Connect", [true, true, false, false, false, false]),
        ("Disconnect", [true, true, false, false, false, false]),
        ("Reconnect", [true, true, false, false, false, false]),
        ("Lockdown", [true, true, false, false, false, false]),
        ("LiftLockdown", [true, false, false, false, false, false]),
    ];

    async fn denies(client: &mut TunnelClient, method: &str) -> bool {
        fn denied<T>(result: Result<T, CallError<TunnelError>>) -> bool {
            matches!(result, Err(CallError::Denied { .. }))
        }
        match method {
            "Status" => denied(client.status().await),
            "Watch" => denied(client.watch().await.unwrap().next().await.unwrap()),
            "Connect" => denied(client.connect(None).await),
            "Disconnect" => denied(client.disconnect().await),
            "Reconnect" => denied(client.reconnect().await),
            "Lockdown" => denied(client.lockdown().await),
            "LiftLockdown" => denied(client.lift_lockdown().await),
            other => panic!("{other} is not in the table"),
        }
    }

    #[tokio::test]
    async fn every_method_is_for_whom_it_is_meant() {
        let methods: Vec<&str> = TunnelClient::INTERFACE
            .methods
            .iter()
            .map(|m| m.name)
            .collect();
        assert_eq!(
            methods,
            MAY.map(|(method, _)| method),
            "a method without a row"
        );
        for (place, (who, peer)) in peers().into_iter().enumerate() {
            for (method, may) in MAY {
                let mut client = client_of(peer.clone());
                let denied = denies(&mut client, method).await;
                assert_eq!(denied, !may[place], "{who}: {method}");
            }
        }
    }

    #[tokio::test]
    async fn only_who_may_control_sees_more_than_the_state() {
        for (place, (who, peer)) in peers().into_iter().enumerate() {
            let seen = client_of(peer).status().await.unwrap();
            let whole = place < 2;
            let expected = if whole {
                blocked()
            } else {
                blocked().redacted()
            };
            assert_eq!(seen, expected, "{who}");
        }
    }
}
