//! The far side: a SOCKS 5 proxy whose destinations are services of its own, so that no
//! further hop is measured, and the same services without the proxy.

pub(crate) mod conduct;
mod datagrams;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use rustix::net::RecvFlags;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

use crate::place::{PROXY, PROXY_PORT, Place, TARGET, TARGET6};
use crate::sys;
use conduct::Seen;
pub(crate) use datagrams::{Order, Sunk};

/// Sends back what it reads.
pub(crate) const ECHO: u16 = 7;
/// As [`ECHO`], on a thread of its own: the bulk that it is measured beside keeps the others'
/// busy.
pub(crate) const ECHO_ASIDE: u16 = 2_007;
/// Discards what it reads.
pub(crate) const SINK: u16 = 9;
/// Answers one byte with one byte and closes.
pub(crate) const ANSWER: u16 = 13;
/// Sends without end; datagrams as it is told.
pub(crate) const SOURCE: u16 = 19;
/// Nobody listens here.
pub(crate) const CLOSED: u16 = 2_999;

/// Bytes moved per system call.
const CHUNK: usize = 512 * 1024;

/// The running far side.
#[derive(Debug)]
pub(crate) struct Target {
    sunk: Arc<Sunk>,
    seen: Seen,
    /// Those that take datagrams.
    sockets: Vec<UdpSocket>,
}

/// Datagrams are received joined for as long as this lives.
#[derive(Debug)]
pub(crate) struct Joined<'a>(&'a [UdpSocket]);

impl Drop for Joined<'_> {
    fn drop(&mut self) {
        for socket in self.0 {
            if let Err(error) = sys::join(socket, false) {
                crate::report::complain(&error.into());
            }
        }
    }
}

impl Target {
    /// Starts everything on threads of the server's; returns once it listens.
    pub(crate) fn start(place: &Place) -> anyhow::Result<Self> {
        let (ready, listening) = sync_channel(1);
        let sunk = Arc::<Sunk>::default();
        let mut sockets = vec![datagrams::serve(
            place,
            (PROXY, PROXY_PORT).into(),
            None,
            &sunk,
        )?];
        for port in [ECHO, SINK, SOURCE] {
            let address = (TARGET, port).into();
            sockets.push(datagrams::serve(place, address, Some(port), &sunk)?);
        }
        datagrams::echo(place, (TARGET6, ECHO).into())?;
        let seen = Seen::default();
        let sight = seen.clone();
        place.on_server(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            LocalSet::new()
                .block_on(&runtime, serve(ready, sight))
                .context("the target failed")
        })?;
        listening.recv().context("the target did not start")?;
        Ok(Self {
            sunk,
            seen,
            sockets,
        })
    }

    /// Has datagrams that come together received as one (`UDP_GRO`), in the proxy too.
    pub(crate) fn join(&self) -> io::Result<Joined<'_>> {
        for socket in &self.sockets {
            sys::join(socket, true)?;
        }
        Ok(Joined(&self.sockets))
    }

    /// How many datagrams the sinks have taken.
    pub(crate) fn sunk(&self) -> Arc<Sunk> {
        Arc::clone(&self.sunk)
    }

    /// What the services saw that say so.
    pub(crate) fn seen(&self) -> &Seen {
        &self.seen
    }
}

/// Services over TCP.
fn ports() -> impl Iterator<Item = u16> {
    let loads = [ECHO, ECHO_ASIDE, SINK, ANSWER, SOURCE];
    loads.into_iter().chain(conduct::PORTS)
}

async fn serve(ready: SyncSender<()>, seen: Seen) -> io::Result<()> {
    for port in ports() {
        for host in [TARGET, TARGET6] {
            let listener = TcpListener::bind((host, port)).await?;
            let seen = seen.clone();
            let serve = move |stream| service(stream, port, seen.clone());
            spawn_local(accept(listener, serve));
        }
    }
    let proxy = TcpListener::bind((PROXY, PROXY_PORT)).await?;
    ready.send(()).map_err(io::Error::other)?;
    accept(proxy, |stream| proxied(stream, seen.clone())).await
}

async fn accept<F: Future<Output = io::Result<()>> + 'static>(
    listener: TcpListener,
    serve: impl Fn(TcpStream) -> F,
) -> io::Result<()> {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // An engine that opens more than there are descriptors for must not end the
            // measurements of the others.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        stream.set_nodelay(true)?;
        spawn_local(serve(stream));
    }
}

async fn service(stream: TcpStream, port: u16, seen: Seen) -> io::Result<()> {
    match port {
        ECHO => echo(stream).await,
        ECHO_ASIDE => echo_aside(&stream.into_std()?),
        SINK => sink(stream).await,
        ANSWER => answer(stream).await,
        SOURCE => source(stream).await,
        _ => conduct::serve(stream, port, seen).await,
    }
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = stream.read(&mut buffer).await?;
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else {
            return Ok(());
        };
        stream.write_all(bytes).await?;
    }
}

fn echo_aside(stream: &std::net::TcpStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    let (mut from, mut to) = (stream.try_clone()?, stream.try_clone()?);
    // It ends when its client does, and what breaks it, breaks the client's measurement too.
    thread::spawn(move || io::copy(&mut from, &mut to));
    Ok(())
}

/// Discards in the kernel (`MSG_TRUNC`), so that the server costs as little as possible.
async fn sink(stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let discard = || Ok(rustix::net::recv(&stream, &mut *buffer, RecvFlags::TRUNC)?);
        let (_, count) = stream.async_io(Interest::READABLE, discard).await?;
        if count == 0 {
            return Ok(());
        }
    }
}

async fn source(mut stream: TcpStream) -> io::Result<()> {
    let chunk = vec![0x55; CHUNK];
    loop {
        stream.write_all(&chunk).await?;
    }
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.read_u8().await?;
    stream.write_u8(1).await?;
    stream.shutdown().await
}

/// One client of the proxy (RFC 1928, without authentication).
async fn proxied(mut stream: TcpStream, seen: Seen) -> io::Result<()> {
    let [_, methods] = read(&mut stream).await?;
    let mut offered = [0; 255];
    stream
        .read_exact(offered.get_mut(..usize::from(methods)).unwrap_or_default())
        .await?;
    stream.write_all(&[5, 0]).await?;
    let [_, command, _, kind] = read(&mut stream).await?;
    let length = match kind {
        1 => 4,
        4 => 16,
        _ => usize::from(stream.read_u8().await?),
    };
    let mut address = [0; 255];
    stream
        .read_exact(address.get_mut(..length).unwrap_or_default())
        .await?;
    let port = u16::from_be_bytes(read(&mut stream).await?);
    match command {
        // A proxy that says of nobody what it says of the target cannot be believed.
        1 if !is_target(kind, &address) => refuse(stream, 4).await,
        1 => connect(stream, port, seen).await,
        3 => associate(stream).await,
        _ => refuse(stream, 7).await,
    }
}

/// Whether the address, of the kind that is named, is the target's; no name is anybody else's.
fn is_target(kind: u8, address: &[u8]) -> bool {
    let octets = match (kind, TARGET, TARGET6) {
        (1, IpAddr::V4(ip), _) => ip.octets().to_vec(),
        (4, _, IpAddr::V6(ip)) => ip.octets().to_vec(),
        _ => return true,
    };
    address.starts_with(&octets)
}

async fn connect(mut stream: TcpStream, port: u16, seen: Seen) -> io::Result<()> {
    if !ports().any(|known| known == port) {
        return refuse(stream, 5).await;
    }
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    service(stream, port, seen).await
}

async fn refuse(mut stream: TcpStream, reply: u8) -> io::Result<()> {
    stream.write_all(&[5, reply, 0, 1, 0, 0, 0, 0, 0, 0]).await
}

/// All datagrams are relayed on the proxy's own port, by the sender's address, as Xray,
/// v2ray, mihomo and shadowsocks-rust do it.
async fn associate(mut stream: TcpStream) -> io::Result<()> {
    let ip: Ipv4Addr = PROXY;
    let mut reply = vec![5, 0, 0, 1];
    reply.extend(ip.octets());
    reply.extend(PROXY_PORT.to_be_bytes());
    stream.write_all(&reply).await?;
    stream.read(&mut [0; 1]).await.map(drop)
}

async fn read<const N: usize>(stream: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// Where a load connects to.
pub(crate) fn address(port: u16) -> SocketAddr {
    let ip: IpAddr = TARGET;
    SocketAddr::new(ip, port)
}
