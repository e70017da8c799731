//! Names of the local network, asked of its own resolvers in the clear.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustix::rand::{GetRandomFlags, getrandom};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use vpnm_api::engine::LocalNames;
use vpnm_dns::wire::{Flags, Header};
use vpnm_dns::{LocalDomains, LocalQuery, Locality};
use vpnm_proxy::Dialer as _;

use super::Names;
use crate::dialer::{BypassDialer, datagrams_with};

/// The port of DNS.
const DNS: u16 = 53;
/// Servers that are asked, one after the other.
const SERVERS: usize = 3;
/// Longest wait for each of them: all of it is less than clients wait.
const PATIENCE: Duration = Duration::from_millis(1_300);
/// Longest datagram: what was asked without EDNS has 512 bytes, and servers err.
const LONGEST: usize = 4_096;

impl Names {
    /// Says whom to ask for names of the local network from now on.
    pub fn know_local(&self, local: &LocalNames) {
        let domains: Vec<_> = local
            .domains
            .iter()
            .map(|name| name.domain().clone())
            .collect();
        let domains = LocalDomains::new(&domains);
        let servers: Vec<_> = local.servers.iter().copied().take(SERVERS).collect();
        let locality = match (local.allowed, servers.is_empty()) {
            (false, _) => Locality::Blocked,
            (true, true) => Locality::Unknown(domains),
            (true, false) => Locality::Asked(domains),
        };
        self.0.state.borrow_mut().local_servers = servers.into();
        self.act(|resolver, _| resolver.handle_locality(locality));
    }

    /// Makes a lookup; its end is reported to the resolver.
    pub(super) fn look_up_locally(&self, query: LocalQuery) {
        let servers = std::rc::Rc::clone(&self.0.state.borrow().local_servers);
        let shell = std::rc::Rc::downgrade(&self.0);
        tokio::task::spawn_local(async move {
            let answer = ask_all(&servers, &query.message).await;
            if let Some(shell) = shell.upgrade() {
                Self(shell).act(|resolver, now| {
                    resolver.handle_local_answer(query.id, answer.as_deref(), now);
                });
            }
        });
    }
}

/// The answer of the first server that gives one.
async fn ask_all(servers: &[IpAddr], message: &[u8]) -> Option<Vec<u8>> {
    for server in servers {
        let server = SocketAddr::new(*server, DNS);
        match tokio::time::timeout(PATIENCE, ask(server, message)).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => tracing::debug!(%error, "no answer of the local network"),
            Err(_) => tracing::debug!("the local network gives no answer"),
        }
    }
    None
}

/// Asks by datagram, and by a stream what does not fit into one.
async fn ask(server: SocketAddr, message: &[u8]) -> io::Result<Vec<u8>> {
    let mut message = message.to_vec();
    let id = message
        .first_chunk_mut::<2>()
        .ok_or(io::ErrorKind::InvalidInput)?;
    getrandom(id, GetRandomFlags::empty())?;
    let answer = by_datagram(server, &message).await?;
    let is_cut = Header::decode(&answer).is_ok_and(|header| header.flags.has(Flags::TC));
    if is_cut {
        return by_stream(server, &message).await;
    }
    Ok(answer)
}

async fn by_datagram(server: SocketAddr, message: &[u8]) -> io::Result<Vec<u8>> {
    let socket = datagrams_with(server)?;
    socket.send(message).await?;
    let mut space = vec![0; LONGEST];
    loop {
        let length = socket.recv(&mut space).await?;
        let answer = space.get(..length).unwrap_or_default();
        // What answers another query is somebody's guess.
        if answer.first_chunk::<2>() == message.first_chunk() {
            return Ok(answer.to_vec());
        }
    }
}

async fn by_stream(server: SocketAddr, message: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = BypassDialer::default().dial(server).await?;
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let framed = [&length.to_be_bytes(), message].concat();
    stream.write_all(&framed).await?;
    stream.flush().await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    if answer.first_chunk::<2>() == message.first_chunk() {
        Ok(answer)
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}
