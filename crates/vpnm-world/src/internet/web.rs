//! The web site, over HTTP/1.1 and HTTP/2.
//!
//! | request | answer |
//! |---|---|
//! | `GET /` | a page that says who came, and how |
//! | `GET /address` | the visitor's address, one line |
//! | `GET /bytes/N` | N zeros |
//! | `POST` or `PUT /upload` | the number of bytes received, one line |

mod http1;
mod http2;
mod page;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio_rustls::TlsAcceptor;

use super::accept::accept;

/// Serves plain HTTP on port 80 of `address`.
pub(super) async fn serve_http(address: IpAddr) -> io::Result<()> {
    let listener = TcpListener::bind((address, 80)).await?;
    spawn_local(accept(listener, async |stream: TcpStream| {
        let from = stream.peer_addr()?;
        http1::converse(stream, from).await
    }));
    Ok(())
}

/// Serves HTTP over TLS on port 443 of `address`.
pub(super) async fn serve_https(address: IpAddr, tls: Arc<rustls::ServerConfig>) -> io::Result<()> {
    let listener = TcpListener::bind((address, 443)).await?;
    let tls = TlsAcceptor::from(tls);
    spawn_local(accept(listener, async move |stream: TcpStream| {
        let from = stream.peer_addr()?;
        let stream = tls.accept(stream).await?;
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            http2::converse(stream, from).await
        } else {
            http1::converse(stream, from).await
        }
    }));
    Ok(())
}
