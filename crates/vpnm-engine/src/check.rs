//! Questions asked of resolvers one by one: does the tunnel answer, where is the server.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use vpnm_api::{Code, Failure};
use vpnm_dns::wire::{Header, Key, Name, Rcode, Response, encode_query, kind};
use vpnm_proxy::{BoxStream, Dialer as _, Outbound};
use vpnm_wire::{Domain, Host, Target};

use crate::dialer::BypassDialer;
use crate::doh::{self, DohError, Endpoint, Session};
use crate::fault;

/// A resolver that has not answered after this long gets company by the next.
const STAGGER: Duration = Duration::from_millis(1_500);
/// A server that has not answered after this long is suspected not to know the user.
const SUSPICION: Duration = Duration::from_secs(3);
/// No verification takes longer.
const VERIFY_LIMIT: Duration = Duration::from_secs(15);
/// No search for the server's address takes longer.
const RESOLVE_LIMIT: Duration = Duration::from_secs(10);

/// A query that was answered through the tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// How long the query took, there and back.
    pub latency: Duration,
    /// How long everything took, from the first packet to the server.
    pub took: Duration,
    /// Who answered it.
    pub resolver: IpAddr,
}

/// Asks a resolver through the outbound, from scratch: new connection, new query.
///
/// # Errors
/// What is wrong with the server or the way behind it.
pub async fn verify(outbound: &Outbound, endpoints: &[Endpoint]) -> Result<Verified, Failure> {
    let attempts = places(endpoints).into_iter().map(|(endpoint, address)| {
        let (outbound, endpoint) = (outbound.clone(), endpoint.clone());
        Box::pin(async move { ask_through(&outbound, &endpoint, address).await })
    });
    tokio::select! {
        verified = race(attempts) => verified,
        () = Box::pin(rejection(outbound, endpoints)) => Err(Code::Rejected.into()),
        () = tokio::time::sleep(VERIFY_LIMIT) => {
            Err(Failure::new(Code::NoAnswer, "no resolver answered in time"))
        }
    }
}

/// Returns if the server stays silent because it does not know the user, else never:
/// a VMess server does not show it as long as little is sent.
async fn rejection(outbound: &Outbound, endpoints: &[Endpoint]) {
    tokio::time::sleep(SUSPICION).await;
    let address = endpoints
        .iter()
        .find_map(|endpoint| endpoint.addresses().next());
    if let Some(target) = address.map(Target::from)
        && outbound.is_unknown(&target, VERIFY_LIMIT).await
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// The addresses of a host, asked over connections that bypass the tunnel.
///
/// # Errors
/// [`Code::NameNotFound`] when the name has none, else why no resolver answered.
pub async fn resolve(
    dialer: &std::sync::Arc<BypassDialer>,
    host: &Domain,
    endpoints: &[Endpoint],
) -> Result<Vec<IpAddr>, Failure> {
    let attempts = places(endpoints).into_iter().map(|(endpoint, address)| {
        let (dialer, endpoint, host) = (dialer.clone(), endpoint.clone(), host.clone());
        Box::pin(async move { addresses_by(&dialer, &endpoint, address, &host).await })
    });
    match tokio::time::timeout(RESOLVE_LIMIT, race(attempts)).await {
        Ok(result) => result,
        Err(_) => Err(Failure::new(
            Code::TimedOut,
            "no resolver answered for the server's name",
        )),
    }
}

/// Every address of every resolver, IPv4 first: a server may have only one of both kinds.
fn places(endpoints: &[Endpoint]) -> Vec<(&Endpoint, SocketAddr)> {
    let mut places: Vec<_> = endpoints
        .iter()
        .flat_map(|endpoint| endpoint.addresses().map(move |address| (endpoint, address)))
        .collect();
    places.sort_by_key(|(_, address)| address.is_ipv6());
    places
}

/// Runs attempts until one succeeds or fails for a reason that the others share:
/// the next begins when the one before failed or is late.
async fn race<T, F>(attempts: impl Iterator<Item = F>) -> Result<T, Failure>
where
    T: 'static,
    F: Future<Output = Result<T, Failure>> + 'static,
{
    let mut attempts = attempts;
    let mut running = JoinSet::new();
    let mut first: Option<Failure> = None;
    loop {
        let fresh = attempts.next();
        let exhausted = fresh.is_none();
        if let Some(attempt) = fresh {
            running.spawn_local(attempt);
        }
        let ended = if exhausted {
            running.join_next().await
        } else {
            match tokio::time::timeout(STAGGER, running.join_next()).await {
                Ok(ended) => ended,
                Err(_) => continue,
            }
        };
        match ended {
            Some(Ok(Ok(value))) => return Ok(value),
            Some(Ok(Err(failure))) if is_shared(failure.code) => return Err(failure),
            Some(Ok(Err(failure))) => first = first.or(Some(failure)),
            Some(Err(_)) => {}
            None if exhausted => {
                return Err(first.unwrap_or_else(|| Code::NoAnswer.into()));
            }
            None => {}
        }
    }
}

/// Whether another resolver would meet the same: it is the server's fault, or the name's.
/// A server that closes may not know the user, or may not reach this one address.
fn is_shared(code: Code) -> bool {
    !matches!(code, Code::NoAnswer | Code::NoNetwork | Code::Rejected)
}

async fn ask_through(
    outbound: &Outbound,
    endpoint: &Endpoint,
    address: SocketAddr,
) -> Result<Verified, Failure> {
    let begun = Instant::now();
    let stream = outbound.dial_tcp(&Target::from(address), &[]).await;
    let stream = stream.map_err(|error| fault::of_dial(&error))?;
    // The resolver's own name: every resolver has an answer to that.
    let key = key_of(endpoint.host(), kind::A)?;
    let response_to = |session: Session| async move {
        let asked = Instant::now();
        let answer = session.exchange(encode_query(&key)).await?;
        Ok((asked.elapsed(), answer, key))
    };
    let (latency, answer, key) = with_session(endpoint, stream, response_to)
        .await
        .map_err(|error| behind_server(&error))?;
    match Response::decode(&answer, &key) {
        Ok(_) => Ok(Verified {
            latency,
            took: begun.elapsed(),
            resolver: address.ip(),
        }),
        Err(error) => Err(Failure::new(Code::NoAnswer, error.to_string())),
    }
}

async fn addresses_by(
    dialer: &BypassDialer,
    endpoint: &Endpoint,
    address: SocketAddr,
    host: &Domain,
) -> Result<Vec<IpAddr>, Failure> {
    let dialled = dialer.dial(address).await;
    let stream = dialled.map_err(|error| Failure::new(Code::NoNetwork, error.to_string()))?;
    let name = Name::from_domain(host);
    let keys = [kind::A, kind::AAAA].map(|kind| Key::new(name.as_bytes(), kind, false, false));
    let both = |session: Session| async move {
        let [v4, v6] = &keys;
        match tokio::join!(lookup(&session, v4), lookup(&session, v6)) {
            // Name servers that know one kind of address and fail for the other are not rare.
            (Ok(found), Err(_)) | (Err(_), Ok(found)) if !found.is_empty() => Ok((found, vec![])),
            (v4, v6) => Ok((v4?, v6?)),
        }
    };
    let (v4, v6) = with_session(endpoint, stream, both)
        .await
        .map_err(|error| Failure::new(Code::NoAnswer, chain(&error)))?;
    let addresses: Vec<IpAddr> = v4.into_iter().chain(v6).collect();
    if addresses.is_empty() {
        return Err(Failure::new(Code::NameNotFound, host.to_string()));
    }
    Ok(addresses)
}

/// The addresses one query yields; none when there is no such name.
async fn lookup(session: &Session, key: &Key) -> Result<Vec<IpAddr>, DohError> {
    let answer = session.exchange(encode_query(key)).await?;
    let rcode = Header::decode(&answer).map(|header| header.flags.rcode());
    let is_answer = [Rcode::NoError, Rcode::NxDomain]
        .map(|known| Ok(known.code()))
        .contains(&rcode);
    match Response::decode(&answer, key) {
        Ok(response) if is_answer => Ok(response.addresses().collect()),
        _ => Err(DohError::MediaType),
    }
}

/// Runs an exchange on a connection that lives only for it.
async fn with_session<T, F, W>(
    endpoint: &Endpoint,
    stream: BoxStream,
    work: W,
) -> Result<T, DohError>
where
    F: Future<Output = Result<T, DohError>>,
    W: FnOnce(Session) -> F,
{
    let (session, driver) = doh::handshake(endpoint, stream).await?;
    let mut driver = std::pin::pin!(driver);
    let mut work = std::pin::pin!(work(session));
    let mut driven = false;
    loop {
        tokio::select! {
            result = &mut work => return result,
            _ = &mut driver, if !driven => driven = true,
        }
    }
}

/// What an error behind the server says: the server took the flow, then it failed.
fn behind_server(error: &DohError) -> Failure {
    if let DohError::Tls(cause) = error {
        let failure = fault::of_io(cause);
        if failure.code == Code::Rejected {
            return failure;
        }
    }
    Failure::new(Code::NoAnswer, chain(error))
}

fn key_of(host: &str, kind: u16) -> Result<Key, Failure> {
    match Host::domain(host) {
        Ok(Host::Domain(name)) => Ok(Key::new(
            Name::from_domain(&name).as_bytes(),
            kind,
            false,
            false,
        )),
        _ => Err(Failure::new(Code::Settings, "a resolver's name is no name")),
    }
}

/// An error with what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
