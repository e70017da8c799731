//! Echo, source and sink: what throughput and reachability are measured with.

use std::io;
use std::net::IpAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::spawn_local;

use super::accept::accept;

/// Sends back what it receives, over UDP and TCP (RFC 862).
pub const ECHO_PORT: u16 = 7;
/// Takes everything over TCP (RFC 863).
pub const SINK_PORT: u16 = 9;
/// Sends zeros over TCP for as long as they are taken.
pub const SOURCE_PORT: u16 = 19;

const CHUNK: usize = 256 * 1024;

/// Serves all three on `address`.
pub(super) async fn serve(address: IpAddr) -> io::Result<()> {
    let echo = UdpSocket::bind((address, ECHO_PORT)).await?;
    spawn_local(reflect(echo));
    spawn_local(accept(
        TcpListener::bind((address, ECHO_PORT)).await?,
        echo_stream,
    ));
    spawn_local(accept(TcpListener::bind((address, SINK_PORT)).await?, sink));
    spawn_local(accept(
        TcpListener::bind((address, SOURCE_PORT)).await?,
        source,
    ));
    Ok(())
}

async fn reflect(socket: UdpSocket) {
    let mut buffer = vec![0; 65_536];
    loop {
        // Errors are those of earlier answers that could not be delivered.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let datagram = buffer.get(..length).unwrap_or_default();
        socket.send_to(datagram, from).await.ok();
    }
}

async fn echo_stream(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return stream.shutdown().await;
        }
        stream
            .write_all(buffer.get(..length).unwrap_or_default())
            .await?;
    }
}

async fn sink(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

async fn source(mut stream: TcpStream) -> io::Result<()> {
    let zeros = vec![0; CHUNK];
    loop {
        stream.write_all(&zeros).await?;
    }
}
