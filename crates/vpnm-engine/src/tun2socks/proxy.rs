//! The proxy and how it is reached.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use rustix::io::Errno;
use socket2::{Domain, SockRef, Socket, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use vpnm_proxy::socks5::{Command, Credentials, Handshake, SocksError, Step};
use vpnm_wire::{Host, Target};

use super::ahead::{Ahead, Verdict};
use crate::local_port;

/// A SOCKS 5 proxy.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// Its address.
    pub address: SocketAddr,
    /// Who we are to it.
    pub credentials: Option<Credentials>,
    /// What keeps our own packets out of the device.
    pub bypass: Bypass,
    ahead: Ahead,
}

/// What keeps the engine's own packets out of the device it serves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Bypass {
    /// Nothing here: a route, a rule or a namespace does.
    #[default]
    None,
    /// Sockets carry this firewall mark (`SO_MARK`; needs `CAP_NET_ADMIN`).
    Mark(u32),
    /// Sockets are bound to this interface (`SO_BINDTODEVICE`).
    Interface(String),
}

/// A connection through the proxy.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) stream: TcpStream,
    /// What the target had said when the proxy's reply was read.
    pub(super) early: Vec<u8>,
}

/// How long a proxy has for saying that it does not know a command.
const PATIENCE: Duration = Duration::from_secs(5);

/// Room for what the proxy says at once: the longest reply, and then some.
const INPUT: usize = 512;

/// Why the proxy did not serve a flow.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyError {
    #[error("the proxy cannot be reached")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Socks(#[from] SocksError),
    #[error("the proxy took too long")]
    TimedOut,
    #[error("the proxy named its UDP relay by a domain name")]
    RelayName,
}

impl Proxy {
    /// A proxy of which no more is known.
    #[must_use]
    pub fn new(address: SocketAddr, credentials: Option<Credentials>, bypass: Bypass) -> Self {
        Self {
            address,
            credentials,
            bypass,
            ahead: Ahead::default(),
        }
    }

    /// Whether [`Self::explore`] has something to find out.
    pub(super) fn is_unexplored(&self) -> bool {
        self.credentials.is_none() && self.ahead.is_unknown()
    }

    /// Finds out whether requests may go with the greeting, unless somebody else does.
    pub(super) async fn explore(&self) {
        if self.ahead.claim() {
            let nobody = Target::from(SocketAddr::new(self.nowhere(), 0));
            let handshake = Handshake::new(Command::Unassigned, nobody, None).ahead();
            let said = deadline(PATIENCE, self.play(handshake)).await;
            tracing::debug!(?said, "the proxy was sent a request with the greeting");
            self.ahead.learn(verdict(&said));
        }
    }

    /// A connection through the proxy.
    pub(super) async fn connect(
        &self,
        target: Target,
        within: Duration,
    ) -> Result<Connected, ProxyError> {
        let (connected, _) = self.ask(Command::Connect, target, within).await?;
        Ok(connected)
    }

    /// The control stream of an association, which lives as long as that, and its relay.
    pub(super) async fn associate(
        &self,
        within: Duration,
    ) -> Result<(TcpStream, SocketAddr), ProxyError> {
        let target = Target::from(SocketAddr::new(self.nowhere(), 0));
        let (control, relay) = self.ask(Command::UdpAssociate, target, within).await?;
        let relay = self.relay_address(&relay)?;
        Ok((control.stream, relay))
    }

    /// No address, of the proxy's family.
    fn nowhere(&self) -> IpAddr {
        match self.address {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    async fn ask(
        &self,
        command: Command,
        target: Target,
        within: Duration,
    ) -> Result<(Connected, Target), ProxyError> {
        let handshake = Handshake::new(command, target, self.credentials.clone());
        if !self.ahead.is_read() {
            return deadline(within, self.play(handshake)).await;
        }
        let said = deadline(within, self.play(handshake.ahead())).await;
        if matches!(said, Err(ProxyError::TimedOut | ProxyError::Io(_))) {
            self.ahead.forget();
        }
        said
    }

    async fn play(&self, mut handshake: Handshake) -> Result<(Connected, Target), ProxyError> {
        let mut stream = self.dial()?;
        // Read in as few calls as there are pieces, not in as many as there are fields.
        let mut input = Vec::with_capacity(INPUT);
        loop {
            match handshake.poll() {
                Step::Send(bytes) => stream.write_all(&bytes).await?,
                Step::Read(count) => {
                    while input.len() < count {
                        if stream.read_buf(&mut input).await? == 0 {
                            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                        }
                    }
                    handshake.handle_input(input.get(..count).unwrap_or_default())?;
                    input.drain(..count);
                }
                Step::Done(bound) => {
                    let early = input;
                    return Ok((Connected { stream, early }, bound));
                }
            }
        }
    }

    /// Begins to connect. Whether that succeeds is what the first write says: nobody needs
    /// to ask before.
    fn dial(&self) -> io::Result<TcpStream> {
        let kind = Type::STREAM.nonblocking();
        let socket = Socket::new(Domain::for_address(self.address), kind, None)?;
        self.bypass.mark(&SockRef::from(&socket))?;
        socket.set_tcp_nodelay(true)?;
        local_port::take_any(&socket);
        match socket.connect(&self.address.into()) {
            Err(error) if Errno::from_io_error(&error) != Some(Errno::INPROGRESS) => Err(error),
            Ok(()) | Err(_) => TcpStream::from_std(socket.into()),
        }
    }

    /// An unspecified relay address means the proxy's own (a common reading of RFC 1928).
    fn relay_address(&self, relay: &Target) -> Result<SocketAddr, ProxyError> {
        let Host::Ip(ip) = relay.host else {
            return Err(ProxyError::RelayName);
        };
        let ip = if ip.is_unspecified() {
            self.address.ip()
        } else {
            ip
        };
        Ok(SocketAddr::new(ip, relay.port))
    }
}

impl Bypass {
    /// Has a new socket's packets pass the device by.
    pub(super) fn mark(&self, socket: &SockRef<'_>) -> io::Result<()> {
        match self {
            Self::None => Ok(()),
            Self::Mark(mark) => socket.set_mark(*mark),
            Self::Interface(name) => socket.bind_device(Some(name.as_bytes())),
        }
    }
}

/// What it says of a proxy, how a request that was sent with the greeting came out.
fn verdict<T>(said: &Result<T, ProxyError>) -> Verdict {
    match said {
        Err(ProxyError::Socks(error)) if is_before_the_reply(*error) => Verdict::Unread,
        // The reply, whatever it says, is one to the request.
        Ok(_) | Err(ProxyError::Socks(_)) => Verdict::Read,
        Err(ProxyError::Io(error)) if !has_ended(error) => Verdict::Absent,
        Err(_) => Verdict::Unread,
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

async fn deadline<T>(
    within: Duration,
    work: impl Future<Output = Result<T, ProxyError>>,
) -> Result<T, ProxyError> {
    tokio::time::timeout(within, work)
        .await
        .unwrap_or(Err(ProxyError::TimedOut))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// What comes of a connection through a proxy that says `pieces` one after the other,
    /// each when it has heard something, and then goes.
    async fn through(pieces: &'static [&'static [u8]]) -> Result<Connected, ProxyError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::new(listener.local_addr().unwrap(), None, Bypass::None);
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            for piece in pieces {
                assert!(stream.read(&mut [0; 64]).await.unwrap() > 0);
                stream.write_all(piece).await.unwrap();
            }
            drop(stream);
        };
        let target = Target::from(SocketAddr::from(([192, 0, 2, 1], 80)));
        let within = Duration::from_secs(10);
        tokio::join!(proxy.connect(target, within), serve).0
    }

    #[tokio::test]
    async fn what_the_target_says_with_the_reply_is_kept() {
        let replies: &[&[u8]] = &[
            b"\x05\x00",
            b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00220 mail",
        ];
        let connected = through(replies).await.unwrap();
        assert_eq!(connected.early, b"220 mail");
        let short: &[&[u8]] = &[b"\x05\x00", b"\x05\x00\x00\x03\x01a\x00\x35"];
        assert_eq!(through(short).await.unwrap().early, b"");
    }

    /// Whether a proxy was found to read requests with the greeting, and how many bytes each of
    /// its clients said at once: the one that explores, and one that connects thereafter.
    async fn explored(replies: [&'static [u8]; 2]) -> (bool, [usize; 2]) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::new(listener.local_addr().unwrap(), None, Bypass::None);
        let serve = async {
            let mut said = [0; 2];
            for (said, reply) in said.iter_mut().zip(replies) {
                let (mut stream, _) = listener.accept().await.unwrap();
                *said = stream.read(&mut [0; 64]).await.unwrap();
                stream.write_all(reply).await.unwrap();
            }
            said
        };
        let explore = async {
            proxy.explore().await;
            let is_read = proxy.ahead.is_read();
            let target = Target::from(SocketAddr::from(([192, 0, 2, 1], 80)));
            drop(proxy.connect(target, Duration::from_secs(10)).await);
            is_read
        };
        tokio::join!(explore, serve)
    }

    #[test]
    fn only_who_answers_the_request_has_read_it() {
        let of = |error| verdict(&Err::<(), _>(error));
        for error in [SocksError::Command, SocksError::General] {
            assert_eq!(of(error.into()), Verdict::Read, "{error}");
        }
        for error in [SocksError::Version, SocksError::Method] {
            assert_eq!(of(error.into()), Verdict::Unread, "{error}");
        }
        assert_eq!(of(ProxyError::TimedOut), Verdict::Unread);
        let io = |kind: io::ErrorKind| of(ProxyError::Io(kind.into()));
        assert_eq!(io(io::ErrorKind::UnexpectedEof), Verdict::Unread);
        assert_eq!(io(io::ErrorKind::ConnectionReset), Verdict::Unread);
        assert_eq!(
            io(io::ErrorKind::ConnectionRefused),
            Verdict::Absent,
            "not there"
        );
    }

    #[tokio::test]
    async fn a_request_goes_with_the_greeting_to_who_reads_it() {
        let refused = b"\x05\x00\x05\x07\x00\x01\x00\x00\x00\x00\x00\x00";
        assert_eq!(explored([refused, b""]).await, (true, [13, 13]));
        let only_the_greeting = b"\x05\x00";
        assert_eq!(explored([only_the_greeting, b""]).await, (false, [13, 3]));
    }

    #[tokio::test]
    async fn who_breaks_off_after_reading_both_is_asked_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::new(listener.local_addr().unwrap(), None, Bypass::None);
        proxy.ahead.learn(Verdict::Read);
        let serve = async { drop(listener.accept().await) };
        let target = Target::from(SocketAddr::from(([192, 0, 2, 1], 80)));
        let connect = proxy.connect(target, Duration::from_secs(10));
        assert!(proxy.ahead.is_read());
        assert!(tokio::join!(connect, serve).0.is_err());
        assert!(proxy.is_unexplored());
    }

    #[tokio::test]
    async fn a_proxy_that_refuses_or_breaks_off_is_an_error_of_its_own() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let closed = Proxy::new(address, None, Bypass::None);
        let target = Target::from(address);
        let refused = closed.connect(target, Duration::from_secs(10)).await;
        let Err(ProxyError::Io(error)) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let broken = through(&[b"\x05"]).await;
        let Err(ProxyError::Io(error)) = broken else {
            panic!("{broken:?}");
        };
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
