//! The replies of a streaming call, read one by one.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use crate::call_error::CallError;
use crate::fault::Fault;
use crate::method::Method;
use crate::request::{Answered, next_answer};
use crate::wire::{Inbox, Message};

/// How far a stream has been read.
#[derive(Debug)]
pub(crate) struct Replies<R, E> {
    method: &'static Method,
    state: State,
    carries: PhantomData<fn() -> (R, E)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// More is to come.
    Open,
    /// The daemon has said all.
    Ended,
    /// Nothing more can be read.
    Broken,
}

impl<R, E> Replies<R, E> {
    pub(crate) fn of(method: &'static Method) -> Self {
        Self {
            method,
            state: State::Open,
            carries: PhantomData,
        }
    }

    /// The full name of the method whose replies are to come; `None` when none
    /// are.
    pub(crate) fn awaited(&self) -> Option<&'static str> {
        (self.state == State::Open).then_some(self.method.qualified)
    }

    /// Whether the connection is free for another call.
    pub(crate) fn have_ended(&self) -> bool {
        self.state == State::Ended
    }
}

impl<R: DeserializeOwned, E: Fault> Replies<R, E> {
    /// The reply in what was received; `None` when it is the end and nothing
    /// else.
    pub(crate) fn take(
        &mut self,
        received: Result<Message, CallError<E>>,
        inbox: &Inbox,
    ) -> Option<Result<R, CallError<E>>> {
        let message = match received {
            Ok(message) => message,
            Err(error) => {
                self.state = State::Broken;
                return Some(Err(error));
            }
        };
        let answered = next_answer(self.method.qualified, inbox.bytes(message));
        let follows = |answered: &Answered<R>| answered.continues;
        if !matches!(&answered, Some(Ok(answered)) if follows(answered)) {
            self.state = State::Ended;
        }
        answered.map(|answered| answered.map(|answered| answered.reply))
    }
}
