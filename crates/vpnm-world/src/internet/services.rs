//! The internet as a whole: all services, on all their addresses.

use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use super::queries::{Log, Query};
use super::resolver::{Book, Resolver};
use super::service::Service;
use super::{doh, flood, plain, web};
use crate::World;
use crate::addresses::{
    CLOUDFLARE, CLOUDFLARE_NAME, CLOUDFLARE_SECOND, GATEWAY, NEIGHBOUR, PLAIN_RESOLVER, QUAD9,
    QUAD9_NAME, QUAD9_SECOND, SITE, SITE_NAME, SITE_V4_NAME, SITE_V6_NAME,
};
use crate::authority::{Authority, Identity};

/// Why the internet could not be started.
#[derive(Debug, thiserror::Error)]
pub enum InternetError {
    /// A socket, thread or runtime was refused.
    #[error("the kernel refused a socket or thread of the internet")]
    Kernel(#[from] io::Error),
    /// A certificate could not be issued.
    #[error("a certificate of the internet could not be issued")]
    Certificate(#[from] rcgen::Error),
    /// A certificate was not accepted.
    #[error("a certificate of the internet was not accepted")]
    Tls(#[from] rustls::Error),
}

/// Everything the client can reach, running. Stops when dropped.
///
/// * the site: `http` and `https` (HTTP/1.1 and HTTP/2) on [`SITE`];
/// * echo, source and sink on [`SITE`] and, as LAN devices, on
///   [`NEIGHBOUR`];
/// * DNS over HTTPS on Cloudflare's and Quad9's addresses;
/// * plaintext DNS on every resolver, and on the router: as bait.
#[derive(Debug)]
pub struct Internet {
    log: Arc<Log>,
    books: [Book; 2],
    _internet: Service,
    _lan: Service,
}

impl Internet {
    /// Starts all services; they listen when this returns.
    ///
    /// # Errors
    ///
    /// [`InternetError`] when something of it could not be started.
    pub fn start(world: &World) -> Result<Self, InternetError> {
        let log = Arc::new(Log::default());
        let books = [Book::of_internet(), Book::of_lan()];
        let [ours, of_lan] = books.clone();
        let (authority, theirs) = (Arc::clone(world.authority()), Arc::clone(&log));
        let internet = Service::start(world.internet(), async move || {
            let resolver = Resolver::new(ours, theirs);
            serve_resolvers(&resolver, &authority).await?;
            serve_site(&authority).await
        })?;
        let theirs = Arc::clone(&log);
        let lan = Service::start(world.router(), async move || {
            let resolver = Resolver::new(of_lan, theirs);
            for address in GATEWAY.both() {
                plain::serve(&resolver, address).await?;
            }
            for address in NEIGHBOUR.both() {
                flood::serve(address).await?;
                web::serve_http(address).await?;
            }
            Ok::<_, InternetError>(())
        })?;
        Ok(Self {
            log,
            books,
            _internet: internet,
            _lan: lan,
        })
    }

    /// All resolvers say from now on that a name has these addresses.
    pub fn rename(&self, name: &str, addresses: &[IpAddr]) {
        for book in &self.books {
            book.set(name, addresses);
        }
    }

    /// What the resolvers were asked so far, oldest first.
    #[must_use]
    pub fn queries(&self) -> Vec<Query> {
        self.log.list()
    }
}

async fn serve_resolvers(
    resolver: &Rc<Resolver>,
    authority: &Authority,
) -> Result<(), InternetError> {
    for (name, pairs) in [
        (CLOUDFLARE_NAME, [CLOUDFLARE, CLOUDFLARE_SECOND]),
        (QUAD9_NAME, [QUAD9, QUAD9_SECOND]),
    ] {
        let addresses: Vec<IpAddr> = pairs.into_iter().flat_map(|pair| pair.both()).collect();
        let tls = issue(authority, name, &addresses)?.server(&["h2"])?;
        for address in addresses {
            doh::serve(resolver, Arc::clone(&tls), address).await?;
            plain::serve(resolver, address).await?;
        }
    }
    for address in PLAIN_RESOLVER.both() {
        plain::serve(resolver, address).await?;
    }
    Ok(())
}

fn issue(
    authority: &Authority,
    name: &str,
    addresses: &[IpAddr],
) -> Result<Identity, rcgen::Error> {
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let mut names = vec![name];
    names.extend(addresses.iter().map(String::as_str));
    authority.issue(&names)
}

async fn serve_site(authority: &Authority) -> Result<(), InternetError> {
    let names = [SITE_NAME, SITE_V4_NAME, SITE_V6_NAME, "example.com"];
    let tls = authority.issue(&names)?.server(&["h2", "http/1.1"])?;
    for address in SITE.both() {
        flood::serve(address).await?;
        web::serve_http(address).await?;
        web::serve_https(address, Arc::clone(&tls)).await?;
    }
    Ok(())
}
