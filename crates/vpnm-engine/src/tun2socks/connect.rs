//! One TCP flow through the proxy.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use vpnm_proxy::socks5::SocksError;

use super::Options;
use super::proxy::ProxyError;
use crate::netshell::{Ended, Refusal, TcpIncoming, relay};

/// Connects, and only then lets the application's handshake complete: a closed port is
/// a refused connection to the application too.
pub(super) async fn serve(flow: TcpIncoming, options: Rc<Options>) {
    let target = flow.destination.into();
    // In a box that goes when it is done: an idle flow must not keep its size.
    let connecting = Box::pin(options.proxy.connect(target, options.handshake));
    let connected = tokio::select! {
        biased;
        connected = connecting => connected,
        () = flow.aborted() => return,
    };
    let mut outbound = match connected {
        Ok(outbound) => outbound,
        Err(error) => {
            tracing::debug!(%error, "the proxy did not connect");
            flow.refuse(refusal(&error));
            return;
        }
    };
    match relay(flow.accept(), &mut outbound).await {
        Ok(()) | Err(Ended::Outbound(_)) => {}
        Err(Ended::Application(_)) => reset(outbound),
    }
}

/// Closes with a reset, so that the far side learns that data may be missing.
fn reset(outbound: TcpStream) {
    if let Err(error) = SockRef::from(&outbound).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "an outbound connection ends without a reset");
    }
    drop(outbound);
}

fn refusal(error: &ProxyError) -> Refusal {
    match error {
        ProxyError::Socks(SocksError::Forbidden) => Refusal::Prohibited,
        ProxyError::Socks(SocksError::NetworkUnreachable) => Refusal::NetUnreachable,
        ProxyError::Socks(SocksError::HostUnreachable) | ProxyError::TimedOut => {
            Refusal::HostUnreachable
        }
        ProxyError::Io(error) if error.kind() == io::ErrorKind::NetworkUnreachable => {
            Refusal::NetUnreachable
        }
        ProxyError::Io(error) if error.kind() == io::ErrorKind::HostUnreachable => {
            Refusal::HostUnreachable
        }
        ProxyError::Io(_) | ProxyError::Socks(_) | ProxyError::RelayName => Refusal::Reset,
    }
}
