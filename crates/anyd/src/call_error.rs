//! Why a call failed.

use std::{fmt, io};

use rustix::io::Errno;
use serde_json::Value;

use crate::parameters::{Invalid, Parameters};
use crate::wire::errors;

/// Why a call failed. The text says which method was refused, and why.
#[derive(Debug)]
#[non_exhaustive]
pub enum CallError<E> {
    /// The method's own error.
    Remote(E),
    /// The caller may not call the method.
    Denied {
        /// The method's full name.
        method: String,
        /// Who may.
        reason: String,
    },
    /// A parameter is not what it must be.
    InvalidParameter {
        /// The method's full name.
        method: String,
        /// The parameter's name.
        parameter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The daemon has no such method.
    NotFound {
        /// The method's full name.
        method: String,
    },
    /// Several methods have the name given.
    Ambiguous {
        /// The name.
        name: String,
        /// Their full names.
        methods: Vec<String>,
    },
    /// The method streams: it must be called with `more`.
    ExpectedMore {
        /// The method's full name.
        method: String,
    },
    /// The daemon answered with an error that this client does not know.
    Unknown {
        /// The method's full name.
        method: String,
        /// The error's full name.
        name: String,
        /// Its parameters; `null` when it has none.
        parameters: Value,
    },
    /// The daemon gave up on the call after the method's timeout.
    Timeout {
        /// The method's full name.
        method: String,
    },
    /// The daemon's handler broke.
    Internal {
        /// The method's full name.
        method: String,
        /// The call's number in the daemon's records.
        id: u64,
    },
    /// The caller has as many connections as it may have.
    Busy,
    /// The daemon closed the connection before it answered.
    Closed {
        /// The method's full name.
        method: String,
    },
    /// This client gave up on the call after its own timeout.
    NoAnswer {
        /// The method's full name.
        method: String,
    },
    /// The request could not be written as JSON.
    Unsendable {
        /// The method's full name.
        method: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The answer is not what the method promises.
    Malformed {
        /// The method's full name.
        method: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The connection broke.
    Io {
        /// The method's full name.
        method: String,
        /// How.
        source: io::Error,
    },
}

impl<E> CallError<E> {
    /// The same error with another type of remote error.
    pub fn map<F>(self, remote: impl FnOnce(E) -> F) -> CallError<F> {
        match self {
            Self::Remote(error) => CallError::Remote(remote(error)),
            Self::Denied { method, reason } => CallError::Denied { method, reason },
            Self::InvalidParameter {
                method,
                parameter,
                reason,
            } => CallError::InvalidParameter {
                method,
                parameter,
                reason,
            },
            Self::NotFound { method } => CallError::NotFound { method },
            Self::Ambiguous { name, methods } => CallError::Ambiguous { name, methods },
            Self::ExpectedMore { method } => CallError::ExpectedMore { method },
            Self::Unknown {
                method,
                name,
                parameters,
            } => CallError::Unknown {
                method,
                name,
                parameters,
            },
            Self::Timeout { method } => CallError::Timeout { method },
            Self::Internal { method, id } => CallError::Internal { method, id },
            Self::Busy => CallError::Busy,
            Self::Closed { method } => CallError::Closed { method },
            Self::NoAnswer { method } => CallError::NoAnswer { method },
            Self::Unsendable { method, reason } => CallError::Unsendable { method, reason },
            Self::Malformed { method, reason } => CallError::Malformed { method, reason },
            Self::Io { method, source } => CallError::Io { method, source },
        }
    }

    /// What went wrong between here and the daemon.
    pub(crate) fn io(method: &str, source: io::Error) -> Self {
        let method = method.to_owned();
        let closed = [
            io::ErrorKind::BrokenPipe,
            io::ErrorKind::ConnectionReset,
            io::ErrorKind::NotConnected,
            io::ErrorKind::UnexpectedEof,
        ];
        let late = [io::ErrorKind::TimedOut, io::ErrorKind::WouldBlock];
        if closed.contains(&source.kind()) {
            Self::Closed { method }
        } else if late.contains(&source.kind()) {
            Self::NoAnswer { method }
        } else if source.raw_os_error() == Some(Errno::PERM.raw_os_error()) {
            // The kernel's word for descriptors that the daemon does not let in.
            let reason = "it takes no descriptors of this user".to_owned();
            Self::Denied { method, reason }
        } else {
            Self::Io { method, source }
        }
    }

    /// One of the errors that every daemon can answer with.
    pub(crate) fn of_every_daemon(
        method: &str,
        name: &str,
        parameters: &Parameters<'_>,
    ) -> Option<Self> {
        let method = method.to_owned();
        let text = |field: &str| parameters.named::<String>(field).unwrap_or_default();
        Some(match name {
            errors::PERMISSION_DENIED => Self::Denied {
                method,
                reason: text("reason"),
            },
            errors::INVALID_PARAMETER => Self::InvalidParameter {
                method,
                parameter: text("parameter"),
                reason: text("reason"),
            },
            errors::METHOD_NOT_FOUND | errors::INTERFACE_NOT_FOUND => Self::NotFound { method },
            errors::EXPECTED_MORE => Self::ExpectedMore { method },
            errors::TIMEOUT => Self::Timeout { method },
            errors::INTERNAL => Self::Internal {
                method,
                id: parameters.named("id").unwrap_or_default(),
            },
            errors::BUSY => Self::Busy,
            errors::SHUTDOWN => Self::Closed { method },
            _ => return None,
        })
    }

    pub(crate) fn malformed(method: &str, invalid: &Invalid) -> Self {
        Self::Malformed {
            method: method.to_owned(),
            reason: invalid.to_string(),
        }
    }
}

impl<E: fmt::Display> fmt::Display for CallError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remote(error) => error.fmt(f),
            Self::Denied { method, reason } if reason.is_empty() => {
                write!(f, "the daemon refused {method}")
            }
            Self::Denied { method, reason } => write!(f, "the daemon refused {method}: {reason}"),
            Self::InvalidParameter {
                method,
                parameter,
                reason,
            } => write!(f, "the daemon refused {method}: {parameter}: {reason}"),
            Self::NotFound { method } => write!(f, "the daemon has no {method}"),
            Self::Ambiguous { name, methods } => {
                write!(f, "{name} means {}", methods.join(" or "))
            }
            Self::ExpectedMore { method } => {
                write!(
                    f,
                    "{method} answers with a stream and was not asked for one"
                )
            }
            Self::Unknown {
                method,
                name,
                parameters: Value::Null,
            } => write!(f, "{method} failed with {name}"),
            Self::Unknown {
                method,
                name,
                parameters,
            } => write!(f, "{method} failed with {name} {parameters}"),
            Self::Timeout { method } => {
                write!(f, "the daemon gave up on {method}: it took too long")
            }
            Self::Internal { method, id } => {
                write!(
                    f,
                    "{method} broke inside the daemon (call {id} in its records)"
                )
            }
            Self::Busy => f.write_str("the daemon takes no more connections from this user"),
            Self::Closed { method } => {
                write!(
                    f,
                    "the daemon closed the connection before it answered {method}"
                )
            }
            Self::NoAnswer { method } => write!(f, "the daemon did not answer {method} in time"),
            Self::Unsendable { method, reason } => write!(f, "cannot write {method}: {reason}"),
            Self::Malformed { method, reason } => {
                write!(f, "the answer to {method} is malformed: {reason}")
            }
            Self::Io { method, source } => write!(f, "{method}: {source}"),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for CallError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        if let Self::Io { source, .. } = self {
            return Some(source);
        }
        // What a remote error says is said by the text already: its cause is next.
        if let Self::Remote(error) = self {
            return error.source();
        }
        None
    }
}
