//! What carries a protocol to the server: TCP, and as the profile says TLS and a WebSocket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use tokio::time::timeout;
use vpnm_profile::{EarlyDataPlace, Path, Profile, Security, Transport as Kind, WebSocket};
use vpnm_wire::{Host, Target};

use crate::error::Step;
use crate::random::random;
use crate::tls::Tls;
use crate::ws;
use crate::ws::handshake::Request;
use crate::{BoxStream, DialError, Dialer, OutboundError, Timeouts, race};

/// The layers below the protocol, ready to be opened any number of times.
pub(crate) struct Transport {
    server: Vec<SocketAddr>,
    dialer: Arc<dyn Dialer>,
    tls: Option<Tls>,
    websocket: Option<Upgrade>,
}

/// The request for a WebSocket.
struct Upgrade {
    path: Path,
    host: String,
    early: Option<(EarlyDataPlace, usize)>,
}

impl Transport {
    pub(crate) fn new(
        profile: &Profile,
        server: Vec<SocketAddr>,
        dialer: Arc<dyn Dialer>,
        roots: Arc<RootCertStore>,
    ) -> Result<Self, OutboundError> {
        if server.is_empty() {
            return Err(OutboundError::NoAddress);
        }
        let websocket = match &profile.transport {
            Kind::Tcp => None,
            Kind::WebSocket(settings) => Some(settings),
        };
        let (tls, name) = match &profile.security {
            Security::None => (None, None),
            Security::Tls(settings) => {
                let host = websocket.and_then(|ws| ws.host.as_ref());
                let name = settings.server_name.as_ref().or(host);
                let alpn = match websocket {
                    Some(_) => vec![b"http/1.1".to_vec()],
                    None => settings.alpn.iter().map(|a| a.as_str().into()).collect(),
                };
                let tls = Tls::new(name.unwrap_or(&profile.server.host), alpn, roots)?;
                (Some(tls), settings.server_name.as_ref())
            }
        };
        let websocket = websocket.map(|ws| Upgrade::new(ws, name, &profile.server, tls.is_some()));
        Ok(Self {
            server,
            dialer,
            tls,
            websocket,
        })
    }

    /// Opens all layers; says how much of `head` has travelled with them.
    pub(crate) async fn open(
        &self,
        head: &[u8],
        timeouts: &Timeouts,
    ) -> Result<(BoxStream, usize), DialError> {
        let mut stream = race::connect(&*self.dialer, &self.server, timeouts.connect).await?;
        if let Some(tls) = &self.tls {
            stream = within(timeouts.tls, Step::Tls, tls.connect(stream)).await?;
        }
        let Some(upgrade) = &self.websocket else {
            return Ok((stream, 0));
        };
        let early = upgrade.early.and_then(|(place, limit)| {
            let count = limit.min(head.len());
            head.get(..count).map(|bytes| (place, bytes))
        });
        let request = Request {
            path: &upgrade.path,
            host: &upgrade.host,
            key: random(),
            early,
        };
        let asked = ws::connect(stream, request);
        let stream = within(timeouts.websocket, Step::WebSocket, asked).await?;
        Ok((Box::new(stream), early.map_or(0, |(_, bytes)| bytes.len())))
    }
}

impl Upgrade {
    /// The `Host` header is the one set, else the TLS server name, else the server's.
    fn new(ws: &WebSocket, name: Option<&Host>, server: &Target, tls: bool) -> Self {
        let host = ws.host.as_ref().or(name).unwrap_or(&server.host).clone();
        let usual = if tls { 443 } else { 80 };
        let is_server = host == server.host;
        let port = if is_server { server.port } else { usual };
        let target = Target { host, port };
        let text = target.to_string();
        let host = text.strip_suffix(&format!(":{usual}")).unwrap_or(&text);
        Self {
            path: ws.path.clone(),
            host: host.to_owned(),
            early: ws
                .early_data
                .map(|early| (early.place, early.limit.get().into())),
        }
    }
}

async fn within<T>(
    limit: Duration,
    step: Step,
    work: impl Future<Output = Result<T, DialError>>,
) -> Result<T, DialError> {
    let late = Err(DialError::TimedOut { step, limit });
    timeout(limit, work).await.unwrap_or(late)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host_header(host: Option<&str>, name: Option<&str>, server: &str, tls: bool) -> String {
        let settings = WebSocket {
            path: Path::root(),
            host: host.map(|host| host.parse().unwrap()),
            early_data: None,
        };
        let name: Option<Host> = name.map(|name| name.parse().unwrap());
        Upgrade::new(&settings, name.as_ref(), &server.parse().unwrap(), tls).host
    }

    #[test]
    fn the_host_header_is_the_host_the_server_name_or_the_server() {
        assert_eq!(
            host_header(Some("h.test"), Some("n.test"), "s.test:8443", true),
            "h.test"
        );
        assert_eq!(
            host_header(None, Some("n.test"), "s.test:8443", true),
            "n.test"
        );
        assert_eq!(host_header(None, None, "s.test:8443", true), "s.test:8443");
        assert_eq!(host_header(None, None, "s.test:443", true), "s.test");
        assert_eq!(
            host_header(None, None, "[2001:db8::1]:80", false),
            "[2001:db8::1]"
        );
        assert_eq!(
            host_header(None, None, "[2001:db8::1]:443", false),
            "[2001:db8::1]:443"
        );
    }
}
