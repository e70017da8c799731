//! Frames of `multiprocessing.connection`: four bytes of length, or minus one
//! and eight bytes of length; then so many bytes.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use crate::server::line::{Closed, Line, stopped};

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
        timeout(wait, stream.read_exact(&mut first))
            .await
            .map_err(|_| Closed::Idle)?
            .map_err(|_| Closed::ByClient)?;
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

async fn length(stream: &mut tokio::net::UnixStream, [first]: [u8; 1]) -> Result<u64, Closed> {
    let mut rest = [0; 3];
    read(stream, &mut rest).await?;
    let [second, third, fourth] = rest;
    let short = i32::from_be_bytes([first, second, third, fourth]);
    if short != -1 {
        return u64::try_from(short).map_err(|_| Closed::Malformed);
    }
    let mut long = [0; 8];
    read(stream, &mut long).await?;
    Ok(u64::from_be_bytes(long))
}

/// Memory grows with what arrives, not with what is announced.
async fn payload(
    stream: &mut tokio::net::UnixStream,
    length: u64,
    most: usize,
) -> Result<Frame, Closed> {
    let fits = usize::try_from(length).is_ok_and(|length| length <= most);
    if !fits {
        let mut past = stream.take(length.min(PAST));
        tokio::io::copy(&mut past, &mut tokio::io::sink())
            .await
            .map_err(|_| Closed::Broken)?;
        return Ok(Frame::TooLong);
    }
    let mut payload = Vec::new();
    let read = stream.take(length).read_to_end(&mut payload).await;
    match read.map(u64::try_from) {
        Ok(Ok(count)) if count == length => Ok(Frame::Whole(payload)),
        _ => Err(Closed::ByClient),
    }
}

async fn read(stream: &mut tokio::net::UnixStream, room: &mut [u8]) -> Result<(), Closed> {
    stream
        .read_exact(room)
        .await
        .map(drop)
        .map_err(|_| Closed::ByClient)
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
