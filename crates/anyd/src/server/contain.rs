//! A handler's panic, contained.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

/// The future has panicked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Panicked;

/// Polls a future and turns its panic into an error (in builds that unwind).
///
/// The future is dropped and never polled again after a panic, and what it
/// shares with others is behind locks that notice a panic by themselves.
pub(super) struct Contained<F>(pub(super) Pin<Box<F>>)
where
    F: Future + ?Sized;

impl<F: Future + ?Sized> Future for Contained<F> {
    type Output = Result<F::Output, Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let inner = self.0.as_mut();
        match catch_unwind(AssertUnwindSafe(|| inner.poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(_) => Poll::Ready(Err(Panicked)),
        }
    }
}
