//! Pings, which SOCKS 5 cannot carry: what it can carry is a knock.
//!
//! A host that takes or refuses a TCP connection is there, so a ping is answered when the
//! proxy says that the host did either, and after as long as that took. A host that drops
//! the knock stays silent even where it answers pings itself: silence may be wrong, an
//! answer never is. Some proxies say "connected" before they have tried (v2ray 4.34 does,
//! sing-box 1.14 does not); so the proxy is asked once for an address that nobody has,
//! and an answer it gives of that is not believed of others. It is asked at the start:
//! where packets to nobody are dropped its answer takes long, and no ping waits for it then.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;
use vpnm_proxy::socks5::SocksError;

use super::Options;
use super::proxy::{Connected, ProxyError};
use crate::netshell::EchoRequest;

/// Where hosts are knocked at: few firewalls drop what asks for HTTPS.
const PORT: u16 = 443;

/// Nobody has an address of this network (RFC 5737).
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// How long a host may take; a program that pings has given up before.
const PATIENCE: Duration = Duration::from_secs(5);

/// Hosts that are knocked at, at once.
const HOSTS: usize = 64;

/// Pings that wait for the same knock: with those of a program a second, all.
const WAITING: usize = 8;

/// What the proxy said of an address that nobody has, which is one for all queues; cheap
/// to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct OfNobody(Arc<OnceCell<Answer>>);

/// The hosts that are knocked at, and what the proxy's word is worth.
#[derive(Debug)]
pub(super) struct Pings {
    options: Rc<Options>,
    knocks: RefCell<HashMap<IpAddr, Vec<EchoRequest>>>,
    of_nobody: OfNobody,
    /// Whether a task of this queue asks for nobody.
    asking: Cell<bool>,
}

/// What the proxy says that a host did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Accepted,
    Refused,
    Nothing,
}

impl Answer {
    /// # Errors
    /// If the proxy cannot even be asked.
    fn of(said: Result<Connected, ProxyError>) -> Result<Self, ProxyError> {
        match said {
            Ok(_) => Ok(Self::Accepted),
            Err(ProxyError::Socks(SocksError::Refused)) => Ok(Self::Refused),
            Err(ProxyError::Socks(_) | ProxyError::TimedOut) => Ok(Self::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Whether somebody is there, by a proxy that says `of_nobody` where nobody is.
    fn is_somebody(self, of_nobody: Self) -> bool {
        self != Self::Nothing && self != of_nobody
    }
}

impl Pings {
    /// None yet.
    pub(super) fn new(options: &Rc<Options>, of_nobody: OfNobody) -> Self {
        Self {
            options: Rc::clone(options),
            knocks: RefCell::default(),
            of_nobody,
            asking: Cell::new(false),
        }
    }

    /// Has the proxy asked for nobody, unless it was.
    pub(super) fn prepare(self: &Rc<Self>) {
        let is_known = self.of_nobody.0.initialized();
        if !self.options.ping || is_known || self.asking.replace(true) {
            return;
        }
        let pings = Rc::clone(self);
        tokio::task::spawn_local(async move {
            if let Err(error) = pings.of_nobody().await {
                tracing::debug!(%error, "the proxy cannot be asked for nobody yet");
            }
            pings.asking.set(false);
        });
    }

    /// Answers a ping as soon as its host shows that it is there.
    pub(super) fn ping(self: &Rc<Self>, request: EchoRequest) {
        if !self.options.ping {
            return;
        }
        let host = request.destination();
        let mut knocks = self.knocks.borrow_mut();
        if let Some(waiting) = knocks.get_mut(&host) {
            if waiting.len() < WAITING {
                waiting.push(request);
            }
            return;
        }
        if knocks.len() >= HOSTS {
            return;
        }
        knocks.insert(host, vec![request]);
        let pings = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let is_there = pings.knock(host).await.unwrap_or_else(|error| {
                tracing::debug!(%error, "the proxy cannot be asked for a host that is pinged");
                false
            });
            let waiting = pings.knocks.borrow_mut().remove(&host).unwrap_or_default();
            if is_there {
                waiting.into_iter().for_each(EchoRequest::answer);
            }
        });
    }

    async fn knock(&self, host: IpAddr) -> Result<bool, ProxyError> {
        let (of_host, of_nobody) = tokio::try_join!(self.ask(host), self.of_nobody())?;
        Ok(of_host.is_somebody(of_nobody))
    }

    async fn of_nobody(&self) -> Result<Answer, ProxyError> {
        let answer = self.of_nobody.0.get_or_try_init(|| self.ask(NOBODY));
        answer.await.copied()
    }

    async fn ask(&self, host: IpAddr) -> Result<Answer, ProxyError> {
        let target = SocketAddr::new(host, PORT).into();
        Answer::of(self.options.proxy.connect(target, PATIENCE).await)
    }
}

#[cfg(test)]
mod tests {
    use super::Answer::{Accepted, Nothing, Refused};

    #[test]
    fn an_answer_that_the_proxy_gives_of_nobody_is_not_believed() {
        for of_nobody in [Accepted, Refused, Nothing] {
            for answer in [Accepted, Refused] {
                assert_eq!(answer.is_somebody(of_nobody), answer != of_nobody);
            }
            assert!(!Nothing.is_somebody(of_nobody));
        }
    }
}
