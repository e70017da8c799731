//! One connection to an upstream: made through the exit, driven, asked, pinged.

use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use bytes::Bytes;
use h2::PingPong;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use vpnm_dns::{ExchangeId, LinkId};
use vpnm_wire::Target;

use super::{Names, Shell};
use crate::doh::{self, DohError, Driver, Endpoint, Session};

/// A connection that does not stand by then never will.
const DIAL_LIMIT: Duration = Duration::from_secs(12);

/// A connection and the tasks that work on it; dropping it ends them.
#[derive(Debug)]
pub(super) struct Link {
    id: LinkId,
    life: AbortHandle,
    pings: Rc<Notify>,
    session: Option<Session>,
    exchanges: HashMap<ExchangeId, AbortHandle>,
}

impl Link {
    /// Begins to make a connection; its end is reported to the resolver.
    pub(super) fn dial(names: &Names, id: LinkId, endpoint: Endpoint, attempt: usize) -> Self {
        let pings = Rc::new(Notify::new());
        let shell = Rc::downgrade(&names.0);
        let life = live(shell, id, endpoint, attempt, Rc::clone(&pings));
        Self {
            id,
            life: tokio::task::spawn_local(life).abort_handle(),
            pings,
            session: None,
            exchanges: HashMap::new(),
        }
    }

    /// Sends a query; the answer is reported to the resolver.
    pub(super) fn send(&mut self, names: &Names, exchange: ExchangeId, message: Bytes) {
        let Some(session) = self.session.clone() else {
            return;
        };
        let (shell, link) = (Rc::downgrade(&names.0), self.id);
        let task = tokio::task::spawn_local(async move {
            let result = session.exchange(message).await;
            if let Some(shell) = shell.upgrade() {
                Names(shell).exchanged(link, exchange, result);
            }
        });
        self.exchanges.insert(exchange, task.abort_handle());
    }

    /// Ends an exchange whose answer nobody wants any more.
    pub(super) fn cancel(&mut self, exchange: ExchangeId) {
        if let Some(task) = self.exchanges.remove(&exchange) {
            task.abort();
        }
    }

    /// Asks for a sign of life.
    pub(super) fn ping(&self) {
        self.pings.notify_one();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.life.abort();
        for task in self.exchanges.values() {
            task.abort();
        }
    }
}

impl Names {
    fn stands(&self, id: LinkId, session: Session) {
        if let Some(link) = self.0.state.borrow_mut().links.get_mut(&id) {
            link.session = Some(session);
        }
        self.act(|resolver, now| resolver.handle_link_up(id, now));
    }

    fn broke(&self, id: LinkId) {
        let known = self.0.state.borrow_mut().links.remove(&id);
        drop(known);
        self.act(|resolver, now| resolver.handle_link_failed(id, now));
    }

    fn exchanged(&self, id: LinkId, exchange: ExchangeId, result: Result<Vec<u8>, DohError>) {
        if let Some(link) = self.0.state.borrow_mut().links.get_mut(&id) {
            link.exchanges.remove(&exchange);
        }
        match result {
            Ok(message) => {
                self.0.monitor.answered();
                self.act(|resolver, now| resolver.handle_response(id, exchange, &message, now));
            }
            Err(DohError::Broken(error)) => {
                tracing::debug!(%error, "a connection to a resolver broke");
                self.broke(id);
            }
            Err(error) => {
                tracing::debug!(%error, "a resolver did not answer a query");
                self.act(|resolver, now| resolver.handle_stream_failed(id, exchange, now));
            }
        }
    }
}

/// A connection's life, from the dial to the end.
async fn live(
    shell: Weak<Shell>,
    id: LinkId,
    endpoint: Endpoint,
    attempt: usize,
    pings: Rc<Notify>,
) {
    let Some(names) = shell.upgrade().map(Names) else {
        return;
    };
    let connected = tokio::time::timeout(DIAL_LIMIT, connect(&names, &endpoint, attempt)).await;
    match connected {
        Ok(Some((session, mut driver))) => {
            let pongs = driver.ping_pong();
            names.stands(id, session);
            tokio::select! {
                result = driver => tracing::debug!(?result, "a connection to a resolver ended"),
                () = answer_pings(&names, id, pongs, &pings) => {}
            }
        }
        Ok(None) | Err(_) => names.0.monitor.doubt(),
    }
    names.broke(id);
}

/// Makes the connection; why it failed is told in the log.
async fn connect(names: &Names, endpoint: &Endpoint, attempt: usize) -> Option<(Session, Driver)> {
    let lease = names.0.exit.lease()?;
    let addresses: Vec<_> = endpoint.addresses().collect();
    let address = addresses.get(attempt % addresses.len().max(1))?;
    let stream = match lease.outbound.dial_tcp(&Target::from(*address), &[]).await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%error, "no way to a resolver");
            return None;
        }
    };
    match doh::handshake(endpoint, stream).await {
        Ok(made) => Some(made),
        Err(error) => {
            tracing::debug!(%error, "no connection to a resolver");
            None
        }
    }
}

/// Pings whenever asked; ends with the connection.
async fn answer_pings(names: &Names, id: LinkId, pongs: Option<PingPong>, wanted: &Notify) {
    let Some(mut pongs) = pongs else {
        return std::future::pending().await;
    };
    loop {
        wanted.notified().await;
        // An answer is late; without a sign of life the way itself is in doubt.
        let pong = names.0.monitor.impatiently(doh::ping(&mut pongs)).await;
        if pong.is_err() {
            return;
        }
        names.act(|resolver, now| resolver.handle_pong(id, now));
    }
}
