//! Who did what.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::method::Method;
use crate::parameters::Parameters;
use crate::peer::Peer;

/// One record for every call of an `#[audit]` method and for every refusal.
/// Parameters are in it only where `#[audit(fields(…))]` names them, and never
/// a [`Secret`](crate::types::Secret).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Record {
    /// When the call ended.
    pub at: SystemTime,
    /// The call's number, which [`Caller::id`](super::Caller::id) and the
    /// errors carry.
    pub id: u64,
    /// Who called.
    pub peer: Peer,
    /// The method's full name.
    pub method: &'static str,
    /// What the call came to.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
    /// The parameters named by `#[audit(fields(…))]`, as JSON.
    pub fields: Vec<(&'static str, String)>,
}

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Answered.
    Replied,
    /// Answered with this error of the method's own.
    Fault(&'static str),
    /// Refused: the caller may not. Who may.
    Denied(String),
    /// Refused: the name of the parameter that is wrong.
    Invalid(String),
    /// Given up after the method's timeout.
    Timeout,
    /// The handler broke.
    Broken,
    /// The client went before the stream's end, or the daemon was stopped.
    Ended,
}

impl Outcome {
    /// Whether the call was not let in.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Denied(_) | Self::Invalid(_))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replied => f.write_str("replied"),
            Self::Fault(name) => write!(f, "fault={name}"),
            Self::Denied(reason) => write!(f, "denied={reason:?}"),
            Self::Invalid(parameter) => write!(f, "invalid={parameter:?}"),
            Self::Timeout => f.write_str("timeout"),
            Self::Broken => f.write_str("broken"),
            Self::Ended => f.write_str("ended"),
        }
    }
}

/// One line, whose every text from outside is quoted.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peer = &self.peer;
        write!(
            f,
            "call={} uid={} gid={} pid={} method={} {} ms={}",
            self.id,
            peer.uid,
            peer.gid,
            peer.pid,
            self.method,
            self.outcome,
            self.took.as_millis()
        )?;
        for (name, value) in &self.fields {
            write!(f, " {name}={value}")?;
        }
        Ok(())
    }
}

/// The parameters that a method's records show.
pub(super) fn shown(method: &Method, parameters: &Parameters<'_>) -> Vec<(&'static str, String)> {
    let wanted = method.audit.unwrap_or_default();
    let listed = method
        .parameters
        .iter()
        .filter(|parameter| wanted.contains(&parameter.name));
    listed
        .filter_map(|parameter| {
            let value = if parameter.secret {
                "(secret)".to_owned()
            } else {
                parameters.shown(parameter.name)?
            };
            Some((parameter.name, value))
        })
        .collect()
}
