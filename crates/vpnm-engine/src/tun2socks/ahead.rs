//! Whether the proxy reads a request that comes together with the greeting, which saves one of
//! the three round trips before a connection.
//!
//! Not all do: some take whatever a first read yields for the greeting (microsocks 1.0.3), and
//! the request would be lost. So a proxy is asked once, by a request for no command at all:
//! who has read that says so.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use vpnm_proxy::socks5::SocksError;

use super::proxy::ProxyError;

const UNKNOWN: u8 = 0;
const ASKED: u8 = 1;
const UNREAD: u8 = 2;
const READ: u8 = 3;

/// What is known of a proxy, by all who use it; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Ahead(Arc<AtomicU8>);

impl Ahead {
    /// Whether requests may go with the greeting.
    pub(super) fn is_read(&self) -> bool {
        self.0.load(Ordering::Relaxed) == READ
    }

    /// Whether the proxy should be asked.
    pub(super) fn is_unknown(&self) -> bool {
        self.0.load(Ordering::Relaxed) == UNKNOWN
    }

    /// Whether it is the caller who asks, and nobody else.
    pub(super) fn claim(&self) -> bool {
        let (free, taken) = (UNKNOWN, ASKED);
        let claimed = self
            .0
            .compare_exchange(free, taken, Ordering::Relaxed, Ordering::Relaxed);
        claimed.is_ok()
    }

    /// What came of asking.
    pub(super) fn learn<T>(&self, said: &Result<T, ProxyError>) {
        self.0.store(verdict(said), Ordering::Relaxed);
    }

    /// Another proxy may have taken the place of the one that was asked.
    pub(super) fn forget(&self) {
        self.0.store(UNKNOWN, Ordering::Relaxed);
    }
}

fn verdict<T>(said: &Result<T, ProxyError>) -> u8 {
    match said {
        Err(ProxyError::Socks(error)) if is_before_the_reply(*error) => UNREAD,
        // The reply, whatever it says, is one to the request.
        Ok(_) | Err(ProxyError::Socks(_)) => READ,
        Err(ProxyError::Io(error)) if !has_ended(error) => UNKNOWN,
        Err(_) => UNREAD,
    }
}

fn is_before_the_reply(error: SocksError) -> bool {
    matches!(error, SocksError::Version | SocksError::Method)
}

/// Whether a proxy was there, and closed the connection.
fn has_ended(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_answers_the_request_has_read_it() {
        let of = |error| verdict(&Err::<(), _>(error));
        for error in [SocksError::Command, SocksError::General] {
            assert_eq!(of(error.into()), READ, "{error}");
        }
        for error in [SocksError::Version, SocksError::Method] {
            assert_eq!(of(error.into()), UNREAD, "{error}");
        }
        assert_eq!(of(ProxyError::TimedOut), UNREAD);
        let io = |kind: io::ErrorKind| of(ProxyError::Io(kind.into()));
        assert_eq!(io(io::ErrorKind::UnexpectedEof), UNREAD);
        assert_eq!(io(io::ErrorKind::ConnectionReset), UNREAD);
        assert_eq!(io(io::ErrorKind::ConnectionRefused), UNKNOWN, "not there");
    }

    #[test]
    fn one_of_many_asks() {
        let ahead = Ahead::default();
        let other = ahead.clone();
        assert!(ahead.is_unknown() && ahead.claim() && !other.claim());
        ahead.learn(&Err::<(), _>(SocksError::Command.into()));
        assert!(other.is_read() && !other.claim());
        other.forget();
        assert!(ahead.is_unknown() && !ahead.is_read());
    }
}
