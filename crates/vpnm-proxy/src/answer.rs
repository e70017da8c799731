//! The beginning of a server's answer: where a refusal shows.

use std::error::Error;
use std::io;

use crate::Rejected;

/// Judges a read made before the first byte of the answer was complete.
///
/// An end or a reset there is how a server that does not know the id says no.
///
/// # Errors
/// [`Rejected`] for those; any other error as it is.
pub(crate) fn began(read: io::Result<usize>) -> io::Result<()> {
    match read {
        Ok(0) => Err(Rejected.into()),
        Ok(_) => Ok(()),
        Err(error) if is_end(&error) => Err(Rejected.into()),
        Err(error) => Err(error),
    }
}

/// Whether an error says that the other side is gone.
pub(crate) fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
    )
}

/// An answer that is not what the protocol says.
pub(crate) fn malformed(error: impl Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
