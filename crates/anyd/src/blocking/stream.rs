//! A stream of replies.

use serde::de::DeserializeOwned;

use super::Client;
use crate::call_error::CallError;
use crate::fault::Fault;
use crate::method::Method;
use crate::replies::Replies;

/// The replies of a streaming call, as they arrive. Waits without a timeout.
///
/// A stream that is dropped before its end closes its connection, since the
/// daemon would go on sending.
#[derive(Debug)]
pub struct Stream<'c, R, E> {
    client: &'c mut Client,
    replies: Replies<R, E>,
}

impl<'c, R, E> Stream<'c, R, E> {
    pub(super) fn new(client: &'c mut Client, method: &'static Method) -> Self {
        Self {
            client,
            replies: Replies::of(method),
        }
    }
}

impl<R: DeserializeOwned, E: Fault> Iterator for Stream<'_, R, E> {
    type Item = Result<R, CallError<E>>;

    fn next(&mut self) -> Option<Self::Item> {
        let method = self.replies.awaited()?;
        let received = self.client.receive(method, None);
        let reply = self.replies.take(received, &self.client.inbox);
        self.client.broken = !self.replies.have_ended();
        reply
    }
}

impl<R, E> Drop for Stream<'_, R, E> {
    fn drop(&mut self) {
        if self.replies.awaited().is_some() {
            // Tells the daemon that nobody listens; the socket may be gone already.
            let _gone = self.client.stream.shutdown(std::net::Shutdown::Both);
        }
    }
}
