//! What is known of the proxy's relay of datagrams.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};

use tokio::net::TcpStream;

/// A control stream and the relay it opened (RFC 1928 section 6).
#[derive(Debug, Clone)]
pub(super) struct Way {
    /// The relay works for as long as this stream lasts.
    pub(super) control: Rc<TcpStream>,
    pub(super) relay: SocketAddr,
}

/// Whether one control stream can serve many sockets.
///
/// A proxy that gives two clients the same relay, as Xray, v2ray, mihomo and
/// shadowsocks-rust do, must tell them apart by their addresses; then a further socket
/// needs no further stream, which is most of the cost of a short flow. A proxy that
/// opens a relay for each stream gets a stream for each socket.
#[derive(Debug, Default)]
pub(super) struct Relays(RefCell<Option<Known>>);

#[derive(Debug)]
struct Known {
    relay: SocketAddr,
    control: Weak<TcpStream>,
    is_shared: bool,
}

impl Relays {
    /// A way that is open and can serve one more socket.
    pub(super) fn shared(&self) -> Option<Way> {
        let known = self.0.borrow();
        let known = known.as_ref().filter(|known| known.is_shared)?;
        Some(Way {
            control: known.control.upgrade()?,
            relay: known.relay,
        })
    }

    /// The proxy opened a way.
    pub(super) fn learn(&self, way: &Way) {
        let mut known = self.0.borrow_mut();
        let is_shared = known.as_ref().is_some_and(|known| {
            // Only while both streams are open the same relay means that it is shared.
            known.relay == way.relay && (known.is_shared || known.control.strong_count() > 0)
        });
        *known = Some(Known {
            relay: way.relay,
            control: Rc::downgrade(&way.control),
            is_shared,
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn way(relay: &str) -> Way {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Way {
            control: Rc::new(TcpStream::connect(address).await.unwrap()),
            relay: relay.parse().unwrap(),
        }
    }

    #[tokio::test]
    async fn a_relay_given_twice_at_a_time_is_shared() {
        let relays = Relays::default();
        let first = way("192.0.2.1:1080").await;
        relays.learn(&first);
        assert!(relays.shared().is_none(), "once says nothing");
        let second = way("192.0.2.1:1080").await;
        relays.learn(&second);
        assert_eq!(relays.shared().map(|way| way.relay), Some(second.relay));
        drop((first, second));
        assert!(relays.shared().is_none(), "no stream keeps it open");
        let third = way("192.0.2.1:1080").await;
        relays.learn(&third);
        assert!(relays.shared().is_some(), "what was learned stays");
    }

    #[tokio::test]
    async fn a_relay_for_each_is_not() {
        let relays = Relays::default();
        let first = way("192.0.2.1:2000").await;
        relays.learn(&first);
        let second = way("192.0.2.1:2001").await;
        relays.learn(&second);
        assert!(relays.shared().is_none());
        // The first port again, after its stream has ended: a coincidence.
        drop((first, second));
        relays.learn(&way("192.0.2.1:2001").await);
        assert!(relays.shared().is_none());
    }
}
