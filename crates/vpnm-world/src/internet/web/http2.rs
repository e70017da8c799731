//! HTTP/2 (RFC 9113), by the h2 crate.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::spawn_local;

use super::page::{self, Page};

const CHUNK: usize = 64 * 1024;
/// Room for a large upload in flight.
const WINDOW: u32 = 8 << 20;

/// Answers requests until the visitor has had enough.
pub(super) async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    visitor: SocketAddr,
) -> io::Result<()> {
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW);
    let handshake = builder.handshake(stream);
    let mut connection = handshake.await.map_err(io::Error::other)?;
    while let Some(request) = connection.accept().await {
        let (request, respond) = request.map_err(io::Error::other)?;
        spawn_local(async move {
            if let Err(error) = answer(request, respond, visitor).await {
                tracing::debug!(%error, "a request ended");
            }
        });
    }
    Ok(())
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    visitor: SocketAddr,
) -> Result<(), h2::Error> {
    let page = page::of(
        request.method().as_str(),
        request.uri().path(),
        visitor,
        "HTTP/2",
    );
    let mut head = Response::new(());
    let body: Bytes = match page {
        Page::Text(text) => text.into(),
        Page::Upload => format!("{}\n", skip(request.into_body()).await?).into(),
        Page::Zeros(count) => {
            let body = respond.send_response(head, false)?;
            return send_zeros(body, count).await;
        }
        Page::NotFound => {
            *head.status_mut() = StatusCode::NOT_FOUND;
            Bytes::new()
        }
    };
    respond.send_response(head, false)?.send_data(body, true)
}

async fn skip(mut body: RecvStream) -> Result<usize, h2::Error> {
    let mut received = 0;
    while let Some(data) = body.data().await {
        let length = data?.len();
        body.flow_control().release_capacity(length)?;
        received += length;
    }
    Ok(received)
}

async fn send_zeros(mut body: SendStream<Bytes>, mut count: u64) -> Result<(), h2::Error> {
    let zeros = Bytes::from(vec![0; CHUNK]);
    while count > 0 {
        let wanted = usize::try_from(count).unwrap_or(CHUNK).min(CHUNK);
        body.reserve_capacity(wanted);
        let granted = poll_fn(|cx| body.poll_capacity(cx)).await;
        let granted = granted
            .unwrap_or_else(|| Err(Reason::CANCEL.into()))?
            .min(wanted);
        body.send_data(zeros.slice(..granted), false)?;
        count -= u64::try_from(granted).unwrap_or(count);
    }
    body.send_data(Bytes::new(), true)
}
