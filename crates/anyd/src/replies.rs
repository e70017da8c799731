//! The replies of a streaming call, read one by one.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use crate::call_error::CallError;
use crate::fault::Fault;
use crate::method::Method;
use crate::request::{Answered, next_answer};

/// How far a stream has been read.
#[derive(Debug)]
pub(crate) struct Replies<R, E> {
    pub(crate) method: &'static Method,
    ended: bool,
    carries: PhantomData<fn() -> (R, E)>,
}

impl<R, E> Replies<R, E> {
    pub(crate) fn of(method: &'static Method) -> Self {
        Self {
            method,
            ended: false,
            carries: PhantomData,
        }
    }

    pub(crate) fn have_ended(&self) -> bool {
        self.ended
    }

    /// Nothing more can be read.
    pub(crate) fn break_off(&mut self, error: CallError<E>) -> CallError<E> {
        self.ended = true;
        error
    }
}

impl<R: DeserializeOwned, E: Fault> Replies<R, E> {
    /// The reply in a message; `None` when it is the end and nothing else.
    pub(crate) fn read(&mut self, message: &[u8]) -> Option<Result<R, CallError<E>>> {
        let answered = next_answer(self.method.qualified, message);
        let follows = |answered: &Answered<R>| answered.continues;
        self.ended = !matches!(&answered, Some(Ok(answered)) if follows(answered));
        answered.map(|answered| answered.map(|answered| answered.reply))
    }
}
