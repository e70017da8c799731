//! A call being written, and its answer being read.

use std::os::fd::BorrowedFd;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::call_error::CallError;
use crate::fault::Fault;
use crate::method::Method;
use crate::parameters::{Invalid, Parameters, Unreadable, reason};
use crate::wire::ReplyHead;
use crate::writer::{FieldWriter, Form};

/// A call being written; the generated clients use it.
#[derive(Debug)]
pub struct Request<'fd> {
    pub(crate) method: &'static Method,
    fields: FieldWriter,
    pub(crate) fds: Vec<BorrowedFd<'fd>>,
}

/// A call ready to be sent.
#[derive(Debug)]
pub(crate) struct Frame<'fd> {
    pub(crate) bytes: Vec<u8>,
    pub(crate) fds: Vec<BorrowedFd<'fd>>,
}

impl<'fd> Request<'fd> {
    /// Begins a call, in the memory of an earlier one.
    pub(crate) fn new(method: &'static Method, mut memory: Vec<u8>) -> Self {
        memory.clear();
        head(method, &mut memory);
        Self {
            method,
            fields: FieldWriter::new(Form::Text(memory)),
            fds: Vec::new(),
        }
    }

    /// Writes a parameter.
    pub fn put<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) {
        self.fields.put(name, value);
    }

    /// Sends descriptors with the call; they stay open here.
    pub fn fds(&mut self, fds: &[BorrowedFd<'fd>]) {
        self.fds.extend_from_slice(fds);
    }

    pub(crate) fn finish<E>(self) -> Result<Frame<'fd>, CallError<E>> {
        let (form, written) = self.fields.finish();
        let unsendable = |reason: String| CallError::Unsendable {
            method: self.method.qualified.to_owned(),
            reason,
        };
        let Form::Text(mut bytes) = form else {
            return Err(unsendable("not text".to_owned()));
        };
        written.map_err(|error| unsendable(reason(&error)))?;
        bytes.extend_from_slice(b"}\0");
        Ok(Frame {
            bytes,
            fds: self.fds,
        })
    }
}

/// The start of a call, up to where its parameters' object begins.
fn head(method: &Method, text: &mut Vec<u8>) {
    text.reserve(256);
    text.extend_from_slice(b"{\"method\":\"");
    text.extend_from_slice(method.qualified.as_bytes());
    let rest: &[u8] = match (method.streams, method.oneway) {
        (true, _) => b"\",\"more\":true,\"parameters\":",
        (false, true) => b"\",\"oneway\":true,\"parameters\":",
        (false, false) => b"\",\"parameters\":",
    };
    text.extend_from_slice(rest);
}

/// A reply and whether another follows.
#[derive(Debug)]
pub(crate) struct Answered<R> {
    pub(crate) reply: R,
    pub(crate) continues: bool,
}

/// Reads a reply of a known form.
pub(crate) fn expected_answer<R: DeserializeOwned, E: Fault>(
    method: &str,
    message: &[u8],
) -> Result<Answered<R>, CallError<E>> {
    match Plain::parse(message) {
        Some(plain) => Ok(plain),
        None => answer(method, message),
    }
}

/// Reads a reply of a stream; `None` is the empty one, which ends it without
/// a last item.
pub(crate) fn next_answer<R: DeserializeOwned, E: Fault>(
    method: &str,
    message: &[u8],
) -> Option<Result<Answered<R>, CallError<E>>> {
    match Plain::parse(message) {
        Some(plain) if plain.continues => Some(Ok(plain)),
        _ if is_end(message) => None,
        _ => Some(answer(method, message)),
    }
}

/// What nearly every reply is: read at once, without a look at it before.
#[derive(Deserialize)]
#[serde(bound = "R: DeserializeOwned")]
struct Plain<R> {
    parameters: R,
    #[serde(default)]
    continues: Option<bool>,
    #[serde(default)]
    error: Option<IgnoredAny>,
}

impl<R: DeserializeOwned> Plain<R> {
    /// `None` where a closer look is needed.
    fn parse(message: &[u8]) -> Option<Answered<R>> {
        // The reply `()` never is what it looks like.
        let may_be = size_of::<R>() > 0;
        let plain: Self = may_be
            .then(|| serde_json::from_slice(message).ok())
            .flatten()?;
        plain.error.is_none().then_some(Answered {
            reply: plain.parameters,
            continues: plain.continues == Some(true),
        })
    }
}

/// Reads a reply.
pub(crate) fn answer<R: DeserializeOwned, E: Fault>(
    method: &str,
    message: &[u8],
) -> Result<Answered<R>, CallError<E>> {
    let (parameters, continues) = success(method, message)?;
    let text = parameters.map_or("{}", RawValue::get);
    let reply = serde_json::from_str(text)
        .or_else(|error| match text {
            // The reply `()` is an object without fields on the wire.
            "{}" => serde_json::from_str("null").map_err(|_| error),
            _ => Err(error),
        })
        .map_err(|error| CallError::malformed(method, &Invalid::new("reply", reason(&error))))?;
    Ok(Answered { reply, continues })
}

/// The parameters of a reply that is no error.
fn success<'a, E: Fault>(
    method: &str,
    message: &'a [u8],
) -> Result<(Option<&'a RawValue>, bool), CallError<E>> {
    let head = ReplyHead::parse(message)
        .map_err(|error| CallError::malformed(method, &Invalid::new("reply", reason(&error))))?;
    match head.error {
        None => Ok((head.parameters, head.continues == Some(true))),
        Some(name) => Err(refusal(method, &name, head.parameters)),
    }
}

fn refusal<E: Fault>(method: &str, name: &str, text: Option<&RawValue>) -> CallError<E> {
    let parameters = match text.map(Parameters::of_text) {
        None => Parameters::default(),
        Some(Ok(parameters)) => parameters,
        Some(Err(Unreadable::Invalid(invalid))) => return CallError::malformed(method, &invalid),
        Some(Err(Unreadable::Syntax(reason))) => {
            return CallError::malformed(method, &Invalid::new(name, reason));
        }
    };
    match E::read(name, &parameters) {
        Ok(Some(error)) => return CallError::Remote(error),
        Err(invalid) => return CallError::malformed(method, &invalid),
        Ok(None) => {}
    }
    CallError::of_every_daemon(method, name, &parameters).unwrap_or_else(|| CallError::Unknown {
        method: method.to_owned(),
        name: name.to_owned(),
        parameters: text
            .and_then(|text| serde_json::from_str(text.get()).ok())
            .unwrap_or_default(),
    })
}

/// Whether the message is the empty reply that ends a stream without a last item.
fn is_end(message: &[u8]) -> bool {
    ReplyHead::parse(message).is_ok_and(|head| {
        head.error.is_none()
            && head.continues != Some(true)
            && head
                .parameters
                .is_none_or(|parameters| parameters.get() == "{}")
    })
}
