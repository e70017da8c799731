//! What a failed handshake means.

use rustls::pki_types::ServerName;
use rustls::{CertificateError, Error};

use crate::{CertificateFault, DialError};

/// Sorts a failure of the handshake with the server that should be `name`.
pub(super) fn classify(error: &Error, name: &ServerName<'_>) -> DialError {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the errors of rustls are open"
    )]
    let reason = match error {
        Error::InvalidCertificate(fault) => {
            let reason = certificate(fault, name);
            return DialError::Certificate { reason };
        }
        Error::InvalidMessage(_) => "what answers does not speak TLS".to_owned(),
        Error::AlertReceived(alert) => format!("the server refused it: {alert:?}"),
        Error::NoApplicationProtocol => {
            "the server speaks none of the application protocols offered".to_owned()
        }
        other => other.to_string(),
    };
    DialError::Tls { reason }
}

fn certificate(fault: &CertificateError, name: &ServerName<'_>) -> CertificateFault {
    use CertificateError as E;
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the errors of rustls are open"
    )]
    match fault {
        E::Expired | E::ExpiredContext { .. } => CertificateFault::Expired,
        E::NotValidYet | E::NotValidYetContext { .. } => CertificateFault::NotYetValid,
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            let expected = name.to_str().into_owned();
            CertificateFault::WrongName { expected }
        }
        E::UnknownIssuer => CertificateFault::UnknownIssuer,
        E::Revoked => CertificateFault::Revoked,
        E::BadSignature => CertificateFault::Signature,
        // A self-signed certificate that is an authority is refused with this by the
        // verifier, before it looks for an issuer.
        E::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            CertificateFault::UnknownIssuer
        }
        other => CertificateFault::Other(other.to_string()),
    }
}
