//! TLS towards the server.

mod fault;
mod stream;

use std::future::poll_fn;
use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use vpnm_wire::Host;

use stream::TlsStream;

use crate::{BoxStream, DialError, OutboundError};

/// How to speak TLS with one server. Sessions are resumed from one flow to the next.
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Tls {
    /// `name` is what the certificate must be for; `alpn` is offered in order.
    pub(crate) fn new(
        name: &Host,
        alpn: Vec<Vec<u8>>,
        roots: Arc<RootCertStore>,
    ) -> Result<Self, OutboundError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(OutboundError::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn;
        let name = match name {
            Host::Ip(ip) => ServerName::from(*ip),
            Host::Domain(domain) => {
                ServerName::try_from(domain.to_string()).map_err(|_| OutboundError::ServerName {
                    name: domain.to_string(),
                })?
            }
        };
        let config = Arc::new(config);
        Ok(Self { config, name })
    }

    /// Agrees on TLS over `stream`.
    pub(crate) async fn connect(&self, stream: BoxStream) -> Result<BoxStream, DialError> {
        let config = Arc::clone(&self.config);
        let stream = TlsStream::new(config, self.name.clone(), stream);
        let mut stream = stream.map_err(|error| fault::classify(&error, &self.name))?;
        let agreed = poll_fn(|cx| stream.poll_handshake(cx)).await;
        agreed.map_err(|error| self.fault(error))?;
        Ok(Box::new(stream))
    }

    fn fault(&self, error: io::Error) -> DialError {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        match inner {
            Some(error) => fault::classify(error, &self.name),
            None if crate::answer::is_end(&error) => DialError::Tls {
                reason: "the server closed the connection".into(),
            },
            None => DialError::from_io(error),
        }
    }
}
