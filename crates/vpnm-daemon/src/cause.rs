//! What goes wrong on this machine, in the words of the contract.

use std::error::Error;
use std::fmt::Write as _;

use vpnm_api::{Code, Failure, Note};
use vpnm_host::tun::TunError;
use vpnm_host::{ApplyError, HostError, ReachError};

use crate::journal::JournalError;
use crate::settings::SettingsError;

/// The failure that an error means to the user.
pub(crate) trait Cause: Error + Sized {
    /// Its kind.
    fn code(&self) -> Code;

    /// Its kind, and the error with everything that led to it.
    fn failure(&self) -> Failure {
        Failure::new(self.code(), chain(self))
    }
}

/// The error and its sources, in one line.
pub(crate) fn chain(error: &dyn Error) -> Note {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        // Writing to a string cannot fail.
        let _always = write!(text, ": {source}");
        next = source.source();
    }
    Note::new(&text)
}

impl Cause for HostError {
    fn code(&self) -> Code {
        if matches!(self, Self::NotPermitted { .. }) {
            Code::NotPermitted
        } else if matches!(self, Self::Owned { .. } | Self::ForeignLink { .. }) {
            Code::Foreign
        } else {
            Code::Host
        }
    }
}

impl Cause for ReachError {
    fn code(&self) -> Code {
        match self {
            Self::Observe(error) | Self::Plan(error) => error.code(),
            Self::Apply(ApplyError::Effect { source, .. }) => source.code(),
            Self::Apply(ApplyError::Stopped { .. }) | Self::Drift { .. } => Code::Host,
        }
    }
}

impl Cause for TunError {
    fn code(&self) -> Code {
        match self {
            Self::NoDevice => Code::NoTunDevice,
            Self::NotPermitted => Code::NotPermitted,
            Self::Busy | Self::Foreign => Code::Foreign,
            Self::Refused { .. } => Code::Host,
        }
    }
}

impl Cause for JournalError {
    fn code(&self) -> Code {
        match self {
            Self::Io { .. } => Code::JournalWrite,
            Self::Unsafe { .. } | Self::Damaged(_) => Code::JournalUnreadable,
        }
    }
}

impl Cause for SettingsError {
    fn code(&self) -> Code {
        Code::Settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_the_whole_chain() {
        let error = ReachError::Apply(ApplyError::Effect {
            effect: "add a route".into(),
            source: HostError::Refused {
                action: "change a route",
                detail: None,
                source: std::io::Error::from_raw_os_error(17),
            },
        });
        let failure = error.failure();
        assert_eq!(failure.code, Code::Host);
        let detail = failure.detail.as_str();
        assert!(
            detail.starts_with("cannot apply: add a route: the kernel refused"),
            "{detail}"
        );
        assert!(detail.contains("File exists"), "{detail}");
    }
}
