//! A VLESS server at the far side, over TCP and over TLS with AES-128-GCM records, whose
//! destinations are services of its own, so that no further hop is measured; and what a VMess
//! server would be sent.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::task::{Context, Poll, Waker};

use anyhow::Context as _;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, BufReader, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::TlsAcceptor;
use vpnm_proxy::inbound::vless::Server;
use vpnm_proxy::inbound::{Egress, EgressFuture};
use vpnm_proxy::{BoxStream, Stream};
use vpnm_wire::Target;
use vpnm_world::{Authority, Identity};

use crate::place::{PROXY, Place};
use crate::target::{SINK, SOURCE};

/// Who may use the server.
const ID: &str = "0a1b2c3d-0000-4000-8000-000000000001";
/// The server's name in its certificate.
const NAME: &str = "node.example";
/// What the server reads at once of a stream of records: rustls itself asks for 4 KiB, and
/// the server would be measured instead of the engine.
const READ_AHEAD: usize = 256 * 1024;
/// The ports of what is on the wire: VLESS, VLESS in TLS, VMess.
const PORTS: [u16; 3] = [4_430, 4_431, 4_432];

/// How flows travel to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// VLESS, as it is.
    Plain,
    /// VLESS in records of TLS 1.3.
    Records,
    /// VMess, whose chunks are encrypted like records. The server opens none of them:
    /// it takes whatever comes, so there is only one way, up.
    Vmess,
}

/// The running server; it ends with this program.
#[derive(Debug)]
pub(crate) struct Node {
    directory: tempfile::TempDir,
}

impl Node {
    /// Starts it on a thread of the server's; returns once it listens.
    pub(crate) fn start(place: &Place) -> anyhow::Result<Self> {
        let authority = Authority::new()?;
        let directory = tempfile::tempdir()?;
        let node = Self { directory };
        fs::write(node.authority(), authority.pem())?;
        let config = configuration(&authority.issue(&[NAME])?)?;
        let (ready, listening) = sync_channel(1);
        place.on_server(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            LocalSet::new()
                .block_on(&runtime, serve(config, ready))
                .context("the VLESS server failed")
        })?;
        listening.recv().context("the VLESS server did not start")?;
        Ok(node)
    }

    /// The file with the certificate of the server's authority.
    pub(crate) fn authority(&self) -> PathBuf {
        self.directory.path().join("authority.pem")
    }

    /// The share link.
    pub(crate) fn link(&self, wire: Wire) -> String {
        let [plain, encrypted, vmess] = PORTS;
        let (scheme, port, encryption, security) = match wire {
            Wire::Plain => ("vless", plain, "none", "none".to_owned()),
            Wire::Records => ("vless", encrypted, "none", format!("tls&sni={NAME}")),
            Wire::Vmess => ("vmess", vmess, "aes-128-gcm", "none".to_owned()),
        };
        format!(
            "{scheme}://{ID}@{PROXY}:{port}?encryption={encryption}&type=tcp&security={security}\
             #node"
        )
    }
}

/// TLS 1.3 with one cipher suite.
fn configuration(identity: &Identity) -> anyhow::Result<ServerConfig> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256];
    let certificate = CertificateDer::from_pem_slice(identity.certificate_pem().as_bytes())?;
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem().as_bytes())?;
    Ok(ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?)
}

async fn serve(config: ServerConfig, ready: SyncSender<()>) -> anyhow::Result<()> {
    let server = Server::new(vec![ID.parse()?], Arc::new(Services));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let [plain, encrypted, vmess] = PORTS;
    let plain = TcpListener::bind((PROXY, plain)).await?;
    let encrypted = TcpListener::bind((PROXY, encrypted)).await?;
    let vmess = TcpListener::bind((PROXY, vmess)).await?;
    ready.send(())?;
    loop {
        let (stream, wire) = tokio::select! {
            accepted = plain.accept() => (accepted?.0, Wire::Plain),
            accepted = encrypted.accept() => (accepted?.0, Wire::Records),
            accepted = vmess.accept() => (accepted?.0, Wire::Vmess),
        };
        stream.set_nodelay(true)?;
        let (server, acceptor) = (server.clone(), acceptor.clone());
        spawn_local(async move {
            if let Err(error) = serve_client(server, acceptor, stream, wire).await {
                crate::report::complain(&error);
            }
        });
    }
}

async fn serve_client(
    server: Server,
    acceptor: TlsAcceptor,
    mut stream: TcpStream,
    wire: Wire,
) -> anyhow::Result<()> {
    // Every flow is broken off when its time is over.
    match wire {
        Wire::Plain => drop(server.serve_stream(Box::new(stream)).await),
        Wire::Records => {
            let stream = decrypted(&acceptor, stream).await?;
            drop(server.serve_stream(stream).await);
        }
        Wire::Vmess => {
            let mut space = vec![0; READ_AHEAD];
            while matches!(stream.read(&mut space).await, Ok(1..)) {}
        }
    }
    Ok(())
}

async fn decrypted(acceptor: &TlsAcceptor, stream: TcpStream) -> anyhow::Result<BoxStream> {
    let stream = BufReader::with_capacity(READ_AHEAD, stream);
    let stream = acceptor.accept(stream).await;
    Ok(Box::new(stream.context("a TLS handshake failed")?))
}

/// The destinations.
#[derive(Debug)]
struct Services;

impl Egress for Services {
    fn tcp<'a>(&'a self, target: &'a Target) -> EgressFuture<'a, BoxStream> {
        let stream = match target.port {
            SINK | SOURCE => Ok(Box::new(Service::new(target.port == SOURCE)) as BoxStream),
            _ => Err(io::ErrorKind::ConnectionRefused.into()),
        };
        Box::pin(std::future::ready(stream))
    }

    fn udp<'a>(&'a self, _: &'a Target) -> EgressFuture<'a, UdpSocket> {
        Box::pin(std::future::ready(Err(io::ErrorKind::Unsupported.into())))
    }
}

/// Discards what is written; gives bytes without end, or none before the other side ends.
#[derive(Debug)]
struct Service {
    gives: bool,
    ended: bool,
    reader: Option<Waker>,
}

impl Service {
    fn new(gives: bool) -> Self {
        Self {
            gives,
            ended: false,
            reader: None,
        }
    }
}

impl AsyncRead for Service {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.gives {
            let count = into.initialize_unfilled().len();
            into.advance(count);
        } else if !self.ended {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Service {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ended = true;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(()))
    }
}

impl Stream for Service {
    fn break_off(&mut self) {}
}
