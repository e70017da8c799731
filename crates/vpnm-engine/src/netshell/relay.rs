//! Moves bytes between an application's flow and an outbound stream.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite};

use super::tcp::TcpFlow;
use super::transfer::TransferError;

/// How a relay ended, unless both sides finished in order.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The application's side broke, usually by a reset; the outbound stream should
    /// be reset too, not finished.
    #[error("the application ended the connection")]
    Application(#[source] io::Error),
    /// The outbound stream broke; the application was reset when the flow was dropped.
    #[error("the outbound connection broke")]
    Outbound(#[source] io::Error),
}

impl From<TransferError> for Ended {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::Flow(error) => Self::Application(error),
            TransferError::Stream(error) => Self::Outbound(error),
        }
    }
}

/// Bytes moved before other flows get their turn, and transfers, where these are small:
/// they delay a small flow beside a bulk one by a fraction of a millisecond.
const TURN: usize = 512 * 1024;
const TRANSFERS: usize = 8;

/// One direction of a relay.
enum Direction {
    Moving,
    /// All bytes are handed over; the end is not yet passed on.
    Ending,
    Done,
}

/// Relays both directions until both ended, each half-close passed on as one.
///
/// The flow is consumed: it is closed in order after success and reset after an
/// error. `outbound` is left to the caller, who alone knows how to reset it.
///
/// Not an `async fn`, which would keep room for its arguments twice as long as an idle
/// flow waits.
///
/// # Errors
/// [`Ended`] says which side broke first.
pub fn relay<S>(
    mut flow: TcpFlow,
    outbound: &mut S,
) -> impl Future<Output = Result<(), Ended>> + use<'_, S>
where
    S: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    let mut up = Direction::Moving;
    let mut down = Direction::Moving;
    poll_fn(move |cx| {
        let up = poll_up(cx, &mut up, &mut flow, outbound)?;
        let down = poll_down(cx, &mut down, &mut flow, outbound);
        flow.flush();
        if down?.is_ready() && up.is_ready() {
            return Poll::Ready(Ok(()));
        }
        // Both may wait for the outbound stream alone, and that for ever.
        flow.poll_gone(cx)
            .map(|error| Err(Ended::Application(error)))
    })
}

/// From the application to the outbound stream.
fn poll_up<S>(
    cx: &mut Context<'_>,
    state: &mut Direction,
    flow: &mut TcpFlow,
    outbound: &mut S,
) -> Poll<Result<(), Ended>>
where
    S: AsyncWrite + Unpin + ?Sized,
{
    let mut moved = 0;
    for _ in 0..TRANSFERS {
        match state {
            Direction::Done => return Poll::Ready(Ok(())),
            Direction::Ending => {
                ready!(Pin::new(&mut *outbound).poll_shutdown(cx)).map_err(Ended::Outbound)?;
                *state = Direction::Done;
            }
            Direction::Moving => {
                let count = match flow.poll_drain_into(cx, Pin::new(&mut *outbound)) {
                    Poll::Ready(count) => count?,
                    Poll::Pending => {
                        // Nothing more for now: what a layer may have kept back must go.
                        ready!(Pin::new(&mut *outbound).poll_flush(cx)).map_err(Ended::Outbound)?;
                        return Poll::Pending;
                    }
                };
                match count {
                    0 => *state = Direction::Ending,
                    _ => moved += count,
                }
            }
        }
        if moved >= TURN {
            break;
        }
    }
    yield_turn(cx)
}

/// From the outbound stream to the application.
fn poll_down<S>(
    cx: &mut Context<'_>,
    state: &mut Direction,
    flow: &mut TcpFlow,
    outbound: &mut S,
) -> Poll<Result<(), Ended>>
where
    S: AsyncRead + Unpin + ?Sized,
{
    let mut moved = 0;
    for _ in 0..TRANSFERS {
        match state {
            Direction::Done => return Poll::Ready(Ok(())),
            Direction::Ending => {
                ready!(Pin::new(&mut *flow).poll_shutdown(cx)).map_err(Ended::Application)?;
                *state = Direction::Done;
            }
            Direction::Moving => {
                let filled = flow.poll_fill_from(cx, Pin::new(&mut *outbound));
                match ready!(filled)? {
                    0 => *state = Direction::Ending,
                    count => moved += count,
                }
            }
        }
        if moved >= TURN {
            break;
        }
    }
    yield_turn(cx)
}

/// Goes on after the others that are ready.
fn yield_turn(cx: &Context<'_>) -> Poll<Result<(), Ended>> {
    cx.waker().wake_by_ref();
    Poll::Pending
}
