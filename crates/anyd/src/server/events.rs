//! A stream's events on their way to the client.

use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::Notify;

use super::output;

/// Nobody listens to the stream any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody listens to the stream any more")]
pub struct NobodyListens;

/// Sends the events of a streaming call: a bounded queue, from which the
/// connection writes as many as it holds at once. The stream ends when the
/// handler returns.
pub struct Events<T> {
    queue: Arc<Queue>,
    carries: PhantomData<fn(T)>,
}

impl<T> fmt::Debug for Events<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl<T: Serialize> Events<T> {
    pub(super) fn new(queue: Arc<Queue>) -> Self {
        Self {
            queue,
            carries: PhantomData,
        }
    }

    /// Sends an event; waits while the queue is full.
    ///
    /// # Errors
    ///
    /// When nobody listens any more, which ends most handlers.
    pub async fn send(&mut self, event: T) -> Result<(), NobodyListens> {
        loop {
            match self.queue.push(&event, false) {
                Pushed::Done => return Ok(()),
                Pushed::Closed => return Err(NobodyListens),
                Pushed::Full => self.queue.emptied.notified().await,
            }
        }
    }

    /// Sends an event unless the queue is full: then it is dropped, counted,
    /// and `false` returned. For states of which only the latest matters, and
    /// for senders that must not wait.
    ///
    /// # Errors
    ///
    /// When nobody listens any more.
    pub fn offer(&mut self, event: T) -> Result<bool, NobodyListens> {
        match self.queue.push(&event, false) {
            Pushed::Done => Ok(true),
            Pushed::Closed => Err(NobodyListens),
            Pushed::Full => {
                self.queue.lock().lost += 1;
                Ok(false)
            }
        }
    }

    /// How many events offered have been dropped.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.queue.lock().lost
    }

    /// Sends the last event; waits while the queue is full.
    ///
    /// # Errors
    ///
    /// When nobody listens any more.
    pub async fn last(self, event: T) -> Result<(), NobodyListens> {
        loop {
            match self.queue.push(&event, true) {
                Pushed::Done => return Ok(()),
                Pushed::Closed => return Err(NobodyListens),
                Pushed::Full => self.queue.emptied.notified().await,
            }
        }
    }
}

/// The queue between a handler and its connection: messages, already written.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    filled: Notify,
    emptied: Notify,
    most_events: usize,
    most_bytes: usize,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    /// Where the last whole event ends: one that breaks while it is written
    /// leaves no half of itself.
    whole: usize,
    events: usize,
    lost: u64,
    /// The last event is in: nothing follows.
    last: bool,
    /// The handler has returned, or the client has gone.
    closed: bool,
}

enum Pushed {
    Done,
    Full,
    Closed,
}

impl Queue {
    pub(super) fn new(most_events: usize, most_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            filled: Notify::new(),
            emptied: Notify::new(),
            most_events: most_events.max(1),
            most_bytes,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push<T: Serialize>(&self, event: &T, last: bool) -> Pushed {
        let mut state = self.lock();
        if state.closed || state.last {
            return Pushed::Closed;
        }
        let full = state.events >= self.most_events || state.bytes.len() >= self.most_bytes;
        if full && state.events > 0 {
            return Pushed::Full;
        }
        if output::reply(&mut state.bytes, event, !last).is_err() {
            // What cannot be written is the service's mistake: the stream ends.
            state.closed = true;
            return Pushed::Closed;
        }
        state.whole = state.bytes.len();
        state.events += 1;
        state.last = last;
        drop(state);
        self.filled.notify_one();
        Pushed::Done
    }

    /// Nothing more comes; what is queued stays.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
        self.emptied.notify_one();
    }

    /// Whether the last event has been queued.
    pub(super) fn has_last(&self) -> bool {
        self.lock().last
    }

    /// Waits for events and takes all there are, in exchange for an empty
    /// buffer; `false` when the queue is closed and empty.
    pub(super) async fn take(&self, batch: &mut Vec<u8>) -> bool {
        batch.clear();
        loop {
            {
                let mut state = self.lock();
                if state.events > 0 {
                    let whole = std::mem::take(&mut state.whole);
                    state.bytes.truncate(whole);
                    std::mem::swap(batch, &mut state.bytes);
                    state.events = 0;
                    drop(state);
                    self.emptied.notify_one();
                    return true;
                }
                if state.closed {
                    return false;
                }
            }
            self.filled.notified().await;
        }
    }
}
