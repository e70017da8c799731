//! The way out that stands at present, and the news when it changes.

use tokio::sync::watch;
use vpnm_proxy::Outbound;

/// Holds the outbound; flows learn through it that theirs has gone.
#[derive(Debug)]
pub struct Exit {
    current: watch::Sender<Option<Outbound>>,
}

/// An outbound and the news of its end.
#[derive(Debug)]
pub struct Lease {
    /// The outbound.
    pub outbound: Outbound,
    news: watch::Receiver<Option<Outbound>>,
}

impl Default for Exit {
    fn default() -> Self {
        Self {
            current: watch::Sender::new(None),
        }
    }
}

impl Exit {
    /// Puts another outbound, or none, in the place of the one before, whose leases end.
    pub fn replace(&self, outbound: Option<Outbound>) {
        self.current.send_replace(outbound);
    }

    /// Waits until there is an outbound.
    pub async fn stands(&self) {
        let mut news = self.current.subscribe();
        // The sender is ours: it cannot be gone.
        let _there = news.wait_for(Option::is_some).await;
    }

    /// The outbound that stands, for as long as it does.
    #[must_use]
    pub fn lease(&self) -> Option<Lease> {
        let mut news = self.current.subscribe();
        let outbound = news.borrow_and_update().clone()?;
        Some(Lease { outbound, news })
    }
}

impl Lease {
    /// Runs until done or until the outbound is replaced; `None` then.
    pub async fn run<F: Future>(&mut self, work: F) -> Option<F::Output> {
        tokio::select! {
            biased;
            _ = self.news.changed() => None,
            output = work => Some(output),
        }
    }
}
