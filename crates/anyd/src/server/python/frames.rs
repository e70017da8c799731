//! Frames of `multiprocessing.connection`: four bytes of length, or minus one
//! and eight bytes of length; then so many bytes.

use std::time::Duration;

use tokio::time::timeout;

use crate::server::line::{Closed, Line, stopped};
use crate::stream::Stream;

/// A frame as it arrived.
pub(super) enum Frame {
    /// Its payload.
    Whole(Vec<u8>),
    /// It was longer than allowed, and has been read past.
    TooLong,
}

/// How much of a frame that is too long is read past, so that its sender,
/// which does not listen while it sends, can be told.
const PAST: u64 = 64 << 20;

/// How much is read at once of a frame whose length is not trusted.
const PIECE: usize = 64 << 10;

/// The next frame: begun within `wait`, ended within `within`.
pub(super) async fn next(
    line: &mut Line,
    wait: Duration,
    within: Duration,
) -> Result<Frame, Closed> {
    let Line {
        stream,
        stopping,
        shared,
        ..
    } = line;
    let most = shared.limits.message;
    let reading = async {
        let mut first = [0; 1];
        timeout(wait, fill(stream, &mut first))
            .await
            .map_err(|_| Closed::Idle)??;
        let rest = async {
            let length = length(stream, first).await?;
            payload(stream, length, most).await
        };
        timeout(within, rest).await.map_err(|_| Closed::Slow)?
    };
    tokio::select! {
        biased;
        frame = reading => frame,
        () = stopped(stopping) => Err(Closed::Stopping),
    }
}

async fn length(stream: &Stream, [first]: [u8; 1]) -> Result<u64, Closed> {
    let mut rest = [0; 3];
    fill(stream, &mut rest).await?;
    let [second, third, fourth] = rest;
    let short = i32::from_be_bytes([first, second, third, fourth]);
    if short != -1 {
        return u64::try_from(short).map_err(|_| Closed::Malformed);
    }
    let mut long = [0; 8];
    fill(stream, &mut long).await?;
    Ok(u64::from_be_bytes(long))
}

/// The payload, or that it is longer than allowed.
async fn payload(stream: &Stream, length: u64, most: usize) -> Result<Frame, Closed> {
    match usize::try_from(length) {
        Ok(length) if length <= most => whole(stream, length).await,
        _ => skip(stream, length.min(PAST)).await,
    }
}

/// Memory grows with what arrives, not with what is announced.
async fn whole(stream: &Stream, length: usize) -> Result<Frame, Closed> {
    let mut payload = Vec::new();
    while payload.len() < length {
        let there = payload.len();
        payload.resize(length.min((2 * there).max(PIECE)), 0);
        fill(stream, payload.get_mut(there..).unwrap_or_default()).await?;
    }
    Ok(Frame::Whole(payload))
}

async fn skip(stream: &Stream, mut length: u64) -> Result<Frame, Closed> {
    let mut piece = vec![0; PIECE];
    while length > 0 {
        let most = usize::try_from(length).map_or(PIECE, |length| length.min(PIECE));
        let room = piece.get_mut(..most).unwrap_or_default();
        let count = stream.receive(room).await.map_err(|_| Closed::Broken)?;
        if count == 0 {
            break;
        }
        length = length.saturating_sub(u64::try_from(count).unwrap_or(length));
    }
    Ok(Frame::TooLong)
}

async fn fill(stream: &Stream, mut room: &mut [u8]) -> Result<(), Closed> {
    while !room.is_empty() {
        let count = receive(stream, room).await?;
        room = room.get_mut(count..).unwrap_or_default();
    }
    Ok(())
}

/// Some bytes, at least one.
async fn receive(stream: &Stream, room: &mut [u8]) -> Result<usize, Closed> {
    match stream.receive(room).await {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(Closed::ByClient),
    }
}

/// A payload with its length in front.
pub(super) fn framed(payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(payload.len() + 4);
    match i32::try_from(payload.len()) {
        Ok(length) => frame.extend_from_slice(&length.to_be_bytes()),
        Err(_) => {
            frame.extend_from_slice(&(-1_i32).to_be_bytes());
            let length = u64::try_from(payload.len()).unwrap_or(u64::MAX);
            frame.extend_from_slice(&length.to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_says_its_length() {
        assert_eq!(framed(b"abc"), b"\0\0\0\x03abc");
        assert_eq!(framed(&[7; 300]).get(..5).unwrap(), [0, 0, 1, 44, 7]);
    }
}
