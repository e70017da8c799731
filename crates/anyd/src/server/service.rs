//! What the service macro implements.

use std::fmt;
use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::caller::Caller;
use super::events::{Events, Queue};
use super::output;
use crate::fault::Fault;
use crate::method::{Interface, Method};
use crate::parameters::{Invalid, Parameters};
use crate::with_fds::WithFds;
use crate::writer::Form;

/// A call being carried out.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<Answer, Invalid>> + Send + 'a>>;

/// An interface being served: what `#[anyd::service]` makes of a trait.
pub trait Service: Send + Sync + 'static {
    /// The interface.
    fn interface(&self) -> &'static Interface;

    /// The uid that `#[access(owner)]` lets in now.
    fn owner(&self) -> Option<u32>;

    /// Carries out a call of the method at a place of the interface's table.
    fn call<'a>(&'a self, method: usize, call: Call<'a>) -> Answering<'a>;
}

/// A call that has been let in.
pub struct Call<'a> {
    pub(super) caller: &'a Caller,
    pub(super) method: &'static Method,
    pub(super) parameters: Parameters<'a>,
    pub(super) fds: Vec<OwnedFd>,
    pub(super) queue: Option<Arc<Queue>>,
    pub(super) form: Form,
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Its parameters may be secret.
        f.debug_struct("Call")
            .field("method", &self.method.qualified)
            .finish_non_exhaustive()
    }
}

/// What a call came to.
#[derive(Debug)]
pub struct Answer {
    pub(super) form: Form,
    pub(super) verdict: Verdict,
    pub(super) fds: Vec<OwnedFd>,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Replied,
    Fault(&'static str),
    /// The reply cannot be written.
    Unwritable,
}

impl<'a> Call<'a> {
    /// Who calls.
    #[must_use]
    pub fn caller(&self) -> &'a Caller {
        self.caller
    }

    /// Parses the parameter at a place of the method's table.
    ///
    /// # Errors
    ///
    /// When it is missing or not of the type.
    pub fn parameter<T: DeserializeOwned>(&mut self, at: usize) -> Result<T, Invalid> {
        let name = self
            .method
            .parameters
            .get(at)
            .map_or("", |found| found.name);
        self.parameters.take(name)
    }

    /// The descriptors that came with the call.
    #[must_use]
    pub fn fds(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.fds)
    }

    /// Where the call's events go.
    #[must_use]
    pub fn events<T: Serialize>(&mut self) -> Events<T> {
        Events::new(self.queue.take().unwrap_or_else(|| {
            let nobody = Queue::new(1, 1);
            nobody.close();
            nobody
        }))
    }

    /// Answers.
    ///
    /// # Errors
    ///
    /// Never; generated code returns it as it is.
    pub fn answer<R: Serialize, E: Fault>(self, outcome: Result<R, E>) -> Result<Answer, Invalid> {
        Ok(match outcome {
            Ok(reply) => Answer::new(output::reply_form(self.form, &reply), Verdict::Replied),
            Err(fault) => Answer::fault(self.form, &fault),
        })
    }

    /// Answers with descriptors.
    ///
    /// # Errors
    ///
    /// Never; generated code returns it as it is.
    pub fn answer_with_fds<R: Serialize, E: Fault>(
        self,
        outcome: Result<WithFds<R>, E>,
    ) -> Result<Answer, Invalid> {
        match outcome {
            Ok(WithFds { reply, fds }) => {
                let mut answer = self.answer::<R, E>(Ok(reply))?;
                answer.fds = fds;
                Ok(answer)
            }
            Err(fault) => self.answer::<R, E>(Err(fault)),
        }
    }

    /// Ends a stream.
    ///
    /// # Errors
    ///
    /// Never; generated code returns it as it is.
    pub fn end<E: Fault>(self, outcome: Result<(), E>) -> Result<Answer, Invalid> {
        self.answer(outcome)
    }

    /// Answers that there is no such method, which the table rules out.
    ///
    /// # Errors
    ///
    /// Always.
    pub fn absent(self) -> Result<Answer, Invalid> {
        Err(Invalid::new("method", "not in the table"))
    }
}

impl Answer {
    fn new(form: serde_json::Result<Form>, verdict: Verdict) -> Self {
        let (form, verdict) = match form {
            Ok(form) => (form, verdict),
            Err(_) => (Form::Text(Vec::new()), Verdict::Unwritable),
        };
        Self {
            form,
            verdict,
            fds: Vec::new(),
        }
    }

    fn fault<E: Fault>(form: Form, fault: &E) -> Self {
        let name = fault.name();
        let form = output::error_form(form, name, |fields| fault.write(fields));
        Self::new(form, Verdict::Fault(name))
    }
}
