//! The byte streams that the layers hand each other.

use tokio::io::{AsyncRead, AsyncWrite};

/// A byte stream in both directions.
///
/// Shutting down the writing side says that no more will be written; the reading
/// side stays usable. A layer that cannot say so (a WebSocket) only flushes.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A stream whose layers are not known at compile time.
pub type BoxStream = Box<dyn Stream>;
