//! DNS over HTTPS (RFC 8484) on one HTTP/2 connection over any stream.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use h2::{PingPong, RecvStream};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use vpnm_api::Upstream;
use vpnm_proxy::BoxStream;

/// The media type of a DNS message (RFC 8484 section 6).
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/dns-message");
/// Port of HTTPS.
const PORT: u16 = 443;
/// Bytes a response may be ahead of us; a DNS message never is longer.
const STREAM_WINDOW: u32 = 1 << 20;

/// A resolver that can be asked: its addresses, and what its requests look like.
#[derive(Debug, Clone)]
pub struct Endpoint {
    addresses: Vec<IpAddr>,
    name: ServerName<'static>,
    uri: Uri,
    tls: Arc<ClientConfig>,
}

/// Why an exchange, or a connection to a resolver, failed.
#[derive(Debug, thiserror::Error)]
pub enum DohError {
    /// The resolver cannot be spoken to with what is configured.
    #[error("the resolver {name} cannot be used")]
    Endpoint {
        /// Its name.
        name: String,
    },
    /// The TLS handshake failed.
    #[error("the TLS handshake with the resolver failed")]
    Tls(#[source] io::Error),
    /// The resolver does not speak HTTP/2.
    #[error("the resolver does not speak HTTP/2")]
    NoHttp2,
    /// The connection broke.
    #[error("the connection to the resolver broke")]
    Broken(#[source] h2::Error),
    /// The resolver reset this one exchange.
    #[error("the resolver declined the query")]
    Reset(#[source] h2::Error),
    /// The resolver answered with something else than a DNS message.
    #[error("the resolver answered with HTTP status {0}")]
    Status(StatusCode),
    /// The body is not marked as a DNS message.
    #[error("the resolver's answer is no DNS message")]
    MediaType,
    /// The body is longer than a DNS message can be.
    #[error("the resolver's answer is longer than a DNS message can be")]
    TooLong,
}

/// What drives a connection; to be polled until it ends.
pub type Driver = Connection<TlsStream<BoxStream>, Bytes>;

/// A connection to a resolver; cheap to clone.
#[derive(Debug, Clone)]
pub struct Session {
    requests: SendRequest<Bytes>,
    uri: Uri,
}

impl Endpoint {
    /// A resolver whose certificate is checked against `roots`.
    ///
    /// # Errors
    /// [`DohError::Endpoint`] when its name or path cannot be put into a request.
    pub fn new(upstream: &Upstream, roots: &Arc<RootCertStore>) -> Result<Self, DohError> {
        let unusable = || DohError::Endpoint {
            name: upstream.name().to_string(),
        };
        let name = upstream.name().as_str();
        let uri = Uri::builder()
            .scheme("https")
            .authority(name)
            .path_and_query(upstream.path())
            .build()
            .map_err(|_| unusable())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| unusable())?
            .with_root_certificates(Arc::clone(roots))
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self {
            addresses: upstream.addresses().to_vec(),
            name: ServerName::try_from(name.to_owned()).map_err(|_| unusable())?,
            uri,
            tls: Arc::new(tls),
        })
    }

    /// Where the resolver listens, best first; never empty.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.addresses.iter().map(|ip| SocketAddr::new(*ip, PORT))
    }

    /// The resolver's host name.
    #[must_use]
    pub fn host(&self) -> &str {
        self.uri.host().unwrap_or_default()
    }
}

/// Makes a stream to a resolver an HTTP/2 connection.
///
/// # Errors
/// [`DohError`] when TLS or HTTP/2 cannot be agreed on.
pub async fn handshake(
    endpoint: &Endpoint,
    stream: BoxStream,
) -> Result<(Session, Driver), DohError> {
    let connector = TlsConnector::from(Arc::clone(&endpoint.tls));
    let name = endpoint.name.clone();
    let tls = connector
        .connect(name, stream)
        .await
        .map_err(DohError::Tls)?;
    if tls.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(DohError::NoHttp2);
    }
    let (requests, driver) = h2::client::Builder::new()
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(STREAM_WINDOW)
        .handshake(tls)
        .await
        .map_err(DohError::Broken)?;
    let uri = endpoint.uri.clone();
    Ok((Session { requests, uri }, driver))
}

impl Session {
    /// Asks one query; waits while the resolver allows no further stream.
    ///
    /// # Errors
    /// [`DohError`]; [`DohError::Broken`] concerns the whole connection.
    pub async fn exchange(&self, message: Bytes) -> Result<Vec<u8>, DohError> {
        let request = self.request(message.len());
        let mut requests = self.requests.clone().ready().await.map_err(sort)?;
        let (response, mut body) = requests.send_request(request, false).map_err(sort)?;
        body.send_data(message, true).map_err(sort)?;
        let response = response.await.map_err(sort)?;
        judge(&response)?;
        collect(response.into_body()).await
    }

    fn request(&self, length: usize) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT, MEDIA_TYPE);
        headers.insert(header::CONTENT_TYPE, MEDIA_TYPE);
        // BIND answers no POST without it.
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        request
    }
}

/// A sign of life.
///
/// # Errors
/// [`DohError::Broken`] when the connection ended instead.
pub async fn ping(pings: &mut PingPong) -> Result<(), DohError> {
    let pong = pings.ping(h2::Ping::opaque()).await;
    pong.map(drop).map_err(DohError::Broken)
}

fn sort(error: h2::Error) -> DohError {
    if error.is_reset() && error.is_remote() {
        DohError::Reset(error)
    } else {
        DohError::Broken(error)
    }
}

fn judge(response: &Response<RecvStream>) -> Result<(), DohError> {
    if response.status() != StatusCode::OK {
        return Err(DohError::Status(response.status()));
    }
    let media_type = response.headers().get(header::CONTENT_TYPE);
    match media_type {
        Some(found) if found == MEDIA_TYPE => Ok(()),
        _ => Err(DohError::MediaType),
    }
}

async fn collect(mut body: RecvStream) -> Result<Vec<u8>, DohError> {
    let mut message = Vec::new();
    while let Some(chunk) = poll_fn(|cx| body.poll_data(cx)).await {
        let chunk = chunk.map_err(sort)?;
        if message.len() + chunk.len() > vpnm_dns::wire::MAX_MESSAGE {
            return Err(DohError::TooLong);
        }
        message.extend_from_slice(&chunk);
        let released = body.flow_control().release_capacity(chunk.len());
        released.map_err(sort)?;
    }
    Ok(message)
}
