//! The first of several addresses to answer (RFC 8305, "happy eyeballs").

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep, timeout};
use tracing::debug;

use crate::dialer::DialFuture;
use crate::error::Step;
use crate::{BoxStream, DialError, Dialer};

/// How long an attempt is alone before the next begins (section 5: 250 ms).
const STAGGER: Duration = Duration::from_millis(250);

/// Connects to whichever of `addresses` answers first, within `limit`.
///
/// Attempts begin in order, IPv6 and IPv4 by turns, the next one as soon as one
/// fails or after 250 ms.
///
/// # Errors
/// Of the attempts' failures the one that says most.
pub(crate) async fn connect(
    dialer: &dyn Dialer,
    addresses: &[SocketAddr],
    limit: Duration,
) -> Result<BoxStream, DialError> {
    let mut race = Race {
        dialer,
        waiting: by_turns(addresses),
        running: Vec::new(),
        failure: None,
    };
    let mut stagger = pin!(sleep(Duration::ZERO));
    let step = Step::Connecting;
    timeout(limit, poll_fn(|cx| race.poll(cx, stagger.as_mut())))
        .await
        .unwrap_or(Err(DialError::TimedOut { step, limit }))
}

/// The addresses in reverse order of use, the families taking turns.
fn by_turns(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut one, mut other): (Vec<_>, Vec<_>) = addresses
        .iter()
        .rev()
        .copied()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let mut order = Vec::with_capacity(addresses.len());
    while !one.is_empty() || !other.is_empty() {
        order.extend(one.pop());
        order.extend(other.pop());
    }
    order.reverse();
    order
}

struct Race<'a> {
    dialer: &'a dyn Dialer,
    waiting: Vec<SocketAddr>,
    running: Vec<(SocketAddr, DialFuture<'a>)>,
    failure: Option<io::Error>,
}

impl Race<'_> {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut stagger: std::pin::Pin<&mut Sleep>,
    ) -> Poll<Result<BoxStream, DialError>> {
        loop {
            if let Poll::Ready(stream) = self.poll_running(cx) {
                return Poll::Ready(Ok(stream));
            }
            if self.running.is_empty() && self.waiting.is_empty() {
                let failure = self.failure.take();
                let failure = failure.map_or(DialError::Unreachable, DialError::from_io);
                return Poll::Ready(Err(failure));
            }
            if !self.running.is_empty() && stagger.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let Some(next) = self.waiting.pop() else {
                return Poll::Pending;
            };
            self.running.push((next, self.dialer.dial(next)));
            stagger.as_mut().reset(Instant::now() + STAGGER);
        }
    }

    /// Ready with the first stream; pending says that none of those running has one.
    fn poll_running(&mut self, cx: &mut Context<'_>) -> Poll<BoxStream> {
        let mut index = 0;
        while let Some((address, attempt)) = self.running.get_mut(index) {
            match attempt.as_mut().poll(cx) {
                Poll::Ready(Ok(stream)) => return Poll::Ready(stream),
                Poll::Ready(Err(error)) => {
                    debug!(%address, %error, "connecting failed");
                    self.note(error);
                    drop(self.running.remove(index));
                }
                Poll::Pending => index += 1,
            }
        }
        Poll::Pending
    }

    /// Keeps the failure that says most: a refusal comes from the server itself.
    fn note(&mut self, error: io::Error) {
        let rank = |error: &io::Error| match DialError::from_io_kind(error.kind()) {
            Some(DialError::Refused) => 2,
            Some(_) => 0,
            None => 1,
        };
        if self
            .failure
            .as_ref()
            .is_none_or(|known| rank(&error) > rank(known))
        {
            self.failure = Some(error);
        }
    }
}

#[cfg(test)]
mod tests;
