//! Moving bytes between a client and its destination until both are done.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf, ReadHalf, WriteHalf,
    copy_bidirectional_with_sizes, split,
};
use tokio::net::UdpSocket;
use tokio::select;
use tokio::time::sleep;

use crate::BoxStream;
use crate::vless::{decode_datagram, encode_datagram};

/// What is copied at once: tokio's own 8 KiB cost a factor of two.
const COPY: usize = 64 * 1024;
/// A stream on which nothing moves for so long is dropped.
const STREAM_IDLE: Duration = Duration::from_mins(15);
/// A session of datagrams on which nothing moves for so long is dropped (RFC 4787 section 4.3).
const DATAGRAM_IDLE: Duration = Duration::from_mins(5);
/// The longest datagram with its frame.
const FRAME: usize = 2 + 65_535;

/// Copies both ways until both have ended, one has failed, or nothing moves any more; then
/// both are broken off, so that neither takes what it has for all there was.
pub(super) async fn streams(client: BoxStream, mut remote: BoxStream) -> io::Result<()> {
    let moved = AtomicU64::new(0);
    let mut client = Counted {
        inner: client,
        moved: &moved,
    };
    let ended = select! {
        copied = copy_bidirectional_with_sizes(&mut client, &mut remote, COPY, COPY) => {
            copied.map(|_| ())
        }
        late = idle(&moved, STREAM_IDLE) => Err(late),
    };
    if ended.is_err() {
        client.inner.break_off();
        remote.break_off();
    }
    ended
}

/// Passes datagrams both ways until the client ends, something fails or nothing moves any more.
///
/// `unread` is what the client has already sent.
pub(super) async fn datagrams(
    client: BoxStream,
    unread: &[u8],
    remote: UdpSocket,
) -> io::Result<()> {
    let moved = AtomicU64::new(0);
    let (reader, writer) = split(client);
    select! {
        ended = outward(reader, unread, &remote, &moved) => ended,
        ended = inward(writer, &remote, &moved) => ended,
        late = idle(&moved, DATAGRAM_IDLE) => Err(late),
    }
}

async fn outward(
    mut client: ReadHalf<BoxStream>,
    unread: &[u8],
    remote: &UdpSocket,
    moved: &AtomicU64,
) -> io::Result<()> {
    let mut bytes = vec![0; FRAME];
    let mut end = unread.len();
    bytes
        .get_mut(..end)
        .ok_or(io::ErrorKind::InvalidData)?
        .copy_from_slice(unread);
    loop {
        let mut start = 0;
        while let Some(range) = bytes.get(start..end).and_then(decode_datagram) {
            let datagram = bytes.get(start..end).and_then(|b| b.get(range.clone()));
            pass(remote.send(datagram.unwrap_or_default()).await.map(drop))?;
            moved.fetch_add(1, Ordering::Relaxed);
            start += range.end;
        }
        bytes.copy_within(start..end, 0);
        end -= start;
        match client
            .read(bytes.get_mut(end..).unwrap_or_default())
            .await?
        {
            0 => return Ok(()),
            count => end += count,
        }
    }
}

async fn inward(
    mut client: WriteHalf<BoxStream>,
    remote: &UdpSocket,
    moved: &AtomicU64,
) -> io::Result<()> {
    let mut datagram = vec![0; FRAME];
    let mut frame = Vec::new();
    loop {
        match remote.recv(&mut datagram).await {
            Ok(length) => {
                frame.clear();
                if encode_datagram(datagram.get(..length).unwrap_or_default(), &mut frame) {
                    client.write_all(&frame).await?;
                    client.flush().await?;
                    moved.fetch_add(1, Ordering::Relaxed);
                }
            }
            Err(error) => pass(Err(error))?,
        }
    }
}

/// A destination that is not there shows as a refusal on the socket, and may come to be.
fn pass(sent: io::Result<()>) -> io::Result<()> {
    match sent {
        Err(error) if error.kind() != io::ErrorKind::ConnectionRefused => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Returns once the count has stood still from one end of `limit` to the other.
async fn idle(moved: &AtomicU64, limit: Duration) -> io::Error {
    loop {
        let before = moved.load(Ordering::Relaxed);
        sleep(limit).await;
        if moved.load(Ordering::Relaxed) == before {
            return io::ErrorKind::TimedOut.into();
        }
    }
}

/// A stream that counts what it does.
struct Counted<'a> {
    inner: BoxStream,
    moved: &'a AtomicU64,
}

impl AsyncRead for Counted<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.moved.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.inner).poll_read(cx, space)
    }
}

impl AsyncWrite for Counted<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.moved.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
