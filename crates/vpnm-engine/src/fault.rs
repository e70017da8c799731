//! What the daemon is told when the way out fails.

use std::io;

use vpnm_api::{Code, Failure};
use vpnm_netstack::Refusal;
use vpnm_proxy::{DialError, OutboundError, is_rejection};

/// The failure that a dial through the server means.
#[must_use]
pub(crate) fn of_dial(error: &DialError) -> Failure {
    match error {
        DialError::Refused => Code::Refused.into(),
        DialError::Unreachable => Code::Unreachable.into(),
        DialError::TimedOut { .. } => Failure::new(Code::TimedOut, error.to_string()),
        DialError::Certificate { reason } => Failure::new(Code::Certificate, reason.to_string()),
        DialError::Tls { reason } => Failure::new(Code::Tls, reason.clone()),
        DialError::WebSocket { status } => {
            Failure::new(Code::WebSocket, format!("HTTP status {status}"))
        }
        DialError::Handshake { reason } => Failure::new(Code::WebSocket, *reason),
        DialError::Rejected => Code::Rejected.into(),
        DialError::Io(error) => of_io(error),
        _ => Failure::new(Code::Protocol, error.to_string()),
    }
}

/// The failure that the first error of a stream means on which nothing came back yet.
#[must_use]
pub(crate) fn of_io(error: &io::Error) -> Failure {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the kinds of io errors are open"
    )]
    match error.kind() {
        _ if is_rejection(error) => Code::Rejected.into(),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => Code::Rejected.into(),
        io::ErrorKind::TimedOut => Code::TimedOut.into(),
        io::ErrorKind::InvalidData => Failure::new(Code::Protocol, error.to_string()),
        _ => Failure::new(Code::Unreachable, error.to_string()),
    }
}

/// The failure that a profile means from which no outbound can be built.
#[must_use]
pub(crate) fn of_outbound(error: &OutboundError) -> Failure {
    match error {
        OutboundError::NoAddress => Code::NameNotFound.into(),
        OutboundError::Tls(_) | OutboundError::ServerName { .. } => {
            Failure::new(Code::Tls, error.to_string())
        }
        _ => Failure::new(Code::Unsupported, error.to_string()),
    }
}

/// What an application is told whose connection could not be opened.
#[must_use]
pub(crate) fn refusal(error: &DialError) -> Refusal {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "whatever else is wrong with the server, the host behind it cannot be reached"
    )]
    match error {
        DialError::Unreachable => Refusal::NetUnreachable,
        _ => Refusal::HostUnreachable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_ends_without_an_answer_is_a_rejection() {
        for kind in [io::ErrorKind::ConnectionReset, io::ErrorKind::UnexpectedEof] {
            assert_eq!(of_io(&kind.into()).code, Code::Rejected);
        }
        let dial = DialError::Io(io::ErrorKind::BrokenPipe.into());
        assert_eq!(of_dial(&dial).code, Code::Rejected);
    }

    #[test]
    fn each_dial_error_has_a_code_of_its_own() {
        assert_eq!(of_dial(&DialError::Refused).code, Code::Refused);
        assert_eq!(of_dial(&DialError::Unreachable).code, Code::Unreachable);
        let status = DialError::WebSocket { status: 404 };
        assert_eq!(
            of_dial(&status).to_string(),
            "the server refused the WebSocket upgrade: HTTP status 404"
        );
    }
}
