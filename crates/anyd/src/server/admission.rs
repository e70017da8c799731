//! Whether a call is let in: first who calls, then what they say.

use std::os::fd::OwnedFd;

use serde_json::value::RawValue;

use super::audit;
use super::caller::Caller;
use super::line::Line;
use super::policy::Decision;
use super::registry::Found;
use super::shared::Shared;
use crate::access::Subject;
use crate::method::Method;
use crate::parameters::{Invalid, Parameters, Unreadable};

/// A call as it arrived.
pub(super) struct Asked<'a> {
    /// The method's full name.
    pub(super) name: &'a str,
    /// Whether a stream is wanted.
    pub(super) more: bool,
    /// Whether another protocol is to follow.
    pub(super) upgrade: bool,
    pub(super) source: Source<'a>,
    pub(super) fds: Vec<OwnedFd>,
}

/// Parameters in the form of their protocol.
pub(super) enum Source<'a> {
    /// JSON's text.
    Text(Option<&'a RawValue>),
    /// Some by their places, some by their names.
    #[cfg(feature = "python")]
    Arguments {
        args: Vec<serde_json::Value>,
        kwargs: serde_json::Map<String, serde_json::Value>,
    },
}

/// Why a call is not carried out.
pub(super) enum Refusal {
    NoInterface(String),
    NoMethod(String),
    NotImplemented(String),
    Denied(String),
    ExpectedMore,
    Invalid(Invalid),
}

/// A call that has been let in.
pub(super) struct Admitted<'a> {
    pub(super) caller: Caller,
    pub(super) parameters: Parameters<'a>,
    pub(super) shown: Vec<(&'static str, String)>,
    pub(super) fds: Vec<OwnedFd>,
}

/// The method that a call names.
pub(super) fn find<'a>(shared: &'a Shared, asked: &Asked<'_>) -> Result<Found<'a>, Refusal> {
    let name = asked.name;
    let Some(found) = shared.registry.find(name) else {
        let interface = name
            .rsplit_once('.')
            .map_or(name, |(interface, _)| interface);
        return Err(if shared.registry.has_interface(interface) {
            Refusal::NoMethod(name.to_owned())
        } else {
            Refusal::NoInterface(interface.to_owned())
        });
    };
    if asked.upgrade {
        return Err(Refusal::NotImplemented(name.to_owned()));
    }
    Ok(found)
}

/// Decides whether the call is let in.
pub(super) fn admit<'a>(
    line: &Line,
    found: Found<'a>,
    caller: Caller,
    asked: Asked<'a>,
) -> Result<Admitted<'a>, (Caller, Refusal)> {
    if let Err(refusal) = authorize(line, found, &caller) {
        return Err((caller, refusal));
    }
    if found.method.streams && !asked.more {
        return Err((caller, Refusal::ExpectedMore));
    }
    match parameters(found.method, asked.source, asked.fds.len()) {
        Ok(parameters) => Ok(Admitted {
            shown: audit::shown(found.method, &parameters),
            caller,
            parameters,
            fds: asked.fds,
        }),
        Err(invalid) => Err((caller, Refusal::Invalid(invalid))),
    }
}

fn authorize(line: &Line, found: Found<'_>, caller: &Caller) -> Result<(), Refusal> {
    let method = found.method;
    let subject = Subject {
        peer: &line.peer,
        owner: method
            .access
            .asks_for_owner()
            .then(|| found.service.owner())
            .flatten(),
        groups: &line.shared.groups,
    };
    if !method.access.allows(&subject) {
        let reason = format!("only {} may call it", method.access);
        return Err(Refusal::Denied(reason));
    }
    match &line.shared.narrow {
        Some(narrow) => match narrow(caller, method) {
            Decision::Allow => Ok(()),
            Decision::Deny(reason) => Err(Refusal::Denied(reason)),
        },
        None => Ok(()),
    }
}

fn parameters<'a>(
    method: &'static Method,
    source: Source<'a>,
    fds: usize,
) -> Result<Parameters<'a>, Invalid> {
    let parameters = match source {
        Source::Text(None) => Parameters::default(),
        Source::Text(Some(text)) => Parameters::of_text(text).map_err(|error| match error {
            Unreadable::Invalid(invalid) => invalid,
            Unreadable::Syntax(reason) => Invalid::new("parameters", reason),
        })?,
        #[cfg(feature = "python")]
        Source::Arguments { args, kwargs } => named(method, args, kwargs)?,
    };
    parameters.only(method.parameters)?;
    let (least, most) = (usize::from(method.fds_least), usize::from(method.fds_most));
    if fds < least || fds > most {
        let reason = format!("{fds} descriptors came with the call, which takes {least} to {most}");
        return Err(Invalid::new("fds", reason));
    }
    Ok(parameters)
}

/// Gives arguments their names by their places, as Python does.
#[cfg(feature = "python")]
fn named(
    method: &'static Method,
    args: Vec<serde_json::Value>,
    mut kwargs: serde_json::Map<String, serde_json::Value>,
) -> Result<Parameters<'static>, Invalid> {
    let (given, most) = (args.len(), method.parameters.len());
    if given > most {
        let reason = format!("{given} were given, of {most} that there are");
        return Err(Invalid::new("arguments", reason));
    }
    for (parameter, argument) in method.parameters.iter().zip(args) {
        let earlier = kwargs.insert(parameter.name.to_owned(), argument);
        if earlier.is_some() {
            return Err(Invalid::new(parameter.name, "given twice"));
        }
    }
    Ok(Parameters::of_value(kwargs))
}
