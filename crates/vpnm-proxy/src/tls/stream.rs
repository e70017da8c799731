//! A TLS connection over rustls's interface without buffers of its own.
//!
//! rustls's buffered interface reads 4 KiB at a time and reallocates for every
//! record; here a read takes as many records as have arrived, each opened in place,
//! and a write seals all its records into one buffer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::ClientConfig;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::pki_types::ServerName;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError, WriteTraffic,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::answer::malformed;
use crate::buffer::{Incoming, Outgoing, batch};
use crate::{BoxStream, Stream};

/// The size up to which the buffer for reading grows: four records.
const READ_LIMIT: usize = 64 * 1024;
/// What a record adds to its payload at most: header, explicit nonce, type and tag.
const OVERHEAD: usize = 5 + 8 + 1 + 16;
/// The payload of a record at most.
const RECORD: usize = 16 * 1024;

/// TLS at the asking end.
pub(super) struct TlsStream {
    inner: BoxStream,
    connection: UnbufferedClientConnection,
    /// Records as they came.
    incoming: Incoming,
    /// Plaintext that the reader had no space for.
    plain: Incoming,
    /// Records to be sent.
    outgoing: Outgoing,
    /// The other side has said that it will send no more.
    ended: bool,
    /// We have said so.
    closed: bool,
    /// What has made the connection useless.
    failed: Option<rustls::Error>,
}

/// Where a step has led.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// There may be more to do with what is there.
    On,
    /// Nothing more without reading, and nothing can be written yet.
    Blocked,
    /// Nothing more without reading; what was to be written is sealed.
    Ready,
    /// Both sides have said that they will send no more.
    Over,
}

/// What is to be sealed as soon as nothing else has to be done before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Write<'a> {
    Nothing,
    Data(&'a [u8]),
    Close,
}

impl TlsStream {
    pub(super) fn new(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        inner: BoxStream,
    ) -> Result<Self, rustls::Error> {
        Ok(Self {
            inner,
            connection: UnbufferedClientConnection::new(config, name)?,
            incoming: Incoming::default(),
            plain: Incoming::default(),
            outgoing: Outgoing::default(),
            ended: false,
            closed: false,
            failed: None,
        })
    }

    /// Goes on with the handshake; ready once both sides may send.
    ///
    /// An error of TLS is an [`io::Error`] that carries the [`rustls::Error`].
    pub(super) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.step(&mut nowhere(), Write::Nothing) {
                Ok(Step::On) => {}
                Ok(Step::Ready | Step::Over) => {
                    return self.outgoing.poll_flush(cx, &mut self.inner);
                }
                Ok(Step::Blocked) => {
                    ready!(self.outgoing.poll_flush(cx, &mut self.inner))?;
                    ready!(self.poll_records(cx))?;
                }
                Err(error) => {
                    let _unheard = self.outgoing.flush_aside(cx, &mut self.inner);
                    return Poll::Ready(Err(malformed(error)));
                }
            }
        }
    }

    /// Does one thing with what is there. Plaintext goes to `space`, and aside what does
    /// not fit.
    fn step(&mut self, space: &mut ReadBuf<'_>, write: Write<'_>) -> Result<Step, rustls::Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let step = self.try_step(space, write);
        if let Err(error) = &step {
            self.failed = Some(error.clone());
            self.encode_alert();
        }
        step
    }

    /// Encodes what tells the other side of a failure: at most one record, and the
    /// connection must not be asked again.
    fn encode_alert(&mut self) {
        let status = self
            .connection
            .process_tls_records(self.incoming.filled_mut());
        if let Ok(ConnectionState::EncodeTlsData(mut data)) = status.state {
            let _unheard = encode(&mut data, self.outgoing.bytes());
        }
    }

    fn try_step(
        &mut self,
        space: &mut ReadBuf<'_>,
        write: Write<'_>,
    ) -> Result<Step, rustls::Error> {
        let status = self
            .connection
            .process_tls_records(self.incoming.filled_mut());
        let mut used = status.discard;
        let step = match status.state? {
            ConnectionState::ReadTraffic(mut traffic) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    used += record.discard;
                    let count = space.remaining().min(record.payload.len());
                    let (now, later) = record.payload.split_at(count);
                    space.put_slice(now);
                    self.plain.append(later);
                }
                Step::On
            }
            ConnectionState::EncodeTlsData(mut data) => {
                encode(&mut data, self.outgoing.bytes())?;
                Step::On
            }
            ConnectionState::TransmitTlsData(data) => {
                // What was encoded is in `outgoing`, ahead of all that comes later.
                data.done();
                Step::On
            }
            ConnectionState::PeerClosed => {
                self.ended = true;
                Step::On
            }
            ConnectionState::Closed => Step::Over,
            ConnectionState::BlockedHandshake => Step::Blocked,
            ConnectionState::WriteTraffic(traffic) => {
                if write != Write::Nothing {
                    seal(traffic, write, self.outgoing.bytes())?;
                }
                Step::Ready
            }
            ConnectionState::ReadEarlyData(_) | _ => {
                return Err(rustls::Error::General("a state no client has".into()));
            }
        };
        self.incoming.consume(used);
        Ok(step)
    }

    /// Seals `write` once everything that has come in is dealt with.
    fn seal(&mut self, write: Write<'_>) -> io::Result<()> {
        loop {
            match self.step(&mut nowhere(), write).map_err(malformed)? {
                Step::On => {}
                Step::Ready => return Ok(()),
                Step::Blocked | Step::Over => return Err(io::ErrorKind::BrokenPipe.into()),
            }
        }
    }

    /// Reads more records; the end of the stream without a word is an error.
    fn poll_records(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let read = self.incoming.poll_fill(cx, &mut self.inner, 0, READ_LIMIT);
        match ready!(read)? {
            0 => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            _ => Poll::Ready(Ok(())),
        }
    }
}

/// For plaintext that nobody waits for just now.
fn nowhere() -> ReadBuf<'static> {
    ReadBuf::new(&mut [])
}

/// Appends a record of the handshake.
fn encode(
    data: &mut EncodeTlsData<'_, ClientConnectionData>,
    out: &mut Vec<u8>,
) -> Result<(), rustls::Error> {
    append(out, RECORD, |space| match data.encode(space) {
        Ok(count) => Ok(count),
        Err(EncodeError::InsufficientSize(size)) => Err(Some(size)),
        Err(EncodeError::AlreadyEncoded) => Err(None),
    })
}

/// Appends the records of what is to be written.
fn seal(
    mut traffic: WriteTraffic<'_, ClientConnectionData>,
    write: Write<'_>,
    out: &mut Vec<u8>,
) -> Result<(), rustls::Error> {
    let judged = |sealed| match sealed {
        Ok(count) => Ok(count),
        Err(EncryptError::InsufficientSize(size)) => Err(Some(size)),
        Err(EncryptError::EncryptExhausted) => Err(None),
    };
    match write {
        Write::Nothing => Ok(()),
        Write::Data(bytes) => {
            let records = bytes.len().div_ceil(RECORD);
            let size = bytes.len() + records * OVERHEAD;
            append(out, size, |space| judged(traffic.encrypt(bytes, space)))
        }
        Write::Close => append(out, RECORD, |space| {
            judged(traffic.queue_close_notify(space))
        }),
    }
}

/// Appends what `fill` writes, into a space of `size` bytes or of as many as it says it needs.
fn append(
    out: &mut Vec<u8>,
    size: usize,
    mut fill: impl FnMut(&mut [u8]) -> Result<usize, Option<InsufficientSizeError>>,
) -> Result<(), rustls::Error> {
    let start = out.len();
    let mut size = size;
    loop {
        out.resize(start + size, 0);
        match fill(out.get_mut(start..).unwrap_or_default()) {
            Ok(count) => {
                out.truncate(start + count);
                return Ok(());
            }
            Err(Some(need)) if need.required_size > size => size = need.required_size,
            Err(_) => {
                out.truncate(start);
                return Err(rustls::Error::EncryptError);
            }
        }
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = space.filled().len();
        this.plain.drain_into(space);
        while space.remaining() > 0 && !this.ended {
            match this.step(space, Write::Nothing) {
                Ok(Step::On) => {}
                Ok(Step::Over) => this.ended = true,
                // What came before is read first; the error is met again.
                Ok(_) | Err(_) if space.filled().len() > before => break,
                Ok(Step::Ready | Step::Blocked) => {
                    this.outgoing.flush_aside(cx, &mut this.inner)?;
                    ready!(this.poll_records(cx))?;
                }
                Err(error) => {
                    let _unheard = this.outgoing.flush_aside(cx, &mut this.inner);
                    return Poll::Ready(Err(malformed(error)));
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.outgoing.poll_drain(cx, &mut this.inner))?;
        let mut taken = 0;
        for part in batch(pieces) {
            this.seal(Write::Data(part))?;
            taken += part.len();
        }
        if let Poll::Ready(result) = this.outgoing.poll_drain(cx, &mut this.inner) {
            result?;
        }
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.outgoing.poll_flush(cx, &mut this.inner)
    }

    /// Says that no more will be sent (RFC 8446 section 6.1), then shuts the transport down.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.closed {
            this.closed = true;
            this.seal(Write::Close)?;
        }
        ready!(this.outgoing.poll_flush(cx, &mut this.inner))?;
        Pin::new(&mut this.inner).poll_shutdown(cx)
    }
}

impl Stream for TlsStream {
    fn break_off(&mut self) {
        self.inner.break_off();
    }
}

#[cfg(test)]
mod tests;
