//! What the ends of a conversation saw, in words that can be compared.

use std::io;

use serde::Serialize;

/// How one cell came out.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Outcome {
    pub(crate) cell: String,
    pub(crate) engine: String,
    /// What both ends saw.
    pub(crate) seen: String,
    /// Whether that is what they see without an engine.
    pub(crate) as_direct: bool,
}

/// Bytes that are told apart by their place.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    let byte = |at: usize| u8::try_from((at * 31 + at / 251) % 256).unwrap_or_default();
    (0..length).map(byte).collect()
}

/// How reading to the end came out.
pub(crate) fn seen_of(ended: io::Result<usize>, all: &[u8]) -> String {
    match ended {
        // How much a reset overtakes is a matter of luck.
        Err(error) => kind(&error),
        Ok(_) if all == pattern(all.len()) => format!("{} bytes", all.len()),
        Ok(_) => format!("{} wrong bytes", all.len()),
    }
}

/// The name of an error.
pub(crate) fn kind(error: &io::Error) -> String {
    let kind = error.kind();
    // What a socket with a limit of time says.
    if [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut].contains(&kind) {
        "silence".to_owned()
    } else {
        format!("{kind:?}")
    }
}
