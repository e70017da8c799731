//! Plaintext DNS over UDP and TCP: what the world's programs must never be
//! seen to use from the client, and what the node asks.

use std::io;
use std::net::IpAddr;
use std::rc::Rc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::spawn_local;

use super::accept::accept;
use super::queries::Carriage;
use super::resolver::Resolver;

/// Serves on port 53 of `address`.
pub(super) async fn serve(resolver: &Rc<Resolver>, address: IpAddr) -> io::Result<()> {
    let socket = UdpSocket::bind((address, 53)).await?;
    let listener = TcpListener::bind((address, 53)).await?;
    spawn_local(datagrams(Rc::clone(resolver), socket, address));
    let resolver = Rc::clone(resolver);
    spawn_local(accept(listener, async move |stream: TcpStream| {
        converse(&resolver, stream, address).await
    }));
    Ok(())
}

async fn datagrams(resolver: Rc<Resolver>, socket: UdpSocket, address: IpAddr) {
    let mut buffer = vec![0; 4096];
    loop {
        // Errors are those of earlier answers that could not be delivered.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let query = buffer.get(..length).unwrap_or_default();
        if let Some(answer) = resolver.answer(query, from.ip(), address, Carriage::Plain) {
            socket.send_to(&answer, from).await.ok();
        }
    }
}

async fn converse(resolver: &Resolver, mut stream: TcpStream, address: IpAddr) -> io::Result<()> {
    let from = stream.peer_addr()?;
    loop {
        let length = stream.read_u16().await?;
        let mut query = vec![0; usize::from(length)];
        stream.read_exact(&mut query).await?;
        let answer = resolver.answer(&query, from.ip(), address, Carriage::Plain);
        let Some(answer) = answer else { return Ok(()) };
        let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
        stream
            .write_all(&[&length.to_be_bytes()[..], &answer].concat())
            .await?;
    }
}
