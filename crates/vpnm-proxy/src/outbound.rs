//! A way out: flows opened through the server of a profile.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use vpnm_profile::{Profile, Protocol};
use vpnm_wire::Target;

use crate::error::Step;
use crate::transport::Transport;
use crate::vless::{self, VlessDatagrams, VlessStream};
use crate::vmess::{self, VmessDatagrams, VmessStream};
use crate::{BoxDatagrams, BoxStream, DialError, Dialer, OutboundError, Timeouts};

/// More than any VMess server swallows: v2ray at most some 6.5 KB.
const SWALLOWED: usize = 8 * 1024;

/// The server of a profile, ready to open flows through. Cheap to clone.
#[derive(Clone)]
pub struct Outbound {
    shared: Arc<Shared>,
}

struct Shared {
    transport: Transport,
    protocol: Spoken,
    timeouts: Timeouts,
}

/// The protocol, made ready for use.
enum Spoken {
    Vless(vpnm_profile::Uuid),
    Vmess(vmess::Session),
}

impl Outbound {
    /// Prepares the way through the server of `profile`.
    ///
    /// `server` holds the addresses of the profile's server, best first; flows are
    /// dialled by `dialer` and certificates checked against `roots`. Nothing is
    /// connected yet.
    ///
    /// # Errors
    /// [`OutboundError`] when there is no address or the profile asks for what
    /// cannot be done.
    pub fn new(
        profile: &Profile,
        server: Vec<SocketAddr>,
        dialer: Arc<dyn Dialer>,
        roots: Arc<RootCertStore>,
    ) -> Result<Self, OutboundError> {
        let timeouts = Timeouts::default();
        Self::with_timeouts(profile, server, dialer, roots, timeouts)
    }

    /// As [`Outbound::new`], with other limits of time.
    ///
    /// # Errors
    /// As [`Outbound::new`].
    pub fn with_timeouts(
        profile: &Profile,
        server: Vec<SocketAddr>,
        dialer: Arc<dyn Dialer>,
        roots: Arc<RootCertStore>,
        timeouts: Timeouts,
    ) -> Result<Self, OutboundError> {
        let protocol = match &profile.protocol {
            Protocol::Vless(vless) => Spoken::Vless(vless.id),
            Protocol::Vmess(vmess) => Spoken::Vmess(vmess::Session::new(vmess)),
        };
        let transport = Transport::new(profile, server, dialer, roots)?;
        Ok(Self {
            shared: Arc::new(Shared {
                transport,
                protocol,
                timeouts,
            }),
        })
    }

    /// Opens a stream to `target` through the server.
    ///
    /// `first` are bytes the flow begins with, sent with the protocol's header so
    /// that they cost no round trip; it may be empty. Returns once the header is
    /// on its way: neither VLESS nor VMess give an earlier sign of the
    /// destination. A stream whose server closes without any answer fails its
    /// first read with the error told apart by [`is_rejection`](crate::is_rejection).
    ///
    /// # Errors
    /// [`DialError`] when the server cannot be reached or spoken with.
    pub async fn dial_tcp(&self, target: &Target, first: &[u8]) -> Result<BoxStream, DialError> {
        let mut head = Vec::with_capacity(128 + first.len());
        match &self.shared.protocol {
            Spoken::Vless(id) => {
                vless_request(*id, vless::Command::Tcp, target).encode(&mut head);
                head.extend_from_slice(first);
                let stream = self.open(&head).await?;
                Ok(Box::new(VlessStream::new(stream)))
            }
            Spoken::Vmess(session) => {
                let codec = session.open_tcp(target, first, &mut head);
                let stream = self.open(&head).await?;
                Ok(Box::new(VmessStream::new(stream, codec)))
            }
        }
    }

    /// Opens a session of datagrams with `target` through the server.
    ///
    /// # Errors
    /// [`DialError`] when the server cannot be reached or spoken with.
    pub async fn dial_udp(&self, target: &Target) -> Result<BoxDatagrams, DialError> {
        let mut head = Vec::with_capacity(128);
        match &self.shared.protocol {
            Spoken::Vless(id) => {
                vless_request(*id, vless::Command::Udp, target).encode(&mut head);
                let (stream, sent) = self
                    .shared
                    .transport
                    .open(&head, &self.shared.timeouts)
                    .await?;
                let unsent = head.get(sent..).unwrap_or_default();
                Ok(Box::new(VlessDatagrams::new(stream, unsent)))
            }
            Spoken::Vmess(session) => {
                let codec = session.open_udp(target, &mut head);
                let (stream, sent) = self
                    .shared
                    .transport
                    .open(&head, &self.shared.timeouts)
                    .await?;
                let unsent = head.get(sent..).unwrap_or_default();
                Ok(Box::new(VmessDatagrams::new(stream, codec, unsent)))
            }
        }
    }

    /// Whether a server that takes connections and stays silent does so because it does
    /// not know the user: false when in doubt, at the latest after `patience`.
    ///
    /// A VMess server that cannot read a header swallows some kilobytes before it
    /// closes, so as not to show what it looks for; what a user sends first is rarely
    /// as long. This sends enough of it towards `target`, which may be anything that
    /// answers what it does not understand, like a TLS server.
    pub async fn is_unknown(&self, target: &Target, patience: Duration) -> bool {
        let asked = async {
            match self.dial_tcp(target, &[0; SWALLOWED]).await {
                Ok(mut stream) => {
                    let read = stream.read(&mut [0]).await;
                    read.is_err_and(|error| crate::is_rejection(&error))
                }
                Err(error) => matches!(error, DialError::Rejected),
            }
        };
        timeout(patience, asked).await.unwrap_or(false)
    }

    /// Opens the transport and hands it all of `head`.
    async fn open(&self, head: &[u8]) -> Result<BoxStream, DialError> {
        let timeouts = &self.shared.timeouts;
        let (mut stream, sent) = self.shared.transport.open(head, timeouts).await?;
        let unsent = head.get(sent..).unwrap_or_default();
        let sending = async {
            stream.write_all(unsent).await?;
            stream.flush().await
        };
        let (step, limit) = (Step::Sending, timeouts.header);
        match timeout(limit, sending).await {
            Ok(Ok(())) => Ok(stream),
            Ok(Err(error)) if crate::answer::is_end(&error) => Err(DialError::Rejected),
            Ok(Err(error)) => Err(DialError::from_io(error)),
            Err(_) => Err(DialError::TimedOut { step, limit }),
        }
    }
}

fn vless_request(
    id: vpnm_profile::Uuid,
    command: vless::Command,
    target: &Target,
) -> vless::Request {
    let target = target.clone();
    vless::Request {
        id,
        command,
        target,
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").finish_non_exhaustive()
    }
}
