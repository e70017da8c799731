//! The byte streams that the layers hand each other.

use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// A byte stream in both directions.
///
/// Shutting down the writing side says that no more will be written; the reading
/// side stays usable. A layer that cannot say so (a WebSocket) only flushes.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {
    /// Has dropping the stream break the connection off instead of ending it in order, so
    /// that the other side learns that data may be missing (RFC 9293 section 3.10.5).
    ///
    /// What is not sent yet is lost with it. A transport that has gone changes nothing.
    fn break_off(&mut self);
}

/// A stream whose layers are not known at compile time.
pub type BoxStream = Box<dyn Stream>;

impl Stream for TcpStream {
    fn break_off(&mut self) {
        if let Err(error) = self.set_zero_linger() {
            tracing::debug!(%error, "a connection ends without a reset");
        }
    }
}

impl<S: Stream> Stream for BufReader<S> {
    fn break_off(&mut self) {
        self.get_mut().break_off();
    }
}

impl<S: Stream> Stream for TlsStream<S> {
    fn break_off(&mut self) {
        self.get_mut().0.break_off();
    }
}

#[cfg(test)]
mod in_memory {
    use tokio::io::{DuplexStream, Empty};

    use super::Stream;

    impl Stream for DuplexStream {
        fn break_off(&mut self) {}
    }

    impl Stream for Empty {
        fn break_off(&mut self) {}
    }
}
