//! What the engine is asked, and how its answers are understood.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyd::server::IntrospectionClient;
use anyd::{CallError, Client};
use tokio::sync::{Mutex, Notify};
use vpnm_api::engine::{EngineClient, EngineConfig, EngineError, EngineEvent, LocalNames};
use vpnm_api::{Code, Failure, Host, ShareLink};

use crate::tsm::Outcome;

/// Longer than the longest call may take: the engine gives up first, with a reason.
const PATIENCE: Duration = Duration::from_secs(35);
/// Addresses of a server that are tried, each of them a hole in the filter: what
/// the engine says came from the network.
const ADDRESSES: usize = 32;
/// From one sign of life to the next, while there is traffic.
const PULSE: Duration = Duration::from_secs(2);
/// The same while there is none: an engine without work is left asleep.
const PULSE_AT_REST: Duration = Duration::from_secs(10);
/// An engine that gives none for so long carries nothing either.
const LIFELESS: Duration = Duration::from_secs(8);

/// The connection to an engine, for one call at a time. What may take long is asked on
/// a connection of its own: an effect that is aborted ends it, and with it the work.
#[derive(Debug)]
pub(super) struct Link {
    client: Mutex<EngineClient>,
}

impl Link {
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        let client = Client::from_stream(socket)?.timeout(PATIENCE);
        Ok(Self {
            client: Mutex::new(client.into()),
        })
    }

    /// Hands over the descriptors.
    pub(super) async fn start(
        &self,
        config: EngineConfig,
        descriptors: &[OwnedFd],
    ) -> Result<(), Failure> {
        let descriptors: Vec<_> = descriptors.iter().map(OwnedFd::as_fd).collect();
        let mut client = self.client.lock().await;
        let started = client.start(config, &descriptors).await;
        started.map_err(|error| Failure {
            code: Code::EngineStart,
            ..understand(error)
        })
    }

    /// Says whom to ask for names of the local network.
    pub(super) async fn know_local(&self, local: LocalNames) -> Result<(), Failure> {
        let mut client = self.client.lock().await;
        client.know_local(local).await.map_err(understand)
    }

    /// A connection of its own beside the one for calls.
    pub(super) async fn attach(&self) -> Result<Client, Failure> {
        let lost = |error: io::Error| Failure::new(Code::EngineLost, error.to_string());
        let (ours, theirs) = UnixStream::pair().map_err(lost)?;
        let mut client = self.client.lock().await;
        client.attach(&[theirs.as_fd()]).await.map_err(understand)?;
        Client::from_stream(ours).map_err(lost)
    }

    async fn attach_for_a_call(&self) -> Result<EngineClient, Failure> {
        Ok(self.attach().await?.timeout(PATIENCE).into())
    }

    pub(super) async fn resolve(&self, host: &Host) -> Outcome {
        let name = match host {
            Host::Ip(ip) => return Outcome::Resolved(vec![*ip]),
            Host::Domain(name) => name.clone(),
        };
        let mut client = match self.attach_for_a_call().await {
            Ok(client) => client,
            Err(failure) => return Outcome::Failed(failure),
        };
        match client.resolve(name.into()).await {
            Ok(mut resolved) => {
                resolved.addresses.truncate(ADDRESSES);
                Outcome::Resolved(resolved.addresses)
            }
            Err(error) => Outcome::Failed(understand(error)),
        }
    }

    pub(super) async fn connect(
        &self,
        server: ShareLink,
        addresses: Vec<IpAddr>,
        keep: bool,
    ) -> Outcome {
        let mut client = match self.attach_for_a_call().await {
            Ok(client) => client,
            Err(failure) => return Outcome::Failed(failure),
        };
        match client.connect(server, addresses, keep).await {
            Ok(established) => Outcome::Established(established),
            Err(error) => Outcome::Failed(understand(error)),
        }
    }
}

/// Watches over the engine, which is notified when it works, until it ends, which is
/// false, or gives no sign of life any more, which is true.
pub(super) async fn becomes_lifeless(client: Client, works: &Notify) -> bool {
    let mut engine: IntrospectionClient = client.timeout(LIFELESS).into();
    loop {
        if let Err(error) = engine.get_info().await {
            return matches!(error, CallError::NoAnswer { .. });
        }
        let rest = tokio::time::timeout(PULSE_AT_REST, works.notified());
        if rest.await.is_ok() {
            tokio::time::sleep(PULSE).await;
        }
    }
}

/// Passes on what an engine tells, until it ends.
pub(super) async fn listen(client: Client, told: impl AsyncFn(EngineEvent)) {
    let mut client: EngineClient = client.into();
    let mut stream = match client.watch().await {
        Ok(stream) => stream,
        Err(error) => return tracing::warn!(%error, "the engine does not tell how it does"),
    };
    while let Some(event) = stream.next().await {
        match event {
            Ok(event) => told(event).await,
            Err(error) => return tracing::debug!(%error, "the engine tells no more"),
        }
    }
}

fn understand(error: CallError<EngineError>) -> Failure {
    let late = matches!(
        error,
        CallError::Timeout { .. } | CallError::NoAnswer { .. }
    );
    if let CallError::Remote(EngineError::Failed { failure }) = error {
        return failure;
    }
    let code = if late {
        Code::TimedOut
    } else {
        Code::EngineLost
    };
    Failure::new(code, error.to_string())
}
