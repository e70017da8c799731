//! One TCP flow through the proxy.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use vpnm_proxy::socks5::SocksError;

use super::Options;
use super::proxy::{Connected, ProxyError};
use crate::netshell::{Ended, Refusal, TcpFlow, TcpIncoming, relay};

/// Serves a flow until it ends.
///
/// The future is small, and most of it is the flow itself: many flows are idle.
pub(super) fn serve(flow: TcpIncoming, options: Rc<Options>) -> impl Future<Output = ()> {
    // In a box that goes when it is done.
    let connecting = Box::pin(connect(flow, options));
    async move {
        let Some((flow, mut outbound)) = connecting.await else {
            return;
        };
        match relay(flow, &mut outbound).await {
            Ok(()) | Err(Ended::Outbound(_)) => {}
            Err(Ended::Application(_)) => reset(outbound),
        }
    }
}

/// Connects, and only then lets the application's handshake complete: a closed port is
/// a refused connection to the application too.
async fn connect(flow: TcpIncoming, options: Rc<Options>) -> Option<(TcpFlow, TcpStream)> {
    let target = flow.destination.into();
    let connected = tokio::select! {
        biased;
        connected = options.proxy.connect(target, options.handshake) => connected,
        () = flow.aborted() => return None,
    };
    match connected {
        Ok(Connected { stream, early }) => {
            let mut flow = flow.accept();
            // A new flow has room for this; one that is gone already says so to the relay.
            if let Err(error) = flow.write_all(&early).await {
                tracing::debug!(%error, "the application did not wait for the target's words");
            }
            Some((flow, stream))
        }
        Err(error) => {
            tracing::debug!(%error, "the proxy did not connect");
            flow.refuse(refusal(&error));
            None
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn size<F: Future>(_: impl Fn(TcpIncoming, Rc<Options>) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_flow_waits_in_little_room() {
        // With what the runtime adds, a task of 256 bytes, of which the next size is 384.
        assert!(size(serve) <= 144, "{}", size(serve));
    }
}
