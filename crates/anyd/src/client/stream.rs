//! A stream of replies.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use super::Client;
use crate::call_error::CallError;
use crate::fault::Fault;
use crate::method::Method;
use crate::request::{Answered, answer, is_end};

/// The replies of a streaming call, as they arrive. Waits without a timeout.
///
/// A stream that is dropped before its end closes its connection, since the
/// daemon would go on sending. Calls beside a stream need a connection of
/// their own.
#[derive(Debug)]
pub struct Stream<'c, R, E> {
    client: &'c mut Client,
    method: &'static Method,
    ended: bool,
    carries: PhantomData<fn() -> (R, E)>,
}

impl<'c, R, E> Stream<'c, R, E> {
    pub(super) fn new(client: &'c mut Client, method: &'static Method) -> Self {
        Self {
            client,
            method,
            ended: false,
            carries: PhantomData,
        }
    }

    fn end(&mut self) {
        self.ended = true;
        self.client.broken = false;
    }
}

impl<R: DeserializeOwned, E: Fault> Stream<'_, R, E> {
    /// The next reply; `None` when the stream has ended. May be dropped while
    /// it waits: nothing is lost.
    pub async fn next(&mut self) -> Option<Result<R, CallError<E>>> {
        if self.ended {
            return None;
        }
        let message = match self.client.receive(self.method.qualified).await {
            Ok(message) => message,
            Err(error) => {
                self.ended = true;
                return Some(Err(error));
            }
        };
        let bytes = self.client.inbox.bytes(message);
        if is_end(bytes) {
            self.end();
            return None;
        }
        let answered = answer(self.method.qualified, bytes);
        if !matches!(
            &answered,
            Ok(Answered {
                continues: true,
                ..
            })
        ) {
            self.end();
        }
        Some(answered.map(|answered| answered.reply))
    }
}

impl<R, E> Drop for Stream<'_, R, E> {
    fn drop(&mut self) {
        if !self.ended {
            // Tells the daemon that nobody listens; the socket may be gone already.
            let _gone = rustix::net::shutdown(&self.client.stream, rustix::net::Shutdown::Both);
        }
    }
}
