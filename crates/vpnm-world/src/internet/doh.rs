//! DNS over HTTPS (RFC 8484) over HTTP/2.

use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{Method, Request, Response, StatusCode};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio_rustls::TlsAcceptor;

use super::accept::accept;
use super::queries::Carriage;
use super::resolver::Resolver;

const MESSAGE: &str = "application/dns-message";
/// Longest query taken.
const LONGEST: usize = 4096;

/// Serves on port 443 of `address`.
pub(super) async fn serve(
    resolver: &Rc<Resolver>,
    tls: Arc<rustls::ServerConfig>,
    address: IpAddr,
) -> io::Result<()> {
    let listener = TcpListener::bind((address, 443)).await?;
    let (resolver, tls) = (Rc::clone(resolver), TlsAcceptor::from(tls));
    spawn_local(accept(listener, async move |stream: TcpStream| {
        converse(&resolver, &tls, stream, address).await
    }));
    Ok(())
}

async fn converse(
    resolver: &Rc<Resolver>,
    tls: &TlsAcceptor,
    stream: TcpStream,
    address: IpAddr,
) -> io::Result<()> {
    let from = stream.peer_addr()?.ip();
    let stream = tls.accept(stream).await?;
    let mut connection = h2::server::handshake(stream)
        .await
        .map_err(io::Error::other)?;
    while let Some(request) = connection.accept().await {
        let (request, respond) = request.map_err(io::Error::other)?;
        let resolver = Rc::clone(resolver);
        spawn_local(async move {
            if let Err(error) = exchange(&resolver, request, respond, from, address).await {
                tracing::debug!(%error, "a DNS over HTTPS exchange ended");
            }
        });
    }
    Ok(())
}

async fn exchange(
    resolver: &Resolver,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    from: IpAddr,
    address: IpAddr,
) -> Result<(), h2::Error> {
    if request.method() != Method::POST || request.uri().path() != "/dns-query" {
        return refuse(&mut respond, StatusCode::NOT_FOUND);
    }
    let query = read(request.into_body()).await?;
    let Some(answer) = resolver.answer(&query, from, address, Carriage::Https) else {
        return refuse(&mut respond, StatusCode::BAD_REQUEST);
    };
    let mut head = Response::new(());
    let headers = head.headers_mut();
    headers.insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static(MESSAGE),
    );
    respond
        .send_response(head, false)?
        .send_data(answer.into(), true)
}

async fn read(mut body: RecvStream) -> Result<BytesMut, h2::Error> {
    let mut query = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        if query.len() + data.len() > LONGEST {
            return Err(Reason::ENHANCE_YOUR_CALM.into());
        }
        query.extend_from_slice(&data);
    }
    Ok(query)
}

fn refuse(respond: &mut SendResponse<Bytes>, status: StatusCode) -> Result<(), h2::Error> {
    let mut head = Response::new(());
    *head.status_mut() = status;
    respond.send_response(head, true).map(drop)
}
